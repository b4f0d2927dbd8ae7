//! Splunk's HTTP Event Collector: objects that follow one another, or lines.
//!
//! ```text
//! {"time":1643234829.123,"host":"web-7","event":"..."}{"event":{...},"fields":{"event_id":"..."}}
//! ```
//!
//! Of `host`, `source`, `sourcetype` and `index` nothing is guessed about an event, and of its text neither: it
//! stands below `ctx`. Only what names its own type [`OWN_TYPE`] is an event of this log's form.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::cut::{ITEM_LIMITS, stream};
use super::json::{key_of, read};
use super::key::{named, numbered};
use super::{EventDraft, Item, percent};
use crate::core::record::json::{Object, Value};
use crate::core::record::{Submission, Submitted, Timestamp};

/// The `sourcetype` of events that have this log's own form.
pub const OWN_TYPE: &str = "attestree:event";

/// The member of `fields` that names an event.
const EVENT_ID: &str = "event_id";

/// Most bytes of a request for acknowledgements: the 4,096 numbers of [`ACKS_MAX`], of at most 20 digits each.
pub const ACKS_BYTES_MAX: usize = 1 << 17;

/// Most numbers that one request asks about.
pub const ACKS_MAX: usize = 4_096;

/// Where events come from, as the sender says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    host: Option<String>,
    /// `index`, `source` and `sourcetype`.
    others: Object<'static>,
}

impl Metadata {
    /// Takes it out of the query of a request; of a name that stands there twice the later holds.
    pub fn of_query(query: &str) -> Self {
        let mut metadata = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            // In a query a plus sign is a space (application/x-www-form-urlencoded).
            let Some(value) = percent::decode(value.replace('+', " ").as_bytes()) else { continue };
            match name {
                "host" => metadata.host = Some(value),
                "index" | "source" | "sourcetype" => {
                    metadata.others.insert(name.to_owned(), value.into());
                }
                _ => {}
            }
        }
        metadata
    }
}

/// Makes items of objects that follow one another; of more than `items_max` the rest is kept as it came, as
/// everything from the first on that is no JSON.
pub fn decode(body: &Bytes, items_max: usize) -> Vec<Item> {
    let whole = key_of(body);
    let cut = stream(body, items_max);
    let mut items = Vec::new();
    for (number, text) in cut.items.iter().enumerate() {
        let made = match read(text, &ITEM_LIMITS) {
            Ok(Value::Object(members)) => object(members, text),
            _ => None,
        };
        items.extend(made.unwrap_or_else(|| Item::unparsed(text, Some(&numbered(&whole, number)))));
    }
    items.extend(Item::unparsed(&cut.rest, Some(&numbered(&whole, cut.items.len()))));
    items
}

/// Makes items of lines; empty ones are passed over, and of more than `items_max` the rest is kept as it came.
///
/// Nothing names a line: two that are equal are two events.
pub fn decode_raw(body: &Bytes, metadata: &Metadata, items_max: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = body.clone();
    let mut count = 0;
    while !rest.is_empty() && count < items_max {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = rest.split_to(end);
        let _newline = rest.split_to(rest.len().min(1));
        if line.trim_ascii().is_empty() {
            continue;
        }
        count += 1;
        let Ok(text) = str::from_utf8(line.strip_suffix(b"\r").unwrap_or(&line)) else {
            items.extend(Item::unparsed(&line, None));
            continue;
        };
        let mut draft = EventDraft::new();
        draft.put("ctx", "event", text);
        let host = metadata.host.as_deref().map(Value::from);
        place(&mut draft, host, metadata.others.clone());
        items.extend(draft.item(None, &line));
    }
    items.extend(Item::unparsed(&rest, None));
    items
}

