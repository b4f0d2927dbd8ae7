//! Log records in the JSON of protobuf.
//!
//! Names are in lower camel case, identifiers of traces are hexadecimal, and a number of 64 bits is a string or a number.
//! A name in a record that the protocol does not have is kept with its value; an object that has nothing of what it is there
//! for, but something else, is none.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::record::{Dropped, LogRecord, Origin, Scope};
use super::value::{self, DEPTH_MAX, Room};
use super::{Harvest, Uncut};
use crate::core::record::json::{Limits, Object, Value};
use crate::source::foreign::{Malformed, Members, RawList, VALUES_MAX};
use crate::source::json;

/// Levels of JSON to each level of a value: the value, its map, the list in that, and a member.
const LEVELS: usize = 4;

/// Most levels of the JSON of one record: those of its deepest value, the record, its attributes, and one of them.
const RECORD_DEPTH_MAX: usize = LEVELS * (DEPTH_MAX + 1) + 3;

/// A body, its parts not looked at.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, rename = "resourceLogs")]
    resources: Option<RawList<'a>>,
}

/// `ResourceLogs`, likewise.
#[derive(Deserialize)]
struct ResourceLogs<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, rename = "scopeLogs")]
    scopes: Option<RawList<'a>>,
    #[serde(borrow, rename = "schemaUrl")]
    schema: Option<Cow<'a, str>>,
}

/// `ScopeLogs`, likewise.
#[derive(Deserialize)]
struct ScopeLogs<'a> {
    #[serde(borrow)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, rename = "logRecords")]
    records: Option<RawList<'a>>,
    #[serde(borrow, rename = "schemaUrl")]
    schema: Option<Cow<'a, str>>,
}

/// Cuts a body into its records.
pub(super) fn cut(body: &Bytes, harvest: &mut Harvest<'_>) -> Result<(), Uncut> {
    let Ok(Request { resources }) = serde_json::from_slice(body) else {
        return Err(Uncut::Malformed);
    };
    let Some(resources) = resources else {
        return if is_bare(body, &[]) { Ok(()) } else { Err(Uncut::Malformed) };
    };
    for raw in resources.0 {
        match cut_resource(body, raw, harvest) {
            Err(Uncut::Malformed) => harvest.unparsed(&slice(body, raw))?,
            cut => cut?,
        }
    }
    Ok(())
}

/// Cuts `ResourceLogs`. If it is malformed, nothing of it was taken.
fn cut_resource(body: &Bytes, raw: &RawValue, harvest: &mut Harvest<'_>) -> Result<(), Uncut> {
    let malformed = |Malformed| Uncut::Malformed;
    let logs: ResourceLogs<'_> =
        serde_json::from_str(raw.get()).map_err(|_not_this| Uncut::Malformed)?;
    let Some(scopes) = logs.scopes else {
        let bare = is_bare(raw.get().as_bytes(), &["resource", "schemaUrl"]);
        return if bare { Ok(()) } else { Err(Uncut::Malformed) };
    };
    let mut room = Room::new();
    let mut resource = members(logs.resource).map_err(malformed)?;
    let attributes = map(&mut resource, "attributes", 0, &mut room).map_err(malformed)?;
    let dropped = natural(&mut resource, "droppedAttributesCount").map_err(malformed)?;
    let resource = logs.resource.map_or("", RawValue::get);
    let schema = logs.schema.unwrap_or_default();
    for raw in scopes.0 {
        let mut room = room;
        let Ok((scope, parts, records)) = cut_scope(raw, &mut room) else {
            harvest.unparsed(&slice(body, raw))?;
            continue;
        };
        let parts = [resource, &*schema, parts.0, &*parts.1].map(str::as_bytes);
        let origin = Origin::new(attributes.clone(), dropped, scope, &parts, room);
        for raw in records.0 {
            harvest.record(&slice(body, raw), take(raw.get()), &origin)?;
        }
    }
    Ok(())
}

