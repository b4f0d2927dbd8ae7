//! Log records of OpenTelemetry, in both encodings: what becomes of them.

use std::path::Path;

use attestree::{
    core::record::Submission,
    source::{
        Item,
        otlp::{self, Encoding},
    },
};
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{
        AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message as _;

use super::golden;
use crate::vector;

/// Far more than a request of these tests has.
const ITEMS_MAX: usize = 4_096;

/// A time in nanoseconds.
const TIME: u64 = 1_795_252_501_014_872_003;

/// Decodes by the first byte: in protobuf, an object's brace would begin a group of field 15.
fn decode(body: &Bytes) -> Vec<Item> {
    let encoding = if body.first() == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf };
    otlp::decode(body, encoding, ITEMS_MAX)
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..Default::default() }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

/// A request with these records of one service.
pub(crate) fn request(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope = InstrumentationScope { name: "audit".to_owned(), ..Default::default() };
    let scope_logs = ScopeLogs { scope: Some(scope), log_records: records, ..Default::default() };
    let attributes = vec![attribute("service.name", text("checkout"))];
    let resource = Resource { attributes, ..Default::default() };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![scope_logs],
            ..Default::default()
        }],
    }
}

/// A record that names its event, at a time.
pub(crate) fn record(name: &str, time: u64) -> LogRecord {
    LogRecord { event_name: name.to_owned(), time_unix_nano: time, ..Default::default() }
}

fn encoded(records: Vec<LogRecord>) -> Bytes {
    request(records).encode_to_vec().into()
}

/// Writes a field that has a length before it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// Returns a value inside of so many lists.
fn nested(levels: usize) -> AnyValue {
    (0..levels).fold(any(Value::IntValue(1)), |value, level| match level % 2 {
        0 => any(Value::ArrayValue(ArrayValue { values: vec![value] })),
        _ => {
            let member = KeyValue { key: "k".into(), value: Some(value), ..Default::default() };
            any(Value::KvlistValue(KeyValueList { values: vec![member] }))
        }
    })
}

/// Values of every type, also those that JSON's protobuf can't bring.
fn values() -> LogRecord {
    let values = [
        Value::BoolValue(false),
        Value::IntValue(9_007_199_254_740_991),
        Value::IntValue(9_007_199_254_740_992),
        Value::IntValue(i64::MIN),
        Value::DoubleValue(f64::NAN),
        Value::DoubleValue(f64::INFINITY),
        Value::DoubleValue(f64::NEG_INFINITY),
        Value::DoubleValue(-0.0),
        Value::DoubleValue(1e300),
        Value::DoubleValue(5e-324),
        Value::BytesValue(vec![0xff, 0, 1]),
        Value::StringValueStrindex(3),
        text("\u{7f}\u{0}\u{fffd}"),
    ];
    let values = values.map(any).into_iter().chain([AnyValue { value: None }]).collect();
    let body = Some(any(Value::ArrayValue(ArrayValue { values })));
    LogRecord { body, trace_id: vec![0xab; 16], span_id: vec![1; 3], ..record("values", TIME) }
}

/// A request that a stranger made by hand.
fn hostile() -> Vec<u8> {
    let twice = vec![attribute("a", text("1")), attribute("a", text("2"))];
    let reserved = vec![attribute("$c", text("AAAA")), attribute("", text("no name"))];
    let records = [
        values().encode_to_vec(),
        // Another wire type, an end without a beginning, a length beyond the end, text that is none.
        vec![0x0d, 1, 2, 3, 4],
        vec![0x0c],
        vec![0x2a, 0x7f, 1],
        field(12, b"\xff\xfe"),
        LogRecord { attributes: twice, ..record("twice", TIME) }.encode_to_vec(),
        LogRecord { attributes: reserved, ..record("reserved", TIME) }.encode_to_vec(),
        LogRecord { body: Some(nested(24)), ..record("deepest", TIME) }.encode_to_vec(),
        LogRecord { body: Some(nested(25)), ..record("too-deep", TIME) }.encode_to_vec(),
        LogRecord { body: Some(nested(300)), ..record("bomb", TIME) }.encode_to_vec(),
        record(&"long".repeat(65), TIME).encode_to_vec(),
        // A field of a version to come, and a group.
        [record("future", TIME).encode_to_vec(), field(15, b"new"), vec![0x83, 1, 0x84, 1]]
            .concat(),
        Vec::new(),
    ];
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    let half = |name: &str| {
        let attributes = vec![attribute(name, text(name))];
        field(1, &Resource { attributes, ..Default::default() }.encode_to_vec())
    };
    let one = field(2, &record("of-a-scope", TIME).encode_to_vec());
    let no_scope = [field(1, b"\x0a\x02\xff\xff"), one.clone()].concat();
    let whole = [half("a"), field(2, &records), half("b"), field(2, &no_scope)].concat();
    let no_resource = [field(1, b"\x0a\x7f"), field(2, &one)].concat();
    let no_logs = [half("a"), field(2, &one), vec![0x12, 0x7f]].concat();
    let parts = [field(1, &whole), field(1, &no_resource), field(1, &no_logs), field(7, b"")];
    [parts.concat(), field(1, &[])].concat()
}

