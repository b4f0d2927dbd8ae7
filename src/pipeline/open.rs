//! Opens the logs of a store: every check that stands before the first signature.

use std::sync::Arc;

use super::{
    Answerer, Clock, Ledger, Limits, Meter,
    audit::{AuditError, AuditLane, AuditParts, Audited, take_up},
    guard::Guarded,
    head::{CommittedHead, RootMismatch, Signer, Unguarded},
    log::{Log, LogStatus, Published},
    sequence::Opened,
    waiting::WitnessPlan,
};
use crate::{
    core::{
        checkpoint::{CheckpointError, SignedCheckpoint},
        note::SigningKey,
        number::{LogNumber, UnixMillis},
        origin::{self, Origin},
        tree::{Edge, SecondRoot, TreeHead},
    },
    store::{
        LogKind, LogRow, LogState, RecoverError, Recovered, Store, StoreError, TileReader,
        Watermark, WatermarkError,
    },
};

/// How far the clock may be behind the newest entry, in milliseconds.
///
/// A machine whose clock is set by the network steps by less; one second also absorbs a leap
/// second. More means that the clock or the data is not what it was.
const CLOCK_BEHIND_MILLIS_MAX: u64 = 1_000;

/// What the write path is made of.
pub struct Parts {
    /// The open store.
    pub store: Store,
    /// Where commits go: the same store, except in tests that make it fail.
    pub ledger: Box<dyn Ledger>,
    /// The open watermark.
    pub watermark: Watermark,
    /// Reads tiles for proofs.
    pub reader: TileReader,
    /// The signing key of each log.
    pub keys: Vec<(LogNumber, SigningKey)>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// How much may wait.
    pub limits: Limits,
    /// Counts and times.
    pub meter: Meter,
    /// Who wakes the submitters.
    pub answerer: Answerer,
    /// Which logs have witnesses; none if this is absent.
    pub witnesses: Option<WitnessPlan>,
    /// What audit logs need; without it none is opened.
    pub audit: Option<AuditParts>,
}

/// Why a log is not opened. Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store can't be read.
    #[error("read the database: {0}")]
    Store(#[from] StoreError),
    /// The stored log does not hold together, or is behind what was signed.
    #[error("{0}")]
    Recover(#[from] RecoverError),
    /// The watermark can't be read or raised.
    #[error("{0}")]
    Watermark(#[from] WatermarkError),
    /// The watermark does not know a log that has entries.
    #[error(
        "the watermark file knows nothing of log {origin}, which has {size} entries: without it a \
         database restored from an old copy could sign a second history. Put the right watermark \
         file in place; if it is lost, close this log and open another origin"
    )]
    WatermarkMissing {
        /// The log's origin.
        origin: String,
        /// Its size.
        size: u64,
    },
    /// There is no key for a log.
    #[error("there is no signing key for log {origin}; put its key file back")]
    KeyMissing {
        /// The log's origin.
        origin: String,
    },
    /// The key is not the one that the log was created with.
    #[error(
        "the signing key of log {origin} is not the one in its row, {vkey}; put the right key file back"
    )]
    KeyWrong {
        /// The log's origin.
        origin: String,
        /// The verifier key that the row names.
        vkey: String,
    },
    /// The clock is behind the newest entry.
    #[error(
        "the clock is {behind_ms} ms behind the newest entry of log {origin}; set the clock, or find \
         out why it was ahead before"
    )]
    ClockBehind {
        /// The log's origin.
        origin: String,
        /// How far behind.
        behind_ms: u64,
    },
    /// The committed head and the second computation differ.
    #[error("log {origin}: {mismatch}; restore a good copy of the data")]
    Mismatch {
        /// The log's origin.
        origin: String,
        /// The two roots.
        mismatch: RootMismatch,
    },
    /// The trust file lists the log under another key than the one that signs.
    #[error(
        "the trust file lists log {origin}, but not under the key that signs for it; write the key that \
         `attestree logs` shows into the trust file"
    )]
    KeyUntrusted {
        /// The log's origin.
        origin: String,
    },
    /// An operator's leave names a log that there is not.
    #[error("no log has the origin {origin:?}, which is to sign without its witnesses")]
    OverrideUnknown {
        /// What was named.
        origin: String,
    },
    /// A checkpoint that was stored is not one of the log.
    #[error("the checkpoint that is stored of log {origin} is not its own: {error}")]
    NoteStored {
        /// The log's origin.
        origin: String,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// An audit log can't be taken up where its records end.
    #[error("audit log {origin}: {error}")]
    Audit {
        /// The log's origin.
        origin: String,
        /// Why.
        error: AuditError,
    },
    /// A thread could not be started.
    #[error("start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a log is not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Another log has this origin.
    #[error("the log {origin} exists already; choose another origin")]
    Exists {
        /// The origin of both.
        origin: String,
    },
    /// Another log is served under the same path.
    #[error(
        "the log {other} is served under the same path /{prefix}; choose an origin with another path"
    )]
    Prefix {
        /// The other log.
        other: String,
        /// The path of both.
        prefix: String,
    },
    /// Another log was created meanwhile.
    #[error("another log was created at the same time; try again")]
    Raced,
    /// The store can't be read or written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The new log can't be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The server stops.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Returns the number that a log of this origin would get, if it can be created.
