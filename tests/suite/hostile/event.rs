//! What the worst events make a server hold in memory is bounded by its configuration.

use attestree::proto::{
    AppendEventBatchRequest, AppendEventRequest, event_service_client::EventServiceClient,
};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::Code;

use super::{
    memory::{FLAGS, assert_most},
    server::{NewLog, Server},
    site::ORIGIN,
};
use crate::{events::apply_at, http_tiles::client};

/// Callers of each way in, all at the same time.
const CALLERS: usize = 3;

/// Bytes of an event, at most.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Bytes of a batch, or of a body of lines: a little below the 16 MiB that are allowed.
const BATCH_BYTES: usize = 15 << 20;

/// A policy under which much is made of each event: what is committed is kept besides, sealed.
const POLICY: &str = "\
apiVersion: attestree/v1
kind: Policy
redact:
  - {path: 'ctx.many.*', action: commit}
  - {path: ctx.text, action: commit}
  - {detect: card, action: mask}
  - {detect: email, action: drop}
";

/// Puts a value as often into an object as an event has room for.
fn filled(begin: &str, value: &str, end: &str, values: usize) -> Bytes {
    let room = EVENT_BYTES_MAX - begin.len() - end.len();
    let count = (room / (value.len() + 1)).min(values);
    [begin, &vec![value; count].join(","), end].concat().into()
}

/// The worst events: each makes much of few bytes, or is as large as it may be. With each comes how many are
/// sent together; what costs much time comes less often.
fn worst() -> Vec<(&'static str, Bytes, usize)> {
    let names: Vec<String> = (0..16_000).map(|at| format!("\"{at}\":{at}")).collect();
    let text = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    let wide = |unit: &str| format!("{{\"ctx\":{{\"text\":\"{}\"}}}}", text(unit, 1_048_000));
    vec![
        ("a committed megabyte", wide("x").into(), usize::MAX),
        ("a committed megabyte of escapes", wide("\\u0001").into(), usize::MAX),
        ("a spilled megabyte", wide("x").replace("text", "long").into(), usize::MAX),
        (
            "a quarantined megabyte",
            wide("x").replace("{\"ctx\"", "{\"act\":7,\"ctx\"").into(),
            usize::MAX,
        ),
        ("cards that overlap", wide("4111 1111 1111 1111 ").replace("text", "long").into(), 8),
        (
            "names without number",
            format!("{{\"ctx\":{{\"many\":{{{}}}}}}}", names.join(",")).into(),
            8,
        ),
        ("lists of nothing", filled("{\"ctx\":{\"a\":[", "[]", "]}}", 16_000), 64),
        ("a list that never ends", filled("{\"ctx\":{\"a\":[", "0", "", usize::MAX), usize::MAX),
        ("a depth bomb", text("[", EVENT_BYTES_MAX).into(), usize::MAX),
        ("the smallest", Bytes::from_static(b"{}"), usize::MAX),
    ]
}

/// Sends an event in each way at once, as often as it fits into a batch.
fn offer(server: &Server, event: &Bytes, most: usize, tasks: &mut JoinSet<()>) {
    let count = (BATCH_BYTES / event.len()).min(most).clamp(1, 4_096);
    let url = format!("http://{}", server.address());
    for _ in 0..CALLERS {
        let (event, url) = (event.clone(), url.clone());
        tasks.spawn(async move {
            let mut client = EventServiceClient::connect(url.clone()).await.unwrap();
            let request = AppendEventRequest { event: event.clone(), ..Default::default() };
            let one = client.append_event(request).await.map(drop);
            let events = vec![event.clone(); count];
            let request = AppendEventBatchRequest { events, ..Default::default() };
            for status in [one, client.append_event_batch(request).await.map(drop)] {
                let code = status.map_or_else(|status| status.code(), |()| Code::Ok);
                let due = [Code::Ok, Code::InvalidArgument, Code::ResourceExhausted];
                assert!(due.contains(&code) || code == Code::DeadlineExceeded, "{code:?}");
            }
            let lines = [&event[..], b"\n"].concat().repeat(count);
            for (form, body) in
                [("application/json", event.to_vec()), ("application/x-ndjson", lines)]
            {
                // A server that has no room answers before it has the body, and hangs up.
                let Ok(answer) = client_of_http(&url, form).body(body).send().await else {
                    continue;
                };
                let status = answer.status().as_u16();
                let due = [200, 207, 400, 408, 413, 429, 503];
                assert!(due.contains(&status), "{form}: {status}");
            }
        });
    }
}

/// Begins to post events.
fn client_of_http(url: &str, form: &str) -> reqwest::RequestBuilder {
    client().post(format!("{url}/v1/events")).header("content-type", form)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_events_are_refused_or_recorded_and_not_kept() {
    let log = NewLog { origin: ORIGIN, flags: &["--kind", "audit"] };
    let mut server = Server::start(&[log], FLAGS);
    apply_at(server.scratch().join("data/admin.sock"), POLICY).await.unwrap();
    for (name, event, most) in worst() {
        let mut tasks = JoinSet::new();
        offer(&server, &event, most, &mut tasks);
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap_or_else(|panic| panic!("{name}: {panic}"));
        }
        assert!(server.is_running(), "{name}: the server ended: {}", server.stderr());
        assert_most(&server, name);
    }
    let url = format!("http://{}", server.address());
    let mut stranger = EventServiceClient::connect(url).await.unwrap();
    let request = AppendEventRequest { event: "{}".into(), ..Default::default() };
    stranger.append_event(request).await.unwrap();
}
