//! Values of any type, as an event holds them.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::core::record::json::{Number, Object, Value, compare, write_number};
use crate::source::foreign::{Malformed, VALUES_MAX};

/// Most lists and maps inside of each other in a value. An event has 32 levels, and four of them are around it.
pub(super) const DEPTH_MAX: usize = 24;

/// How many values an event still has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(usize);

impl Room {
    /// Returns the room of an event in which nothing stands.
    pub(super) const fn new() -> Self {
        Self(VALUES_MAX)
    }

    /// Takes room for one value.
    pub(super) fn take(&mut self) -> Result<(), Malformed> {
        self.0 = self.0.checked_sub(1).ok_or(Malformed)?;
        Ok(())
    }

    /// Returns what is left when something else has taken its room as well.
    pub(super) fn without(self, other: Self) -> Result<Self, Malformed> {
        let taken = VALUES_MAX - other.0;
        self.0.checked_sub(taken).map(Self).ok_or(Malformed)
    }
}

/// Returns an integer; beyond 2^53-1, its text.
pub(super) fn integer(integer: i64) -> Value<'static> {
    Number::from_integer(integer).map_or_else(|| integer.to_string().into(), Value::Number)
}

/// Returns a number; beyond 2^53-1, its text, and the words of JSON's protobuf for what is none.
pub(super) fn double(double: f64) -> Value<'static> {
    if let Some(number) = Number::new(double) {
        return number.into();
    }
    if double.is_finite() {
        let mut text = String::new();
        write_number(&mut text, double);
        return text.into();
    }
    match (double.is_nan(), double > 0.0) {
        (true, _) => "NaN".into(),
        (false, true) => "Infinity".into(),
        (false, false) => "-Infinity".into(),
    }
}

/// Returns bytes as base64.
pub(super) fn bytes(bytes: &[u8]) -> Value<'static> {
    STANDARD.encode(bytes).into()
}

/// Returns a map of names that are all different.
pub(super) fn map(mut members: Vec<(String, Value<'_>)>) -> Result<Object<'_>, Malformed> {
    // In their order, so that each one is put at the end.
    members.sort_unstable_by(|one, other| compare(&one.0, &other.0));
    let mut object = Object::new();
    for (name, value) in members {
        if object.insert(name, value).is_some() {
            return Err(Malformed);
        }
    }
    Ok(object)
}
