//! The canonical text of a value (RFC 8785, JCS).

use core::fmt::Write as _;

use super::{Object, Value, write_number};

/// Appends a value.
pub(super) fn value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number.get()),
        Value::String(text) => string(out, text),
        Value::Array(values) => array(out, values),
        Value::Object(members) => object(out, members),
    }
}

fn array(out: &mut String, values: &[Value<'_>]) {
    out.push('[');
    for (position, element) in values.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        value(out, element);
    }
    out.push(']');
}

/// Members are kept in canonical order.
fn object(out: &mut String, object: &Object<'_>) {
    out.push('{');
    for (position, (name, member)) in object.members().iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        value(out, member);
    }
    out.push('}');
}

/// Appends a string; only what JSON demands is escaped (RFC 8785, section 3.2.2.2).
fn string(out: &mut String, text: &str) {
    out.push('"');
    if super::is_plain(text.as_bytes()) {
        out.push_str(text);
    } else {
        escaped(out, text);
    }
    out.push('"');
}

/// Appends a text in which there are characters that have to be escaped.
#[cold]
fn escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(special) = super::special_at(rest.as_bytes()) {
        // What is escaped is ASCII, so both sides of it are whole characters.
        let (plain, special) = rest.split_at(special);
        let (special, after) = special.split_at(1);
        out.push_str(plain);
        escape(out, special);
        rest = after;
    }
    out.push_str(rest);
}

/// Appends the one escape that a character has.
fn escape(out: &mut String, character: &str) {
    match character {
        "\"" => out.push_str("\\\""),
        "\\" => out.push_str("\\\\"),
        "\u{8}" => out.push_str("\\b"),
        "\t" => out.push_str("\\t"),
        "\n" => out.push_str("\\n"),
        "\u{c}" => out.push_str("\\f"),
        "\r" => out.push_str("\\r"),
        control => {
            let byte = control.bytes().next().expect("one byte was split off");
            write!(out, "\\u{byte:04x}").expect("a string takes everything");
        }
    }
}
