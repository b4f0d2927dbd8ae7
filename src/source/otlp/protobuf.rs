//! Log records in protobuf.

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::LogRecord as Message,
    resource::v1::Resource,
};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::record::{Dropped, LogRecord, Origin, Scope};
use super::value::{self, DEPTH_MAX, Room};
use super::{Harvest, Uncut};
use crate::core::record::json::{Object, Value};
use crate::source::foreign::{LIST_MAX, Malformed};

/// What stands in a message under a number.
type Field = (u32, Bytes);

/// Cuts a body into its records.
pub(super) fn cut(body: &Bytes, harvest: &mut Harvest<'_>) -> Result<(), Uncut> {
    for (number, resource_logs) in fields(body)? {
        if number == 1 {
            match cut_resource(&resource_logs, harvest) {
                Err(Uncut::Malformed) => harvest.unparsed(&resource_logs)?,
                cut => cut?,
            }
        }
    }
    Ok(())
}

/// Cuts `ResourceLogs`. If it is malformed, nothing of it was taken.
fn cut_resource(resource_logs: &Bytes, harvest: &mut Harvest<'_>) -> Result<(), Uncut> {
    let fields = fields(resource_logs)?;
    let (mut scopes, mut found) = (Vec::new(), 0);
    // First of all, so that records are taken only of what can be cut as a whole.
    for (_, logs) in fields.iter().filter(|(number, _)| *number == 2) {
        let parts = self::fields(logs)?;
        found += parts.len();
        if found > LIST_MAX {
            return Err(Uncut::Many);
        }
        scopes.push((logs, parts));
    }
    // A message that comes twice is merged, which is what its bytes one after the other mean.
    let resource = merged(&fields, 1);
    let schema = last(&fields, 3);
    let mut room = Room::new();
    let Resource { attributes, dropped_attributes_count, .. } =
        Resource::decode(resource.clone()).map_err(|_not_a_resource| Uncut::Malformed)?;
    let attributes = map(attributes, 0, &mut room).map_err(|Malformed| Uncut::Malformed)?;
    for (scope_logs, fields) in scopes {
        let scope = merged(&fields, 1);
        let parts = [&resource, &schema, &scope, &last(&fields, 3)];
        let mut room = room;
        let Ok(scope) = take_scope(scope.clone(), &mut room) else {
            harvest.unparsed(scope_logs)?;
            continue;
        };
        let dropped = u64::from(dropped_attributes_count);
        let origin =
            Origin::new(attributes.clone(), dropped, scope, &parts.map(|part| &part[..]), room);
        for (_, record) in fields.iter().filter(|(number, _)| *number == 2) {
            harvest.record(record, take(record.clone()), &origin)?;
        }
    }
    Ok(())
}

/// Returns the fields of a message that are messages, texts or bytes, in their order.
fn fields(message: &Bytes) -> Result<Vec<Field>, Uncut> {
    let malformed = |_error| Uncut::Malformed;
    let mut rest = message.clone();
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (number, form) = decode_key(&mut rest).map_err(malformed)?;
        if form != WireType::LengthDelimited {
            skip_field(form, number, &mut rest, DecodeContext::default()).map_err(malformed)?;
            continue;
        }
        let length = decode_varint(&mut rest).map_err(malformed)?;
        let length = usize::try_from(length).map_err(|_too_long| Uncut::Malformed)?;
        if length > rest.len() {
            return Err(Uncut::Malformed);
        }
        if fields.len() == LIST_MAX {
            return Err(Uncut::Many);
        }
        fields.push((number, rest.split_to(length)));
    }
    Ok(fields)
}

/// Returns what stands under a number, one after the other.
fn merged(fields: &[Field], number: u32) -> Bytes {
    let mut parts = fields.iter().filter(|field| field.0 == number).map(|(_, bytes)| bytes);
    match (parts.next(), parts.next()) {
        (None, _) => Bytes::new(),
        (Some(one), None) => one.clone(),
        (Some(one), Some(two)) => {
            let parts = [one, two].into_iter().chain(parts);
            parts.flat_map(|part| part.iter().copied()).collect()
        }
    }
}

/// Returns what stands under a number last.
fn last(fields: &[Field], number: u32) -> Bytes {
    let field = fields.iter().rev().find(|field| field.0 == number);
    field.map_or_else(Bytes::new, |(_, bytes)| bytes.clone())
}

/// Takes what in a program sent records.
fn take_scope(scope: Bytes, room: &mut Room) -> Result<Scope<'static>, Malformed> {
    let InstrumentationScope { name, version, attributes, dropped_attributes_count } =
        InstrumentationScope::decode(scope).map_err(|_not_a_scope| Malformed)?;
    Ok(Scope {
        name: name.into(),
        version: version.into(),
        attributes: map(attributes, 0, room)?,
        dropped: dropped_attributes_count.into(),
    })
}

/// Takes a record.
fn take(record: Bytes) -> Result<LogRecord<'static>, Malformed> {
    let record = Message::decode(record).map_err(|_not_a_record| Malformed)?;
    let mut room = Room::new();
    let body = record.body.filter(|body| body.value.is_some());
    Ok(LogRecord {
        time: record.time_unix_nano,
        observed: record.observed_time_unix_nano,
        severity: (record.severity_number != 0)
            .then(|| value::integer(record.severity_number.into())),
        severity_text: record.severity_text.into(),
        event_name: record.event_name.into(),
        body: body.map(|body| any(body, 0, &mut room)).transpose()?,
        attributes: map(record.attributes, 0, &mut room)?,
        dropped: Dropped(record.dropped_attributes_count.into()),
        flags: record.flags.into(),
        trace_id: hex(&record.trace_id).into(),
        span_id: hex(&record.span_id).into(),
        unknown: Object::new(),
        room,
    })
}

/// Takes attributes, or another map that stands inside of `depth` others.
fn map(
    members: Vec<KeyValue>,
    depth: usize,
    room: &mut Room,
) -> Result<Object<'static>, Malformed> {
    let mut member = |KeyValue { key, value, .. }: KeyValue| {
        Ok((key, any(value.unwrap_or_default(), depth, room)?))
    };
    value::map(members.into_iter().map(&mut member).collect::<Result<_, _>>()?)
}

/// Takes a value that stands inside of `depth` others.
fn any(any: AnyValue, depth: usize, room: &mut Room) -> Result<Value<'static>, Malformed> {
    use any_value::Value as Any;
    room.take()?;
    if depth == DEPTH_MAX && matches!(any.value, Some(Any::ArrayValue(_) | Any::KvlistValue(_))) {
        return Err(Malformed);
    }
    Ok(match any.value {
        // An index into a table that only profiles have says nothing here.
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(is)) => Value::Bool(is),
        Some(Any::IntValue(integer)) => value::integer(integer),
        Some(Any::DoubleValue(double)) => value::double(double),
        Some(Any::BytesValue(bytes)) => value::bytes(&bytes),
        Some(Any::ArrayValue(array)) => {
            let mut element = |element| self::any(element, depth + 1, room);
            let values = array.values.into_iter().map(&mut element);
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(Any::KvlistValue(list)) => map(list.values, depth + 1, room)?.into(),
    })
}

/// Returns bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
