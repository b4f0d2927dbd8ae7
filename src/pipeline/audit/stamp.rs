//! The time of records: it rises strictly, and it is the clock's as far as the clock can be trusted.

use core::time::Duration;

use super::judge::time_of;
use crate::core::{number::UnixMillis, record::Timestamp};

/// How far `at` may run ahead of the clock, in microseconds.
///
/// A million records in a millisecond of a clock that stands; more means that the clock went back.
const AHEAD_MICROS_MAX: u64 = 1_000_000;

/// How far the wall clock may move against the monotonic one, in milliseconds, since the start or the
/// last confirmation. Clocks that are kept by the network are stepped by less.
const JUMP_MILLIS_MAX: u64 = 60_000;

/// The clock can't be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Records would have times too far ahead of it.
    Behind,
    /// It was set.
    Jumped,
}

/// Gives records their times.
///
/// # Invariants
///
/// - Every time that is given is later than the one before it.
#[derive(Clone, Debug)]
pub(super) struct Stamper {
    /// The last time that was given; of none, the beginning of 1970.
    last: Timestamp,
    now: Timestamp,
    /// Both clocks at the start, or when an operator confirmed.
    base: (UnixMillis, Duration),
    /// The time of the last record when an operator confirmed: up to a second behind it, times may be ahead.
    confirmed: Timestamp,
}

impl Stamper {
    /// Begins after the last record of a log.
    pub(super) fn new(last: Timestamp) -> Self {
        let base = (UnixMillis(0), Duration::ZERO);
        Self { last, now: last, base, confirmed: Timestamp::default() }
    }

    /// Takes the clocks as they are: at the start, where opening has compared them with the last record.
    pub(super) fn start(&mut self, wall: UnixMillis, monotonic: Duration) {
        self.base = (wall, monotonic);
    }

    /// Takes the clocks as right, because an operator says so.
    pub(super) fn confirm(&mut self, wall: UnixMillis, monotonic: Duration) {
        self.start(wall, monotonic);
        self.confirmed = self.last;
    }

    /// Looks at the clocks before at most so many records get their times.
    pub(super) fn begin(
        &mut self,
        wall: UnixMillis,
        monotonic: Duration,
        records: u64,
    ) -> Result<(), Doubt> {
        let (base, started) = self.base;
        let passed = monotonic.saturating_sub(started).as_millis();
        let expected = u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(base.0);
        if expected.abs_diff(wall.0) > JUMP_MILLIS_MAX {
            return Err(Doubt::Jumped);
        }
        let now = time_of(wall);
        let limit = now.max(self.confirmed).micros() + AHEAD_MICROS_MAX;
        if self.last.micros().max(now.micros()).saturating_add(records) > limit {
            return Err(Doubt::Behind);
        }
        self.now = now;
        Ok(())
    }

    /// Returns the time of what is not a record: the clock's, and no earlier than the last record's.
    pub(super) fn present(&self) -> Timestamp {
        self.now.max(self.last)
    }

    /// Returns the time that a record gets before which so many others get theirs.
    pub(super) fn after(&self, records: u64) -> Timestamp {
        let next = self.now.micros().max(self.last.micros().saturating_add(1));
        Timestamp::from_micros(next.saturating_add(records)).unwrap_or(self.last)
    }

    /// Gives the next record its time.
    pub(super) fn next(&mut self) -> Timestamp {
        self.last = self.after(0);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: UnixMillis = UnixMillis(1_780_000_000_000);

    fn started() -> Stamper {
        let mut stamper = Stamper::new(Timestamp::default());
        stamper.start(WALL, Duration::ZERO);
        stamper
    }

    #[test]
    fn times_rise_while_the_clock_stands_or_goes_back_a_little() {
        let mut stamper = started();
        stamper.begin(WALL, Duration::ZERO, 3).unwrap();
        let first = stamper.next();
        assert_eq!(first, time_of(WALL));
        assert_eq!(stamper.after(1).micros(), first.micros() + 2);
        assert_eq!(stamper.next().micros(), first.micros() + 1);
        stamper.begin(UnixMillis(WALL.0 - 500), Duration::ZERO, 3).unwrap();
        assert_eq!(stamper.next().micros(), first.micros() + 2);
        stamper.begin(UnixMillis(WALL.0 + 7), Duration::ZERO, 3).unwrap();
        assert_eq!(stamper.next(), time_of(UnixMillis(WALL.0 + 7)));
    }

    #[test]
    fn more_than_a_second_ahead_is_doubted_until_confirmed() {
        let mut stamper = started();
        assert_eq!(stamper.begin(WALL, Duration::ZERO, 1_000_001), Err(Doubt::Behind));
        stamper.begin(WALL, Duration::ZERO, 1).unwrap();
        let first = stamper.next();
        let back = UnixMillis(WALL.0 - 2_000);
        assert_eq!(stamper.begin(back, Duration::ZERO, 1), Err(Doubt::Behind));
        stamper.confirm(back, Duration::ZERO);
        stamper.begin(back, Duration::ZERO, 1_000_000).unwrap();
        assert_eq!(stamper.next().micros(), first.micros() + 1);
        assert_eq!(stamper.begin(back, Duration::ZERO, 1_000_000), Err(Doubt::Behind));
    }

    #[test]
    fn a_jump_against_the_monotonic_clock_is_doubted_until_confirmed() {
        let mut stamper = started();
        let hour = Duration::from_hours(1);
        let later = UnixMillis(WALL.0 + 3_600_000);
        stamper.begin(later, hour, 1).unwrap();
        assert_eq!(stamper.begin(later, Duration::ZERO, 1), Err(Doubt::Jumped));
        assert_eq!(stamper.begin(WALL, hour, 1), Err(Doubt::Jumped));
        stamper.begin(UnixMillis(later.0 + 60_000), hour, 1).unwrap();
        assert_eq!(stamper.begin(UnixMillis(later.0 + 60_001), hour, 1), Err(Doubt::Jumped));
        stamper.confirm(UnixMillis(later.0 + 60_001), hour);
        stamper.begin(UnixMillis(later.0 + 60_001), hour, 1).unwrap();
    }
}
