//! Real senders: the OpenTelemetry SDK for Python, over gRPC and over HTTP, against a server that is killed.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{self, ChildStdin, Command, Stdio},
};

use serde_json::Value;

use super::{
    child::Child,
    line::{Cut, Line},
};
use crate::python::python;

/// What a sender speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Http,
    Grpc,
}

/// Records of one request.
const BATCH: u64 = 50;

/// A sender that runs.
struct Sender {
    child: process::Child,
    steps: ChildStdin,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Sender {
    /// Starts a sender of so many records; `None` where the SDK is not installed.
    fn start(
        wire: Wire,
        address: SocketAddr,
        token: &str,
        count: u64,
        flags: &[&str],
    ) -> Option<Self> {
        let modules = "opentelemetry.sdk._logs, opentelemetry.exporter.otlp.proto.http, \
            opentelemetry.exporter.otlp.proto.grpc";
        let python = python("a real sender of logs", modules)?;
        let (protocol, path) = match wire {
            Wire::Grpc => ("grpc", ""),
            Wire::Http => ("http", "/v1/logs"),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/otlp.py");
        let mut child = Command::new(python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .args(["--protocol", protocol, "--token", token, "--steps"])
            .args(["--endpoint", &format!("http://{address}{path}")])
            .args(["--count", &count.to_string(), "--batch", &BATCH.to_string()])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let steps = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Self { child, steps, lines: Box::new(lines.map_while(Result::ok)) })
    }

    /// Lets the next batch go.
    fn step(&mut self) {
        self.steps.write_all(b"go\n").unwrap();
    }

    /// Waits until so many records were taken, as the sender was told.
    fn taken(&mut self, count: u64) {
        let due = format!("taken {count}");
        let found = self.lines.by_ref().any(|line| line == due);
        assert!(found, "the sender ends before it has said {due:?}");
    }

    /// Waits for the end.
    fn finish(mut self, count: u64) {
        let due = format!("done {count}");
        assert!(self.lines.by_ref().any(|line| line == due), "the sender does not say {due:?}");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Checks that a log holds exactly the records that were sent, each as it was.
fn check(events: &[Value], count: u64) {
    let mut numbers: Vec<u64> = events
        .iter()
        .map(|event| {
            event["ctx"]["attributes"]["number"].as_u64().expect("an event shows its number")
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "each record once");
    for event in events {
        let number = event["ctx"]["attributes"]["number"].as_u64().unwrap();
        let body = serde_json::json!({"said": "logged in", "steps": [1, 2.5, true, null]});
        let expected = [
            (&event["act"], Value::from("auth.login")),
            (&event["class"], "authentication".into()),
            (&event["source"], "of-otlp".into()),
            (&event["actor"]["id"], format!("u_{}", number % 7).into()),
            (&event["ctx"]["body"], body),
            (&event["ctx"]["claimed_source"], "sender".into()),
            (&event["ctx"]["resource"]["service.version"], "1.2.3".into()),
            (&event["ctx"]["scope"]["name"], "sender.audit".into()),
            (&event["ctx"]["source"]["ip"], "203.0.113.9".into()),
            (&event["vd"], "accept".into()),
        ];
        for (member, expected) in expected {
            assert_eq!(*member, expected, "{event}");
        }
    }
}

fn events(child: &Child) -> Vec<Value> {
    child.records().into_iter().map(|told| told.record).collect()
}

/// Sends through one life of the server.
fn through_one_life(wire: Wire, flags: &[&str]) {
    let child = Child::start(&["otlp"], "");
    let total = 6 * BATCH + 7;
    let Some(mut sender) = Sender::start(wire, child.address(), child.token(), total, flags) else {
        return;
    };
    (0..7).for_each(|_| sender.step());
    sender.finish(total);
    check(&events(&child), total);
    assert_eq!((child.count("received"), child.count("admitted")), (total, total));
    assert_eq!(child.count("duplicate"), 0);
}

/// Sends while the server is killed again and again, each time with a request under way.
fn through_kills(wire: Wire) {
    let mut child = Child::start(&["otlp"], "");
    let total = 12 * BATCH;
    let Some(mut sender) = Sender::start(wire, child.address(), child.token(), total, &[]) else {
        return;
    };
    for batch in 1..=12 {
        sender.step();
        // Every third request meets a server that dies: before it came, in the middle of it, or after it was taken.
        if batch % 3 == 0 {
            child.kill_and_resume();
        }
        sender.taken(batch * BATCH);
    }
    sender.finish(total);
    check(&events(&child), total);
}

/// Sends over connections that end when the server has taken what came, and begins to say so.
fn through_cuts(wire: Wire) {
    let child = Child::start(&["otlp"], "");
    let cut = match wire {
        Wire::Http => Cut::Answer,
        Wire::Grpc => Cut::GrpcAnswer,
    };
    let way = Line::breaking(child.address(), &[cut; 2]).address();
    let total = 3 * BATCH;
    let Some(mut sender) = Sender::start(wire, way, child.token(), total, &[]) else { return };
    (0..3).for_each(|_| sender.step());
    sender.finish(total);
    check(&events(&child), total);
    assert_eq!((child.count("admitted"), child.count("duplicate")), (total, 2 * BATCH));
}

#[test]
fn the_sdk_sends_over_grpc_and_the_counts_agree() {
    through_one_life(Wire::Grpc, &["--gzip"]);
}

#[test]
fn the_sdk_sends_over_http_and_the_counts_agree() {
    through_one_life(Wire::Http, &["--gzip"]);
}

#[test]
fn a_server_that_is_killed_under_the_sdk_over_grpc_holds_each_record_once() {
    through_kills(Wire::Grpc);
}

#[test]
fn a_server_that_is_killed_under_the_sdk_over_http_holds_each_record_once() {
    through_kills(Wire::Http);
}

#[test]
fn an_answer_that_is_lost_over_grpc_doubles_nothing() {
    through_cuts(Wire::Grpc);
}

#[test]
fn an_answer_that_is_lost_over_http_doubles_nothing() {
    through_cuts(Wire::Http);
}
