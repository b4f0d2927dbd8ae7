//! The verdict on a piece of evidence, from nothing but the evidence and a trust policy.

use super::{Claim, Evidence, Statement};
use crate::core::{
    note::{VerifierKey, VerifyError},
    number::TreeSize,
    origin::Origin,
    tree::{TreeHead, verify_consistency},
    trust::TrustPolicy,
};

/// What a piece of evidence shows to whoever holds a trust policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Whoever holds the key has signed two checkpoints that can't both be true.
    Guilty {
        /// The log's key that signed both.
        key: Box<VerifierKey>,
        /// What can't be true.
        contradiction: Contradiction,
        /// Witnesses of the policy that cosigned both, by their names there: their state was lost,
        /// or they lie as well.
        witnesses: Vec<String>,
    },
    /// The evidence may be what it says it is, and still convicts nobody.
    Inconclusive {
        /// Why.
        reason: Doubt,
    },
    /// Something in the evidence was made up or changed.
    Forged {
        /// What does not hold.
        reason: Flaw,
    },
}

/// What a log has signed that can't be true.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// One size, two roots.
    #[error("it signed two different trees of {size} entries")]
    SameSize {
        /// The size.
        size: TreeSize,
    },
    /// A tree that does not begin with an earlier one.
    #[error(
        "it signed a tree of {older} entries and a tree of {newer} entries that begins with {older} \
         other ones"
    )]
    Prefix {
        /// Size of the smaller tree.
        older: TreeSize,
        /// Size of the larger tree.
        newer: TreeSize,
    },
}

/// One of the two checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that stands first.
    First,
    /// The one that stands second.
    Second,
}

impl core::fmt::Display for Which {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

/// Why evidence convicts nobody although nothing in it is shown to be false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The checkpoints are of two logs.
    #[error("the checkpoints are of two logs, {first} and {second}, and both may be true")]
    Logs {
        /// Origin of the first checkpoint.
        first: Origin,
        /// Origin of the second checkpoint.
        second: Origin,
    },
    /// The policy does not list the log.
    #[error("the policy lists no log {origin}: add the vkey of the log, from somebody you trust")]
    UnknownLog {
        /// Origin of the checkpoints.
        origin: Origin,
    },
    /// No listed key of the log has signed one of the checkpoints.
    #[error("no key that the policy lists for the log has signed the {which} checkpoint")]
    Unsigned {
        /// Which one.
        which: Which,
    },
    /// Each checkpoint is signed by a listed key, and none by the same one.
    #[error(
        "the checkpoints are signed by two different keys of the log, and neither key signed both"
    )]
    Keys,
    /// Both checkpoints state the same tree, or one continues the other.
    #[error("the checkpoints agree: the second one's tree begins with the first one's")]
    Agree,
    /// The checkpoints have sizes for which nothing was proved.
    #[error(
        "the checkpoints are of {first} and {second} entries, and nothing shows that the larger \
         tree does not begin with the smaller one"
    )]
    Sizes {
        /// Size of the first checkpoint.
        first: TreeSize,
        /// Size of the second checkpoint.
        second: TreeSize,
    },
    /// The first checkpoint is of the empty tree.
    #[error("every tree begins with the empty one, of which the first checkpoint is")]
    Empty,
}

/// What in the evidence does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A signature that claims to be of the log is not.
    #[error("the signature of the log under the {which} checkpoint does not verify")]
    Signature {
        /// Which one.
        which: Which,
    },
    /// The proof does not lead from the other root to the newer tree.
    #[error(
        "the consistency proof does not lead from the other root to the second checkpoint's root"
    )]
    Proof,
}

impl Evidence {
    /// Judges the evidence, offline.
    ///
    /// Guilty needs three things: one key, listed for the origin, whose signature holds under both
    /// checkpoints; an older tree with at least one leaf; and two roots for its size, of which the
    /// second is signed outright or proved to be that of the newer tree's first leaves. An
    /// honest log signs one root for each size, and no consistency proof leads from another, so
    /// that no accuser without the key gets this verdict.
    ///
    /// A signature that claims to be of a listed key and does not hold makes the evidence forged
    /// only if no other listed key has signed both.
    pub fn judge(&self, trust: &TrustPolicy) -> Judgement {
        match self.signer(trust) {
            Err(verdict) => verdict,
            Ok(key) => match self.contradiction() {
                Err(verdict) => verdict,
                Ok(contradiction) => {
                    let witnesses = self.both_witnessed(trust);
                    Judgement::Guilty { key: Box::new(key.clone()), contradiction, witnesses }
                }
            },
        }
    }

