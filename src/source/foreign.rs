//! What foreign JSON is taken apart with.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::core::record::json::{Object, Value};
use crate::core::record::{NAME_BYTES_MAX, SUBMISSION_LIMITS};

/// Something does not have the form that its protocol gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Most elements of a list: a list of so many pointers takes 1 MiB, whatever the body is that makes them.
pub(super) const LIST_MAX: usize = 65_536;

/// Values of an event that its decoder adds to those that came: fewer than this.
const ADDED_VALUES_MAX: usize = 64;

/// Most values of one item, so that the event has no more than it may have.
pub(super) const VALUES_MAX: usize = SUBMISSION_LIMITS.values - ADDED_VALUES_MAX;

/// The elements of a list as they came, each to be read on its own; at most [`LIST_MAX`].
#[derive(Clone, Debug, Default)]
pub(super) struct RawList<'a>(pub(super) Vec<&'a RawValue>);

/// Collects the elements of a [`RawList`].
struct Elements;

impl<'a> Visitor<'a> for Elements {
    type Value = RawList<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {LIST_MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<RawList<'a>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<&RawValue>()? {
            if elements.len() == LIST_MAX {
                return Err(A::Error::invalid_length(LIST_MAX + 1, &self));
            }
            elements.push(element);
        }
        Ok(RawList(elements))
    }

    fn visit_unit<E>(self) -> Result<RawList<'a>, E> {
        // Both a Go server and the JSON of protobuf write an empty list as null.
        Ok(RawList::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Elements)
    }
}

/// The members of a foreign object, to be taken out one by one. `null` is taken as nothing.
#[derive(Debug)]
pub(super) struct Members<'a>(Object<'a>);

impl<'a> Members<'a> {
    /// Takes a value that has to be an object.
    pub(super) fn of(value: Value<'a>) -> Result<Self, Malformed> {
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(Malformed),
        }
    }

    /// Takes out a member.
    pub(super) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        self.0.remove(name).filter(|value| *value != Value::Null)
    }

    /// Takes out a member that has to be a string; an empty one is none.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(Malformed),
        }
    }

    /// Takes out a member that has to be an object.
    pub(super) fn members(&mut self, name: &str) -> Result<Option<Self>, Malformed> {
        self.take(name).map(Self::of).transpose()
    }

    /// Takes out a member that has to be a list.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Value<'a>>, Malformed> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(Malformed),
        }
    }

    /// Returns what was not taken out.
    pub(super) fn rest(self) -> Object<'a> {
        self.0
    }
}

/// Returns a value as an event may show it: where names stand in it that no event may have, its JSON text.
///
/// A strategic merge patch has `$patch` in it, and such a name would hide its whole event.
pub(super) fn shown(value: Value<'_>) -> Value<'_> {
    if are_names_free(&value) { value } else { value.format().into() }
}

/// Returns whether all names in a value, at any depth, are those that an event may have.
fn are_names_free(value: &Value<'_>) -> bool {
    match value {
        Value::Array(values) => values.iter().all(are_names_free),
        Value::Object(object) => object.members().iter().all(|(name, value)| {
            !name.starts_with('$') && name.len() <= NAME_BYTES_MAX && are_names_free(value)
        }),
        _ => true,
    }
}
