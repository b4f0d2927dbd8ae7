//! Foreign protocols at work: bodies over HTTP in, durable records out, and the same bytes in an opaque log.
//!
//! `source/PROTOCOL/100` sends bodies of 100 items of some 500 bytes to a whole server on a port of this machine,
//! over eight connections with one request each; its clients share the processor with it. Every item has the key
//! that its protocol gives it, where it gives one. Syslog has no answers: there the time ends when the log shows
//! the last message. `source/opaque/100` appends batches of 100 entries of as many bytes by gRPC, without keys,
//! and `source/opaque-keyed/100` with a key each.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[expect(unreachable_pub, reason = "the suite shares it with its modules")]
#[path = "../tests/support/held.rs"]
mod held;
#[expect(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "the suite shares it with its modules, and needs more of it"
)]
#[path = "../tests/support/served.rs"]
mod served;

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use attestree::{
    proto::{Answer, AppendBatchRequest, BatchEntry},
    server::{config::RawConfig, source::RawSource},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use served::Served;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
};

/// Items of a body: what shippers send at once.
const ITEMS: usize = 100;

/// Connections of the clients, each with one request at a time.
const CONNECTIONS: usize = 8;

/// Bytes that make every item one of some 500.
const FILLING: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A protocol over HTTP: its word in the configuration, path, content type, and how items make a body.
struct Protocol {
    kind: &'static str,
    path: &'static str,
    content_type: &'static str,
    frame: [&'static str; 3],
    item: fn(u64) -> String,
}

/// Every protocol over HTTP.
const PROTOCOLS: [Protocol; 6] = [
    Protocol {
        kind: "otlp",
        path: "/v1/logs",
        content_type: "application/json",
        frame: [
            r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeLogs":[{"logRecords":["#,
            ",",
            "]}]}]}",
        ],
        item: |number| {
            let nanos = 1_763_683_200_000_000_000 + number * 1_000;
            format!(
                r#"{{"timeUnixNano":"{nanos}","severityNumber":9,"eventName":"auth.login","body":{{"stringValue":"{FILLING}"}},"attributes":[{{"key":"user.id","value":{{"stringValue":"u{number}"}}}}]}}"#
            )
        },
    },
    Protocol {
        kind: "kubernetes",
        path: "/v1/kubernetes",
        content_type: "application/json",
        frame: [
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#,
            ",",
            "]}",
        ],
        item: |number| {
            format!(
                r#"{{"level":"Metadata","auditID":"{number:08x}-0000-4000-8000-000000000000","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods","verb":"create","user":{{"username":"alice","groups":["dev"]}},"sourceIPs":["10.0.0.7"],"userAgent":"{FILLING}","objectRef":{{"resource":"pods","namespace":"shop","name":"p{number}","apiVersion":"v1"}},"responseStatus":{{"code":201}},"requestReceivedTimestamp":"2026-11-21T00:00:00.000001Z","stageTimestamp":"2026-11-21T00:00:00.000002Z"}}"#
            )
        },
    },
    Protocol {
        kind: "cloudevents",
        path: "/v1/cloudevents",
        content_type: "application/cloudevents-batch+json",
        frame: ["[", ",", "]"],
        item: |number| {
            format!(
                r#"{{"specversion":"1.0","id":"{number}","source":"/shop/orders","type":"com.example.order.created","time":"2026-11-21T00:00:00Z","datacontenttype":"application/json","data":{{"order":{number},"note":"{FILLING}"}}}}"#
            )
        },
    },
    Protocol {
        kind: "hec",
        path: "/services/collector/event",
        content_type: "application/json",
        frame: ["", "\n", ""],
        item: |number| {
            format!(
                r#"{{"time":1763683200.5,"host":"web-7","source":"sshd","sourcetype":"linux_secure","event":"{FILLING}","fields":{{"event_id":"{number}"}}}}"#
            )
        },
    },
    Protocol {
        kind: "opa",
        path: "/v1/opa/logs",
        content_type: "application/json",
        frame: ["[", ",", "]"],
        item: |number| {
            format!(
                r#"{{"decision_id":"{number:08x}-0000-4000-8000-000000000000","labels":{{"app":"gate"}},"path":"http/allow","input":{{"user":"alice","note":"{FILLING}"}},"result":true,"timestamp":"2026-11-21T00:00:00.000001Z"}}"#
            )
        },
    },
    Protocol {
        kind: "ship",
        path: "/v1/ship",
        content_type: "application/x-ndjson",
        frame: ["", "\n", ""],
        item: |number| {
            format!(
                r#"{{"id":"bench-{number}","file":"/var/log/auth.log","line":"{FILLING}{FILLING}"}}"#
            )
        },
    },
];

/// Numbers of items, each once in a run.
static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Protocol {
    /// Makes a request of new items.
    fn request(&self) -> Vec<u8> {
        let [begin, between, end] = self.frame;
        let mut body = begin.to_owned();
        for position in 0..ITEMS {
            if position > 0 {
                body.push_str(between);
            }
            body.push_str(&(self.item)(NUMBER.fetch_add(1, Ordering::Relaxed)));
        }
        body.push_str(end);
        let mut request = String::new();
        let Self { path, content_type, .. } = self;
        write!(
            request,
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("writing to a string can't fail");
        request.into_bytes()
    }
}

/// Sends a request and reads the answer, which has to be a success.
async fn exchange(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).await.expect("the server reads");
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await.expect("the server answers");
        assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 2"), "{text}");
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize =
            length.map_or(0, |(_, value)| value.parse().expect("a length is a number"));
        if body.len() >= length {
            return;
        }
    }
}

