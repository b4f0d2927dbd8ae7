//! Items of a source, into its log: submitted, durable and counted before anyone is told.
//!
//! Nothing is refused for its content. What is refused may come again: the sender is told when, and what was
//! taken before is recognised by its key.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;

use super::{Became, Source};
use crate::{
    core::record::{UNPARSED, Verdict},
    pipeline::{
        BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Content, Log, Namespace, NewEntry, Outcome, Receipted,
        Recorded, Submission, Ticket,
    },
    service::{
        Desk,
        grpc::{Denial, Fields},
        http::wait_for_checkpoint,
    },
    source::Item,
};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is in the log.
    Recorded {
        /// Its index.
        index: u64,
        /// What the policy said.
        verdict: Verdict,
    },
    /// It was in the log before.
    Duplicate {
        /// Its index.
        index: u64,
    },
    /// It was counted, as the policy's rule wants.
    Suppressed,
}

impl Desk {
    /// Submits items, waits until they are durable and covered by a checkpoint, and counts them.
    ///
    /// How many they are is the decoder's to bound: what it keeps in pieces is one item of its sender's. All or a
    /// denial: it says when to come again where that helps, and what was taken before is then recognised
    /// by its key.
    pub async fn take(&self, source: &Source, items: Vec<Item>) -> Result<Vec<Placed>, Denial> {
        let (meter, count) = (source.meter(), items.len());
        meter.count(Became::Received, count);
        let newest = items.iter().filter_map(|item| item.occurred).max();
        // What doesn't say when it occurred has done so before it came.
        let newest = newest.map_or(self.now(), |time| Duration::from_micros(time.micros()));
        match self.take_all(source, items).await {
            Ok(placed) => {
                if count > 0 {
                    meter.lag(self.now().saturating_sub(newest));
                }
                Ok(placed)
            }
            Err(denial) => {
                meter.count(Became::Refused, count);
                meter.refuse(denial.reason());
                Err(self.metrics.denied(denial))
            }
        }
    }

    /// Returns the time, since 1970.
    fn now(&self) -> Duration {
        Duration::from_millis(self.pipeline.clock().now().0)
    }

    /// See [`Desk::take`].
    async fn take_all(&self, source: &Source, items: Vec<Item>) -> Result<Vec<Placed>, Denial> {
        let count = items.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        source.pace(count, &**self.pipeline.clock()).map_err(Denial::pace)?;
        let log = self.log(source.log()).map_err(Denial::postponed)?;
        let mut placed = Vec::with_capacity(count);
        let mut under_way: Vec<Ticket> = Vec::new();
        let mut last = None;
        for entries in cut(items) {
            let ticket = match self.submit_items(&log, source, entries.clone()) {
                // The pool may be full of what this very request has brought.
                Err(denial) if denial.is_full() && !under_way.is_empty() => {
                    last = self.settle(source, &mut under_way, &mut placed).await?.or(last);
                    self.submit_items(&log, source, entries)?
                }
                ticket => ticket?,
            };
            under_way.push(ticket);
        }
        last = self.settle(source, &mut under_way, &mut placed).await?.or(last);
        if let Some(receipted) = last {
            wait_for_checkpoint(self, &log, &receipted).await;
        }
        Ok(placed)
    }

    /// Submits what fits one commit.
    fn submit_items(
        &self,
        log: &Arc<Log>,
        source: &Source,
        entries: Vec<NewEntry>,
    ) -> Result<Ticket, Denial> {
        let submission = Submission {
            source: Some(source.name().to_owned()),
            kept: true,
            namespace: Namespace::Source,
            ..Submission::new(entries, Bytes::new(), Content::Event)
        };
        self.submit(log, submission, Fields::Events).map_err(Denial::postponed)
    }

    /// Waits for what was submitted, in order; returns the last answer.
    async fn settle(
        &self,
        source: &Source,
        under_way: &mut Vec<Ticket>,
        placed: &mut Vec<Placed>,
    ) -> Result<Option<Receipted>, Denial> {
        let mut last = None;
        for ticket in under_way.drain(..) {
            let receipted =
                ticket.await.map_err(|failure| Denial::failed(&failure, Fields::Events));
            let receipted = receipted?;
            placed.extend(place(source, &receipted));
            last = Some(receipted);
        }
        Ok(last)
    }
}

/// Cuts items into submissions, each of which fits one commit.
fn cut(items: Vec<Item>) -> Vec<Vec<NewEntry>> {
    let mut submissions = Vec::new();
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for Item { bytes: item, key, is_event, .. } in items {
        if entries.len() == BATCH_ENTRIES_MAX || bytes + item.len() > BATCH_BYTES_MAX {
            submissions.push(core::mem::take(&mut entries));
            bytes = 0;
        }
        bytes += item.len();
        let key = key.filter(|key| !key.is_empty()).map(Bytes::from);
        let class = (!is_event).then_some(UNPARSED);
        entries.push(NewEntry { class, ..NewEntry::new(item, key) });
    }
    submissions.push(entries);
    submissions
}

/// Says what became of each item of a submission, and counts it.
fn place(source: &Source, receipted: &Receipted) -> Vec<Placed> {
    let recorded = receipted.records.iter().map(Option::as_ref);
    let outcomes = receipted.outcomes.iter().zip(recorded);
    let placed = outcomes.map(|(outcome, recorded)| match (outcome, recorded) {
        (Outcome::Sequenced { index }, Some(Recorded { verdict, conflicts_with, .. })) => {
            let shows = verdict.shows_content();
            source.meter().count(if shows { Became::Admitted } else { Became::Quarantined }, 1);
            if conflicts_with.is_some() {
                source.meter().count(Became::Conflict, 1);
            }
            Placed::Recorded { index: index.get(), verdict: *verdict }
        }
        (Outcome::Duplicate { index }, _) => {
            source.meter().count(Became::Duplicate, 1);
            Placed::Duplicate { index: index.get() }
        }
        (Outcome::Suppressed, _) => {
            source.meter().count(Became::Suppressed, 1);
            Placed::Suppressed
        }
        (Outcome::Sequenced { .. }, None) | (Outcome::Conflict { .. }, _) => {
            unreachable!("what is kept is recorded")
        }
    });
    placed.collect()
}
