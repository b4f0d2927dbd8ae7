//! The handle of one log: what readers see and submitters check.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use tokio::sync::watch;

use super::{
    admit::Refusal,
    audit::Audited,
    candidate::{NoCandidate, Publish, Taken, Witnessed},
    pool::Usage,
};
use crate::{
    core::{
        checkpoint::SignedCheckpoint,
        note::NoteSignature,
        number::{LogNumber, UnixMillis},
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

/// A signed head, and whether readers may see it.
#[derive(Clone, Debug)]
pub(super) enum Readable {
    /// They may.
    Yes(Arc<Published>),
    /// It says less than what readers may have seen.
    No(Arc<Published>),
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
    /// The log takes no entries until its witnesses have been heard.
    Waiting,
    /// The log takes no entries until an operator has confirmed the clock.
    ClockDoubted,
}

impl LogStatus {
    const fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Closed => 1,
            Self::Halted => 2,
            Self::Waiting => 3,
            Self::ClockDoubted => 4,
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
    /// The newest signed head.
    signed: watch::Sender<Arc<Published>>,
    /// What readers see, where that is not the newest signed head.
    shown: Option<watch::Sender<Arc<Published>>>,
    /// Whether there is a head that readers may see.
    readable: AtomicBool,
    witnessed: Option<Witnessed>,
    /// What only an audit log has.
    audited: Option<Arc<Audited>>,
}

impl Log {
    /// Makes the handle of a log whose newest signed head is `signed`.
    pub(super) fn new(
        row: LogRow,
        status: LogStatus,
        signed: Published,
        audited: Option<Arc<Audited>>,
    ) -> Self {
        Self {
            row,
            status: AtomicU8::new(status.code()),
            usage: Arc::new(Usage::default()),
            signed: watch::Sender::new(Arc::new(signed)),
            shown: None,
            readable: AtomicBool::new(true),
            witnessed: None,
            audited,
        }
    }

    /// Makes the handle of a log that waits for its witnesses.
    ///
    /// `signed` is the newest signed head that is known, `cosigned` the newest with a quorum, where
    /// readers may see them.
    pub(super) fn waiting(
        row: LogRow,
        witnessed: Witnessed,
        signed: Readable,
        cosigned: Option<Arc<Published>>,
        audited: Option<Arc<Audited>>,
    ) -> Self {
        let (signed, is_signed_readable) = match signed {
            Readable::Yes(head) => (head, true),
            Readable::No(head) => (head, false),
        };
        let (shown, readable) = match witnessed.publish() {
            Publish::Signed => (None, is_signed_readable),
            Publish::Cosigned => {
                let readable = cosigned.is_some();
                let shown = cosigned.unwrap_or_else(|| Arc::clone(&signed));
                (Some(watch::Sender::new(shown)), readable)
            }
        };
        Self {
            row,
            status: AtomicU8::new(LogStatus::Waiting.code()),
            usage: Arc::new(Usage::default()),
            signed: watch::Sender::new(signed),
            shown,
            readable: AtomicBool::new(readable),
            witnessed: Some(witnessed),
            audited,
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
            3 => LogStatus::Waiting,
            4 => LogStatus::ClockDoubted,
            _ => LogStatus::Halted,
        }
    }

    /// Returns what only an audit log has.
    pub(super) fn audited(&self) -> Option<&Arc<Audited>> {
        self.audited.as_ref()
    }

    /// Checks that entries are taken.
    pub(super) fn check_takes(&self) -> Result<(), Refusal> {
        match self.status() {
            LogStatus::Open => Ok(()),
            LogStatus::Closed => Err(Refusal::Closed),
            LogStatus::Halted => Err(Refusal::Halted),
            LogStatus::Waiting => Err(Refusal::Waiting),
            LogStatus::ClockDoubted => Err(Refusal::ClockDoubted),
        }
    }

    /// Stops taking entries until an operator acts.
    pub(super) fn halt(&self) {
        self.status.store(LogStatus::Halted.code(), Ordering::Release);
    }

    /// Changes between taking entries and waiting for witnesses; a log that is halted stays so.
    pub(super) fn set_status(&self, status: LogStatus) {
        let change = |was| (was != LogStatus::Halted.code()).then_some(status.code());
        let _halted = self.status.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// Returns the newest head that readers may see.
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.shown.as_ref().unwrap_or(&self.signed).borrow())
    }

    /// Returns a receiver that sees each newest head; a slow one skips.
    pub fn watch(&self) -> watch::Receiver<Arc<Published>> {
        self.shown.as_ref().unwrap_or(&self.signed).subscribe()
    }

    /// Returns the newest signed head, which readers may not see yet: see [`Log::published`].
    pub fn signed(&self) -> Arc<Published> {
        Arc::clone(&self.signed.borrow())
    }

    /// Returns a receiver that sees each newest signed head; a slow one skips.
    pub fn watch_signed(&self) -> watch::Receiver<Arc<Published>> {
        self.signed.subscribe()
    }

    /// Returns whether there is a head that readers may see.
    pub fn is_readable(&self) -> bool {
        self.readable.load(Ordering::Acquire)
    }

    /// Returns the witnesses of the log, if it has any.
    pub fn witnessed(&self) -> Option<&Witnessed> {
        self.witnessed.as_ref()
    }

    /// Takes the newest signed head as a candidate. Returns whether it is a new one.
    pub fn offer(&self, now: UnixMillis) -> bool {
        let Some(witnessed) = &self.witnessed else { return false };
        let offered = witnessed.offer(self.signed(), now);
        self.show_cosigned(witnessed);
        offered
    }

    /// Takes what witnesses have signed of a candidate.
    pub fn take_cosignatures(
        &self,
        head: TreeHead,
        lines: &[NoteSignature],
        now: UnixMillis,
    ) -> Result<Taken, NoCandidate> {
        let witnessed = self.witnessed.as_ref().ok_or(NoCandidate)?;
        let taken = witnessed.take(&self.row.origin, head, lines, now)?;
        self.show_cosigned(witnessed);
        Ok(taken)
    }

    /// Shows readers the newest cosigned head, where they see no others.
    fn show_cosigned(&self, witnessed: &Witnessed) {
        let Some(shown) = &self.shown else { return };
        let Some(cosigned) = witnessed.candidates().cosigned().cloned() else { return };
        shown.send_if_modified(|shown| {
            let is_newer = !self.is_readable() || cosigned.head().size >= shown.head().size;
            let changed = is_newer && !Arc::ptr_eq(shown, &cosigned);
            if changed {
                *shown = cosigned;
            }
            changed
        });
        self.readable.store(true, Ordering::Release);
    }

    /// Makes a head visible, or ready for the witnesses. The only callers are the committer, in the
    /// order of the commits, and before it the guard.
    pub(super) fn publish(&self, published: Arc<Published>) {
        self.signed.send_replace(published);
        if self.shown.is_none() {
            self.readable.store(true, Ordering::Release);
        }
    }
}