/// Makes an item of an object; `None` if there is no event in it.
fn object(mut members: Object<'_>, came: &Bytes) -> Option<Vec<Item>> {
    let event = members.remove("event").filter(|event| *event != Value::Null)?;
    let fields = members.remove("fields");
    let key = fields.as_ref().and_then(Value::as_object).and_then(|fields| fields.get(EVENT_ID));
    let key = key.and_then(Value::as_str).filter(|id| !id.is_empty());
    let key = key.map(|id| named("event", &[id]));
    let is_own = members.get("sourcetype").and_then(Value::as_str) == Some(OWN_TYPE);
    if let Value::Object(event) = &event
        && is_own
    {
        return own(event, key, came);
    }
    let mut draft = EventDraft::new();
    draft.put("ctx", "event", event);
    if let Some(fields) = fields {
        draft.put("ctx", "fields", fields);
    }
    if let Some(is_whole) = members.get("time").and_then(|time| occurred(&mut draft, time))
        && is_whole
    {
        members.remove("time");
    }
    let is_host = members.get("host").is_some_and(|host| Submitted::Source.accepts(host));
    let host = if is_host { members.remove("host") } else { None };
    place(&mut draft, host, members);
    Some(draft.item(key, came))
}

/// Puts where an event comes from into it.
fn place<'a>(draft: &mut EventDraft<'a>, host: Option<Value<'a>>, mut others: Object<'a>) {
    match host {
        Some(host) if Submitted::Source.accepts(&host) => draft.set("source", host),
        Some(host) => drop(others.insert("host", host)),
        None => {}
    }
    if !others.members().is_empty() {
        draft.put("ctx", "hec", others);
    }
}

/// Takes an event of this log's own form as it is; `None` if it has not that form.
fn own(event: &Object<'_>, key: Option<Vec<u8>>, came: &Bytes) -> Option<Vec<Item>> {
    /// The text of the event, beside what is only the way here.
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        event: &'a RawValue,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(came).ok()?;
    let text = envelope.event.get().as_bytes();
    Submission::parse(text).ok()?;
    let occurred = event.get("ot").and_then(Value::as_str).and_then(Timestamp::parse_occurred);
    Some(vec![Item { bytes: came.slice_ref(text), key, is_event: true, occurred }])
}

/// Takes seconds since 1970 with a fraction, as a number or its text; returns whether no digit was cut off, and
/// `None` if it is no such number.
fn occurred(draft: &mut EventDraft<'_>, time: &Value<'_>) -> Option<bool> {
    let text = match time {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) => time.format(),
        _ => return None,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let (kept, cut) = fraction.split_at(fraction.len().min(6));
    let micros: u64 = format!("{whole}{kept:0<6}").parse().ok()?;
    Timestamp::from_micros(micros)?;
    draft.occurred(micros);
    Some(cut.bytes().all(|digit| digit == b'0'))
}

/// Reads the numbers of acknowledgements that a sender asks about: `{"acks":[0,1]}`.
pub fn decode_acks(body: &[u8]) -> Option<Vec<u64>> {
    /// What is asked.
    #[derive(Deserialize)]
    struct Asked {
        acks: Vec<u64>,
    }
    let Asked { acks } = serde_json::from_slice(body).ok()?;
    (body.len() <= ACKS_BYTES_MAX && acks.len() <= ACKS_MAX).then_some(acks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimal_to_the_microsecond() {
        let of = |value: Value<'_>| {
            let mut draft = EventDraft::new();
            let is_whole = occurred(&mut draft, &value);
            let items = draft.item(None, &Bytes::from_static(b"-"));
            (is_whole, items[0].occurred.map(Timestamp::micros))
        };
        for (text, micros, is_whole) in [
            ("1643234829.123", 1_643_234_829_123_000, true),
            ("1643234829", 1_643_234_829_000_000, true),
            (" 1643234829.1234567 ", 1_643_234_829_123_456, false),
            ("1643234829.1234560", 1_643_234_829_123_456, true),
            ("0.000001", 1, true),
        ] {
            assert_eq!(of(text.into()), (Some(is_whole), Some(micros)), "{text}");
        }
        for text in ["", ".5", "5.", "-1", "+1", "1e9", "1.-5", "99999999999999", "now", "1 2"] {
            assert_eq!(of(text.into()), (None, None), "{text}");
        }
    }
}