#[test]
fn golden_files_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/source/otlp");
    let plain: ExportLogsServiceRequest =
        serde_json::from_slice(include_bytes!("../../vectors/source/otlp/plain.in.json")).unwrap();
    vector::compare(&folder.join("plain-protobuf.in.pb"), &plain.encode_to_vec());
    vector::compare(&folder.join("hostile-protobuf.in.pb"), &hostile());
    vector::compare(&folder.join("cut-off-message.in.pb"), &[0x0a, 0x05, 0x12]);
    assert_eq!(golden::compare_all("otlp", decode), 11);
}

#[test]
fn both_encodings_make_the_same_events() {
    let json = Bytes::from_static(include_bytes!("../../vectors/source/otlp/plain.in.json"));
    let message: ExportLogsServiceRequest = serde_json::from_slice(&json).unwrap();
    let protobuf = Bytes::from(message.encode_to_vec());
    let (one, other) = (decode(&json), decode(&protobuf));
    assert!(one.len() >= 3 && one.iter().all(|item| item.is_event));
    let events = |items: &[Item]| -> Vec<_> {
        items.iter().map(|item| (item.bytes.clone(), item.occurred)).collect()
    };
    assert_eq!(events(&one), events(&other));
}

#[test]
fn every_event_has_its_form() {
    for items in [hostile(), encoded(vec![values()]).to_vec()].map(|body| decode(&body.into())) {
        for item in items.iter().filter(|item| item.is_event) {
            Submission::parse(&item.bytes).unwrap().event().unwrap();
        }
        assert!(items.iter().any(|item| item.is_event));
    }
}

#[test]
fn a_record_is_named_by_all_of_it_if_its_clock_is_fine() {
    let key = |record: LogRecord| decode(&encoded(vec![record])).remove(0).key;
    let named = key(record("a", TIME)).unwrap();
    assert_eq!(key(record("a", TIME)), Some(named.clone()));
    assert_ne!(key(record("a", TIME + 1)), Some(named.clone()));
    assert_ne!(key(record("b", TIME)), Some(named.clone()));
    let other = LogRecord { attributes: vec![attribute("n", text("1"))], ..record("a", TIME) };
    assert_ne!(key(other), Some(named.clone()));
    for time in [0, TIME / 1_000_000 * 1_000_000] {
        assert_eq!(key(record("a", time)), None, "a clock of milliseconds names nothing");
        let observed = LogRecord { observed_time_unix_nano: TIME, ..record("a", time) };
        assert!(key(observed).is_some());
    }
    let mut elsewhere = request(vec![record("a", TIME)]);
    elsewhere.resource_logs[0].resource = None;
    let elsewhere = decode(&elsewhere.encode_to_vec().into()).remove(0);
    assert_ne!(elsewhere.key, Some(named));
}

#[test]
fn equal_records_of_one_request_are_as_many_as_came() {
    let body = encoded(vec![record("a", TIME), record("a", TIME), record("b", TIME)]);
    let items = decode(&body);
    let keys: std::collections::BTreeSet<_> = items.iter().map(|item| &item.key).collect();
    assert_eq!((items.len(), keys.len()), (3, 3));
    assert_eq!(decode(&body), items, "sent again, each is recognised");
}

#[test]
fn a_request_that_is_too_long_is_kept_as_it_came() {
    let body = encoded(vec![record("a", TIME), record("b", TIME)]);
    assert!(otlp::decode(&body, Encoding::Protobuf, 2).iter().all(|item| item.is_event));
    let [item] = &otlp::decode(&body, Encoding::Protobuf, 1)[..] else { panic!("one item") };
    assert_eq!((item.is_event, &item.bytes), (false, &body));
    // Two bytes each: no more of them are kept in memory than a request may have.
    let flood = Bytes::from(field(1, &field(2, &field(2, &[]).repeat(1 << 20))));
    let many = field(2, &field(3, &[]).repeat(2_000));
    let spread = Bytes::from(field(1, &many.repeat(1_000)));
    for flood in [flood, spread] {
        let items = otlp::decode(&flood, Encoding::Protobuf, usize::MAX);
        assert!(items.iter().all(|item| !item.is_event) && items.len() < 6);
    }
    let long = LogRecord { body: Some(any(text(&"x".repeat(3 << 20)))), ..record("a", TIME) };
    let items = decode(&encoded(vec![long.clone(), record("b", TIME)]));
    assert_eq!(items.iter().filter(|item| item.is_event).count(), 1);
    let kept: Vec<u8> =
        items.iter().filter(|item| !item.is_event).flat_map(|item| item.bytes.to_vec()).collect();
    assert_eq!(kept, long.encode_to_vec(), "in pieces, but all of it");
}

#[test]
fn nothing_that_names_a_person_stands_in_two_places() {
    let attributes =
        ["user.id", "user.email", "user.name", "client.address"].map(|name| match name {
            "client.address" => attribute(name, text("203.0.113.9")),
            _ => attribute(name, text("somebody")),
        });
    let record = LogRecord { attributes: attributes.to_vec(), ..record("auth.login", TIME) };
    let item = decode(&encoded(vec![record])).remove(0);
    let event = String::from_utf8(item.bytes.to_vec()).unwrap();
    assert_eq!(event.matches("somebody").count(), 3, "{event}");
    assert_eq!(event.matches("203.0.113.9").count(), 1, "{event}");
    assert!(!event.contains("attributes"), "{event}");
}
