//! Logs with witnesses, from the start to their first signature, and what stops them later.
//!
//! Such a log is opened in two steps. [`Pipeline::open`] checks what it holds and shows readers the
//! last checkpoint that was stored with a signature; it takes no entries. Once the guard is passed,
//! [`Pipeline::begin_signing`] signs what was committed, and entries are taken.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use super::{
    OpenError, Pipeline,
    candidate::{Publish, Witnessed},
    guard::Guarded,
    log::{Log, LogStatus, Published, Readable},
    open::{Checked, Signed},
    sequence::{Event, Opened},
};
use crate::{
    core::{
        checkpoint::SignedCheckpoint,
        number::{LogNumber, TreeSize, UnixMillis},
        tree::Edge,
        trust::TrustPolicy,
    },
    store::{LogRow, LogState, Store, Watermark},
};

/// Which logs have witnesses, and what readers are shown of them.
#[derive(Clone, Debug)]
pub struct WitnessPlan {
    /// Names the witnesses and their quorum, and the logs that have them: all if it lists none.
    pub trust: Arc<TrustPolicy>,
    /// What readers are shown, where `publish_of` does not say otherwise.
    pub publish: Publish,
    /// What readers are shown of single logs, by origin.
    pub publish_of: BTreeMap<String, Publish>,
    /// Logs that may sign without their witnesses having been heard, by an operator's leave.
    pub overridden: Vec<String>,
}

impl WitnessPlan {
    /// Returns the witnesses of a log, if it has any.
    fn of(&self, row: &LogRow) -> Result<Option<Witnessed>, OpenError> {
        let origin = row.origin.as_str();
        let mut listed = self.trust.logs().iter().filter(|log| log.origin == row.origin).peekable();
        if !self.trust.logs().is_empty() {
            if listed.peek().is_none() {
                return Ok(None);
            }
            if !listed.any(|log| Some(&log.key) == row.vkeys.last()) {
                return Err(OpenError::KeyUntrusted { origin: origin.to_owned() });
            }
        }
        let publish = self.publish_of.get(origin).copied().unwrap_or(self.publish);
        let some = !self.trust.witnesses().is_empty();
        Ok(some.then(|| Witnessed::new(Arc::clone(&self.trust), publish)))
    }

    /// Returns the witnesses of a log, if there is a plan and it gives it any.
    pub(super) fn witnesses(
        plan: Option<&Self>,
        row: &LogRow,
    ) -> Result<Option<Witnessed>, OpenError> {
        plan.map_or(Ok(None), |plan| plan.of(row))
    }

    /// Checks that what an operator's leave names exists.
    pub(super) fn check_overridden(&self, rows: &[LogRow]) -> Result<(), OpenError> {
        let unknown = self
            .overridden
            .iter()
            .find(|origin| !rows.iter().any(|row| row.origin.as_str() == origin.as_str()));
        match unknown {
            Some(origin) => Err(OpenError::OverrideUnknown { origin: origin.clone() }),
            None => Ok(()),
        }
    }
}

/// A log that passed every check of its own and waits for its witnesses.
pub(super) struct Waiting {
    pub(super) log: Arc<Log>,
    checked: Checked,
}

impl Waiting {
    /// Makes the handle of a log that is not signed yet, from what was stored with a signature.
    pub(super) fn new(
        checked: Checked,
        witnessed: Witnessed,
        store: &Store,
        now: UnixMillis,
    ) -> Result<Self, OpenError> {
        let row = checked.row();
        let cosigned = stored(store, row, store.cosigned_note(row.number)?.as_deref())?;
        let candidate = stored(store, row, store.candidate_note(row.number)?.as_deref())?;
        for head in cosigned.iter().chain(&candidate) {
            witnessed.resume(head, now);
        }
        let signed = match candidate {
            Some(head) => Readable::Yes(head),
            None => {
                let (checkpoint, edge) = (checked.sign_empty(), Edge::empty());
                let head = Arc::new(Published { checkpoint, edge, at: row.created });
                let is_empty = checked.edge().size() == TreeSize::ZERO;
                if is_empty { Readable::Yes(head) } else { Readable::No(head) }
            }
        };
        // Under another policy than before, what was cosigned may have no quorum any more.
        let cosigned = witnessed.candidates().cosigned().cloned();
        let log =
            Arc::new(Log::waiting(row.clone(), witnessed, signed, cosigned, checked.audited()));
        Ok(Self { log, checked })
    }