/// A scope, what it was written as with its schema, and the records of it.
type Cut<'a> = (Scope<'a>, (&'a str, Cow<'a, str>), RawList<'a>);

/// Cuts `ScopeLogs`.
fn cut_scope<'a>(raw: &'a RawValue, room: &mut Room) -> Result<Cut<'a>, Malformed> {
    let logs: ScopeLogs<'a> = serde_json::from_str(raw.get()).map_err(|_not_this| Malformed)?;
    if logs.records.is_none() && !is_bare(raw.get().as_bytes(), &["scope", "schemaUrl"]) {
        return Err(Malformed);
    }
    let mut members = members(logs.scope)?;
    let scope = Scope {
        name: members.text("name")?.unwrap_or_default(),
        version: members.text("version")?.unwrap_or_default(),
        attributes: map(&mut members, "attributes", 0, room)?,
        dropped: natural(&mut members, "droppedAttributesCount")?,
    };
    let text = logs.scope.map_or("", RawValue::get);
    Ok((scope, (text, logs.schema.unwrap_or_default()), logs.records.unwrap_or_default()))
}

/// Returns the bytes of a part of a body.
fn slice(body: &Bytes, raw: &RawValue) -> Bytes {
    body.slice_ref(raw.get().as_bytes())
}

/// Reads one part.
fn read(text: &str) -> Result<Value<'_>, Malformed> {
    let limits = Limits {
        bytes: text.len(),
        depth: RECORD_DEPTH_MAX,
        // A value of the event is written as up to that many.
        values: VALUES_MAX * (LEVELS + 1),
    };
    json::read(text.as_bytes(), &limits).map_err(|_not_json| Malformed)
}

/// Reads an object that may be left out.
fn members(raw: Option<&RawValue>) -> Result<Members<'_>, Malformed> {
    Members::of(match raw {
        Some(raw) => read(raw.get())?,
        None => Object::new().into(),
    })
}

/// Returns whether an object has none but these members.
fn is_bare(text: &[u8], names: &[&str]) -> bool {
    let object = str::from_utf8(text).ok().and_then(|text| read(text).ok());
    let object = object.as_ref().and_then(Value::as_object);
    object.is_some_and(|object| {
        object.members().iter().all(|(name, _)| names.contains(&name.as_ref()))
    })
}

/// Takes a record.
fn take(text: &str) -> Result<LogRecord<'_>, Malformed> {
    let mut members = Members::of(read(text)?)?;
    let mut room = Room::new();
    let severity = members.take("severityNumber").filter(|number| number.as_natural() != Some(0));
    if !severity.as_ref().is_none_or(|number| {
        // Parsers of protobuf's JSON take the name of a number as well.
        number.as_natural().is_some() || number.as_str().is_some()
    }) {
        return Err(Malformed);
    }
    let body = members.take("body").map(|body| any(body, 0, &mut room)).transpose()?;
    Ok(LogRecord {
        time: natural(&mut members, "timeUnixNano")?,
        observed: natural(&mut members, "observedTimeUnixNano")?,
        severity,
        severity_text: members.text("severityText")?.unwrap_or_default(),
        event_name: members.text("eventName")?.unwrap_or_default(),
        body: body.filter(|body| *body != Value::Null),
        attributes: map(&mut members, "attributes", 0, &mut room)?,
        dropped: Dropped(natural(&mut members, "droppedAttributesCount")?),
        flags: natural(&mut members, "flags")?,
        trace_id: identifier(&mut members, "traceId")?,
        span_id: identifier(&mut members, "spanId")?,
        unknown: members.rest(),
        room,
    })
}

/// Takes an identifier of a trace; what is not hexadecimal is kept as it came.
fn identifier<'a>(members: &mut Members<'a>, name: &str) -> Result<Cow<'a, str>, Malformed> {
    let text = members.text(name)?.unwrap_or_default();
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(if is_hex { text.to_ascii_lowercase().into() } else { text })
}

