//! The first stage: judges a submission and reserves its room.
//!
//! It runs on the submitter's thread, so that hashing and checks spread over all cores. What comes
//! out, [`Admitted`], is a permit: nothing else reaches the sequencer.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, IDEMPOTENCY_KEY_BYTES_MAX,
    log::{Log, LogStatus},
    pool::{Limits, NoRoom, Permit, Room, Usage},
    ticket::TicketSender,
};
use crate::{
    core::{
        entry::{self, EntryError},
        hash::TreeHash,
    },
    store::{IdentityKey, LogIdentity, LogKind},
};

/// Most bytes of a principal: its length is one byte of the identity key.
pub(super) const PRINCIPAL_BYTES_MAX: usize = 255;

/// One entry of a submission.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The entry.
    pub bytes: Bytes,
    /// Its idempotency key, 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`] bytes.
    pub key: Option<Bytes>,
}

/// What a client sends, not yet judged.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The entries, in order.
    pub entries: Vec<NewEntry>,
    /// Who submits, as far as the transport knows; empty if it does not. Idempotency keys of
    /// different principals never meet.
    pub principal: Bytes,
    /// Whether one conflict refuses all entries.
    pub atomic: bool,
}

/// Why a submission was refused. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no entry in it.
    #[error("the submission has no entries; send at least one")]
    Empty,
    /// One entry can't be a leaf.
    #[error("entry {position}: {error}")]
    Entry {
        /// Position of the entry in the submission.
        position: usize,
        /// What is wrong with it.
        error: EntryError,
    },
    /// It has more entries than one commit.
    #[error("the batch has {entries} entries; send at most {BATCH_ENTRIES_MAX} at once")]
    TooMany {
        /// Number of entries.
        entries: usize,
    },
    /// It has more bytes than one commit.
    #[error("the batch has {bytes} bytes; send at most {BATCH_BYTES_MAX} at once")]
    TooLarge {
        /// Number of bytes.
        bytes: usize,
    },
    /// One idempotency key is too short or too long.
    #[error(
        "the idempotency key of entry {position} has {bytes} bytes; use 1 to {IDEMPOTENCY_KEY_BYTES_MAX}"
    )]
    KeyLength {
        /// Position of the entry in the submission.
        position: usize,
        /// Length of the key.
        bytes: usize,
    },
    /// There is no such log.
    #[error("no log has this origin; `attestree logs` lists those that exist")]
    UnknownLog,
    /// The log takes records only, and raw entries would forge them.
    #[error("an audit log takes no raw entries")]
    AuditLog,
    /// The pool of all logs is full.
    #[error("the server is at its limit of waiting entries; send it again after the given delay")]
    PoolFull,
    /// The log's part of the pool is full.
    #[error("the log is at its limit of waiting entries; send it again after the given delay")]
    LogFull,
    /// The file system is nearly full.
    #[error("the server is short of disk space and takes no entries until there is more")]
    NoSpace,
    /// The log is complete.
    #[error("the log is closed: it is read and proved, and takes no entry ever again")]
    Closed,
    /// The log stopped itself.
    #[error("the log halted itself because a check failed; its operator has to act")]
    Halted,
    /// The log waits for its witnesses.
    #[error(
        "the log takes no entries until enough of its witnesses have been heard: they know what it has \
         signed before; send it again after the delay"
    )]
    Waiting,
    /// No head of the log may be shown.
    #[error(
        "nothing of the log can be shown until enough of its witnesses have been heard; come back after \
         the delay"
    )]
    Unshown,
    /// The server stops.
    #[error("the server is shutting down; send it again to its successor")]
    ShuttingDown,
}

/// One admitted entry.
#[derive(Debug)]
pub(super) struct AdmittedEntry {
    pub(super) bytes: Bytes,
    pub(super) leaf_hash: TreeHash,
    /// The identity of its idempotency key.
    pub(super) key: Option<IdentityKey>,
}

/// A submission that may become leaves.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) log: Arc<Log>,
    pub(super) entries: Vec<AdmittedEntry>,
    pub(super) atomic: bool,
    pub(super) permit: Permit,
    pub(super) ticket: TicketSender,
}

/// Checks what a submission must hold whichever log it goes to, and returns its room.
fn check(submission: &Submission) -> Result<Room, Refusal> {
    let entries = submission.entries.len();
    match entries {
        0 => return Err(Refusal::Empty),
        1..=BATCH_ENTRIES_MAX => {}
        _ => return Err(Refusal::TooMany { entries }),
    }
    let mut bytes = 0;
    for (position, new) in submission.entries.iter().enumerate() {
        entry::check(&new.bytes).map_err(|error| Refusal::Entry { position, error })?;
        if let Some(key) = &new.key
            && !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
        {
            return Err(Refusal::KeyLength { position, bytes: key.len() });
        }
        bytes += new.bytes.len();
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(Refusal::TooLarge { bytes });
    }
    // Both fit: at most 4,096 and 16 MiB.
    Ok(Room { entries: entries as u64, bytes: bytes as u64 })
}

/// Judges a submission, reserves its room and computes its leaf hashes.
///
/// # Panics
///
/// If the principal is longer than [`PRINCIPAL_BYTES_MAX`]: the transport makes it.
pub(super) fn admit(
    log: &Arc<Log>,
    submission: Submission,
    pool: &Arc<Usage>,
    limits: &Limits,
    ticket: TicketSender,
) -> Result<Admitted, Refusal> {
    assert!(submission.principal.len() <= PRINCIPAL_BYTES_MAX, "a principal fits its length byte");
    match log.status() {
        LogStatus::Open => {}
        LogStatus::Closed => return Err(Refusal::Closed),
        LogStatus::Halted => return Err(Refusal::Halted),
        LogStatus::Waiting => return Err(Refusal::Waiting),
    }
    if log.row().kind != LogKind::Opaque {
        return Err(Refusal::AuditLog);
    }
    let room = check(&submission)?;
    let permit = Permit::reserve(pool, &log.usage, room, limits).map_err(|full| match full {
        NoRoom::Pool => Refusal::PoolFull,
        NoRoom::Log => Refusal::LogFull,
    })?;
    let entries = submission
        .entries
        .into_iter()
        .map(|new| AdmittedEntry {
            leaf_hash: TreeHash::leaf(&new.bytes),
            key: new
                .key
                .map(|key| IdentityKey::idempotency(log.number(), &submission.principal, &key)),
            bytes: new.bytes,
        })
        .collect();
    Ok(Admitted { log: Arc::clone(log), entries, atomic: submission.atomic, permit, ticket })
}

impl Admitted {
    /// Returns whether any entry needs an identity lookup.
    pub(super) fn has_identity(&self) -> bool {
        self.log.row().identity == LogIdentity::EntryHash
            || self.entries.iter().any(|entry| entry.key.is_some())
    }
}
