//! Where in a record something stands: JSON pointers (RFC 6901).
//!
//! ```text
//! /ctx/request/headers/0        /ctx/a~1b~0c is the member `a/b~c` of `ctx`
//! ```

use core::fmt;
use std::borrow::Cow;

use super::json::{Object, Value};

/// Most bytes of a path. It is part of what is hashed and sealed, and of the row that is kept.
pub const PATH_BYTES_MAX: usize = 1_024;

/// The pointer of a value below the root of a record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// Parses a pointer that is not the root's.
    pub fn parse(text: &str) -> Option<Self> {
        let escaped = |rest: &str| rest.starts_with(['0', '1']);
        let is_form = text.starts_with('/') && text.split('~').skip(1).all(escaped);
        (is_form && text.len() <= PATH_BYTES_MAX).then(|| Self(text.to_owned()))
    }

    /// Returns the pointer of a member of the record.
    ///
    /// # Panics
    ///
    /// If the name has to be escaped: the members of a record don't.
    pub fn member(name: &str) -> Self {
        assert!(!name.contains(['/', '~']), "members of a record have plain names");
        Self(format!("/{name}"))
    }

    /// Returns the pointer of a member of the object here, unless it is too long.
    pub fn child(&self, name: &str) -> Option<Self> {
        let mut text = self.0.clone();
        push_step(&mut text, name);
        (text.len() <= PATH_BYTES_MAX).then_some(Self(text))
    }

    /// Returns the pointer of an element of the array here, unless it is too long.
    pub fn element(&self, position: usize) -> Option<Self> {
        self.child(&position.to_string())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the names and positions from the root, without escapes.
    pub fn steps(&self) -> impl Iterator<Item = Cow<'_, str>> + '_ {
        let mut rest = self.0.get(1..);
        // By hand: steps are a few bytes long, for which the standard search is not made.
        core::iter::from_fn(move || {
            let text = rest?;
            let mut escaped = false;
            let end = text.bytes().position(|byte| {
                escaped |= byte == b'~';
                byte == b'/'
            });
            let end = end.unwrap_or(text.len());
            rest = text.get(end + 1..);
            let step = text.get(..end)?;
            Some(if escaped { unescape(step) } else { Cow::Borrowed(step) })
        })
    }

    /// Returns the pointer of what this is in, unless that is the record, and the last name or position.
    pub(super) fn split_last(&self) -> (Option<Self>, String) {
        let (parent, last) = self.0.rsplit_once('/').expect("a path begins with a slash");
        ((!parent.is_empty()).then(|| Self(parent.to_owned())), unescape(last).into_owned())
    }

    /// Returns what stands here below the members of a record.
    pub fn find<'v, 'a>(&self, members: &'v Object<'a>) -> Option<&'v Value<'a>> {
        let mut steps = self.steps();
        let first = members.get(&steps.next()?)?;
        steps.try_fold(first, |value, step| Self::step(value, &step))
    }

    /// Returns what one step leads to from a value: a name, or the position of an element.
    pub fn step<'v, 'a>(value: &'v Value<'a>, step: &str) -> Option<&'v Value<'a>> {
        match value {
            Value::Object(object) => object.get(step),
            Value::Array(values) => values.get(position(step)?),
            _ => None,
        }
    }

    /// Returns what stands here below the members of a record, to be changed.
    pub fn find_mut<'v, 'a>(&self, members: &'v mut Object<'a>) -> Option<&'v mut Value<'a>> {
        let mut steps = self.steps();
        let first = members.member_mut(&steps.next()?)?;
        steps.try_fold(first, |value, step| match value {
            Value::Object(object) => object.member_mut(&step),
            Value::Array(values) => values.get_mut(position(&step)?),
            _ => None,
        })
    }

    /// Returns whether this is the other path, or inside of what stands there.
    pub fn is_within(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(other.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Returns the name or position that a step stands for.
fn unescape(step: &str) -> Cow<'_, str> {
    if step.contains('~') {
        // In this order `~01` becomes `~1`, as it should (RFC 6901, section 4).
        Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(step)
    }
}

/// Appends a name or position to a pointer (RFC 6901, section 3).
pub(super) fn push_step(pointer: &mut String, step: &str) {
    pointer.push('/');
    for character in step.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// Parses the position of an element: digits without zeros in front.
pub(super) fn position(step: &str) -> Option<usize> {
    let is_form = step == "0" || !step.starts_with(['0', '+']);
    step.parse().ok().filter(|_| is_form)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
