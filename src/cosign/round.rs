//! Which addresses are asked when: pure state, without a clock or a network.
//!
//! # Invariants
//!
//! - At most one request is under way to an address.
//! - After a failure an address is left alone for a while that doubles with each further one.

use core::time::Duration;

use crate::core::number::TreeSize;

/// How long an idle log's newest cosignatures may get before they are asked for again.
///
/// A verifier may ask how old a quorum is, and an old one looks like a log that hides its newest head.
/// Every five minutes is 288 signatures and synced writes a day for a witness, nothing beside the 86,400
/// of a busy log, and an alert at three times that leaves room for two refreshes that fail.
pub(super) const REFRESH_INTERVAL: Duration = Duration::from_mins(5);

/// How often each address is asked what it remembers, whatever it answers otherwise.
///
/// A witness that is asked for a cosignature shows a second history by its answer. This finds one at
/// witnesses of a log that stands still, and one that came there without an answer of its own. A small file
/// a minute is nothing beside a candidate a second.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_mins(1);

/// How long an address is left alone after a first failure, before jitter.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// How long it is left alone at most, before jitter: an outage that ends is noticed within a minute.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often a witness may name another size in a row before it counts as failed. One teaches the size;
/// a second may be a cosignature that crossed with the request.
const CONFLICTS_MAX: u8 = 3;

/// Jitter for pauses: draws a number below a bound.
pub(super) trait Draw {
    /// Returns a number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64;
}

/// What is known of one address for one log.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The size from which the next proof starts.
    known: TreeSize,
    /// The newest size that it has cosigned since the start, and when.
    cosigned: Option<(TreeSize, Duration)>,
    busy: bool,
    conflicts: u8,
    failures: u32,
    not_before: Duration,
    /// Whether it names a size that the log never signed.
    ahead: bool,
    /// When it is to be asked next what it remembers.
    look_at: Duration,
}

/// What is known of all addresses for one log.
#[derive(Clone, Debug)]
pub(super) struct Rounds(Vec<State>);

impl Rounds {
    /// Begins with addresses of which nothing is known. They are looked at for the first time within the
    /// interval, each log at another moment.
    pub(super) fn new(endpoints: usize, now: Duration, draw: &mut dyn Draw) -> Self {
        let millis = u64::try_from(LOOK_INTERVAL.as_millis()).expect("a minute");
        let look_at = now + Duration::from_millis(draw.below(millis));
        Self(vec![State { look_at, ..State::default() }; endpoints])
    }

    fn state(&mut self, endpoint: usize) -> &mut State {
        self.0.get_mut(endpoint).expect("one state for each endpoint")
    }

    /// Returns the addresses to ask now for a candidate of this size, and takes them for busy.
    ///
    /// Each comes with the size to prove from.
    pub(super) fn take_due(
        &mut self,
        candidate: TreeSize,
        now: Duration,
    ) -> Vec<(usize, TreeSize)> {
        let mut due = Vec::new();
        for (endpoint, state) in self.0.iter_mut().enumerate() {
            if state.due_at(candidate).is_some_and(|at| at <= now) {
                state.busy = true;
                due.push((endpoint, state.known));
            }
        }
        due
    }

    /// Returns the addresses to ask now what they remember.
    pub(super) fn take_looks(&mut self, now: Duration) -> Vec<usize> {
        let mut due = Vec::new();
        for (endpoint, state) in self.0.iter_mut().enumerate() {
            if state.look_at <= now {
                state.look_at = now + LOOK_INTERVAL;
                due.push(endpoint);
            }
        }
        due
    }

    /// Returns when the next address is due, or is to be looked at.
    pub(super) fn next_due(&self, candidate: TreeSize) -> Option<Duration> {
        let due = self.0.iter().filter_map(|state| state.due_at(candidate));
        due.chain(self.0.iter().map(|state| state.look_at)).min()
    }

    /// An address has cosigned a candidate.
    pub(super) fn cosigned(&mut self, endpoint: usize, size: TreeSize, now: Duration) {
        let state = self.state(endpoint);
        let (cosigned, look_at) = (Some((size, now)), state.look_at);
        *state = State { known: size, cosigned, look_at, ..State::default() };
    }

    /// An address says what it has cosigned last, which lies within what the log has signed.
    pub(super) fn conflict(
        &mut self,
        endpoint: usize,
        size: TreeSize,
        now: Duration,
        draw: &mut dyn Draw,
    ) {
        let state = self.state(endpoint);
        state.known = size;
        state.ahead = false;
        state.conflicts += 1;
        if state.conflicts > CONFLICTS_MAX {
            state.conflicts = 0;
            self.failed(endpoint, now, draw);
        } else {
            state.busy = false;
        }
    }

    /// An address gave no cosignature.
    pub(super) fn failed(&mut self, endpoint: usize, now: Duration, draw: &mut dyn Draw) {
        let state = self.state(endpoint);
        let pause = PAUSE_MIN.saturating_mul(1 << state.failures.min(16)).min(PAUSE_MAX);
        let millis = u64::try_from(pause.as_millis()).expect("half a minute");
        // From half to one and a half of it, so that many logs do not come back together.
        let pause = Duration::from_millis(millis / 2 + draw.below(millis + 1));
        state.not_before = now + pause;
        state.failures = state.failures.saturating_add(1);
        state.busy = false;
    }

