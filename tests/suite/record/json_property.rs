//! What holds of canonical JSON for any value and any text, and what `serde_json` says to the same.

use attestree::core::record::json::{self, JsonFault, Limits, Number, Object, Value};
use proptest::prelude::*;

use super::json::LIMITS;

/// Values that the reader takes within [`LIMITS`].
fn any_value() -> impl Strategy<Value = Value<'static>> {
    let double = any::<f64>().prop_filter_map("beyond 2^53-1", Number::new);
    let small = (-1e3_f64..1e3).prop_filter_map("finite", Number::new);
    let integer =
        (-json::NUMBER_MAX..=json::NUMBER_MAX).prop_filter_map("safe", Number::from_integer);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![double, small, integer].prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let member = (any_name(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::Array),
            prop::collection::vec(member, 0..6).prop_map(|members| {
                let mut object = Object::new();
                for (name, value) in members {
                    object.insert(name, value);
                }
                Value::Object(object)
            }),
        ]
    })
}

/// Names that often agree in their first characters, and sort differently in UTF-8 and UTF-16.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[ab\u{e9}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}", any::<String>()]
}

/// Compares a value of ours with one of `serde_json`, which reads the last places of a double carelessly.
fn equal(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(ours), serde_json::Value::Bool(theirs)) => ours == theirs,
        (Value::Number(ours), serde_json::Value::Number(theirs)) => {
            let theirs = theirs.as_f64().unwrap();
            (ours.get() - theirs).abs() <= theirs.abs() * 1e-12 + f64::MIN_POSITIVE
        }
        (Value::String(ours), serde_json::Value::String(theirs)) => ours == theirs,
        (Value::Array(ours), serde_json::Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(one, other)| equal(one, other))
        }
        (Value::Object(ours), serde_json::Value::Object(theirs)) => {
            let same =
                |name: &str, value| theirs.get(name).is_some_and(|other| equal(value, other));
            ours.members().len() == theirs.len()
                && ours.members().iter().all(|(name, value)| same(name, value))
        }
        _ => false,
    }
}

/// Returns whether a text that is JSON may be refused for this.
fn is_stricter(fault: JsonFault) -> bool {
    use JsonFault::{Depth, Duplicate, Inexact, Surrogate, TooLong, Unsafe, Values};
    matches!(
        fault,
        Duplicate | Unsafe | Inexact | Depth { .. } | Values { .. } | TooLong { .. } | Surrogate
    )
}

/// Both readers on one text: what we take they take as the same, and what we refuse beyond them is listed.
fn agree(text: &[u8]) {
    let limits = Limits { bytes: 1 << 16, ..LIMITS };
    let theirs = serde_json::from_slice::<serde_json::Value>(text);
    match (json::parse(text, &limits), theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert!(equal(&ours, &theirs), "{}", text.escape_ascii());
            let canonical = ours.format();
            assert_eq!(json::parse_canonical(canonical.as_bytes(), &limits).as_ref(), Ok(&ours));
            assert_eq!(json::parse_canonical(text, &limits).is_ok(), canonical.as_bytes() == text);
        }
        (Ok(_), Err(error)) => panic!("taken by us alone: {} ({error})", text.escape_ascii()),
        (Err(error), Ok(_)) => {
            assert!(is_stricter(error.fault), "{error}: {}", text.escape_ascii());
        }
        (Err(error), Err(_)) => assert!(error.byte <= text.len()),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same_value(value in any_value()) {
        let limits = Limits { bytes: 1 << 16, ..LIMITS };
        let text = value.format();
        prop_assert_eq!(json::parse_canonical(text.as_bytes(), &limits), Ok(value.clone()));
        let pretty: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert!(equal(&value, &pretty));
    }

    #[test]
    fn two_readers_agree_on_spoiled_texts(
        value in any_value(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, prop::sample::select(&b"{}[],:\"\\0123456789-+.eEtfnu \n\t\x00\x80\xc3\xff"[..])), 0..4),
    ) {
        let mut text = value.format().into_bytes();
        for (index, kind, byte) in spoils {
            if text.is_empty() { break }
            let at = index.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => drop(text.remove(at)),
                _ => text.truncate(at),
            }
        }
        agree(&text);
    }

    #[test]
    fn two_readers_agree_on_texts_of_pieces(
        pieces in prop::collection::vec(prop::sample::select(&[
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "1", "-0", "1.50", "2e5", "1e-7", "0.30000000000000004",
            "9007199254740993", "true", "false", "null", " ", "\\u0061", "\\ud83d\\ude00", "\\udc00", "\u{e9}",
        ][..]), 0..12),
    ) {
        agree(pieces.concat().as_bytes());
    }

    #[test]
    fn two_readers_agree_on_numbers(text in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
        agree(text.as_bytes());
        if let Ok(Value::Number(number)) = json::parse(text.as_bytes(), &LIMITS) {
            prop_assert_eq!(text.parse(), Ok(number.get()));
        }
    }
}
