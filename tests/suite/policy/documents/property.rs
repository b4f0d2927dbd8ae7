//! Whatever a policy requires and whatever comes in: no record that is accepted lacks a required field.

use std::{collections::BTreeSet, fmt::Write as _};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{admitted, policy};

/// Fields of documents, each with its pointer in a record.
const FIELDS: [(&str, &str); 6] = [
    ("actor.id", "/actor/id"),
    ("outcome", "/out"),
    ("source.ip", "/ctx/source/ip"),
    ("occurred_at", "/ot"),
    ("resource.size", "/resource/size"),
    ("ctx.tags", "/ctx/tags"),
];

const TYPES: [&str; 6] = ["any", "text", "integer", "address", "time", "array"];

/// Values of a field: absent, null, empty and of every type.
fn value() -> impl Strategy<Value = Option<Json>> {
    prop_oneof![
        Just(None),
        Just(Some(Json::Null)),
        Just(Some(json!(""))),
        Just(Some(json!("x"))),
        Just(Some(json!("10.0.0.1"))),
        Just(Some(json!("2026-11-21T00:00:00Z"))),
        Just(Some(json!(7))),
        Just(Some(json!(1.5))),
        Just(Some(json!([]))),
        Just(Some(json!(["a"]))),
    ]
}

/// Returns whether a value of a record is what a type says, by the words of the manual.
fn is_type(value: &Json, name: &str) -> bool {
    match name {
        "any" => !value.is_null(),
        "text" => value.as_str().is_some_and(|text| !text.is_empty()),
        "integer" => value.is_i64(),
        "address" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "time" => value.as_str().is_some_and(|text| text.contains('T') && text.ends_with('Z')),
        _ => value.as_array().is_some_and(|values| !values.is_empty()),
    }
}

/// Sets a member of an event by its pointer.
fn set(event: &mut Json, pointer: &str, value: Json) {
    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
    let place = steps.iter().fold(event, |place, step| &mut place[*step]);
    *place = value;
}

proptest! {
    #[test]
    fn no_accepted_record_lacks_a_required_field(
        classes in prop::collection::vec(prop::collection::vec((0..FIELDS.len(), 0..TYPES.len()), 0..4), 1..4),
        values in prop::collection::vec(value(), FIELDS.len()),
        action in 0..5_usize,
        named in prop::option::of(0..4_usize),
        drops in prop::option::of(0..FIELDS.len()),
    ) {
        // A class that names a field twice is refused.
        let mut classes = classes;
        for require in &mut classes {
            let mut fields = BTreeSet::new();
            require.retain(|(field, _)| fields.insert(*field));
        }
        let mut text = "classes:\n".to_owned();
        for (number, require) in classes.iter().enumerate() {
            let list = require.iter().map(|(field, kind)| {
                format!("{{field: {}, type: {}}}", FIELDS[*field].0, TYPES[*kind])
            });
            let list = list.collect::<Vec<_>>().join(", ");
            writeln!(text, "  c{number}: {{match: {{action: 'a{number}*'}}, require: [{list}]}}").unwrap();
        }
        // A redaction of something that nothing requires must not matter.
        let required = |field: usize| classes.iter().flatten().any(|(other, _)| *other == field);
        let dropped = drops.filter(|field| !required(*field) && FIELDS[*field].1.matches('/').count() > 1);
        if let Some(field) = dropped {
            writeln!(text, "redact: [{{path: {}, action: drop}}]", FIELDS[field].0).unwrap();
        }
        let compiled = policy(&text);

        let mut event = json!({"act": format!("a{action}.x")});
        for ((_, pointer), value) in FIELDS.iter().zip(&values) {
            if let Some(value) = value {
                set(&mut event, pointer, value.clone());
            }
        }
        if let Some(class) = named {
            event["class"] = json!(format!("c{class}"));
        }
        let (record, verdict, _) = admitted(&compiled, &event.to_string());
        let record: Json = serde_json::from_str(&record.unwrap()).unwrap();
        if verdict == Some(attestree::core::record::Verdict::Accept) {
            for (number, require) in classes.iter().enumerate() {
                if action != number && named != Some(number) {
                    continue;
                }
                for (field, kind) in require {
                    let value = record.pointer(FIELDS[*field].1).unwrap_or(&Json::Null);
                    prop_assert!(is_type(value, TYPES[*kind]), "{text}{event}{record}");
                }
            }
        }
        // There is nothing to hide of null, which stays.
        if let Some(field) = dropped {
            prop_assert!(record.pointer(FIELDS[field].1).is_none_or(Json::is_null));
        }
    }
}