    /// An address names a size that the log never signed.
    pub(super) fn ahead(&mut self, endpoint: usize, now: Duration, draw: &mut dyn Draw) {
        self.state(endpoint).ahead = true;
        self.failed(endpoint, now, draw);
    }

    /// Returns whether an address names a size that the log never signed.
    pub(super) fn is_ahead(&self, endpoint: usize) -> bool {
        self.0.get(endpoint).is_some_and(|state| state.ahead)
    }

    /// Returns whether any address names a size that the log never signed.
    pub(super) fn is_any_ahead(&self) -> bool {
        self.0.iter().any(|state| state.ahead)
    }
}

impl State {
    /// Returns when the address is to be asked for a candidate of this size.
    fn due_at(&self, candidate: TreeSize) -> Option<Duration> {
        if self.busy {
            return None;
        }
        let wanted = match self.cosigned {
            // What it has cosigned beyond the candidate is a later candidate.
            Some((size, at)) if size >= candidate => at + REFRESH_INTERVAL,
            _ => Duration::ZERO,
        };
        Some(wanted.max(self.not_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the middle.
    struct Middle;

    impl Draw for Middle {
        fn below(&mut self, bound: u64) -> u64 {
            bound / 2
        }
    }

    fn size(size: u64) -> TreeSize {
        TreeSize::new(size).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Nobody is looked at within these tests but where that is what they are about.
    fn rounds(endpoints: usize) -> Rounds {
        Rounds::new(endpoints, seconds(86_400), &mut Middle)
    }

    #[test]
    fn each_address_is_asked_once_a_candidate_and_then_to_refresh() {
        let mut rounds = rounds(2);
        let due = rounds.take_due(size(5), seconds(1));
        assert_eq!(due, [(0, size(0)), (1, size(0))]);
        assert_eq!(rounds.take_due(size(5), seconds(1)), [], "both are busy");
        rounds.cosigned(0, size(5), seconds(2));
        assert_eq!(rounds.take_due(size(5), seconds(3)), []);
        assert_eq!(rounds.take_due(size(9), seconds(3)), [(0, size(5))], "a new candidate");
        rounds.cosigned(0, size(9), seconds(4));
        assert_eq!(rounds.next_due(size(9)), Some(seconds(304)));
        assert_eq!(rounds.take_due(size(9), seconds(304)), [(0, size(9))]);
    }

    #[test]
    fn a_dead_address_is_left_alone_longer_each_time_but_never_for_more_than_a_minute() {
        let mut rounds = rounds(1);
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..40 {
            assert_eq!(rounds.take_due(size(1), now).len(), 1);
            rounds.failed(0, now, &mut Middle);
            let due = rounds.next_due(size(1)).unwrap();
            pauses.push(due.saturating_sub(now));
            now = due;
        }
        assert!(pauses.is_sorted() && pauses[0] < seconds(1), "{pauses:?}");
        assert!(pauses[39] >= seconds(30) && pauses[39] <= seconds(60), "{:?}", pauses[39]);
        rounds.cosigned(0, size(1), now);
        assert_eq!(rounds.take_due(size(2), now).len(), 1, "an answer ends the pauses");
    }

    #[test]
    fn conflicts_teach_the_size_and_end_in_a_pause() {
        let mut rounds = rounds(1);
        for known in [3, 4, 3] {
            rounds.take_due(size(5), seconds(1));
            rounds.conflict(0, size(known), seconds(1), &mut Middle);
            assert_eq!(rounds.next_due(size(5)), Some(Duration::ZERO));
        }
        assert_eq!(rounds.take_due(size(5), seconds(1)), [(0, size(3))]);
        rounds.conflict(0, size(4), seconds(1), &mut Middle);
        assert!(rounds.next_due(size(5)) > Some(seconds(1)), "four in a row are a loop");
    }

    #[test]
    fn each_address_is_looked_at_once_a_minute_whatever_it_answers() {
        let mut rounds = Rounds::new(2, seconds(10), &mut Middle);
        assert_eq!(rounds.take_looks(seconds(39)), [0; 0]);
        assert_eq!(rounds.take_looks(seconds(40)), [0, 1], "in the middle of the first minute");
        rounds.take_due(size(5), seconds(40));
        rounds.cosigned(0, size(5), seconds(41));
        rounds.failed(1, seconds(41), &mut Middle);
        assert_eq!(rounds.take_looks(seconds(99)), [0; 0]);
        assert_eq!(rounds.take_looks(seconds(100)), [0, 1]);
        rounds.take_due(size(5), seconds(100));
        assert_eq!(rounds.next_due(size(5)), Some(seconds(160)), "the log stands still");
    }

    #[test]
    fn a_size_that_was_never_signed_is_remembered_until_the_address_takes_it_back() {
        let mut rounds = rounds(2);
        rounds.take_due(size(5), seconds(1));
        rounds.ahead(1, seconds(1), &mut Middle);
        rounds.cosigned(0, size(5), seconds(1));
        assert!(rounds.is_any_ahead());
        rounds.conflict(1, size(4), seconds(9), &mut Middle);
        assert!(!rounds.is_any_ahead());
    }
}
