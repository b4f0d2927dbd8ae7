//! Enrichment: what a policy lets the server add to an event, from what the event says.

use core::net::IpAddr;

use super::statement::{Enrichment, Lookup};
use crate::core::record::Event;
use crate::core::record::json::{Object, Value};

/// Adds to an event what follows from it, as members of `ctx.enriched`.
pub(super) fn enrich(event: &mut Event<'_>, enrichments: &[Enrichment]) {
    let mut added = Object::new();
    for Enrichment { name, from, lookup } in enrichments {
        if let Some(value) = from.find(event.members()).and_then(|value| follow(lookup, value)) {
            added.insert(name.clone(), value);
        }
    }
    if !added.members().is_empty() {
        event.enrich(added);
    }
}

/// Returns what follows from a value.
fn follow(lookup: &Lookup, value: &Value<'_>) -> Option<Value<'static>> {
    match (lookup, value) {
        (Lookup::Table { entries, otherwise }, Value::String(text)) => {
            entries.get(text.as_ref()).or(otherwise.as_ref()).map(|label| label.clone().into())
        }
        (Lookup::Networks(networks), Value::String(text)) => {
            let address: IpAddr = text.parse().ok()?;
            let around = networks.iter().filter(|(network, _)| network.contains(&address));
            let smallest = around.max_by_key(|(network, _)| network.prefix_len())?;
            Some(smallest.1.clone().into())
        }
        (Lookup::Members(names), Value::Object(object)) => {
            let mut kept = Object::new();
            for (name, value) in object.members() {
                let name = name.to_ascii_lowercase();
                if let Some(text) = value.as_str().filter(|_| names.contains(&name)) {
                    kept.insert(name, text.to_owned().into());
                }
            }
            (!kept.members().is_empty()).then(|| kept.into())
        }
        _ => None,
    }
}
