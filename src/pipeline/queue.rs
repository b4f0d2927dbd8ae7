//! What waits in the sequencer, and how a batch is cut from it.
//!
//! # Invariants
//!
//! - A log is in `ring` exactly if its queue is not empty, and then once.
//! - `entries` is the sum over all queues.

use std::collections::{BTreeMap, VecDeque};

use super::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, BATCH_LOGS_MAX, admit::Admitted};
use crate::core::number::LogNumber;

/// The waiting groups of all logs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    groups: BTreeMap<LogNumber, VecDeque<Admitted>>,
    ring: VecDeque<LogNumber>,
    entries: u64,
}

impl Queue {
    /// Adds a group at the end of its log's queue.
    pub(super) fn push(&mut self, group: Admitted) {
        let log = group.log.number();
        self.entries += group.permit.room().entries;
        let waiting = self.groups.entry(log).or_default();
        if waiting.is_empty() {
            self.ring.push_back(log);
        }
        waiting.push_back(group);
    }

    /// Returns the number of entries that wait.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Takes whatever fits into one commit: one group of each log in turn, over and over, so that a
    /// log with many waiting groups delays another by no more than one group a turn.
    ///
    /// Groups are never split. The first group always fits, because admission bounds it by the
    /// same limits.
    pub(super) fn cut(&mut self) -> Vec<(LogNumber, Vec<Admitted>)> {
        let mut batch: BTreeMap<LogNumber, Vec<Admitted>> = BTreeMap::new();
        let (mut entries, mut bytes) = (0, 0);
        // Logs that are left out of this commit, in their order.
        let mut left = VecDeque::new();
        while let Some(log) = self.ring.pop_front() {
            if batch.len() == BATCH_LOGS_MAX && !batch.contains_key(&log) {
                left.push_back(log);
                continue;
            }
            let waiting = self.groups.get_mut(&log).expect("a log in the ring has a queue");
            let room =
                waiting.front().expect("a log in the ring has a waiting group").permit.room();
            let fits = entries + room.entries <= BATCH_ENTRIES_MAX as u64
                && bytes + room.bytes <= BATCH_BYTES_MAX as u64;
            if !fits && entries > 0 {
                left.push_back(log);
                break;
            }
            let group = waiting.pop_front().expect("the group that was looked at");
            entries += room.entries;
            bytes += room.bytes;
            batch.entry(log).or_default().push(group);
            if waiting.is_empty() {
                self.groups.remove(&log);
            } else {
                self.ring.push_back(log);
            }
        }
        // Those that were left out go first next time.
        while let Some(log) = left.pop_back() {
            self.ring.push_front(log);
        }
        self.entries -= entries;
        batch.into_iter().collect()
    }

    /// Drops everything that waits; each ticket answers its submitter with an error.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
