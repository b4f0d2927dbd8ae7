//! The first stage: judges a submission and reserves its room.
//!
//! It runs on the submitter's thread, so that hashing and checks spread over all cores. What comes
//! out, [`Admitted`], is a permit: nothing else reaches the sequencer.

use core::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, IDEMPOTENCY_KEY_BYTES_MAX,
    audit::{Audited, Event, Judged, Unjudged, judge},
    log::Log,
    pool::{Limits, NoRoom, Permit, Room, Usage},
    ticket::{Failure, TicketSender},
    vault::VaultError,
};
use crate::{
    core::{
        entry::{self, EntryError},
        hash::{HASH_BYTES, TreeHash},
        number::UnixMillis,
        record::{
            FINGERPRINT_PREFIX, SUBMISSION_LIMITS, SubmissionError, json::JsonError, submission_tag,
        },
    },
    store::{IdentityKey, LogIdentity},
};

/// Most bytes of a principal: its length is one byte of the identity key.
pub(super) const PRINCIPAL_BYTES_MAX: usize = 255;

/// One entry of a submission.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The entry.
    pub bytes: Bytes,
    /// Its idempotency key, 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`] bytes; that of a source may be longer.
    pub key: Option<Bytes>,
    /// `unparsed`, of bytes of which a receiver could make no event.
    pub class: Option<&'static str>,
}

/// What the entries of a submission are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// The entries themselves, for an opaque log.
    #[default]
    Raw,
    /// Events, of which an audit log makes records: JSON, 1 byte to 1 MiB.
    Event,
}

/// Whose the idempotency keys of a submission are. Keys of different owners never meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    /// The principal's.
    #[default]
    Principal,
    /// The source's, whoever submits for it.
    Source,
}

/// What a client sends, not yet judged.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The entries, in order.
    pub entries: Vec<NewEntry>,
    /// Who submits, as far as the transport knows; empty if it does not.
    pub principal: Bytes,
    /// The name that records show of who submits; without it the fingerprint of the principal.
    pub source: Option<String>,
    /// What the entries are.
    pub content: Content,
    /// Whether one conflict refuses all entries.
    pub atomic: bool,
    /// Whether no event is refused for its content, because its sender would drop it then: what a policy
    /// rejects and what is no JSON is quarantined, and another event under a known key is recorded and
    /// followed by a `conflict` record.
    pub kept: bool,
    /// Whose the idempotency keys are.
    pub namespace: Namespace,
}

impl NewEntry {
    /// Makes an entry of bytes.
    pub fn new(bytes: Bytes, key: Option<Bytes>) -> Self {
        Self { bytes, key, class: None }
    }
}

impl Submission {
    /// Puts entries of a principal together, of which each stands for itself.
    pub fn new(entries: Vec<NewEntry>, principal: Bytes, content: Content) -> Self {
        Self {
            entries,
            principal,
            source: None,
            content,
            atomic: false,
            kept: false,
            namespace: Namespace::Principal,
        }
    }
}

/// Why a submission was refused. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// One event is too long.
    #[error("event {position} has {bytes} bytes; send at most {}", SUBMISSION_LIMITS.bytes)]
    EventLength {
        /// Position of the event in the submission.
        position: usize,
        /// Its length.
        bytes: usize,
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
    #[error("an audit log takes events, of which it makes its records, and no raw entries")]
    AuditLog,
    /// The log takes raw entries only.
    #[error("an opaque log takes raw entries, and no events")]
    OpaqueLog,
    /// An event is no JSON object.
    #[error("entry {position}, line {line}, column {column}: {reason}")]
    Malformed {
        /// Position of the entry in the submission.
        position: usize,
        /// Offset in the entry in bytes, from 0.
        offset: usize,
        /// Line, from 1.
        line: usize,
        /// Character within the line, from 1.
        column: usize,
        /// What is wrong; it holds nothing of the entry.
        reason: String,
    },
    /// The policy refuses an event.
    #[error("the policy refuses entry {position}: {}", rules.join(", "))]
    Rejected {
        /// Position of the entry in the submission.
        position: usize,
        /// The rules that refuse it.
        rules: Vec<String>,
    },
    /// Keys of fields can't be had.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The clock can't be trusted.
    #[error("the log's clock can't be trusted; nothing is recorded until an operator confirms it")]
    ClockDoubted,
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
    /// What was submitted: on opaque logs the entry.
    pub(super) bytes: Bytes,
    /// The entry's leaf hash; of an event there is none yet.
    pub(super) leaf_hash: TreeHash,
    /// What tells it from others under the same idempotency key.
    pub(super) tag: TreeHash,
    /// The identity of its idempotency key.
    pub(super) key: Option<IdentityKey>,
    /// What an event comes to.
    pub(super) judged: Option<Box<Judged>>,
    /// The class of bytes of which no event could be made.
    pub(super) class: Option<&'static str>,
}