pub fn next_log(store: &Store, origin: &Origin) -> Result<LogNumber, CreateError> {
    let logs = store.logs()?;
    for log in &logs {
        if log.origin == *origin {
            return Err(CreateError::Exists { origin: origin.to_string() });
        }
        if origin::prefix_conflict(&log.origin, origin) {
            let (other, prefix) = (log.origin.to_string(), origin.http_prefix().to_owned());
            return Err(CreateError::Prefix { other, prefix });
        }
    }
    Ok(logs.last().map_or(LogNumber(0), |last| LogNumber(last.number.0 + 1)))
}

/// A log that passed every check and whose head is not signed yet.
pub(super) struct Checked {
    row: LogRow,
    recovered: Recovered,
    head: CommittedHead,
    signer: Unguarded,
    audit: Option<AuditLane>,
}

/// Recovers the edge of one log and checks it against watermark, key and clock. Signs nothing.
pub(super) fn check_log(
    row: &LogRow,
    key: SigningKey,
    store: &Store,
    watermark: &Watermark,
    audit: Option<&AuditParts>,
    now: UnixMillis,
) -> Result<Checked, OpenError> {
    let origin = || row.origin.to_string();
    let wrong_key = || OpenError::KeyWrong {
        origin: origin(),
        vkey: row.vkeys.last().map(ToString::to_string).unwrap_or_default(),
    };
    let signer = Unguarded::new(row, key).ok_or_else(wrong_key)?;
    let mark = watermark.get(row.number)?;
    if mark.as_ref().is_some_and(|mark| mark.key_hash != signer.key_hash()) {
        return Err(wrong_key());
    }
    let recovered = store.recover(row.number, mark.map(|mark| mark.head))?;
    let durable = &recovered.durable;
    let TreeHead { size, .. } = durable.row().head;
    if mark.is_none() && size.get() > 0 {
        return Err(OpenError::WatermarkMissing { origin: origin(), size: size.get() });
    }
    let behind_ms = durable.row().at.0.saturating_sub(now.0);
    if behind_ms > CLOCK_BEHIND_MILLIS_MAX {
        return Err(OpenError::ClockBehind { origin: origin(), behind_ms });
    }

    let head = CommittedHead::new(durable, &recovered.second)
        .map_err(|mismatch| OpenError::Mismatch { origin: origin(), mismatch })?;
    let audit = match row.kind {
        LogKind::Opaque => None,
        LogKind::Audit => Some(take_up(row, store, size, audit)?),
    };
    Ok(Checked { row: row.clone(), recovered, head, signer, audit })
}

/// What a log is made of besides its handle, once its head is signed.
pub(super) struct Signed {
    edge: Edge,
    second: SecondRoot,
    signer: Signer,
    audit: Option<AuditLane>,
}

impl Checked {
    /// Returns what the log is.
    pub(super) fn row(&self) -> &LogRow {
        &self.row
    }

    /// Returns what only an audit log has.
    pub(super) fn audited(&self) -> Option<Arc<Audited>> {
        self.audit.as_ref().map(AuditLane::audited)
    }

    /// Returns the right edge of what was committed.
    pub(super) fn edge(&self) -> &Edge {
        &self.recovered.edge
    }

    /// Signs the head of the tree without leaves.
    pub(super) fn sign_empty(&self) -> SignedCheckpoint {
        self.signer.sign_empty()
    }

    /// Raises the watermark to the log's head and signs it.
    pub(super) fn sign(
        self,
        watermark: &Watermark,
        permit: &Guarded,
    ) -> Result<(Published, Signed), OpenError> {
        let Self { recovered, head, signer, audit, .. } = self;
        let signer = signer.permit(permit);
        let head = head.raise(watermark, signer.key_hash())?;
        let Recovered { edge, second_root: second, .. } = recovered;
        let checkpoint = signer.sign(&head);
        let published = Published { checkpoint, edge: edge.clone(), at: head.at() };
        Ok((published, Signed { edge, second, signer, audit }))
    }

    /// Opens a log without witnesses: nobody has to be heard before it signs.
    pub(super) fn open(self, watermark: &Watermark) -> Result<Opened, OpenError> {
        let (row, audited) = (self.row.clone(), self.audited());
        let (published, rest) = self.sign(watermark, &Guarded::without_quorum(row.number))?;
        let status = match row.state {
            LogState::Open => LogStatus::Open,
            LogState::Closed => LogStatus::Closed,
        };
        Ok(rest.open(Arc::new(Log::new(row, status, published, audited))))
    }
}

impl Signed {
    /// Hands a log over to the threads that write.
    pub(super) fn open(self, log: Arc<Log>) -> Opened {
        let Self { edge, second, signer, audit } = self;
        Opened { log, edge, second, signer, audit }
    }
}