/// Sends requests over several connections; returns how long that took.
async fn send(address: SocketAddr, requests: Vec<Vec<u8>>) -> Duration {
    let mut lanes: Vec<(TcpStream, Vec<Vec<u8>>)> = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket has the option");
        lanes.push((stream, Vec::new()));
    }
    for (position, request) in requests.into_iter().enumerate() {
        let lane = lanes.get_mut(position % CONNECTIONS).expect("there are so many lanes");
        lane.1.push(request);
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut stream, requests) in lanes {
        tasks.spawn(async move {
            for request in requests {
                exchange(&mut stream, &request).await;
            }
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

/// Sends messages of syslog over one connection, and waits until the log shows as many records.
async fn send_syslog(served: &Served, bodies: u64) -> Duration {
    let mut messages = String::new();
    for _ in 0..bodies * ITEMS as u64 {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let message = format!(
            r#"<86>1 2026-11-21T00:00:00.000001Z web-7 sshd 4711 login [attestree@32473 id="{number}"] {FILLING}{FILLING}"#
        );
        write!(messages, "{} {message}", message.len()).expect("writing to a string can't fail");
    }
    let log = served.running().pipeline().log("").expect("the default log");
    let wanted = log.published().edge.size().get() + bodies * ITEMS as u64;
    let start = Instant::now();
    let mut stream = TcpStream::connect(served.address()).await.expect("the server listens");
    stream.write_all(messages.as_bytes()).await.expect("the server reads");
    while log.published().edge.size().get() < wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

/// Appends batches to an opaque log over several connections; returns how long that took.
async fn append(served: &Served, batches: u64, keyed: bool) -> Duration {
    let mut lanes = Vec::new();
    for lane in 0..CONNECTIONS as u64 {
        let count = batches / CONNECTIONS as u64 + u64::from(lane < batches % CONNECTIONS as u64);
        let entry = |_| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let key = if keyed { number.to_be_bytes().to_vec() } else { Vec::new() };
            let entry = format!("{number:020}{FILLING}{FILLING}{FILLING:.80}");
            BatchEntry { entry: entry.into(), idempotency_key: key.into() }
        };
        let request = |_| {
            let entries: Vec<BatchEntry> = (0..ITEMS).map(entry).collect();
            let (keyed_entries, entries) = match keyed {
                true => (entries, Vec::new()),
                false => (Vec::new(), entries.into_iter().map(|entry| entry.entry).collect()),
            };
            let answer = Answer::Index.into();
            AppendBatchRequest { entries, keyed_entries, answer, ..AppendBatchRequest::default() }
        };
        lanes.push((served.client().await, (0..count).map(request).collect::<Vec<_>>()));
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut client, requests) in lanes {
        tasks.spawn(async move {
            for request in requests {
                client.append_batch(request).await.expect("the batch is appended");
            }
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

fn sources(criterion: &mut Criterion) {
    let open = |kind: &str| RawSource {
        name: kind.to_owned(),
        kind: kind.to_owned(),
        open: Some(true),
        ..RawSource::default()
    };
    let kinds = PROTOCOLS.iter().map(|protocol| protocol.kind).chain(["syslog"]);
    let raw = RawConfig { sources: Some(kinds.map(open).collect()), ..RawConfig::default() };
    let audit = Served::audit(raw);
    let opaque = Served::start();
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("source");
    group.throughput(Throughput::Elements(ITEMS as u64)).sample_size(10);
    for (name, keyed) in [("opaque/100", false), ("opaque-keyed/100", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|batches| runtime.block_on(append(&opaque, batches, keyed)));
        });
    }
    for protocol in &PROTOCOLS {
        group.bench_function(format!("{}/100", protocol.kind), |bencher| {
            bencher.iter_custom(|bodies| {
                let requests = (0..bodies).map(|_| protocol.request()).collect();
                runtime.block_on(send(audit.address(), requests))
            });
        });
    }
    group.bench_function("syslog/100", |bencher| {
        bencher.iter_custom(|bodies| runtime.block_on(send_syslog(&audit, bodies)));
    });
    group.finish();
}

criterion_group!(benches, sources);
criterion_main!(benches);
