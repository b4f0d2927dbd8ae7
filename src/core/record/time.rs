//! Times of records: when the log took one, and when a producer says that it occurred.

use core::fmt;

/// Microseconds of a day.
const DAY_MICROS: u64 = 86_400_000_000;

/// Days from 0000-03-01, with which an era of 400 years begins, to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// Days of an era of 400 years.
const ERA_DAYS: u64 = 146_097;

/// The last microsecond of the year 9999, beyond which a year has five digits.
const MICROS_MAX: u64 = 253_402_300_799_999_999;

/// Bytes of a time in a record.
pub const TIMESTAMP_BYTES: usize = 27;

/// Microseconds since 1970 in UTC, up to the year 9999. In records `2026-11-21T00:14:00.000001Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Takes microseconds since 1970, up to the year 9999.
    pub fn from_micros(micros: u64) -> Option<Self> {
        (micros <= MICROS_MAX).then_some(Self(micros))
    }

    /// Returns the microseconds since 1970.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Parses the 27 bytes of a record's time.
    pub fn parse(text: &str) -> Option<Self> {
        let is_form = text.len() == TIMESTAMP_BYTES && text.as_bytes().get(19) == Some(&b'.');
        if is_form && text.ends_with('Z') { Self::parse_occurred(text) } else { None }
    }

    /// Parses a producer's time: RFC 3339 with upper-case letters, up to nine decimals, and `Z` or an offset.
    ///
    /// Decimals beyond microseconds are cut off. Leap seconds are not taken: UTC has none coming, and no
    /// clock that smears them sends one.
    pub fn parse_occurred(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
        let days = parse_date(date)?;
        let seconds =
            parse_clock(time.get(..5)?)? * 60 + below(time.get(5..)?.strip_prefix(':')?, 60)?;
        let (micros, rest) = parse_fraction(rest)?;
        let micros = days * DAY_MICROS + seconds * 1_000_000 + micros;
        let shifted = match rest.split_at_checked(1)? {
            ("Z", "") => Some(micros),
            // A time east of Greenwich is ahead of UTC.
            ("+", offset) => micros.checked_sub(parse_clock(offset)? * 60_000_000),
            ("-", offset) => micros.checked_add(parse_clock(offset)? * 60_000_000),
            _ => None,
        };
        Self::from_micros(shifted?)
    }
}

/// Returns the days from 1970 to a date `YYYY-MM-DD` of the years 1970 to 9999.
fn parse_date(text: &str) -> Option<u64> {
    let year = below(text.get(..4)?, 10_000)?;
    let month = below(text.get(4..7)?.strip_prefix('-')?, 13)?;
    let day = below(text.get(7..10)?.strip_prefix('-')?, 32)?;
    if month == 0 || day == 0 {
        return None;
    }
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let days = days_of(year, month, day).checked_sub(EPOCH_DAYS)?;
    (day <= last).then_some(days)
}

/// Returns the days from 0000-03-01 to a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
///
/// Years that begin in March have the leap day at their end, and months before a day is then linear in the month.
fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    year / 400 * ERA_DAYS + year % 400 * 365 + year % 400 / 4 - year % 400 / 100
        + (153 * month + 2) / 5
        + day
        - 1
}

/// Returns year, month and day of a number of days since 1970: the inverse of [`days_of`].
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (later, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + year + later, month, day - first + 1)
}

/// Returns the minutes of `hh:mm`.
fn parse_clock(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    Some(below(hour, 24)? * 60 + below(minute, 60)?)
}

/// Takes one to nine decimals off the front, if there is a point; returns them in microseconds, and the rest.
fn parse_fraction(text: &str) -> Option<(u64, &str)> {
    let Some(text) = text.strip_prefix('.') else { return Some((0, text)) };
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    let digits = digits.bytes().chain(core::iter::repeat(b'0')).take(6);
    let micros = digits.fold(0, |micros, digit| micros * 10 + u64::from(digit - b'0'));
    Some((micros, rest))
}

/// Returns the number that two or four digits make, if it is below a bound.
fn below(text: &str, bound: u64) -> Option<u64> {
    if !matches!(text.len(), 2 | 4) {
        return None;
    }
    let number = text.bytes().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
    });
    number.filter(|number| *number < bound)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / DAY_MICROS);
        let (second, micros) = (self.0 % DAY_MICROS / 1_000_000, self.0 % 1_000_000);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}
