//! The handle of one log: what readers see and submitters check.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::watch;

use super::pool::Usage;
use crate::{
    core::{
        checkpoint::SignedCheckpoint,
        number::LogNumber,
        number::UnixMillis,
        tree::{Edge, TreeHead},
    },
    store::LogRow,
};

/// A published head: everything that a reader needs to prove against it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The signed checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The incomplete tiles of the tree at that size.
    pub edge: Edge,
    /// When the newest entry was sequenced.
    pub at: UnixMillis,
}

impl Published {
    /// Returns size and root.
    pub fn head(&self) -> TreeHead {
        self.checkpoint.head()
    }
}

/// Whether a log takes entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStatus {
    /// Entries are taken.
    Open,
    /// The log is complete.
    Closed,
    /// The log stopped itself because a check failed.
    Halted,
}

impl LogStatus {
    const fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Closed => 1,
            Self::Halted => 2,
        }
    }
}

/// One log of a running server.
///
/// Readers take [`Log::published`] once and prove against that snapshot only.
#[derive(Debug)]
pub struct Log {
    row: LogRow,
    status: AtomicU8,
    pub(super) usage: Arc<Usage>,
    published: watch::Sender<Arc<Published>>,
}

impl Log {
    /// Makes the handle of a log whose newest head is `published`.
    pub(super) fn new(row: LogRow, status: LogStatus, published: Published) -> Self {
        Self {
            row,
            status: AtomicU8::new(status.code()),
            usage: Arc::new(Usage::default()),
            published: watch::Sender::new(Arc::new(published)),
        }
    }

    /// Returns the log's row as it was when the server opened it.
    pub fn row(&self) -> &LogRow {
        &self.row
    }

    /// Returns the log's number.
    pub fn number(&self) -> LogNumber {
        self.row.number
    }

    /// Returns the log's origin.
    pub fn origin(&self) -> &str {
        self.row.origin.as_str()
    }

    /// Returns whether the log takes entries.
    pub fn status(&self) -> LogStatus {
        match self.status.load(Ordering::Acquire) {
            0 => LogStatus::Open,
            1 => LogStatus::Closed,
            _ => LogStatus::Halted,
        }
    }

    /// Stops taking entries until an operator acts.
    pub(super) fn halt(&self) {
        self.status.store(LogStatus::Halted.code(), Ordering::Release);
    }

    /// Returns the newest published head.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// Returns a receiver that sees each newest head; a slow one skips.
    pub fn watch(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Makes a head visible. The only caller is the committer, in the order of the commits.
    pub(super) fn publish(&self, published: Arc<Published>) {
        self.published.send_replace(published);
    }
}
