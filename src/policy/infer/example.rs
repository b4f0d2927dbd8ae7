//! Tests of an inferred policy: of each class one event, of which everything but names was made up.

use super::{CLAIMED_SOURCE, Group, Inferred, is_name};
use crate::core::policy::{Action, Detector, Target, Treatment};
use crate::core::record::Timestamp;
use crate::core::record::json::{Number, Object, Value};
use crate::policy::field::format_field;

/// When an example occurs.
const TIME: &str = "2027-01-31T12:00:00Z";

/// Returns tests, as a file of `tests/` holds them: in JSON.
pub fn examples(inferred: &Inferred) -> serde_json::Value {
    let classes = &inferred.document.classes;
    let treatments: Vec<&Treatment> =
        inferred.document.redactions.iter().map(|one| &one.treatment).collect();
    let example = |name: &String| {
        let group = inferred.groups.get(name)?;
        Some(test(name, group, &treatments))
    };
    classes.iter().filter_map(|class| example(&class.name)).collect()
}

/// Makes the test of a class.
fn test(class: &str, group: &Group, treatments: &[&Treatment]) -> serde_json::Value {
    let mut event = Object::new();
    for (name, value) in group.first.members() {
        let value = match (name.as_ref(), value) {
            ("act" | "out", Value::String(_)) => value.clone(),
            ("class", Value::String(name)) if is_name(name) => value.clone(),
            ("class", _) => continue,
            ("ctx", Value::Object(members)) => made_up(&unclaimed(members)),
            _ => made_up(value),
        };
        event.insert(name.clone().into_owned(), value.into_owned());
    }
    let mut redacted = serde_json::Map::new();
    for treatment in treatments {
        if let Target::Path(path) = &treatment.target
            && path.find(&event).is_some()
        {
            redacted.insert(format_field(path), action(&treatment.action).into());
        }
    }
    let event: serde_json::Value =
        serde_json::from_str(&Value::Object(event).format()).unwrap_or_default();
    let mut expect = serde_json::json!({"verdict": "accept", "class": class});
    if let Some(members) = expect.as_object_mut().filter(|_| !redacted.is_empty()) {
        members.insert("redacted".to_owned(), redacted.into());
    }
    serde_json::json!({"name": format!("an event of class {class}"), "event": event, "expect": expect})
}

/// Returns the context without the source that was claimed, which no event may say there.
fn unclaimed<'v>(members: &Object<'v>) -> Value<'v> {
    let mut object = Object::new();
    for (name, value) in members.members().iter().filter(|(name, _)| name != CLAIMED_SOURCE) {
        object.insert(name.clone(), value.clone());
    }
    object.into()
}

/// Returns a value of the same form that tells nothing.
fn made_up(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::String(text) => text_like(text).to_owned().into(),
        Value::Number(_) => Number::from_integer(1).map_or(Value::Null, Value::from),
        Value::Array(values) => Value::Array(values.iter().map(made_up).collect()),
        Value::Object(members) => {
            let mut object = Object::new();
            for (name, value) in members.members() {
                object.insert(name.clone().into_owned(), made_up(value));
            }
            object.into()
        }
        Value::Null => Value::Null,
        Value::Bool(is) => Value::Bool(*is),
    }
}

/// Returns a text of the same kind.
fn text_like(text: &str) -> &'static str {
    if text.is_empty() {
        return "";
    }
    if text.parse::<core::net::IpAddr>().is_ok() {
        return "192.0.2.7";
    }
    if Timestamp::parse_occurred(text).is_some() {
        return TIME;
    }
    match Detector::ALL.into_iter().find(|one| !one.find(text).is_empty()) {
        Some(Detector::Email) => "somebody@example.com",
        Some(Detector::Card) => "4111 1111 1111 1111",
        // No example of a secret belongs into a repository, not even one that was made up.
        _ => "example",
    }
}

fn action(action: &Action) -> &'static str {
    match action {
        Action::Drop => "drop",
        Action::Mask { .. } => "mask",
        Action::Commit { .. } => "commit",
        Action::Token { .. } => "token",
    }
}