    /// Returns the listed key that signed both checkpoints, or the verdict where there is none.
    fn signer<'k>(&self, trust: &'k TrustPolicy) -> Result<&'k VerifierKey, Judgement> {
        let (first, second) = (&self.older, &self.newer);
        let origin = &first.text.origin;
        if *origin != second.text.origin {
            let (first, second) = (origin.clone(), second.text.origin.clone());
            return Err(Doubt::Logs { first, second }.into());
        }
        let keys: Vec<&VerifierKey> =
            trust.logs().iter().filter(|log| log.origin == *origin).map(|log| &log.key).collect();
        if keys.is_empty() {
            return Err(Doubt::UnknownLog { origin: origin.clone() }.into());
        }
        let both = |key: &&VerifierKey| {
            first.signed_by(key) == Signed::Yes && second.signed_by(key) == Signed::Yes
        };
        if let Some(key) = keys.iter().copied().find(both) {
            return Ok(key);
        }
        let statements = [(Which::First, first), (Which::Second, second)];
        let is = |statement: &Statement, signed| {
            keys.iter().any(|key| statement.signed_by(key) == signed)
        };
        for (which, statement) in statements {
            if is(statement, Signed::Forged) {
                return Err(Flaw::Signature { which }.into());
            }
        }
        for (which, statement) in statements {
            if !is(statement, Signed::Yes) {
                return Err(Doubt::Unsigned { which }.into());
            }
        }
        Err(Doubt::Keys.into())
    }

    /// Returns what can't be true of the two checkpoints, or the verdict where they can be.
    fn contradiction(&self) -> Result<Contradiction, Judgement> {
        let [older, newer] = self.heads();
        let (first, second) = (older.size, newer.size);
        match &self.claim {
            Claim::SameSize if first != second => Err(Doubt::Sizes { first, second }.into()),
            Claim::SameSize if older.root == newer.root => Err(Doubt::Agree.into()),
            Claim::SameSize => Ok(Contradiction::SameSize { size: first }),
            Claim::Prefix { .. } if first == TreeSize::ZERO => Err(Doubt::Empty.into()),
            Claim::Prefix { .. } if first >= second => Err(Doubt::Sizes { first, second }.into()),
            Claim::Prefix { other_root, proof } => {
                let other = TreeHead { size: first, root: *other_root };
                if verify_consistency(&other, &newer, proof).is_err() {
                    return Err(Flaw::Proof.into());
                }
                if *other_root == older.root {
                    return Err(Doubt::Agree.into());
                }
                Ok(Contradiction::Prefix { older: first, newer: second })
            }
        }
    }

    /// Returns the witnesses of the policy whose cosignatures hold under both checkpoints.
    fn both_witnessed(&self, trust: &TrustPolicy) -> Vec<String> {
        let both = trust.witnesses().iter().filter(|witness| {
            [&self.older, &self.newer]
                .iter()
                .all(|statement| statement.signed_by(&witness.key) == Signed::Yes)
        });
        both.map(|witness| witness.name.clone()).collect()
    }
}

impl From<Doubt> for Judgement {
    fn from(reason: Doubt) -> Self {
        Self::Inconclusive { reason }
    }
}

impl From<Flaw> for Judgement {
    fn from(reason: Flaw) -> Self {
        Self::Forged { reason }
    }
}

/// What a checkpoint's signature lines say of one key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signed {
    /// The key has signed.
    Yes,
    /// No line claims to be of the key.
    No,
    /// A line claims to be of the key and is not.
    Forged,
}

impl Statement {
    /// Verifies the lines that claim to be of a key.
    fn signed_by(&self, key: &VerifierKey) -> Signed {
        match self.signed.verify([key]) {
            Ok(_) => Signed::Yes,
            Err(VerifyError::Unsigned) => Signed::No,
            Err(VerifyError::Forged { .. }) => Signed::Forged,
            Err(VerifyError::Ambiguous { .. }) => unreachable!("one key is not ambiguous"),
        }
    }
}
