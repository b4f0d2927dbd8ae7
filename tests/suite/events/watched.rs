//! What is counted and what calls for attention, from a producer to the log.

use attestree::{
    client::{Became, NewEntry},
    core::{
        policy::Bundle,
        record::{AlertCause, Body, Record, System},
    },
    proto::{
        Answer, AppendEventBatchRequest, AppendEventRequest, AppendEventStreamRequest,
        ApplyPolicyRequest, BatchEvent, GetEntryRequest, Verdict,
        append_event_stream_response::Outcome,
    },
};
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{admin, apply, events, one, start};
use crate::{http_tiles::client, served::Served};

/// Reads are noise.
const NOISE: &str = "\
apiVersion: attestree/v1
kind: Policy
classes:
  write: {match: {action: {suffix: .write}}}
suppress: [{name: reads, match: {action: {suffix: .read}, ctx.from: {cidr: 10.0.0.0/8}}, every: 1h}]
";

const READ: &str = r#"{"act":"doc.read","ctx":{"from":"10.1.2.3"}}"#;

/// Returns what the system has said, from an index on.
async fn said(served: &Served, from: u64) -> Vec<System> {
    let size = served.running().pipeline().logs()[0].published().head().size.get();
    let mut found = Vec::new();
    for leaf_index in from..size {
        let request = GetEntryRequest { leaf_index, ..Default::default() };
        let entry = served.client().await.get_entry(request).await.unwrap().into_inner().entry;
        if let Body::System(system) = Record::parse(&entry).unwrap().body() {
            found.push(system.clone());
        }
    }
    found
}

#[tokio::test]
async fn what_is_suppressed_is_told_on_every_way_in_and_counted() {
    let served = start();
    let from = apply(&served, NOISE).await.unwrap().leaf_index + 1;
    let mut grpc = events(&served).await;
    let keyed = |key: &'static str| AppendEventRequest { idempotency_key: key.into(), ..one(READ) };
    // Twice under one key: once.
    for _ in 0..2 {
        let answer = grpc.append_event(keyed("k")).await.unwrap().into_inner();
        let record = answer.record.unwrap();
        assert!(answer.appended.is_none() && record.suppressed);
        assert_eq!((record.verdict(), record.entry.len()), (Verdict::Unspecified, 0));
    }
    let event = |event: &'static str| BatchEvent { event: event.into(), ..Default::default() };
    let outside = r#"{"act":"doc.read","ctx":{"from":"192.0.2.1"}}"#;
    let request = AppendEventBatchRequest {
        keyed_events: vec![event(READ), event(outside), event(READ), event("{}")],
        answer: Answer::Receipt.into(),
        ..Default::default()
    };
    let answer = grpc.append_event_batch(request).await.unwrap().into_inner();
    let suppressed: Vec<bool> = answer.records.iter().map(|record| record.suppressed).collect();
    assert_eq!(suppressed, [true, false, true, false]);
    let place = answer.appended.unwrap();
    assert_eq!((place.from, place.to), (from, from + 2));

    let requests = [READ, "{}"]
        .map(|event| AppendEventStreamRequest { event: event.into(), ..Default::default() });
    let header = AppendEventStreamRequest { answer: Answer::Index.into(), ..Default::default() };
    let requests = [header].into_iter().chain(requests);
    let stream = grpc.append_event_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut stream = stream.into_inner();
    let mut told = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        let Outcome::Appended(answer) = answer.outcome.unwrap() else { panic!("it is taken") };
        told.push((answer.appended.is_some(), answer.record.unwrap().suppressed));
    }
    assert_eq!(told, [(false, true), (true, false)]);

    let post = |form: &'static str, body: String| {
        let request = client().post(served.url("/v1/events")).header(CONTENT_TYPE, form);
        request.body(body).send()
    };
    let response = post("application/json", READ.to_owned()).await.unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer, json!({"suppressed": true}));
    let response = post("application/x-ndjson", format!("{READ}\n{{}}\n")).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"line": 1, "suppressed": true}));
    assert_eq!(lines[1]["verdict"], "accept");

    let verified = super::client::connect(&served).await;
    let event = NewEntry { bytes: READ.into(), key: Bytes::new() };
    let appended = verified.append_event(event).await.unwrap();
    assert!(matches!(appended.became, Became::Suppressed) && appended.appended.is_none());

    // The next policy ends the count.
    apply(&served, &NOISE.replace("1h", "2h")).await.unwrap();
    let counts: Vec<u64> = said(&served, from)
        .await
        .into_iter()
        .filter_map(|system| match system {
            System::Suppressed(tally) if tally.rule == "reads" => Some(tally.count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [7]);
}

#[tokio::test]
async fn alerts_of_conditions_and_of_rego_are_records_behind_their_events() {
    let served = start();
    let document = "apiVersion: attestree/v1
kind: Policy
classes:
  root: {match: {actor.id: root}}
alerts:
  - {name: night, match: {ctx.hour: {range: {max: 5}}, not: {source: 'cron-*'}}, to: [soc]}
rego: [{file: tell.rego}]
";
    let rego = "package shop.tell
alert contains \"vault\" if input.act == \"vault.open\"
";
    let files = [("policy.yaml", document), ("rego/tell.rego", rego)];
    let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    let bundle = Bundle::new(files).unwrap().encode().into();
    let request = ApplyPolicyRequest { bundle, ..Default::default() };
    let applied = admin(&served).await.apply_policy(request).await.unwrap().into_inner();
    let mut grpc = events(&served).await;
    let batch = AppendEventBatchRequest {
        events: [
            r#"{"act":"vault.open","ctx":{"hour":3}}"#,
            r#"{"act":"vault.close","ctx":{"hour":12},"actor":{"id":"root"}}"#,
            r#"{"act":"vault.open","actor":{"id":"root"}}"#,
        ]
        .map(Bytes::from)
        .to_vec(),
        ..Default::default()
    };
    let place = grpc.append_event_batch(batch).await.unwrap().into_inner().appended.unwrap();
    assert_eq!((place.from, place.to), (applied.leaf_index + 1, applied.leaf_index + 4));
    let told: Vec<(String, Option<String>)> = said(&served, place.to)
        .await
        .into_iter()
        .map(|system| match system {
            System::Alert(AlertCause::Match, tally) => (tally.rule, tally.class),
            other => panic!("{other:?}"),
        })
        .collect();
    let vault = "rego/shop.tell/vault".to_owned();
    let expected =
        [("night".to_owned(), None), (vault.clone(), None), (vault, Some("root".to_owned()))];
    assert_eq!(told, expected);
}
