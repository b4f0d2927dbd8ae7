//! JSON as records are written in it: read strictly, written canonically.
//!
//! The reader takes RFC 8259 within the bounds of I-JSON (RFC 7493): names are unique within an object,
//! and a number is one that every reader understands alike. What it refuses it names with its
//! position. The writer makes the canonical form of RFC 8785 (JCS), in which a value has exactly one text.
//!
//! ```text
//! { "b": 1.50, "a": "\u20ac" }      what is read
//! {"a":"<euro sign>","b":1.5}       what is written
//! ```
//!
//! # Invariants
//!
//! - Members of an [`Object`] are sorted as JCS sorts them, by UTF-16 code units, and unique.
//! - A [`Number`] survives: its canonical text denotes the same decimal number as the text it was read from.
//! - Whatever the writer wrote, the reader reads as the same value, also with [`parse_canonical`].
//!
//! One departure from I-JSON: Unicode's noncharacters are taken. They have one encoding like every other
//! code point, and refusing them would lose events over a stray U+FFFF.

use core::cmp::Ordering;
use std::borrow::Cow;

mod error;
mod number;
mod read;
mod write;

pub use error::{JsonError, JsonFault};
pub use number::{NUMBER_MAX, Number, write_number};
pub use read::{Limits, parse, parse_canonical, parse_foreign};

/// A JSON value. Strings without escapes are borrowed from the text that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number that every reader understands alike.
    Number(Number),
    /// A string of Unicode scalar values.
    String(Cow<'a, str>),
    /// Values in order.
    Array(Vec<Value<'a>>),
    /// Named values.
    Object(Object<'a>),
}

/// One named value of an object.
pub type Member<'a> = (Cow<'a, str>, Value<'a>);

/// The members of an object, in canonical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<'a> {
    members: Vec<Member<'a>>,
}

/// So many members are searched one by one: sixteen comparisons of lengths cost what two of names do.
const FEW_MEMBERS: usize = 16;

impl<'a> Value<'a> {
    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the members of an object.
    pub const fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the number, if it is an integer from 0.
    pub fn as_natural(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(number.integer()?).ok(),
            _ => None,
        }
    }

    /// Returns the value without the text that it was read from.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::Bool(is),
            Self::Number(number) => Value::Number(number),
            Self::String(text) => Value::String(text.into_owned().into()),
            Self::Array(values) => Value::Array(values.into_iter().map(Self::into_owned).collect()),
            Self::Object(Object { members }) => {
                let member =
                    |(name, value): Member<'_>| (name.into_owned().into(), value.into_owned());
                Value::Object(Object { members: members.into_iter().map(member).collect() })
            }
        }
    }

    /// Returns the canonical text (RFC 8785).
    pub fn format(&self) -> String {
        // A text with its quotes has room at once; others are rarely as short as this.
        let mut out = String::with_capacity(self.as_str().map_or(32, |text| text.len() + 2));
        self.write(&mut out);
        out
    }

    /// Appends the canonical text (RFC 8785).
    pub fn write(&self, out: &mut String) {
        write::value(out, self);
    }
}

impl<'a> Object<'a> {
    /// Returns an object without members.
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// Returns an object without members that has room for some.
    pub(super) fn with_capacity(members: usize) -> Self {
        Self { members: Vec::with_capacity(members) }
    }

    /// Takes members in any order; returns the position of one whose name another has as well.
    fn from_members(mut members: Vec<Member<'a>>) -> Result<Self, Cow<'a, str>> {
        let sorted = |pair: &[Member<'_>]| matches!(pair, [a, b] if compare(&a.0, &b.0).is_lt());
        if !members.windows(2).all(sorted) {
            members.sort_unstable_by(|a, b| compare(&a.0, &b.0));
            let twice = members.windows(2).position(|pair| !sorted(pair));
            if let Some(position) = twice {
                return Err(members.swap_remove(position).0);
            }
        }
        Ok(Self { members })
    }

    /// Returns the members in canonical order.
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Returns the member of this name.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let position = self.find(name)?;
        self.members.get(position).map(|(_, value)| value)
    }

    /// Returns the member of this name, to be changed.
    pub fn member_mut(&mut self, name: &str) -> Option<&mut Value<'a>> {
        let position = self.find(name)?;
        self.members.get_mut(position).map(|(_, value)| value)
    }

