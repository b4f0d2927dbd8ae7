//! What witnesses saw of a log's growth, and when.
//!
//! A cosignature over size `s` at time `T` bounds the times of entries from both sides: those below `s` were
//! there at `T`, and those from `s` on were not in what the witness knew.

use std::collections::{BTreeMap, VecDeque};

use crate::core::record::Timestamp;

/// How far the clocks of a log and of a witness may be apart: 5 s.
///
/// A cosignature has whole seconds, cut off, and a witness that asks every second sees a tree a second after it
/// was signed; the rest is what clocks that are kept by NTP never need.
pub const SKEW_MICROS: u64 = 5_000_000;

/// Most sizes above the next index that are remembered: one checkpoint of the log, and one of each of its
/// witnesses, are shown at a time. Of more the smallest are kept, which bound most.
const SIZES_MAX: usize = 256;

/// What witnesses saw around an index that rises.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    next: u64,
    /// The last time at which a tree up to the next index was seen.
    unseen: Option<Timestamp>,
    /// For each larger size the first and the last time at which it was seen.
    seen: BTreeMap<u64, (Timestamp, Timestamp)>,
    /// The first time at which any of them was.
    first: Option<Timestamp>,
    /// What was taken last: a checkpoint is shown again until there is a newer one.
    heard: VecDeque<(u64, u64)>,
}

impl Sight {
    /// Begins at an index, with the last time at which a tree up to there was seen.
    pub(super) fn new(next: u64, unseen: Option<Timestamp>) -> Self {
        Self { next, unseen, ..Self::default() }
    }

    /// Returns the last time at which a tree up to the next index was seen.
    pub(super) const fn unseen(&self) -> Option<Timestamp> {
        self.unseen
    }

    /// Takes that a size was seen at a second; returns the time if that is news. Beyond the year 9999 it bounds
    /// nothing.
    pub(super) fn add(&mut self, size: u64, seconds: u64) -> Option<Timestamp> {
        let time = seconds.checked_mul(1_000_000).and_then(Timestamp::from_micros)?;
        if self.heard.contains(&(size, seconds)) {
            return None;
        }
        self.heard.push_back((size, seconds));
        if self.heard.len() > SIZES_MAX {
            self.heard.pop_front();
        }
        if size <= self.next {
            self.unseen = self.unseen.max(Some(time));
            return Some(time);
        }
        let times = self.seen.entry(size).or_insert((time, time));
        *times = (times.0.min(time), times.1.max(time));
        if self.seen.len() > SIZES_MAX {
            self.seen.pop_last();
        }
        self.first = self.seen.values().map(|times| times.0).min();
        Some(time)
    }

    /// Returns the last time at which the next entry was not seen, and the first at which it was.
    pub(super) const fn bounds(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.unseen, self.first)
    }

    /// Goes on to the next index.
    pub(super) fn pass(&mut self, next: u64) {
        self.next = next;
        let mut passed = false;
        while let Some(size) = self.seen.first_entry().filter(|size| *size.key() <= next) {
            self.unseen = self.unseen.max(Some(size.remove().1));
            passed = true;
        }
        if passed {
            self.first = self.seen.values().map(|times| times.0).min();
        }
    }
}
