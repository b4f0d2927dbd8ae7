//! Numbers that every reader understands alike, and their one text.
//!
//! A JSON number is a decimal text; most readers make a double of it, and some an integer. They agree if
//! the double denotes the same decimal number as the text, written shortest, and if no integer is beyond
//! 2^53-1. Only such numbers are taken, so that no digit of an event is changed by being recorded.

use core::fmt::Write as _;

use super::JsonFault;

/// The largest number, 2^53-1; the smallest is its negative (RFC 7493, section 2.2).
pub const NUMBER_MAX: i64 = (1 << 53) - 1;

/// Any text of so many digits and no exponent is a double's: doubles keep 15 decimal digits
/// (`f64::DIGITS`), and so short a fraction is far from the subnormal numbers, which keep less.
const SURE_DIGITS: usize = 15;

/// Decimals of a mantissa that write every double exactly: none has more than 767 digits.
const EXACT_DECIMALS: usize = 766;

/// A number from -(2^53-1) to 2^53-1 that a double holds. Never minus zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(f64);

impl Number {
    /// Takes a double that is not beyond [`NUMBER_MAX`]. Minus zero becomes zero.
    pub fn new(number: f64) -> Option<Self> {
        // A sum with zero is what it was, save that minus zero loses its sign.
        (number.abs() <= NUMBER_MAX as f64).then_some(Self(number + 0.0))
    }

    /// Takes an integer that is not beyond [`NUMBER_MAX`].
    pub fn from_integer(integer: i64) -> Option<Self> {
        (-NUMBER_MAX..=NUMBER_MAX).contains(&integer).then_some(Self(integer as f64))
    }

    /// Returns the double.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Returns the number if it is an integer.
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53 fits in 64 bits")]
    pub fn integer(self) -> Option<i64> {
        (self.0.fract() == 0.0).then_some(self.0 as i64)
    }

    /// Takes the text of a number, whose form has been checked.
    pub(super) fn read(text: &str) -> Result<Self, JsonFault> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.len() <= SURE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let whole = digits.bytes().fold(0, |whole, digit| whole * 10 + i64::from(digit - b'0'));
            let whole = if digits.len() < text.len() { -whole } else { whole };
            return Self::from_integer(whole).ok_or(JsonFault::Unsafe);
        }
        let number: f64 = text.parse().map_err(|_form| JsonFault::Number)?;
        let number = Self::new(number).ok_or(JsonFault::Unsafe)?;
        let sure = digits.len() <= SURE_DIGITS && !digits.contains(['e', 'E']);
        if sure || Decimal::of(digits) == Decimal::of(&shortest(number.0.abs())) {
            Ok(number)
        } else {
            Err(JsonFault::Inexact)
        }
    }
}

/// No number is a NaN.
impl Eq for Number {}

/// A decimal number without sign, `0.digits * 10^exponent`: equal exactly if the numbers are.
#[derive(PartialEq)]
struct Decimal {
    /// Digits without zeros at either end; none for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Takes the text of a number without its sign.
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        if zeros == digits.len() {
            return Self { digits: Vec::new(), exponent: 0 };
        }
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        // An exponent beyond 64 bits is beyond every text's count of digits, and beyond every double's.
        let bound = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
        let exponent: i64 = exponent.parse().unwrap_or(bound);
        let shift = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let exponent = exponent.saturating_add(shift(whole.len())).saturating_sub(shift(zeros));
        Self { digits, exponent }
    }
}

/// Returns the shortest digits that are read as this double again, in scientific form without a sign.
///
/// Of the shortest, ECMAScript takes the closest, and of two that are equally close the even one. The
/// standard library writes the shortest and closest, but of two the larger.
fn shortest(number: f64) -> String {
    let text = format!("{number:e}");
    let decimals = text.find('e').unwrap_or(0).saturating_sub(2);
    // Two candidates differ by no more than the distance of neighbouring doubles, which is far less
    // than the last of so few digits.
    if decimals < SURE_DIGITS {
        return text;
    }
    let next = format!("{number:.0$e}", decimals + 1);
    if !next.contains("5e") {
        return text;
    }
    even_of_two(number, decimals).unwrap_or(text)
}

