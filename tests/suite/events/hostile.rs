//! What nobody should send, at each way in: refused where it is wrong, and the server lives on.

use std::time::{Duration, Instant};

use attestree::proto::{
    AppendEventBatchRequest, AppendEventRequest, AppendEventStreamRequest, Verdict,
    append_event_stream_response::Outcome,
};
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use tonic::Code;

use super::{POLICY, apply, events, one, start};
use crate::http_tiles::client;

/// What may be done about a submission.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Due {
    Refused,
    Recorded,
}

/// Hostile submissions, and what is due to each.
fn hostile() -> Vec<(&'static str, Bytes, Due)> {
    let names = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"k{at}\":{at}")).collect();
        format!("{{\"ctx\":{{{}}}}}", members.join(","))
    };
    let nested = |depth: usize| format!("{}1{}", "{\"ctx\":".repeat(depth), "}".repeat(depth));
    let megabyte = format!("{{\"ctx\":{{\"a\":\"{}\"}}}}", "x".repeat((1 << 20) - 18));
    vec![
        ("a depth bomb of objects", nested(100_000).into(), Due::Refused),
        ("a depth bomb of arrays", "[".repeat(1 << 20).into(), Due::Refused),
        ("one level too many", nested(33).into(), Due::Refused),
        ("a giant number", format!("{{\"seq\":{}}}", "9".repeat(1_000_000)).into(), Due::Refused),
        ("a giant exponent", r#"{"seq":1e999999999}"#.into(), Due::Refused),
        ("a number beyond doubles", r#"{"seq":9007199254740993}"#.into(), Due::Refused),
        ("bytes that are no UTF-8", Bytes::from_static(b"{\"act\":\"\xff\"}"), Due::Refused),
        ("half a surrogate pair", r#"{"act":"\ud800"}"#.into(), Due::Refused),
        ("a name twice", r#"{"act":"a","act":"b"}"#.into(), Due::Refused),
        ("a name twice, once escaped", r#"{"act":"a","\u0061ct":"b"}"#.into(), Due::Refused),
        ("a bare control character", "{\"act\":\"a\nb\"}".into(), Due::Refused),
        ("more values than are read", names(20_000).into(), Due::Refused),
        ("one byte too many", vec![b' '; (1 << 20) + 1].into(), Due::Refused),
        ("ten thousand names", names(10_000).into(), Due::Recorded),
        ("a whole megabyte", megabyte.into(), Due::Recorded),
        ("a forged verdict", r#"{"vd":"accept","t":"policy"}"#.into(), Due::Recorded),
        ("a forged commitment", r#"{"ctx":{"a":{"$c":"x"}}}"#.into(), Due::Recorded),
        ("a forged source", r#"{"ctx":{"claimed_source":"x"}}"#.into(), Due::Recorded),
        ("a regex blow-up", format!("{{\"act\":\"{}!\"}}", "a".repeat(200)).into(), Due::Recorded),
    ]
}

/// Longest time that one submission may take on a busy machine: the largest is parsed and committed in a few
/// milliseconds, and a quadratic reader would take minutes.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn hostile_submissions_are_answered_in_time_at_each_way_in() {
    let served = start();
    // A pattern on which backtracking would take for ever.
    let rule = "rules:\n  - {name: slow, when: {action: {regex: '^(a+)+$'}}, require: [ctx.x], enforce: warn}\n";
    let policy = POLICY.replace("rules:\n", rule);
    apply(&served, &policy).await.unwrap();
    let mut client = events(&served).await;
    for (name, event, due) in hostile() {
        let begun = Instant::now();
        let unary = client.append_event(one(event.clone())).await;
        let batch = AppendEventBatchRequest { events: vec![event.clone()], ..Default::default() };
        let batch = client.append_event_batch(batch).await;
        let request = AppendEventStreamRequest { event: event.clone(), ..Default::default() };
        let stream = client.append_event_stream(tokio_stream::iter([request])).await.unwrap();
        let streamed = stream.into_inner().message().await.unwrap().unwrap().outcome.unwrap();
        let http = |form: &'static str, body: Bytes| {
            let url = served.url("/v1/events");
            async move {
                crate::http_tiles::client()
                    .post(url)
                    .header(CONTENT_TYPE, form)
                    .body(body)
                    .send()
                    .await
                    .unwrap()
            }
        };
        let json = http("application/json", event.clone()).await.status().as_u16();
        let lines = http("application/x-ndjson", event.clone()).await.status().as_u16();
        assert!(begun.elapsed() < 5 * PATIENCE, "{name} took {:?}", begun.elapsed());
        match due {
            Due::Refused => {
                for status in [unary.map(drop), batch.map(drop)] {
                    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument, "{name}");
                }
                assert!(matches!(streamed, Outcome::Refused(_)), "{name}");
                assert!(
                    matches!(json, 400 | 413) && matches!(lines, 400 | 413),
                    "{name}: {json} {lines}"
                );
            }
            Due::Recorded => {
                let record = unary.unwrap().into_inner().record.unwrap();
                assert_ne!(record.verdict(), Verdict::Unspecified, "{name}");
                assert!(record.entry.len() <= 65_535);
                batch.unwrap();
                assert!(matches!(streamed, Outcome::Appended(_)), "{name}");
                assert_eq!((json, lines), (200, 200), "{name}");
            }
        }
    }
    // The server serves on.
    client.append_event(one("{}")).await.unwrap();
    let logs = served.running().pipeline().logs();
    assert!(logs[0].published().head().size.get() > 30);
}

#[tokio::test]
async fn a_group_of_faulty_events_costs_no_more_than_each_alone() {
    let served = start();
    // Each group of a stream is judged at most twice: together, and then one by one.
    let faulty = |at: u32| AppendEventStreamRequest {
        event: if at.is_multiple_of(2) { "{".into() } else { "{}".into() },
        ..Default::default()
    };
    let requests: Vec<_> = (0..2_000).map(faulty).collect();
    let mut client = events(&served).await;
    let stream = client.append_event_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut stream = stream.into_inner();
    let (mut refused, mut appended) = (0, 0);
    while let Some(answer) = stream.message().await.unwrap() {
        match answer.outcome.unwrap() {
            Outcome::Refused(_) => refused += 1,
            Outcome::Appended(_) => appended += 1,
        }
    }
    assert_eq!((refused, appended), (1_000, 1_000));
}

#[tokio::test]
async fn a_refusal_repeats_nothing_of_what_was_sent() {
    let served = start();
    let mut channel = events(&served).await;
    for secret in [r#"{"act":"hunter2""#, r#"{"hunter2":1,"hunter2":2}"#, "hunter2"] {
        let request = AppendEventRequest { event: secret.into(), ..Default::default() };
        let status = channel.append_event(request).await.unwrap_err();
        assert!(!format!("{status:?}").contains("hunter2"), "{status:?}");
        let post = client().post(served.url("/v1/events")).header(CONTENT_TYPE, "application/json");
        let text = post.body(secret).send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("hunter2"), "{text}");
    }
}