/// Takes a number from 0, as a number or as its text.
fn natural(members: &mut Members<'_>, name: &str) -> Result<u64, Malformed> {
    match members.take(name) {
        None => Ok(0),
        Some(Value::String(text)) => text.parse().map_err(|_not_a_number| Malformed),
        Some(number) => number.as_natural().ok_or(Malformed),
    }
}

/// Takes attributes, or another map that stands inside of `depth` others.
fn map<'a>(
    members: &mut Members<'a>,
    name: &str,
    depth: usize,
    room: &mut Room,
) -> Result<Object<'a>, Malformed> {
    let mut taken = Vec::new();
    for member in members.list(name)? {
        let mut member = Members::of(member)?;
        let name = member.text("key")?.unwrap_or_default().into_owned();
        let value = member.take("value").unwrap_or(Object::new().into());
        taken.push((name, any(value, depth, room)?));
    }
    value::map(taken)
}

/// Takes a value that stands inside of `depth` others.
fn any<'a>(value: Value<'a>, depth: usize, room: &mut Room) -> Result<Value<'a>, Malformed> {
    room.take()?;
    let mut value = Members::of(value)?;
    let forms = [
        value.take("stringValue").map(|text| match text {
            Value::String(_) => Ok(text),
            _ => Err(Malformed),
        }),
        value.take("boolValue").map(|is| match is {
            Value::Bool(_) => Ok(is),
            _ => Err(Malformed),
        }),
        value.take("intValue").map(integer),
        value.take("doubleValue").map(double),
        value.take("bytesValue").map(|text| match text {
            Value::String(_) => Ok(text),
            _ => Err(Malformed),
        }),
        value.members("arrayValue")?.map(|array| list(array, depth, room)),
        value.members("kvlistValue")?.map(|mut list| {
            let map = below(depth).and_then(|depth| map(&mut list, "values", depth, room));
            map.map(Value::from)
        }),
        value.take("stringValueStrindex").map(|_index| Ok(Value::Null)),
    ];
    // What this protocol does not have may be a value that nobody could show.
    if !value.rest().members().is_empty() {
        return Err(Malformed);
    }
    let mut forms = forms.into_iter().flatten();
    match (forms.next(), forms.next()) {
        (None, _) => Ok(Value::Null),
        (Some(form), None) => form,
        (Some(_), Some(_)) => Err(Malformed),
    }
}

/// Returns how deep what stands in a list or a map is.
const fn below(depth: usize) -> Result<usize, Malformed> {
    if depth == DEPTH_MAX { Err(Malformed) } else { Ok(depth + 1) }
}

/// Takes a list that stands inside of `depth` others.
fn list<'a>(mut array: Members<'a>, depth: usize, room: &mut Room) -> Result<Value<'a>, Malformed> {
    let depth = below(depth)?;
    let mut values = Vec::new();
    for element in array.list("values")? {
        values.push(any(element, depth, room)?);
    }
    Ok(Value::Array(values))
}

/// Takes an integer, as a number or as its text.
fn integer(value: Value<'_>) -> Result<Value<'_>, Malformed> {
    match value {
        Value::Number(number) if number.integer().is_some() => Ok(Value::Number(number)),
        Value::String(text) => text.parse().map(value::integer).map_err(|_not_one| Malformed),
        _ => Err(Malformed),
    }
}

/// Takes a number, its text, or a word for what is none.
fn double(value: Value<'_>) -> Result<Value<'_>, Malformed> {
    match value {
        Value::Number(_) => Ok(value),
        Value::String(text) if matches!(&*text, "NaN" | "Infinity" | "-Infinity") => {
            Ok(Value::String(text))
        }
        Value::String(text) => match read(&text)?.into_owned() {
            // The reader makes a text again of what a double would change.
            number @ (Value::Number(_) | Value::String(_)) if !text.starts_with('"') => Ok(number),
            _ => Err(Malformed),
        },
        _ => Err(Malformed),
    }
}