/// Returns the lower of two decimals between which a double lies exactly in the middle, if it is even.
fn even_of_two(number: f64, decimals: usize) -> Option<String> {
    let exact = format!("{number:.EXACT_DECIMALS$e}");
    let (mantissa, exponent) = exact.split_once('e')?;
    let (lower, rest) = mantissa.split_at_checked(decimals + 2)?;
    let is_middle = rest.strip_prefix('5')?.bytes().all(|digit| digit == b'0');
    let is_even = lower.ends_with(['0', '2', '4', '6', '8']);
    let lower = format!("{lower}e{exponent}");
    // Below a power of two, doubles are closer together than above it.
    (is_middle && is_even && lower.parse() == Ok(number)).then_some(lower)
}

/// Appends a double as ECMAScript writes it (RFC 8785, section 3.2.2.3; ECMA-262, `Number::toString`).
///
/// # Panics
///
/// If the number is not finite: JSON has no text for it.
pub fn write_number(out: &mut String, number: f64) {
    assert!(number.is_finite(), "infinities and NaN are no JSON");
    if let Some(integer) = Number::new(number).and_then(Number::integer) {
        if integer < 0 {
            out.push('-');
        }
        write_natural(out, integer.unsigned_abs());
        return;
    }
    if number.is_sign_negative() {
        out.push('-');
    }
    if let Some(thousandths) = thousandths(number.abs()) {
        write_thousandths(out, thousandths);
        return;
    }
    let shortest = shortest(number.abs());
    let (mantissa, exponent) = shortest.split_once('e').expect("scientific form has an e");
    let exponent: i32 = exponent.parse().expect("scientific form ends with an integer");
    let first = mantissa.get(..1).expect("there is a first digit");
    let rest = mantissa.get(2..).unwrap_or("");
    place(out, first, rest, exponent);
}

/// Returns the thousandths that make up a positive number, if it has no more than three decimals.
///
/// The quotient of two integers is rounded as their decimal is when it is read. So it is the number exactly
/// if the decimal is read as the number; and of two decimals of at most 15 digits no double is read from
/// both, so that none is shorter, zeros at the end aside.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number below 10^15 fits in 64 bits"
)]
fn thousandths(number: f64) -> Option<u64> {
    let scaled = number * 1_000.0;
    if scaled >= 1e15 {
        return None;
    }
    let count = scaled as u64;
    let is_exact = (count as f64 / 1_000.0).to_bits() == number.to_bits();
    is_exact.then_some(count)
}

/// Appends thousandths as a plain decimal without zeros at its end.
fn write_thousandths(out: &mut String, thousandths: u64) {
    write_natural(out, thousandths / 1_000);
    let mut rest = thousandths % 1_000;
    out.push('.');
    while rest > 0 {
        rest *= 10;
        write_natural(out, rest / 1_000);
        rest %= 1_000;
    }
}

/// Appends an integer from 0. By hand, because the formatter takes several times as long.
fn write_natural(out: &mut String, natural: u64) {
    // 2^53 has 16 digits, and no more are asked for.
    let (mut digits, mut rest, mut count) = ([b'0'; 16], natural, 0);
    for place in digits.iter_mut().rev() {
        *place += (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(digits.len() - count..).unwrap_or_default();
    out.push_str(str::from_utf8(digits).expect("digits are ASCII"));
}

/// Writes `first.rest * 10^exponent`, as a plain decimal where ECMAScript does.
fn place(out: &mut String, first: &str, rest: &str, exponent: i32) {
    let count = |number: i32| usize::try_from(number).expect("not negative here");
    match exponent {
        0..=20 if count(exponent) >= rest.len() => {
            out.extend([first, rest]);
            out.extend(core::iter::repeat_n('0', count(exponent) - rest.len()));
        }
        0..=20 => {
            let (whole, fraction) = rest.split_at(count(exponent));
            out.extend([first, whole, ".", fraction]);
        }
        -6..=-1 => {
            out.push_str("0.");
            out.extend(core::iter::repeat_n('0', count(-exponent - 1)));
            out.extend([first, rest]);
        }
        _ => {
            out.push_str(first);
            if !rest.is_empty() {
                out.extend([".", rest]);
            }
            write!(out, "e{exponent:+}").expect("a string takes everything");
        }
    }
}
