//! Decision logs of the Open Policy Agent: an array of decisions.
//!
//! A decision that has no form to be logged in would be sent again for ever; it is kept as it came.

use bytes::Bytes;

use super::cut::{ITEM_LIMITS, array};
use super::json::{key_of, read};
use super::key::{named, numbered};
use super::{EventDraft, Item};
use crate::core::record::Submitted;
use crate::core::record::json::{Object, Value};

/// Members of a decision in which a policy says that something is allowed.
const ALLOWED: [&str; 2] = ["allow", "allowed"];

/// Makes items of an upload; of more decisions than `items_max` the rest is kept as it came.
pub fn decode(body: &Bytes, items_max: usize) -> Vec<Item> {
    let whole = key_of(body);
    let Some(cut) = array(body, items_max) else { return Item::unparsed(body, Some(&whole)) };
    let mut items = Vec::new();
    for (number, text) in cut.items.iter().enumerate() {
        let made = match read(text, &ITEM_LIMITS) {
            Ok(Value::Object(members)) => decision(members),
            _ => None,
        };
        items.extend(match made {
            Some((draft, key)) => draft.item(Some(key), text),
            None => Item::unparsed(text, Some(&numbered(&whole, number))),
        });
    }
    items.extend(Item::unparsed(&cut.rest, Some(&numbered(&whole, cut.items.len()))));
    items
}

/// Makes an event of a decision; `None` if it does not say which it is.
fn decision(mut members: Object<'_>) -> Option<(EventDraft<'_>, Vec<u8>)> {
    let id = members.get("decision_id").and_then(Value::as_str).filter(|id| !id.is_empty())?;
    let key = named("decision", &[id]);
    let mut draft = EventDraft::new();
    if let Some(out) = outcome(&members) {
        draft.set("out", out);
    }
    let time = members.get("timestamp").and_then(Value::as_str);
    if time.is_some_and(|time| draft.occurred_text(time)) {
        members.remove("timestamp");
    }
    if members.get("path").is_some_and(|path| Submitted::Act.accepts(path))
        && let Some(path) = members.remove("path")
    {
        draft.set("act", path);
    }
    let instance = members.get("labels").and_then(Value::as_object).and_then(|l| l.get("id"));
    if let Some(instance) = instance.filter(|id| Submitted::Source.accepts(id)) {
        draft.set("source", instance.clone());
    }
    if members.get("requested_by").is_some_and(|address| address.as_str().is_some())
        && let Some(address) = members.remove("requested_by")
    {
        draft.put("actor", "address", address);
    }
    draft.put("ctx", "opa", members);
    Some((draft, key))
}

/// Returns what was decided, as far as the result says it: a truth, or an object in which one stands.
///
/// An undefined result is no refusal: what it means, whoever asked decides.
fn outcome(members: &Object<'_>) -> Option<&'static str> {
    if members.get("error").is_some_and(|error| *error != Value::Null) {
        return Some("unknown");
    }
    let result = members.get("result")?;
    let inner = |object: &Object<'_>| {
        let mut truths = ALLOWED.iter().filter_map(|name| match object.get(name) {
            Some(Value::Bool(is_allowed)) => Some(*is_allowed),
            _ => None,
        });
        // Two that differ say nothing.
        let first = truths.next()?;
        truths.all(|other| other == first).then_some(first)
    };
    let is_allowed = match result {
        Value::Bool(is_allowed) => Some(*is_allowed),
        Value::Object(object) => inner(object),
        _ => None,
    };
    is_allowed.map(|is_allowed| if is_allowed { "success" } else { "failure" })
}
