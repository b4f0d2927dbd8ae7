//! What the values of a field have in common.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use crate::core::policy::{Detector, FieldType};
use crate::core::record::json::{Object, Value};
use crate::core::record::{Path, Timestamp};

/// Most fields of a class: events with more have names made up as they come.
const FIELDS_MAX: usize = 1_024;

/// How names end whose values are secrets, without signs between their words.
const SECRETS: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "authorization",
    "cookie",
    "sessionid",
    "credentials",
];

/// A field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// How many events have it.
    pub(super) times: usize,
    /// What all of its values are.
    pub(super) kind: FieldType,
    /// What was recognised in its texts.
    pub(super) found: BTreeSet<Detector>,
    /// How many of its values are the address of a person and nothing else.
    emails: usize,
}

impl Field {
    /// Returns whether it holds nothing but addresses of people.
    pub(super) const fn is_email(&self) -> bool {
        self.emails == self.times
    }
}

/// Takes the fields of an event.
pub(super) fn fields(event: &Object<'_>, into: &mut BTreeMap<Path, Field>) {
    for (name, value) in event.members() {
        if let Some(path) = top(name) {
            walk(&path, value, into);
        }
    }
}

/// Returns the place of a member.
fn top(name: &str) -> Option<Path> {
    Path::parse(&format!("/{}", name.replace('~', "~0").replace('/', "~1")))
}

/// Takes a value, or what is inside of it.
fn walk(path: &Path, value: &Value<'_>, into: &mut BTreeMap<Path, Field>) {
    match value {
        // What is null is as good as absent.
        Value::Null => {}
        Value::Object(members) if !members.members().is_empty() => {
            for (name, value) in members.members() {
                // A star stands for every name where something is redacted.
                if let Some(path) = path.child(name).filter(|_| name != "*") {
                    walk(&path, value, into);
                }
            }
        }
        _ => {
            if into.len() >= FIELDS_MAX && !into.contains_key(path) {
                return;
            }
            let kind = kind(path, value);
            let field = into.entry(path.clone()).or_insert(Field {
                times: 0,
                kind,
                found: BTreeSet::new(),
                emails: 0,
            });
            field.times += 1;
            field.kind = common(field.kind, kind);
            field.emails += usize::from(is_email(value));
            look(value, &mut field.found);
        }
    }
}

/// Returns the narrowest type of a value.
fn kind(path: &Path, value: &Value<'_>) -> FieldType {
    match value {
        Value::Bool(_) => FieldType::Boolean,
        Value::Number(number) if number.integer().is_some() => FieldType::Integer,
        Value::Number(_) => FieldType::Number,
        Value::Array(values) if !values.is_empty() => FieldType::Array,
        Value::String(text) if text.is_empty() => FieldType::Any,
        Value::String(text) if text.parse::<IpAddr>().is_ok() => FieldType::Address,
        Value::String(text) if Timestamp::parse_occurred(text).is_some() => FieldType::Time,
        Value::String(_) if path.as_str() == "/ot" => FieldType::Any,
        Value::String(_) => FieldType::Text,
        Value::Null | Value::Array(_) | Value::Object(_) => FieldType::Any,
    }
}

/// Returns the narrowest type that two have in common.
fn common(one: FieldType, other: FieldType) -> FieldType {
    use FieldType::{Address, Any, Integer, Number, Text, Time};
    match (one, other) {
        _ if one == other => one,
        (Integer | Number, Integer | Number) => Number,
        (Text | Time | Address, Text | Time | Address) => Text,
        _ => Any,
    }
}

/// Returns whether a value is an address of a person and nothing else.
fn is_email(value: &Value<'_>) -> bool {
    let is_whole = |text: &str| {
        let found = Detector::Email.find(text);
        matches!(found.as_slice(), [only] if *only == (0..text.len()))
    };
    value.as_str().is_some_and(is_whole)
}

/// Looks for what detectors recognise, also inside of arrays.
fn look(value: &Value<'_>, found: &mut BTreeSet<Detector>) {
    match value {
        Value::String(text) => {
            let there = Detector::ALL.into_iter().filter(|one| !one.find(text).is_empty());
            found.extend(there);
        }
        Value::Array(values) => values.iter().for_each(|value| look(value, found)),
        Value::Object(members) => {
            members.members().iter().for_each(|(_, value)| look(value, found));
        }
        _ => {}
    }
}

/// Returns whether a policy may take a field out.
pub(super) fn may_be_hidden(path: &Path) -> bool {
    let mut steps = path.steps();
    let first = steps.next();
    matches!(first.as_deref(), Some("actor" | "resource" | "ctx")) && steps.next().is_some()
}

/// Returns whether a field is named for what nobody may see.
pub(super) fn hides(path: &Path) -> bool {
    let Some(last) = path.steps().last() else { return false };
    let letters = last.chars().filter(char::is_ascii_alphanumeric);
    let word: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    may_be_hidden(path) && SECRETS.iter().any(|secret| word.ends_with(secret))
}
