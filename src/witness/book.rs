//! What the witness knows of each log: what it was told to believe, and what it has cosigned.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    journal::{Act, ActKind, Cosigned, Record},
    limit::Bucket,
};
use crate::core::{
    checkpoint::SignedCheckpoint,
    note::{CosignatureTime, CosigningKey, NoteSignature, SignedNote, VerifierKey},
    origin::Origin,
    tree::TreeHead,
    witness::{WitnessedLog, origin_hash_hex},
};

/// A log as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The log and its keys.
    pub log: WitnessedLog,
    /// Where the log is read; none for a log that only pushes.
    pub url: Option<String>,
}

/// Every log that the witness has to do with. The list is made at start; the states move.
#[derive(Debug, Default)]
pub struct Book {
    logs: Vec<Log>,
    by_origin: HashMap<Origin, usize>,
    by_hash: HashMap<String, usize>,
}

/// One log.
#[derive(Debug)]
pub struct Log {
    /// Position in the book.
    pub(super) position: usize,
    /// The log and its keys; without keys if the configuration no longer names it.
    pub(super) witnessed: WitnessedLog,
    /// Where it is read.
    pub(super) url: Option<String>,
    /// What the keeper has written. Only the keeper changes it.
    pub(super) state: watch::Sender<State>,
    /// How many new heads it may bring.
    pub(super) advances: Bucket,
}

/// What is remembered of a log.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The newest checkpoint that was cosigned.
    pub latest: Option<Arc<Latest>>,
    /// Whether an operator has disabled the log.
    pub disabled: bool,
    /// Why the witness has stopped by itself.
    pub frozen: Option<String>,
}

/// The newest checkpoint of a log that was cosigned.
#[derive(Debug)]
pub struct Latest {
    cosigned: Cosigned,
    line: OnceLock<NoteSignature>,
}

/// Why the logs and the journal don't go together.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A log that has been cosigned is no longer configured.
    #[error(
        "the configuration no longer names {origin}, which this witness has cosigned up to size {size}. A log is \
         never removed: it could be named again later and show another history. Put it back, or run \
         `attestree witness log disable {origin}`"
    )]
    Removed {
        /// The log.
        origin: Origin,
        /// The size that was cosigned.
        size: u64,
    },
}

impl Book {
    /// Joins what is configured with what the journal says.
    pub fn new(configured: Vec<LogConfig>, records: &[Record]) -> Result<Self, BookError> {
        let mut book = Self::default();
        for LogConfig { log, url } in configured {
            book.add(log, url);
        }
        let known = book.logs.len();
        book.recall(records);
        for log in book.logs.iter().skip(known) {
            let state = log.state.borrow();
            if let Some(latest) = &state.latest
                && !state.disabled
            {
                let size = latest.head().size.get();
                return Err(BookError::Removed { origin: log.witnessed.origin.clone(), size });
            }
        }
        Ok(book)
    }

    /// Makes a book of what the journal says alone, to be looked at.
    pub(super) fn recalled(records: &[Record]) -> Self {
        let mut book = Self::default();
        book.recall(records);
        book
    }

    /// Takes what the journal says.
    fn recall(&mut self, records: &[Record]) {
        for record in records {
            let origin = match record {
                Record::Cosigned(cosigned) => &cosigned.origin,
                Record::Act(act) => &act.origin,
            };
            let position = match self.by_origin.get(origin) {
                Some(position) => *position,
                None => self.add(WitnessedLog { origin: origin.clone(), keys: Vec::new() }, None),
            };
            self.log_at(position).state.send_modify(|state| state.apply(record));
        }
    }

    fn add(&mut self, log: WitnessedLog, url: Option<String>) -> usize {
        let position = self.logs.len();
        self.by_origin.insert(log.origin.clone(), position);
        self.by_hash.insert(origin_hash_hex(&log.origin), position);
        let state = watch::Sender::new(State::default());
        let advances = Bucket::default();
        self.logs.push(Log { position, witnessed: log, url, state, advances });
        position
    }

    /// Returns the logs: those that are configured, then disabled ones of earlier times.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Returns the log with this origin.
    pub fn log(&self, origin: &Origin) -> Option<&Log> {
        self.by_origin.get(origin).map(|position| self.log_at(*position))
    }

    /// Returns the log whose origin has this hash, in lower-case hexadecimal.
    pub(super) fn log_of_hash(&self, hex: &str) -> Option<&Log> {
        self.by_hash.get(hex).map(|position| self.log_at(*position))
    }

    /// Returns the log at a position of this book.
    pub(super) fn log_at(&self, position: usize) -> &Log {
        self.logs.get(position).expect("positions are those of logs")
    }
}

impl Log {
    /// Returns the log's origin.
    pub fn origin(&self) -> &Origin {
        &self.witnessed.origin
    }

    /// Returns where the log is read, if it is.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Returns what is remembered of the log.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Returns a checkpoint that was remembered under a key of the log that is still configured.
    pub(super) fn verified(&self, latest: &Latest) -> Option<SignedCheckpoint> {
        let verify = |key: &VerifierKey| SignedCheckpoint::verify(&latest.cosigned.note, key).ok();
        self.witnessed.keys.iter().find_map(verify)
    }
}

impl State {
    /// Takes what a record says.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Cosigned(cosigned) => self.latest = Some(Latest::new(cosigned.clone())),
            Record::Act(Act { kind, reason, .. }) => match kind {
                ActKind::Freeze => self.frozen = Some(reason.clone()),
                ActKind::Unfreeze => self.frozen = None,
                ActKind::Disable => self.disabled = true,
                ActKind::Enable => self.disabled = false,
            },
        }
    }

    /// Returns the head that was cosigned last.
    pub fn head(&self) -> Option<TreeHead> {
        self.latest.as_ref().map(|latest| latest.head())
    }
}

impl Latest {
    /// Takes what was written.
    pub(super) fn new(cosigned: Cosigned) -> Arc<Self> {
        Arc::new(Self { cosigned, line: OnceLock::new() })
    }

    /// Returns what was written.
    pub fn cosigned(&self) -> &Cosigned {
        &self.cosigned
    }

    /// Returns size and root.
    pub fn head(&self) -> TreeHead {
        self.cosigned.head
    }

    /// Returns the time of the cosignature.
    pub fn time(&self) -> CosignatureTime {
        self.cosigned.time
    }

    /// Returns the cosignature, which is always the same.
    pub(super) fn line(&self, key: &CosigningKey) -> &NoteSignature {
        self.line.get_or_init(|| key.sign(self.note().text(), self.cosigned.time))
    }

    /// Returns the checkpoint with the signatures of log and witness.
    pub(super) fn cosigned_note(&self, key: &CosigningKey) -> Bytes {
        let note = self.note().with_signatures(vec![self.line(key).clone()]);
        note.expect("a log has few keys").to_string().into()
    }

    fn note(&self) -> SignedNote {
        SignedNote::parse(&self.cosigned.note).expect("it was parsed before it was written")
    }
}
