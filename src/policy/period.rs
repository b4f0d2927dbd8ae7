//! Lengths of time and days, as people write them.
//!
//! ```text
//! 90d  12h  60s  90_days  6_years  P90D  PT15M  P1Y6M      2027-06-01
//! ```

use super::document::{Date, Period};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Most seconds: a thousand years.
const SECONDS_MAX: u64 = 1_000 * 365 * DAY;

impl Period {
    /// Parses a length of time that is longer than none.
    pub fn parse(text: &str) -> Option<Self> {
        let seconds = match text.strip_prefix('P') {
            Some(rest) => parse_iso(rest),
            None => parse_plain(text),
        }?;
        (1..=SECONDS_MAX).contains(&seconds).then_some(Self { seconds })
    }
}

impl Date {
    /// Parses a day, `2027-06-01`.
    pub fn parse(text: &str) -> Option<Self> {
        // The calendar is that of times.
        crate::core::record::Timestamp::parse_occurred(&format!("{text}T00:00:00Z"))?;
        let mut parts = text.split('-');
        let year = parts.next()?.parse().ok()?;
        let month = parts.next()?.parse().ok()?;
        Some(Self { year, month, day: parts.next()?.parse().ok()? })
    }
}

/// Parses a number and a unit, with a sign between them or not.
fn parse_plain(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim_start_matches(['_', ' ', '-']) {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => DAY,
        "w" | "week" | "weeks" => 7 * DAY,
        "month" | "months" => 30 * DAY,
        "y" | "year" | "years" => 365 * DAY,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Parses what follows the `P` of ISO 8601: units from the largest to the smallest, each at most once.
fn parse_iso(text: &str) -> Option<u64> {
    const DATE: [(char, u64); 4] = [('Y', 365 * DAY), ('M', 30 * DAY), ('W', 7 * DAY), ('D', DAY)];
    const TIME: [(char, u64); 3] = [('H', 3_600), ('M', 60), ('S', 1)];
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    if date.is_empty() && time.is_none_or(str::is_empty) || time == Some("") {
        return None;
    }
    let sum = |text: &str, units: &[(char, u64)]| {
        let (mut rest, mut sum, mut next) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at_checked(digits)?;
            let letter = after.chars().next()?;
            let at = next + units.iter().skip(next).position(|(unit, _)| *unit == letter)?;
            let (_, unit) = units.get(at)?;
            sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit)?)?;
            next = at + 1;
            rest = after.strip_prefix(letter)?;
        }
        Some(sum)
    };
    sum(date, &DATE)?.checked_add(sum(time.unwrap_or_default(), &TIME)?)
}