    /// Decides what the log has to wait for: `Ok` if nothing.
    pub(super) fn permit(
        &self,
        plan: Option<&WitnessPlan>,
        store: &Store,
        now: UnixMillis,
    ) -> Result<Option<Guarded>, OpenError> {
        let (log, origin) = (self.log.number(), self.log.origin());
        let witnessed = self.log.witnessed().expect("a log that waits has witnesses");
        if !witnessed.trust().has_quorum() {
            return Ok(Some(Guarded::without_quorum(log)));
        }
        if plan.is_some_and(|plan| plan.overridden.iter().any(|named| named == origin)) {
            let size = self.checked.edge().size();
            let reason = format!(
                "an operator let the log sign from size {size} on without its witnesses having been heard"
            );
            tracing::error!(origin, tree_size = size.get(), "the rollback guard is overridden");
            return Ok(Some(Guarded::overridden(store, log, now, &reason)?));
        }
        Ok(None)
    }

    /// Signs the head.
    pub(super) fn sign(
        self,
        watermark: &Watermark,
        permit: &Guarded,
    ) -> Result<Unshown, OpenError> {
        let Self { log, checked } = self;
        let (published, rest) = checked.sign(watermark, permit)?;
        Ok(Unshown { log, published, rest })
    }
}

/// A log whose first signature nobody has seen yet.
pub(super) struct Unshown {
    log: Arc<Log>,
    published: Published,
    rest: Signed,
}

impl Unshown {
    /// Shows the head. The log takes no entries until [`settle`] says so.
    pub(super) fn show(self) -> Opened {
        let Self { log, published, rest } = self;
        log.publish(Arc::new(published));
        rest.open(log)
    }
}

/// Takes up a stored checkpoint, if the log's tree is the one that it is of.
fn stored(
    store: &Store,
    row: &LogRow,
    note: Option<&[u8]>,
) -> Result<Option<Arc<Published>>, OpenError> {
    let Some(note) = note else { return Ok(None) };
    let damaged = |error| OpenError::NoteStored { origin: row.origin.to_string(), error };
    let key = row.vkeys.last().expect("a log's row was checked to name its signing key");
    let checkpoint = SignedCheckpoint::verify(note, key).map_err(damaged)?;
    let edge = store.edge(row, checkpoint.head())?;
    Ok(Some(Arc::new(Published { checkpoint, edge, at: row.created })))
}

/// Lets an opened log take entries, unless it is closed. The sequencer must have been told of it.
pub(super) fn settle(log: &Log) {
    log.set_status(match log.row().state {
        LogState::Open => LogStatus::Open,
        LogState::Closed => LogStatus::Closed,
    });
}

impl Pipeline {
    /// Returns the right edge of what the log has committed, signed or not.
    pub fn edge(&self, log: &Log) -> Edge {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let edge = waiting.get(&log.number()).map(|waiting| waiting.checked.edge().clone());
        edge.unwrap_or_else(|| log.signed().edge.clone())
    }

    /// Returns whether a log still waits for its first signature since the start.
    pub fn is_guarding(&self, log: &Log) -> bool {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.contains_key(&log.number())
    }

    /// Signs what a log has committed, and lets it take entries. Blocks on the disk.
    ///
    /// An error is as fatal as a failed commit, and is logged here: nobody has seen a signature, and the
    /// process ends, because nobody knows what the watermark holds.
    pub fn begin_signing(&self, permit: &Guarded) -> Result<(), OpenError> {
        let shared = &*self.shared;
        let number = permit.log();
        let taken = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        let Some(waiting) = taken else { return Ok(()) };
        let log = Arc::clone(&waiting.log);
        let signed = waiting.sign(&shared.watermark, permit);
        let signed = signed.and_then(|signed| Ok(shared.watermark.sync().map(|()| signed)?));
        let signed = signed.inspect_err(|error| {
            tracing::error!(origin = log.origin(), error = %error, "the log can't sign");
            shared.fatal.send_replace(true);
        })?;
        // The order of this channel puts the log before any of its entries.
        let _stopping = shared.events.send(Event::Open(Box::new(signed.show())));
        settle(&log);
        Ok(())
    }

    /// Halts a log for good, because of what a witness has shown: nothing more of it is signed, now
    /// or after a start, until an operator acts.
    pub fn halt(&self, log: &Arc<Log>, reason: String) {
        log.halt();
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&log.number());
        // The committer writes the marker between two commits.
        let _stopping = self.shared.events.send(Event::Halt(Arc::clone(log), reason));
    }

    /// Takes no entries for a log until [`Pipeline::resume`]. What was admitted is still signed.
    pub fn pause(&self, log: &Log) {
        log.set_status(LogStatus::Waiting);
    }

    /// Takes entries again for a log that was paused.
    pub fn resume(&self, log: &Log) {
        if log.status() == LogStatus::Waiting && !self.is_guarding(log) {
            settle(log);
        }
    }
}

/// The logs that wait, by number.
pub(super) type WaitingLogs = BTreeMap<LogNumber, Waiting>;
