//! The checks of `add-checkpoint`, in the order of the specification.

use crate::core::{
    checkpoint::{CheckpointError, CheckpointText, SignedCheckpoint, signs_for},
    note::{SignedNote, VerifierKey, VerifyError},
    number::TreeSize,
    origin::Origin,
    tree::{TreeHead, verify_consistency},
};

use super::AddCheckpoint;

/// What a witness believes of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedLog {
    /// The log.
    pub origin: Origin,
    /// Its keys, each an Ed25519 key (0x01) with the origin as its name: any of them may sign.
    pub keys: Vec<VerifierKey>,
}

/// A checkpoint that a witness may cosign once it has remembered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    checkpoint: SignedCheckpoint,
    log_key: VerifierKey,
}

/// Why a checkpoint is not cosigned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The note is no checkpoint.
    #[error("the checkpoint is malformed: {0}")]
    Malformed(#[source] CheckpointError),
    /// The checkpoint is of another log.
    #[error("this witness knows no log {origin}")]
    UnknownOrigin {
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// No key of the log has signed, or a signature that claims to be of one does not hold.
    #[error("{0}; this witness wants the signature of a key that it was given for the log")]
    Signature(#[source] VerifyError),
    /// The old size is beyond the checkpoint's.
    #[error("the old size {old} is larger than the checkpoint's, {new}")]
    OldTooLarge {
        /// The old size.
        old: TreeSize,
        /// The checkpoint's size.
        new: TreeSize,
    },
    /// The old size is not that of the newest tree that this witness has cosigned.
    #[error("this witness has cosigned size {latest}: prove from there")]
    Conflict {
        /// The size that it has cosigned; 0 if none.
        latest: TreeSize,
    },
    /// An empty tree with the root of another.
    #[error("the checkpoint gives an empty tree a root other than that of the empty tree")]
    EmptyRoot,
    /// The proof does not lead from the tree that was cosigned to the checkpoint's.
    #[error("the consistency proof from size {old} to size {new} does not verify")]
    Proof {
        /// The old size.
        old: TreeSize,
        /// The checkpoint's size.
        new: TreeSize,
    },
    /// The log has signed another tree of the size that was cosigned.
    #[error(
        "this witness has cosigned another tree of size {}: the log has signed two histories",
        .checkpoint.head().size
    )]
    Fork {
        /// The checkpoint, under the log's signatures alone.
        checkpoint: Box<SignedCheckpoint>,
        /// What was cosigned.
        latest: TreeHead,
    },
}

impl Refusal {
    /// Returns the HTTP status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldTooLarge { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownOrigin { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::EmptyRoot | Self::Proof { .. } | Self::Fork { .. } => 422,
        }
    }
}

impl Accepted {
    /// Returns the checkpoint under the signatures of its log alone.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Returns the key of the log that has signed; the first of them if there are several.
    pub fn log_key(&self) -> &VerifierKey {
        &self.log_key
    }

    /// Returns the checkpoint.
    pub fn into_checkpoint(self) -> SignedCheckpoint {
        self.checkpoint
    }
}

/// Judges one request against the newest head of the log that this witness has cosigned.
///
/// Whoever acts on [`Accepted`] must hold `latest` still until the new head has taken its place.
pub fn judge(
    log: &WitnessedLog,
    latest: Option<&TreeHead>,
    request: &AddCheckpoint,
) -> Result<Accepted, Refusal> {
    let (note, text) = request.checkpoint().map_err(Refusal::Malformed)?;
    if text.origin != log.origin {
        return Err(Refusal::UnknownOrigin { origin: text.origin });
    }
    let accepted = verify_signature(log, &note, &text).map_err(Refusal::Signature)?;

    let (old, new) = (request.old_size, text.head.size);
    if old > new {
        return Err(Refusal::OldTooLarge { old, new });
    }
    let known = latest.map_or(TreeSize::ZERO, |latest| latest.size);
    if old != known {
        return Err(Refusal::Conflict { latest: known });
    }
    if text.is_impossible() {
        return Err(Refusal::EmptyRoot);
    }
    match latest {
        // Every tree extends the empty one, and RFC 6962 knows no proof of that.
        None => prove_from_nothing(request, new)?,
        Some(latest) if latest.size == TreeSize::ZERO => prove_from_nothing(request, new)?,
        Some(latest) if latest.size == new && latest.root != text.head.root => {
            let checkpoint = Box::new(accepted.checkpoint);
            return Err(Refusal::Fork { checkpoint, latest: *latest });
        }
        Some(latest) => verify_consistency(latest, &text.head, &request.proof)
            .map_err(|_opaque| Refusal::Proof { old, new })?,
    }
    Ok(accepted)
}

/// Returns a checkpoint that the log has signed and that can't be true beside what was cosigned: the
/// same size with another root. It convicts the log whatever old size it came with.
pub fn contradicts(
    log: &WitnessedLog,
    latest: &TreeHead,
    request: &AddCheckpoint,
) -> Option<SignedCheckpoint> {
    let (note, text) = request.checkpoint().ok()?;
    let other = text.origin == log.origin
        && text.head.size == latest.size
        && text.head.root != latest.root
        && !text.is_impossible();
    // Only a signature makes it the log's; the comparison before it costs nothing.
    let signed = other.then(|| verify_signature(log, &note, &text))?;
    signed.ok().map(Accepted::into_checkpoint)
}

/// Returns the head that a note shows this very witness to have cosigned, if it goes beyond what the
/// witness remembers: a larger tree, or another of the same size.
///
/// Then its memory was lost or its key is used elsewhere, and it must not sign again for this log.
pub fn cosigned_beyond(
    own: &VerifierKey,
    latest: Option<&TreeHead>,
    request: &AddCheckpoint,
) -> Option<TreeHead> {
    let (note, text) = request.checkpoint().ok()?;
    let beyond = latest.is_none_or(|latest| {
        text.head.size > latest.size || (text.head.size == latest.size && text.head != *latest)
    });
    let signed = || {
        note.signatures().iter().any(|line| matches!(line.verify(own, note.text()), Ok(Some(_))))
    };
    (beyond && signed()).then_some(text.head)
}

/// Verifies that keys of the log have signed, and none of them wrongly.
fn verify_signature(
    log: &WitnessedLog,
    note: &SignedNote,
    text: &CheckpointText,
) -> Result<Accepted, VerifyError> {
    // What signs for a log has its name; a key that has not can never vouch for a checkpoint.
    let verified = note.verify(log.keys.iter().filter(|key| signs_for(key, &log.origin)))?;
    let signers: Vec<&VerifierKey> = verified.signatures().iter().map(|line| line.key).collect();
    let reduced = note.reduced(signers.iter().copied()).expect("the signers have signed");
    // A line that is there twice is kept once.
    let reduced = reduced.with_signatures(Vec::new()).expect("it became shorter").to_string();
    let log_key = (*signers.first().expect("a verified note has a signer")).clone();
    let checkpoint =
        SignedCheckpoint::from_verified(reduced.as_bytes(), log.origin.clone(), text.head);
    Ok(Accepted { checkpoint, log_key })
}

/// Wants an empty proof.
fn prove_from_nothing(request: &AddCheckpoint, new: TreeSize) -> Result<(), Refusal> {
    let refusal = Refusal::Proof { old: request.old_size, new };
    if request.proof.is_empty() { Ok(()) } else { Err(refusal) }
}
