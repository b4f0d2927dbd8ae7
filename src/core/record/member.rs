//! The grammar of a record's members, one by one.
//!
//! Used on both sides: by admission for what a producer submits, and by verifiers for what a log holds.

use super::form::Form;
use super::json::{Limits, Object, Value};
use super::name::{is_class, is_line};
use super::time::Timestamp;
use crate::core::entry::ENTRY_BYTES_MAX;

/// Most levels of a submission, and of a record: far more than events have, far less than a stack.
const DEPTH_MAX: usize = 32;

/// What a submission may ask of the reader. 1 MiB is what one message of the protocol is bounded by;
/// 16,384 values take about 1 MiB of memory, as the text itself does.
pub const SUBMISSION_LIMITS: Limits = Limits { bytes: 1 << 20, depth: DEPTH_MAX, values: 16_384 };

/// What a record may ask of the reader: no text of so many bytes has more values.
pub const RECORD_LIMITS: Limits =
    Limits { bytes: ENTRY_BYTES_MAX, depth: DEPTH_MAX, values: ENTRY_BYTES_MAX };

/// Most bytes of a name, at any depth.
pub const NAME_BYTES_MAX: usize = 255;

/// Most bytes of an action.
const ACTION_BYTES_MAX: usize = 256;

/// Most bytes of a source: a certificate's subject, or a SPIFFE id.
const SOURCE_BYTES_MAX: usize = 512;

/// Members of `ctx` that only the server makes.
pub const SERVER_CONTEXT: [&str; 3] = ["claimed_source", "enriched", "raw"];

/// What the name of a principal begins with that is the fingerprint of its certificate.
pub const FINGERPRINT_PREFIX: &str = "sha256:";

/// The class of what came in a form of which no event could be made: the only one that is shown of what is
/// not shown itself.
pub const UNPARSED: &str = "unparsed";

/// A member that a producer may submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Submitted {
    /// `act`.
    Act,
    /// `actor`.
    Actor,
    /// `class`.
    Class,
    /// `ctx`.
    Ctx,
    /// `ot`.
    Ot,
    /// `out`.
    Out,
    /// `resource`.
    Resource,
    /// `seq`.
    Seq,
    /// `source`, which only a claim is made of.
    Source,
}

impl Submitted {
    /// Every such member, by name.
    pub const ALL: [Self; 9] = [
        Self::Act,
        Self::Actor,
        Self::Class,
        Self::Ctx,
        Self::Ot,
        Self::Out,
        Self::Resource,
        Self::Seq,
        Self::Source,
    ];

    /// Returns the name of the member.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Actor => "actor",
            Self::Class => "class",
            Self::Ctx => "ctx",
            Self::Ot => "ot",
            Self::Out => "out",
            Self::Resource => "resource",
            Self::Seq => "seq",
            Self::Source => "source",
        }
    }

    /// Returns the member of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "act" => Self::Act,
            "actor" => Self::Actor,
            "class" => Self::Class,
            "ctx" => Self::Ctx,
            "ot" => Self::Ot,
            "out" => Self::Out,
            "resource" => Self::Resource,
            "seq" => Self::Seq,
            "source" => Self::Source,
            _ => return None,
        })
    }

    /// Returns whether a value has the form that this member has.
    pub fn accepts(self, value: &Value<'_>) -> bool {
        let text = value.as_str();
        match self {
            Self::Act => text.is_some_and(|text| is_line(text, ACTION_BYTES_MAX)),
            Self::Class => text.is_some_and(is_class),
            Self::Ot => text.is_some_and(|text| Timestamp::parse_occurred(text).is_some()),
            Self::Out => text.is_some_and(|text| matches!(text, "success" | "failure" | "unknown")),
            Self::Source => text.is_some_and(is_source),
            Self::Seq => value.as_natural().is_some(),
            Self::Actor | Self::Ctx | Self::Resource => value.as_object().is_some(),
        }
    }
}

/// Returns whether a text can be a source.
pub(super) fn is_source(text: &str) -> bool {
    is_line(text, SOURCE_BYTES_MAX)
}

/// What is wrong inside of a value, at any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentFault {
    /// A name begins with `$`.
    Reserved,
    /// A name is too long.
    LongName,
}

/// Checks the names in a value that a producer submitted: none of the server's forms is among them.
pub(super) fn check_submitted(value: &Value<'_>) -> Result<(), ContentFault> {
    check(value, &|_| false)
}

/// Checks the names in a value of a record, where a form of the server may stand for any value.
pub(super) fn check_recorded(value: &Value<'_>) -> Result<(), ContentFault> {
    check(value, &|value| Form::from_value(value).is_some())
}

/// Checks names; `is_form` says which values may have a reserved one.
fn check(value: &Value<'_>, is_form: &impl Fn(&Value<'_>) -> bool) -> Result<(), ContentFault> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| check(value, is_form)),
        Value::Object(object) => object.members().iter().try_for_each(|(name, member)| {
            if name.len() > NAME_BYTES_MAX {
                return Err(ContentFault::LongName);
            }
            if !name.starts_with('$') {
                return check(member, is_form);
            }
            if is_form(value) { Ok(()) } else { Err(ContentFault::Reserved) }
        }),
        _ => Ok(()),
    }
}

/// Returns whether an object has all of these members, and no others than these and those.
pub(super) fn has(object: &Object<'_>, required: &[&str], optional: &[&str]) -> bool {
    let known = |name: &str| required.contains(&name) || optional.contains(&name);
    required.iter().all(|name| object.get(name).is_some())
        && object.members().iter().all(|(name, _)| known(name))
}
