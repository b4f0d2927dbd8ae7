//! The events of the last so many seconds, as far as a threshold has to remember them.
//!
//! # Invariants
//!
//! - A threshold of at most [`EXACT_MAX`] events remembers the time of each, so that it is reached exactly when
//!   so many lie within its seconds.
//! - A larger one remembers how many came in each [`PIECES`]th of its seconds. It misses nothing, and may count
//!   together what lies further apart by at most one such piece.
//! - A window has at most [`MARKS_MAX`] marks, whatever comes.

use std::collections::VecDeque;

use super::watching::Count;
use crate::core::record::Timestamp;

/// Most events of a threshold whose times are remembered one by one: 16 bytes of a row each, so that the row
/// that is written with the last of them has a kibibyte.
const EXACT_MAX: u64 = 64;

/// How many pieces the seconds of a larger threshold have: as many marks as the largest exact one has.
const PIECES: u64 = 64;

/// Most marks: the pieces, and of two more that the window begins and ends in a part each.
const MARKS_MAX: usize = 66;

/// How many events, within how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    wanted: u64,
    micros: u64,
    /// How long events have one mark together.
    piece: u64,
}

/// When events came: marks that rise, each with the number of events from then on to the end of its piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    marks: VecDeque<(u64, u64)>,
}

impl Span {
    /// Takes what a threshold states.
    pub(super) const fn new(wanted: u64, seconds: u64) -> Self {
        let micros = seconds.saturating_mul(1_000_000);
        let piece = if wanted <= EXACT_MAX || micros < PIECES { 1 } else { micros / PIECES };
        Self { wanted, micros, piece }
    }

    /// Returns the mark of a time.
    const fn mark(self, at: Timestamp) -> u64 {
        at.micros() - at.micros() % self.piece
    }

    /// Returns the last time that has a mark.
    const fn end(self, mark: u64) -> u64 {
        mark.saturating_add(self.piece - 1)
    }
}

impl Window {
    /// Adds an event.
    pub(super) fn add(&mut self, span: Span, at: Timestamp) {
        self.forget(span, at);
        self.put(span.mark(at), 1);
    }

    /// Takes in what was counted apart.
    pub(super) fn join(&mut self, span: Span, other: &Self, now: Timestamp) {
        for (mark, events) in &other.marks {
            self.put(*mark, *events);
        }
        self.forget(span, now);
    }

    /// Adds events at a mark, which is seldom before the last one.
    fn put(&mut self, mark: u64, events: u64) {
        match self.marks.binary_search_by_key(&mark, |(mark, _)| *mark) {
            Ok(position) => {
                if let Some((_, there)) = self.marks.get_mut(position) {
                    *there += events;
                }
            }
            Err(position) => self.marks.insert(position, (mark, events)),
        }
    }

    /// Forgets what no event that comes can be counted with.
    fn forget(&mut self, span: Span, now: Timestamp) {
        let is_over =
            |(mark, _): &(u64, u64)| span.end(*mark).saturating_add(span.micros) < now.micros();
        while self.marks.front().is_some_and(is_over) {
            self.marks.pop_front();
        }
    }

    /// Returns what was counted, and begins anew, if it is enough.
    pub(super) fn reach(&mut self, span: Span, now: Timestamp) -> Option<Count> {
        let events = self.marks.iter().map(|(_, events)| events).sum();
        if events < span.wanted {
            return None;
        }
        let marks = core::mem::take(&mut self.marks);
        let time = |micros: u64| Timestamp::from_micros(micros).unwrap_or(now).min(now);
        let from = marks.front().map_or(now, |(mark, _)| time(*mark));
        let to = marks.back().map_or(now, |(mark, _)| time(span.end(*mark)));
        Some(Count { events, from, to })
    }

    /// Returns the last mark.
    pub(super) fn last(&self) -> Option<u64> {
        self.marks.back().map(|(mark, _)| *mark)
    }

    /// Encodes the window: u64 mark and u64 number of events, in their order.
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = self.marks.iter().flat_map(|(mark, events)| [*mark, *events]);
        numbers.flat_map(u64::to_be_bytes).collect()
    }

    /// Takes what was encoded.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (pairs, []) = bytes.as_chunks::<16>() else { return None };
        let number = |half: &[u8]| half.try_into().ok().map(u64::from_be_bytes);
        let pair = |pair: &[u8; 16]| {
            let (mark, events) = pair.split_at(8);
            Some((number(mark)?, number(events).filter(|events| *events > 0)?))
        };
        let marks: VecDeque<(u64, u64)> = pairs.iter().map(pair).collect::<Option<_>>()?;
        let rises = marks.iter().zip(marks.iter().skip(1)).all(|(one, next)| one.0 < next.0);
        let is_time = marks.back().is_none_or(|(mark, _)| Timestamp::from_micros(*mark).is_some());
        (rises && is_time && marks.len() <= MARKS_MAX).then_some(Self { marks })
    }
}
