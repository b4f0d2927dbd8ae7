//! Trust policies: whose checkpoints are believed, and how many witnesses must have seen them
//! (c2sp.org/tlog-policy).
//!
//! ```text
//! log <vkey> [<url>]
//! witness alice <vkey> [<url>]
//! witness bob <vkey> [<url>]
//! group both all alice bob
//! quorum both
//! ```
//!
//! Items are separated by spaces and tabs; empty lines and lines that begin with `#` are passed
//! over. A checkpoint is trusted if one of the listed logs has signed it and the quorum's witnesses
//! have cosigned it.
//!
//! # Invariants
//!
//! - A group names only what stands above it, so that groups can't form a circle.
//! - A name is a member of at most one group, so that no witness counts twice.
//! - No public key is listed for two logs, nor for two witnesses.
//!
//! # Out of scope
//!
//! - Files that are not UTF-8, and keys of algorithms other than Ed25519 (0x01 for logs, 0x04 for
//!   witnesses): a policy that needs them is refused, never half obeyed.

use crate::core::{
    checkpoint::{CheckpointError, CheckpointText, SignedCheckpoint},
    note::{CosignatureTime, SignedNote, VerifierKey, VerifyError},
    origin::Origin,
};

mod policy;

pub use policy::{POLICY_BYTES_MAX, PolicyError, PolicyProblem};

/// Whose checkpoints are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    logs: Vec<TrustedLog>,
    witnesses: Vec<TrustedWitness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A log whose checkpoints are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedLog {
    /// The log's key, which has the origin as its name.
    pub key: VerifierKey,
    /// The log's origin.
    pub origin: Origin,
    /// Where the log can be reached, if the policy says so.
    pub url: Option<String>,
}

/// A witness whose cosignatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedWitness {
    /// What the policy calls the witness.
    pub name: String,
    /// The witness's key.
    pub key: VerifierKey,
    /// Where the witness can be reached, if the policy says so.
    pub url: Option<String>,
}

/// A checkpoint that the policy trusts, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The key of its log.
    pub log_key: VerifierKey,
    /// Every witness of the policy that has cosigned, by its name in the policy, with the time.
    pub witnesses: Vec<(String, CosignatureTime)>,
}

/// Members of which a number must have witnessed a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    threshold: usize,
    members: Vec<Member>,
}

/// What must have witnessed a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    /// Nothing: the signature of the log is enough.
    Nobody,
    /// This witness or group.
    Member(Member),
}

/// Position of a witness or a group in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// Why a checkpoint is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The note is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No listed log has this origin.
    #[error("the policy lists no log {origin}")]
    UnknownLog {
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// A signature of a listed key does not hold, or keys can't be told apart.
    #[error(transparent)]
    Signature(VerifyError),
    /// None of the log's listed keys has signed.
    #[error("no key that the policy lists for {origin} has signed the checkpoint")]
    Unsigned {
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// Too few of the witnesses have cosigned.
    #[error(
        "the quorum {quorum:?} is not reached: {cosigned} of the policy's {witnesses} witnesses have cosigned"
    )]
    Quorum {
        /// Name of the witness or group that makes the quorum.
        quorum: String,
        /// Number of witnesses that have cosigned.
        cosigned: usize,
        /// Number of witnesses in the policy.
        witnesses: usize,
    },
}

impl TrustPolicy {
    /// Returns the listed logs.
    pub fn logs(&self) -> &[TrustedLog] {
        &self.logs
    }

    /// Returns the listed witnesses.
    pub fn witnesses(&self) -> &[TrustedWitness] {
        &self.witnesses
    }

