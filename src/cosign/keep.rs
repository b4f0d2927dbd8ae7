//! Writes down candidates and cosigned heads, away from the commits.
//!
//! One write at a time, synced, with everything that waits: a commit may have to wait for one such
//! sync. A candidate that a crash takes is missed by nobody: after it the one before is shown to the
//! witnesses, and what they have cosigned they know themselves. What is to stay for ever is written again
//! in the next minute at the latest, because only a finished write counts.

use core::time::Duration;

use tokio::sync::mpsc;

use crate::{
    core::number::{TreeSize, UnixMillis},
    pipeline::{Candidates, Log},
    store::{KeptNote, NotePlace, Store},
};

/// The least time between two cosigned heads that are kept for ever.
const KEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Most notes of one write. A note has 64 KiB at most, and mostly less than one.
const WRITE_NOTES_MAX: usize = 256;

/// Writes what comes, until nobody can send any more or a write fails.
pub(super) async fn run(store: Store, mut notes: mpsc::Receiver<KeptNote>) {
    let mut waiting = Vec::new();
    while notes.recv_many(&mut waiting, WRITE_NOTES_MAX).await > 0 {
        let (store, batch) = (store.clone(), core::mem::take(&mut waiting));
        let written = tokio::task::spawn_blocking(move || store.keep_notes(&batch)).await;
        let error = match written {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // The store is poisoned by it, and the next commit ends the process.
        tracing::error!(error, "signed checkpoints can't be written down");
        return;
    }
}

/// What was written down of one log.
#[derive(Debug)]
pub(super) struct Kept {
    candidate: TreeSize,
    cosigned: Option<TreeSize>,
    /// The newest one that is kept for ever, and when it was kept.
    for_ever: Option<(TreeSize, UnixMillis)>,
}

impl Kept {
    /// Takes up what is stored.
    pub(super) fn load(store: &Store, log: &Log) -> Self {
        let for_ever = store.newest_kept(log.number());
        let for_ever = for_ever.unwrap_or_else(|error| {
            // One more than needed may be kept.
            tracing::error!(origin = log.origin(), error = %error, "a kept checkpoint can't be read");
            None
        });
        Self { candidate: TreeSize::ZERO, cosigned: None, for_ever }
    }

    /// Hands over what is new of a log's candidates. What does not fit comes the next time.
    pub(super) fn hand_over(
        &mut self,
        log: &Log,
        candidates: &Candidates,
        now: UnixMillis,
        notes: &mpsc::Sender<KeptNote>,
    ) {
        let send = |place, note: &bytes::Bytes| {
            let kept = KeptNote { log: log.number(), place, at: now, note: note.clone() };
            notes.try_send(kept).is_ok()
        };
        if let Some(newest) = candidates.newest() {
            let size = newest.checkpoint().head().size;
            if size > self.candidate && send(NotePlace::Candidate, newest.checkpoint().note()) {
                self.candidate = size;
            }
        }
        let Some(cosigned) = candidates.cosigned() else { return };
        let (size, note) = (cosigned.head().size, cosigned.checkpoint.note());
        if self.cosigned != Some(size) && send(NotePlace::Cosigned, note) {
            self.cosigned = Some(size);
        }
        if self.is_due(size, now) && send(NotePlace::ForEver(size), note) {
            self.for_ever = Some((size, now));
        }
    }

    /// Returns whether a cosigned head of this size is to be kept for ever.
    fn is_due(&self, size: TreeSize, now: UnixMillis) -> bool {
        let interval = u64::try_from(KEEP_INTERVAL.as_millis()).expect("a minute");
        match self.for_ever {
            // A clock that went back must not end the keeping.
            Some((kept, at)) => size > kept && now.0.abs_diff(at.0) >= interval,
            None => size > TreeSize::ZERO,
        }
    }
}
