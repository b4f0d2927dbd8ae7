//! What identifies things in records: records themselves, policies, verdicts, rules, tokens.

use core::fmt;

use super::json::{Object, Value};
use super::text::{format_bytes, parse_array};
use crate::core::hash::HASH_BYTES;
use crate::core::number::UnixMillis;

/// Most bytes of a class or a rule's name.
const NAME_BYTES_MAX: usize = 128;

/// Characters of a UUID.
const ID_BYTES: usize = 36;

/// Where the two digits of each byte stand in the text of a UUID.
const ID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Name of the one member of a token.
pub const TOKEN_NAME: &str = "$t";

/// Bytes of a token: half a hash, so that two of a billion values meet with a chance of 2^-69.
pub const TOKEN_BYTES: usize = 16;

/// The id of a record: a UUID of version 7 (RFC 9562, section 5.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(u128);

impl RecordId {
    /// Makes an id of a time and ten random bytes. A submission that is admitted again gets another one.
    pub fn new(now: UnixMillis, random: [u8; 10]) -> Self {
        let random = random.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        let time = u128::from(now.0 & 0xFFFF_FFFF_FFFF) << 80;
        // Four bits of version after the time, and two of variant after twelve of randomness.
        let version = 0x7 << 76 | (random >> 62 & 0xFFF) << 64;
        let variant = 0b10 << 62 | (random & 0x3FFF_FFFF_FFFF_FFFF);
        Self(time | version | variant)
    }

    /// Parses the text of a UUID of version 7 in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let dashes = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let is_form = text.len() == ID_BYTES
            && text.bytes().enumerate().all(|(at, byte)| match byte {
                b'-' => dashes(at),
                b'0'..=b'9' | b'a'..=b'f' => !dashes(at),
                _ => false,
            });
        if !is_form {
            return None;
        }
        let digits = text.chars().filter_map(|character| character.to_digit(16));
        let id = digits.fold(0, |number, digit| number << 4 | u128::from(digit));
        (id >> 76 & 0xF == 0x7 && id >> 62 & 0b11 == 0b10).then_some(Self(id))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: each record and each sealed field of one has it, and the formatter takes ten times as long.
        let mut text = [b'-'; ID_BYTES];
        for (at, byte) in ID_PLACES.into_iter().zip(self.0.to_be_bytes()) {
            if let Some([high, low]) = text.get_mut(at..at + 2) {
                (*high, *low) = (hex(byte >> 4), hex(byte & 0xF));
            }
        }
        f.write_str(str::from_utf8(&text).expect("digits and dashes are ASCII"))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns a hexadecimal digit.
const fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + (digit - 10) }
}

/// The digest of a policy bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyDigest([u8; HASH_BYTES]);

impl PolicyDigest {
    /// What stands for the policy before the first one in a statement that is signed.
    pub const NONE: Self = Self([0; HASH_BYTES]);

    /// Takes the bytes.
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Parses the text of a record.
    pub fn parse(text: &str) -> Option<Self> {
        parse_array(text).map(Self)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Returns the text of a record.
    pub(super) fn format(&self) -> String {
        format_bytes(&self.0)
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format())
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a policy says about a submission. The stricter verdict is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing to object.
    Accept,
    /// Recorded as it is, with the names of the rules that object.
    Warn,
    /// Recorded as a commitment alone.
    Quarantine,
    /// The policy could not decide; recorded like a quarantine.
    Error,
}

impl Verdict {
    /// Returns the text of a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Warn => "warn",
            Self::Quarantine => "quarantine",
            Self::Error => "error",
        }
    }

    /// Parses the text of a record.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accept, Self::Warn, Self::Quarantine, Self::Error]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }

    /// Returns whether the record shows what was submitted.
    pub const fn shows_content(self) -> bool {
        matches!(self, Self::Accept | Self::Warn)
    }
}

/// A value that is recognised without being known, within one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Number of the epoch whose key made it.
    pub epoch: u32,
    /// What equal values of the epoch have in common.
    pub bytes: [u8; TOKEN_BYTES],
}

impl Token {
    /// Returns what stands in the record.
    pub fn to_value(self) -> Value<'static> {
        let text = format!("{}.{}", self.epoch, format_bytes(&self.bytes));
        Object::from([(TOKEN_NAME, Value::from(text))]).into()
    }

    /// Takes what stands in a record, if it is a token.
    pub fn from_value(value: &Value<'_>) -> Option<Self> {
        let [(name, Value::String(text))] = value.as_object()?.members() else { return None };
        if name != TOKEN_NAME {
            return None;
        }
        let (epoch, bytes) = text.split_once('.')?;
        let epoch: u32 = super::path::position(epoch)?.try_into().ok()?;
        Some(Self { epoch, bytes: parse_array(bytes)? })
    }
}

/// Returns whether a text can be the class of an event: `[a-z0-9][a-z0-9._-]{0,127}`.
pub fn is_class(text: &str) -> bool {
    is_name(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), b"._-")
}

/// Returns whether a text can be the name of a rule: `[A-Za-z0-9][A-Za-z0-9._/-]{0,127}`.
pub fn is_rule(text: &str) -> bool {
    is_name(text, |byte| byte.is_ascii_alphanumeric(), b"._/-")
}

/// Returns whether a text begins with a letter and goes on with letters and signs.
fn is_name(text: &str, letter: impl Fn(u8) -> bool, signs: &[u8]) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().next().is_some_and(&letter)
        && text.bytes().all(|byte| letter(byte) || signs.contains(&byte))
}

/// Returns whether a text has 1 to `max` bytes and no control characters.
pub(super) fn is_line(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.chars().any(char::is_control)
}