    /// Verifies that a note is a checkpoint of a listed log, cosigned by the quorum.
    ///
    /// A signature of any listed key that does not hold rejects the note, needed or not.
    pub fn verify_checkpoint(&self, note: &[u8]) -> Result<Verified, TrustError> {
        let parsed = SignedNote::parse(note).map_err(CheckpointError::from)?;
        let CheckpointText { origin, head } = CheckpointText::parse(parsed.text())?;
        if !self.logs.iter().any(|log| log.origin == origin) {
            return Err(TrustError::UnknownLog { origin });
        }
        let keys =
            self.logs.iter().map(|log| &log.key).chain(self.witnesses.iter().map(|w| &w.key));
        let verified = match parsed.verify(keys) {
            Ok(verified) => verified,
            Err(VerifyError::Unsigned) => return Err(TrustError::Unsigned { origin }),
            Err(error) => return Err(TrustError::Signature(error)),
        };
        let signer = self
            .logs
            .iter()
            .find(|log| log.origin == origin && verified.signature(&log.key).is_some());
        let Some(signer) = signer else { return Err(TrustError::Unsigned { origin }) };

        let times: Vec<Option<CosignatureTime>> = self
            .witnesses
            .iter()
            .map(|witness| verified.signature(&witness.key).and_then(|signature| signature.time))
            .collect();
        let witnesses: Vec<(String, CosignatureTime)> = self
            .witnesses
            .iter()
            .zip(&times)
            .filter_map(|(witness, time)| Some((witness.name.clone(), (*time)?)))
            .collect();
        let cosigned: Vec<bool> = times.iter().map(Option::is_some).collect();
        if !self.is_quorum(&cosigned) {
            return Err(TrustError::Quorum {
                quorum: self.quorum_name().to_owned(),
                cosigned: witnesses.len(),
                witnesses: self.witnesses.len(),
            });
        }
        let checkpoint = SignedCheckpoint::from_verified(note, origin, head);
        Ok(Verified { checkpoint, log_key: signer.key.clone(), witnesses })
    }

    /// Returns the policy that believes the same logs and asks for no witness.
    #[must_use]
    pub fn without_quorum(&self) -> Self {
        Self { quorum: Quorum::Nobody, ..self.clone() }
    }

    /// Returns whether the quorum asks for any witness at all.
    pub fn has_quorum(&self) -> bool {
        self.quorum != Quorum::Nobody
    }

    /// Returns whether the witnesses for which `cosigned` holds make the quorum.
    pub fn quorum_reached(&self, cosigned: impl Fn(&TrustedWitness) -> bool) -> bool {
        let cosigned: Vec<bool> = self.witnesses.iter().map(cosigned).collect();
        self.is_quorum(&cosigned)
    }

    /// Returns whether every quorum has a member among the witnesses for which `heard` holds.
    ///
    /// So it is exactly if the others make no quorum by themselves. For a quorum of `q` out of `n`
    /// witnesses these are `n - q + 1` of them. A policy without a quorum is never met: its empty
    /// quorum has no member.
    pub fn meets_every_quorum(&self, heard: impl Fn(&TrustedWitness) -> bool) -> bool {
        !self.quorum_reached(|witness| !heard(witness))
    }

    /// Returns whether the witnesses that have cosigned, by position, make the quorum.
    fn is_quorum(&self, cosigned: &[bool]) -> bool {
        // Groups only name groups above themselves, so one pass in the order of the file settles all.
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let has_witnessed = |groups: &[bool], member: &Member| match *member {
            Member::Witness(position) => cosigned.get(position).is_some_and(|&cosigned| cosigned),
            Member::Group(position) => groups.get(position).is_some_and(|&reached| reached),
        };
        for group in &self.groups {
            let count =
                group.members.iter().filter(|member| has_witnessed(&groups, member)).count();
            groups.push(count >= group.threshold);
        }
        match &self.quorum {
            Quorum::Nobody => true,
            Quorum::Member(member) => has_witnessed(&groups, member),
        }
    }

    fn quorum_name(&self) -> &str {
        match self.quorum {
            Quorum::Nobody => policy::NONE,
            Quorum::Member(member) => self.name(member),
        }
    }

    /// Returns the name of a member.
    fn name(&self, member: Member) -> &str {
        match member {
            Member::Witness(position) => self.witnesses.get(position).map(|witness| &*witness.name),
            Member::Group(position) => self.groups.get(position).map(|group| &*group.name),
        }
        .expect("members are made from the positions of what is defined")
    }
}