/// A submission that may become leaves.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) log: Arc<Log>,
    pub(super) entries: Vec<AdmittedEntry>,
    pub(super) atomic: bool,
    /// Who submits, as records name it.
    pub(super) source: Option<String>,
    /// Whether no event is refused for its content.
    pub(super) kept: bool,
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
    // What names an event at its source is as long as its protocol lets it be; its hash is kept alone.
    let key_bytes_max = match submission.namespace {
        Namespace::Principal => IDEMPOTENCY_KEY_BYTES_MAX,
        Namespace::Source => SUBMISSION_LIMITS.bytes,
    };
    let mut bytes = 0;
    for (position, new) in submission.entries.iter().enumerate() {
        check_length(position, &new.bytes, submission.content)?;
        if let Some(key) = &new.key
            && !(1..=key_bytes_max).contains(&key.len())
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

/// Checks the length of an entry, or of what one is made of.
fn check_length(position: usize, bytes: &[u8], content: Content) -> Result<(), Refusal> {
    if !bytes.is_empty() && content == Content::Event {
        let (bytes, max) = (bytes.len(), SUBMISSION_LIMITS.bytes);
        return if bytes > max { Err(Refusal::EventLength { position, bytes }) } else { Ok(()) };
    }
    entry::check(bytes).map_err(|error| Refusal::Entry { position, error })
}

/// Judges a submission, reserves its room and computes what the sequencer would otherwise have to: leaf
/// hashes, or records.
///
/// # Panics
///
/// If the principal is longer than [`PRINCIPAL_BYTES_MAX`]: the transport makes it. If keys are those of a source
/// that has no name.
pub(super) fn admit(
    log: &Arc<Log>,
    submission: Submission,
    pool: &Arc<Usage>,
    limits: &Limits,
    now: UnixMillis,
    ticket: TicketSender,
) -> Result<Admitted, Refusal> {
    assert!(submission.principal.len() <= PRINCIPAL_BYTES_MAX, "a principal fits its length byte");
    log.check_takes()?;
    match (submission.content, log.audited()) {
        (Content::Raw, None) | (Content::Event, Some(_)) => {}
        (Content::Raw, Some(_)) => return Err(Refusal::AuditLog),
        (Content::Event, None) => return Err(Refusal::OpaqueLog),
    }
    let room = check(&submission)?;
    let permit = Permit::reserve(pool, &log.usage, room, limits).map_err(Refusal::from)?;
    let Submission { entries, principal, source, atomic, kept, namespace, .. } = submission;
    let source = source.or_else(|| name_of(&principal)).filter(|_| log.audited().is_some());
    let identity = |key: Option<Bytes>| {
        key.map(|key| match namespace {
            Namespace::Principal => IdentityKey::idempotency(log.number(), &principal, &key),
            Namespace::Source => {
                let source = source.as_deref().expect("a source of an audit log has a name");
                IdentityKey::source(log.number(), source, &key)
            }
        })
    };
    let admit_one = |(position, new): (usize, NewEntry)| {
        let NewEntry { bytes, key, class } = new;
        let key = identity(key);
        match log.audited() {
            None => Ok(AdmittedEntry::raw(bytes, key)),
            Some(audited) => {
                let event = Event { bytes: &bytes, source: source.as_deref(), class, kept };
                let judged = judge(log, audited, &audited.generation(), event, now)
                    .map_err(|unjudged| refused(position, unjudged))?;
                Ok(AdmittedEntry::event(bytes, key, judged, class, audited))
            }
        }
    };
    let entries = entries.into_iter().enumerate().map(admit_one).collect::<Result<_, Refusal>>()?;
    Ok(Admitted { log: Arc::clone(log), entries, atomic, source, kept, permit, ticket })
}

/// Returns the name under which records know a principal: the fingerprint of its certificate.
fn name_of(principal: &[u8]) -> Option<String> {
    let fingerprint = TreeHash::from_slice(principal)?;
    let mut source = FINGERPRINT_PREFIX.to_owned();
    for byte in fingerprint.as_bytes() {
        write!(source, "{byte:02x}").expect("writing to a string can't fail");
    }
    Some(source)
}

/// Says why an event becomes no record.
fn refused(position: usize, unjudged: Unjudged) -> Refusal {
    match unjudged {
        Unjudged::Malformed(SubmissionError::Json(error)) => {
            let JsonError { fault, byte: offset, line, column } = error;
            Refusal::Malformed { position, offset, line, column, reason: fault.to_string() }
        }
        Unjudged::Malformed(error) => {
            let reason = error.to_string();
            Refusal::Malformed { position, offset: 0, line: 1, column: 1, reason }
        }
        Unjudged::Rejected(rules) => Refusal::Rejected { position, rules },
        Unjudged::Vault(error) => Refusal::Vault(error),
    }
}

impl From<NoRoom> for Refusal {
    fn from(full: NoRoom) -> Self {
        match full {
            NoRoom::Pool => Self::PoolFull,
            NoRoom::Log => Self::LogFull,
        }
    }
}

impl AdmittedEntry {
    fn raw(bytes: Bytes, key: Option<IdentityKey>) -> Self {
        let leaf_hash = TreeHash::leaf(&bytes);
        Self { bytes, leaf_hash, tag: leaf_hash, key, judged: None, class: None }
    }

    fn event(
        bytes: Bytes,
        key: Option<IdentityKey>,
        judged: Judged,
        class: Option<&'static str>,
        audited: &Audited,
    ) -> Self {
        let none = TreeHash::from_bytes([0; HASH_BYTES]);
        let tag = key.as_ref().map_or(none, |_| submission_tag(&audited.secret, &bytes));
        Self { bytes, leaf_hash: none, tag, key, judged: Some(Box::new(judged)), class }
    }
}

impl Admitted {
    /// Answers the submitter with a failure.
    pub(super) fn fail(self, failure: Failure) {
        let _gone = self.ticket.send(Err(failure));
    }

    /// Returns whether each entry becomes the next leaf, as no identity or count says otherwise.
    pub(super) fn is_plain(&self) -> bool {
        let counted = |entry: &AdmittedEntry| {
            entry.judged.as_ref().is_some_and(|judged| judged.suppressed.is_some())
        };
        !self.has_identity() && !self.entries.iter().any(counted)
    }

    /// Returns whether any entry needs an identity lookup.
    pub(super) fn has_identity(&self) -> bool {
        self.log.row().identity == LogIdentity::EntryHash
            || self.entries.iter().any(|entry| entry.key.is_some())
    }
}