    /// Sets a member; returns what stood there before.
    pub fn insert(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) -> Option<Value<'a>> {
        let name = name.into();
        // Who knows the order puts the last one last.
        if self.members.last().is_none_or(|(last, _)| compare(last, &name).is_lt()) {
            self.members.push((name, value));
            return None;
        }
        match self.position(&name) {
            Ok(position) => {
                let (_, place) = self.members.get_mut(position)?;
                Some(core::mem::replace(place, value))
            }
            Err(position) => {
                self.members.insert(position, (name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value<'a>> {
        let position = self.position(name).ok()?;
        Some(self.members.remove(position).1)
    }

    /// Returns where the member of this name is.
    fn find(&self, name: &str) -> Option<usize> {
        // Of few names most have another length, so that none of them is compared.
        if self.members.len() <= FEW_MEMBERS {
            self.members.iter().position(|(other, _)| is_same(other, name))
        } else {
            self.position(name).ok()
        }
    }

    /// Returns where the member of this name is, or where it would have to stand.
    fn position(&self, name: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|(other, _)| compare(other, name))
    }
}

/// Returns whether two names are one. Names are so short that a call would take longer than their bytes.
#[inline]
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(|(a, b)| a == b)
}

/// Returns where the first byte is that does not stand for itself in a string: a quote, a backslash or a
/// control character.
#[inline]
fn special_at(bytes: &[u8]) -> Option<usize> {
    let (chunks, rest) = bytes.as_chunks();
    for (position, chunk) in chunks.iter().enumerate() {
        let found = specials(*chunk);
        if found != 0 {
            return Some(position * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter()
        .position(|byte| is_special(*byte))
        .map(|position| bytes.len() - rest.len() + position)
}

/// Returns whether every byte stands for itself: what [`special_at`] finds nothing in, at less cost for the
/// short texts that names and values are.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk() {
        let (chunks, _) = bytes.as_chunks();
        // The last chunk overlaps the one before it, which spares a loop over what is left.
        return specials(*last) == 0 && chunks.iter().all(|chunk| specials(*chunk) == 0);
    }
    let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) else {
        return !bytes.iter().copied().any(is_special);
    };
    [*first, *last].as_flattened().first_chunk().is_some_and(|word| specials(*word) == 0)
}

/// Returns whether a byte does not stand for itself.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\')
}

/// Returns a word whose lowest set bit is the highest of the first of eight bytes that does not stand for
/// itself, and zero if all do.
///
/// A byte below 0x80 from which its bound is subtracted gets its highest bit exactly if it is below the bound.
/// What it borrows spoils only the bytes behind it (Sean Eron Anderson, "Bit Twiddling Hacks").
#[expect(clippy::little_endian_bytes, reason = "the first byte has to be the lowest of the word")]
const fn specials(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let word = u64::from_le_bytes(bytes);
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * 0x5C)).wrapping_sub(ONES);
    (control | quote | backslash) & !word & (ONES * 0x80)
}

/// Compares two names by their UTF-16 code units (RFC 8785, section 3.2.3).
///
/// UTF-8 sorts by code points. The two orders differ only where a code point beyond U+FFFF, in UTF-16 a
/// pair that begins with D800 to DBFF, meets one of U+E000 to U+FFFF: in UTF-8 bytes, a lead byte from F0
/// meets EE or EF.
#[inline]
pub fn compare(one: &str, other: &str) -> Ordering {
    let differing = one.bytes().zip(other.bytes()).find(|(a, b)| a != b);
    match differing {
        Some((a, b)) if a >= 0xEE && b >= 0xEE && (a >= 0xF0) != (b >= 0xF0) => b.cmp(&a),
        Some((a, b)) => a.cmp(&b),
        None => one.len().cmp(&other.len()),
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<Number> for Value<'_> {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<Object<'a>> for Value<'a> {
    fn from(object: Object<'a>) -> Self {
        Self::Object(object)
    }
}

impl<'a, const N: usize> From<[(&'static str, Value<'a>); N]> for Object<'a> {
    /// Takes members whose names are known to differ; of two of one name the later holds.
    fn from(members: [(&'static str, Value<'a>); N]) -> Self {
        let mut object = Self { members: Vec::with_capacity(N) };
        for (name, value) in members {
            object.insert(name, value);
        }
        object
    }
}
