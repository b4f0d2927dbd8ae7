//! `CloudEvents` 1.0: the HTTP binding's three modes, and the JSON format.
//!
//! ```text
//! application/cloudevents-batch+json   an array of events          the longer prefix is looked for first
//! application/cloudevents+json         one event
//! ce-id, ce-source, ...                attributes in headers, and the body is the event's data
//! ```
//!
//! What is no such event would be refused elsewhere, and dropped by its sender; here it is kept as it came.
//! Of a binary one that is its attributes, a line each, an empty line, and its body.
//!
//! In scope: specversion 1.0 in JSON. Out of scope: other formats (`+avro`, `+protobuf`, `+xml`), which are kept
//! as they come.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::cut::{ITEM_LIMITS, array};
use super::json::{key_of, read};
use super::key::{named, numbered};
use super::{EventDraft, Item, percent};
use crate::core::record::Submitted;
use crate::core::record::json::{Object, Value};

/// What stands before the name of an attribute in a header.
const PREFIX: &str = "ce-";

/// Names of the JSON format that are no attributes, and the one that has a header of its own.
const NO_HEADERS: [&str; 3] = ["data", "data_base64", "datacontenttype"];

/// Most attributes in headers: far more than a request has, and few enough for [`ITEM_LIMITS`].
const ATTRIBUTES_MAX: usize = 512;

/// Headers of a request: names in lower case, and values as they came.
pub type Headers<'a> = [(&'a str, &'a [u8])];

/// Makes items of a request; of more events than `items_max` the rest is kept as it came. There is none only
/// if nothing was sent.
pub fn decode(headers: &Headers<'_>, body: &Bytes, items_max: usize) -> Vec<Item> {
    let kind = media_type(headers);
    match kind.strip_prefix("application/cloudevents") {
        Some("-batch+json") => batch(body, items_max),
        Some("+json") => structured(body, key_of(body)),
        Some(_) => Item::unparsed(body, Some(&key_of(body))),
        None => binary(headers, &kind, body),
    }
}

/// Keeps a request whose body could not be decoded, as it came.
pub fn undecoded(headers: &Headers<'_>, body: &Bytes) -> Vec<Item> {
    let came = match media_type(headers).starts_with("application/cloudevents") {
        true => body.clone(),
        false => message(headers, body),
    };
    Item::unparsed(&came, Some(&key_of(&came)))
}

/// Returns the media type of the body in lower case, without its parameters.
fn media_type(headers: &Headers<'_>) -> String {
    let value = headers.iter().find(|(name, _)| *name == "content-type").map(|(_, value)| *value);
    let text = value.and_then(|value| str::from_utf8(value).ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Reads an array of events.
fn batch(body: &Bytes, items_max: usize) -> Vec<Item> {
    let whole = key_of(body);
    let Some(cut) = array(body, items_max) else { return Item::unparsed(body, Some(&whole)) };
    let events = cut.items.iter().enumerate();
    let mut items: Vec<Item> =
        events.flat_map(|(number, event)| structured(event, numbered(&whole, number))).collect();
    items.extend(Item::unparsed(&cut.rest, Some(&numbered(&whole, cut.items.len()))));
    items
}

/// Reads an event of the JSON format; `unnamed` is the key of what is none.
fn structured(text: &Bytes, unnamed: Vec<u8>) -> Vec<Item> {
    let made = match read(text, &ITEM_LIMITS) {
        Ok(Value::Object(members)) => event(members),
        _ => None,
    };
    match made {
        Some((draft, key)) => draft.item(Some(key), text),
        None => Item::unparsed(text, Some(&unnamed)),
    }
}

/// Makes an event of the members of the JSON format; `None` if they are none.
fn event(mut members: Object<'_>) -> Option<(EventDraft<'_>, Vec<u8>)> {
    let text = |name| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("specversion")? != "1.0" || text("type").is_none() {
        return None;
    }
    let key = named("event", &[text("source")?, text("id")?]);
    let mut draft = EventDraft::new();
    match (members.remove("data"), members.remove("data_base64")) {
        (Some(data), None) => draft.put("ctx", "data", data),
        (None, Some(data @ Value::String(_))) => draft.put("ctx", "data_base64", data),
        (None, None) => {}
        // One event has one piece of data.
        _ => return None,
    }
    place(&mut draft, &mut members);
    draft.put("ctx", "cloudevents", members);
    Some((draft, key))
}

/// Puts attributes where an event has a place for them; one that has not the form of its place stays.
fn place<'a>(draft: &mut EventDraft<'a>, attributes: &mut Object<'a>) {
    for (name, member) in
        [("type", Submitted::Act), ("source", Submitted::Source), ("outcome", Submitted::Out)]
    {
        if attributes.get(name).is_some_and(|value| member.accepts(value))
            && let Some(value) = attributes.remove(name)
        {
            draft.set(member.name(), value);
        }
    }
    // Of these two the extension "Auth Context" speaks.
    for (name, part, inner) in
        [("subject", "resource", "id"), ("authid", "actor", "id"), ("authtype", "actor", "type")]
    {
        if attributes.get(name).is_some_and(|value| value.as_str().is_some())
            && let Some(value) = attributes.remove(name)
        {
            draft.put(part, inner, value);
        }
    }
    let time = attributes.get("time").and_then(Value::as_str);
    if time.is_some_and(|time| draft.occurred_text(time)) {
        attributes.remove("time");
    }
}

/// Reads an event whose attributes stand in headers.
fn binary(headers: &Headers<'_>, kind: &str, body: &Bytes) -> Vec<Item> {
    let came = message(headers, body);
    let made = attributes(headers).and_then(|mut members| {
        if !body.is_empty() {
            let (name, data) = data(kind, body);
            members.insert(name, data);
        }
        event(members)
    });
    match made {
        Some((draft, key)) => draft.item(Some(key), &came),
        None => Item::unparsed(&came, Some(&key_of(&came))),
    }
}

/// Takes the attributes out of headers; `None` if one can't be, or stands there twice.
fn attributes<'a>(headers: &Headers<'_>) -> Option<Object<'a>> {
    let mut members = Object::new();
    for (name, value) in headers {
        let name = match name.strip_prefix(PREFIX) {
            Some(name) if NO_HEADERS.contains(&name) => return None,
            Some(name) => name,
            None if *name == "content-type" => "datacontenttype",
            None => continue,
        };
        let value = match name {
            "datacontenttype" => str::from_utf8(value).ok()?.to_owned(),
            _ => attribute(value)?,
        };
        let is_twice = members.insert(name.to_owned(), value.into()).is_some();
        if is_twice || members.members().len() > ATTRIBUTES_MAX {
            return None;
        }
    }
    Some(members)
}

