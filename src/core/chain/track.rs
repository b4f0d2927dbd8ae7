//! The times of entries that were read, as far as a cosignature that comes later is held against them.
//!
//! # Invariants
//!
//! - The newest entry is remembered, and the last of each tree that was read to its end.
//! - Of the others one in each [`SPACING_MICROS`] is, until there are [`SAMPLES_MAX`]: then every second one of the
//!   older half goes, so that the spacing doubles with each half of the past.
//! - Each sample is an entry that was read. What is found by one is a fault of that entry, and whether entries
//!   between were left out decides only how finely faults are found.

use crate::core::record::Timestamp;

/// How far apart entries between two ends are remembered at least, at first: a quarter of a second, small against
/// the skew of five.
const SPACING_MICROS: u64 = 250_000;

/// Most entries that are remembered: a minute and more at the first spacing. Cosignatures come within seconds.
const SAMPLES_MAX: usize = 256;

/// Times of entries by rising index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    samples: Vec<(u64, Timestamp)>,
    /// The newest entry, unless it is the last sample.
    newest: Option<(u64, Timestamp)>,
    /// Whether the entry before the next was the last of a tree.
    ended: bool,
}

impl Track {
    /// Goes on from what was kept.
    pub(super) fn new(samples: Vec<(u64, Timestamp)>) -> Self {
        Self { samples, newest: None, ended: true }
    }

    /// Returns what is kept: the samples, and the newest entry.
    pub(super) fn samples(&self) -> Vec<(u64, Timestamp)> {
        self.samples.iter().copied().chain(self.newest).collect()
    }

    /// Takes the next entry.
    pub(super) fn take(&mut self, index: u64, at: Timestamp) {
        let due =
            |last: &(u64, Timestamp)| at.micros().saturating_sub(last.1.micros()) >= SPACING_MICROS;
        self.newest = Some((index, at));
        if core::mem::take(&mut self.ended) || self.samples.last().is_none_or(due) {
            self.keep();
        }
    }

    /// Takes the end of a tree.
    pub(super) fn end(&mut self) {
        self.keep();
        self.ended = true;
    }

    /// Keeps the newest entry.
    fn keep(&mut self) {
        self.samples.extend(self.newest.take());
        if self.samples.len() > SAMPLES_MAX {
            let mut position = 0;
            self.samples.retain(|_| {
                position += 1;
                position > SAMPLES_MAX / 2 || position % 2 == 1
            });
        }
    }

    /// Returns the last entry that is remembered of those below a size.
    pub(super) fn below(&self, size: u64) -> Option<(u64, Timestamp)> {
        let known = self.newest.into_iter().chain(self.samples.iter().rev().copied());
        known.into_iter().find(|(index, _)| *index < size)
    }

    /// Returns the first entry that is remembered of those that are not.
    pub(super) fn from(&self, size: u64) -> Option<(u64, Timestamp)> {
        self.samples.iter().copied().chain(self.newest).find(|(index, _)| *index >= size)
    }
}
