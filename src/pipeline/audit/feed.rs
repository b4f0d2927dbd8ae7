//! The indices of a log's newest alerts, so that whoever brings them to people need not search for them.
//!
//! # Invariants
//!
//! - The indices rise.
//! - Every alert that the sequencer has said at or above `complete` is among them. One may be among them that
//!   never became an entry, because its batch failed: whoever reads the entry finds out.
//!
//! # Out of scope
//!
//! - Alerts below `complete`: they are found in the entries, see [`super::finding`].

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::core::number::{LeafIndex, TreeSize};

/// Most indices that are kept: 32 KiB a log. A reader that falls further behind than this many alerts is
/// waiting for its receiver, and has time to search.
const INDICES_MAX: usize = 4_096;

/// The newest alerts of a log. Written by the sequencer alone, read by anybody.
#[derive(Debug)]
pub(super) struct Feed(Mutex<Ring>);

/// What a feed holds.
#[derive(Debug)]
struct Ring {
    complete: u64,
    indices: VecDeque<u64>,
}

impl Feed {
    /// Begins at a tree's size: what is below was said before.
    pub(super) fn new(size: TreeSize) -> Self {
        Self(Mutex::new(Ring { complete: size.get(), indices: VecDeque::new() }))
    }

    /// Nothing that is held here can be left half done by a panic.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an alert that becomes the entry of an index, before it is committed.
    pub(super) fn tell(&self, index: LeafIndex) {
        let ring = &mut *self.ring();
        // A batch that failed leaves its indices to the next one.
        while ring.indices.back().is_some_and(|last| *last >= index.get()) {
            ring.indices.pop_back();
        }
        if ring.indices.len() == INDICES_MAX
            && let Some(oldest) = ring.indices.pop_front()
        {
            ring.complete = ring.complete.max(oldest + 1);
        }
        ring.indices.push_back(index.get());
    }

    /// Returns the alerts in `[from, size)`, the first `max` of them; nothing if it is not known whether they
    /// are all. `size` has to be published before this is called.
    pub(super) fn newest(
        &self,
        from: LeafIndex,
        size: TreeSize,
        max: usize,
    ) -> Option<Vec<LeafIndex>> {
        let ring = self.ring();
        if from.get() < ring.complete {
            return None;
        }
        let begin = ring.indices.partition_point(|index| *index < from.get());
        let within = ring.indices.iter().skip(begin).take_while(|index| **index < size.get());
        Some(within.take(max).filter_map(|index| LeafIndex::new(*index)).collect())
    }

    /// Counts the alerts that are known in `[from, size)`.
    pub(super) fn count(&self, from: LeafIndex, size: TreeSize) -> u64 {
        let ring = self.ring();
        let below = |end: u64| ring.indices.partition_point(|index| *index < end);
        below(size.get()).saturating_sub(below(from.get())) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(index: u64) -> LeafIndex {
        LeafIndex::new(index).unwrap()
    }

    fn size(size: u64) -> TreeSize {
        TreeSize::new(size).unwrap()
    }

    fn newest(feed: &Feed, from: u64, to: u64) -> Option<Vec<u64>> {
        let indices = feed.newest(index(from), size(to), 3)?;
        Some(indices.into_iter().map(LeafIndex::get).collect())
    }

    #[test]
    fn what_was_said_since_the_start_is_complete_and_what_was_before_is_not_known() {
        let feed = Feed::new(size(10));
        assert_eq!(newest(&feed, 9, 12), None);
        assert_eq!(newest(&feed, 10, 12), Some(vec![]));
        [11, 12, 15, 16].into_iter().for_each(|at| feed.tell(index(at)));
        assert_eq!(newest(&feed, 10, 12), Some(vec![11]), "the rest is not published");
        assert_eq!(newest(&feed, 10, 99), Some(vec![11, 12, 15]), "three at most");
        assert_eq!(newest(&feed, 13, 99), Some(vec![15, 16]));
        assert_eq!(newest(&feed, 17, 99), Some(vec![]));
        assert_eq!(feed.count(index(12), size(16)), 2);
        assert_eq!(feed.count(index(16), size(12)), 0);
    }

    #[test]
    fn an_index_that_is_given_again_replaces_what_never_became_an_entry() {
        let feed = Feed::new(size(0));
        [3, 5, 7, 5, 6].into_iter().for_each(|at| feed.tell(index(at)));
        assert_eq!(newest(&feed, 0, 99), Some(vec![3, 5, 6]));
    }

    #[test]
    fn the_oldest_are_forgotten_and_that_is_known() {
        let feed = Feed::new(size(0));
        let told = INDICES_MAX as u64 + 5;
        (0..told).for_each(|number| feed.tell(index(2 * number)));
        assert_eq!(newest(&feed, 8, 99), None);
        assert_eq!(newest(&feed, 9, 16), Some(vec![10, 12, 14]));
        assert_eq!(feed.count(index(0), size(2 * told)), INDICES_MAX as u64);
    }
}