/// Decodes the value of an attribute: what is quoted first, then one round of percent-encoding (HTTP protocol
/// binding 1.0.2, section 3.1.3.2).
fn attribute(value: &[u8]) -> Option<String> {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let Some(inner) = inner else { return percent::decode(value) };
    let mut unquoted = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        // A backslash stands for what follows it (RFC 9110, section 5.6.4).
        let escaped = (*byte == b'\\').then(|| bytes.next()).flatten();
        unquoted.push(*escaped.unwrap_or(byte));
    }
    percent::decode(&unquoted)
}

/// Returns a body as a member of the JSON format: JSON as its value, other text as text, the rest in base64.
fn data<'a>(kind: &str, body: &'a [u8]) -> (&'static str, Value<'a>) {
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    let is_json = subtype == "json" || subtype.ends_with("+json");
    if is_json && let Ok(value) = read(body, &ITEM_LIMITS) {
        return ("data", value);
    }
    match str::from_utf8(body) {
        Ok(text) => ("data", text.into()),
        Err(_) => ("data_base64", STANDARD.encode(body).into()),
    }
}

/// Returns what came of an event in binary mode: a line for each of its headers in order of their names, an empty
/// line, and the body; nothing if neither is there. No other header is among them: they hold secrets.
fn message(headers: &Headers<'_>, body: &Bytes) -> Bytes {
    let is_part = |name: &str| name == "content-type" || name.starts_with(PREFIX);
    let mut lines: Vec<_> = headers.iter().filter(|(name, _)| is_part(name)).collect();
    if body.is_empty() && lines.iter().all(|(name, _)| !name.starts_with(PREFIX)) {
        return Bytes::new();
    }
    lines.sort();
    let mut message = Vec::with_capacity(body.len() + 256);
    for (name, value) in lines {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            message.extend_from_slice(part);
        }
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(body);
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_off_before_percent_signs() {
        for (value, decoded) in [
            ("plain", Some("plain")),
            ("Euro%20%E2%82%AC", Some("Euro \u{20ac}")),
            ("\"a \\\"b\\\" \\\\%20\"", Some("a \"b\" \\ ")),
            ("\"%22\"", Some("\"")),
            ("%22a%22", Some("\"a\"")),
            ("\"open", Some("\"open")),
            ("\"\"", Some("")),
            ("\"end\\\"", Some("end\\")),
            ("%2525", Some("%25")),
            ("%C0%A0", None),
        ] {
            assert_eq!(attribute(value.as_bytes()).as_deref(), decoded, "{value}");
        }
    }
}
