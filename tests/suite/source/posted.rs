//! What is posted to each protocol's address, over real sockets: every content is kept, and each refusal is one
//! that its senders understand.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::child::{Child, Told, wait};
use crate::hostile::raw::{self, Reply};

const KINDS: [&str; 3] = ["cloudevents", "hec", "opa"];
const STRUCTURED: &str = "content-type: application/cloudevents+json";
const BATCH: &str = "content-type: application/cloudevents-batch+json";

impl Child {
    /// Sends a request with the token.
    fn post(&self, path: &str, lines: &[&str], body: &[u8]) -> Reply {
        let authorization = format!("authorization: Splunk {}", self.token());
        let lines = [lines, &[&authorization]].concat();
        self.send("POST", path, &lines, body)
    }

    /// Sends a request without any.
    fn send(&self, method: &str, path: &str, lines: &[&str], body: &[u8]) -> Reply {
        let length = format!("content-length: {}", body.len());
        let request = raw::request(method, path, &[lines, &[&length]].concat(), body);
        let answered = wait(raw::exchange(self.address(), &request));
        answered.expect("a request is answered")
    }
}

/// The path, the header lines and an event of each protocol.
fn events() -> [(&'static str, Vec<&'static str>, &'static str); 5] {
    [
        (
            "/v1/cloudevents",
            vec![STRUCTURED],
            r#"{"specversion":"1.0","type":"t.a","source":"/a","id":"1","data":{"a":1}}"#,
        ),
        (
            "/v1/cloudevents",
            vec![BATCH],
            r#"[{"specversion":"1.0","type":"t.b","source":"/a","id":"2","data":{"a":1}}]"#,
        ),
        (
            "/v1/cloudevents",
            vec!["ce-specversion: 1.0", "ce-type: t.c", "ce-source: /a", "ce-id: 3"],
            r#"{"a":1}"#,
        ),
        ("/services/collector/event/1.0", vec![], r#"{"event":"e","fields":{"event_id":"1"}}"#),
        ("/v1/opa/logs", vec![], r#"[{"decision_id":"1","path":"a","result":true}]"#),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn body(reply: &Reply) -> Value {
    // The raw client reads to the end of the connection; a chunked answer would not parse.
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

#[test]
fn each_event_is_recorded_once_however_often_it_comes() {
    let child = Child::start(&KINDS, "");
    for (path, lines, event) in events() {
        let packed = gzip(event.as_bytes());
        for (lines, body) in [
            (lines.clone(), event.as_bytes()),
            (lines.clone(), event.as_bytes()),
            ([&lines[..], &["content-encoding: gzip"]].concat(), &packed),
        ] {
            let reply = child.post(path, &lines, body);
            assert!(matches!(reply.status, 200 | 204), "{path}: {reply:?}");
        }
    }
    let records = child.records();
    let sources: Vec<&str> = records.iter().filter_map(|record| record.source.as_deref()).collect();
    let [one, two, three] = KINDS.map(|kind| format!("of-{kind}"));
    assert_eq!(sources, [&one, &one, &one, &two, &three]);
    assert!(records.iter().all(|record| record.shown));
    let acts: Vec<&Value> = records.iter().map(|record| &record.record["act"]).collect();
    assert_eq!(acts, [&json!("t.a"), &json!("t.b"), &json!("t.c"), &Value::Null, &json!("a")]);
    let claimed = &records[0].ctx["claimed_source"];
    assert_eq!((claimed, &records[0].ctx["data"]), (&json!("/a"), &json!({"a": 1})));
    assert_eq!(records[4].record["out"], json!("success"));
    child.fsck();
}

#[test]
fn the_same_key_with_other_content_is_recorded_beside_a_conflict() {
    let child = Child::start(&KINDS, "");
    for text in ["one", "other", "other"] {
        let object = format!(r#"{{"event":"{text}","fields":{{"event_id":"1"}}}}"#);
        assert_eq!(child.post("/services/collector", &[], object.as_bytes()).status, 200);
    }
    let texts: Vec<Value> = child.records().iter().map(|told| told.ctx["event"].clone()).collect();
    assert_eq!(texts, [json!("one"), json!("other")]);
    child.fsck();
}

/// Contents that no decoder understands.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| [open.repeat(50_000), close.repeat(50_000)].concat();
    vec![
        ("a depth bomb", deep("[", "]").into_bytes()),
        ("a deeper event", format!("{{\"event\":{}}}", deep("[", "]")).into_bytes()),
        ("names twice", br#"{"event":1,"event":2}"#.to_vec()),
        ("bytes that are no UTF-8", b"\xff\xfe{\"event\":\"\xc0\"}".to_vec()),
        ("a wrong type", b"true".to_vec()),
        ("what ends early", br#"{"event":"a"#.to_vec()),
        ("a huge number", format!("{}1", "9".repeat(5_000)).into_bytes()),
        ("half a pair", br#"{"event":"\ud800"}"#.to_vec()),
        ("a null byte", b"\0".to_vec()),
        ("more than an event may have", vec![b'"'; (1 << 20) + 1]),
    ]
}

#[test]
fn whatever_comes_is_kept_and_answered_as_taken() {
    let child = Child::start(&KINDS, "");
    let mut before = 0;
    for (what, nonsense) in nonsense() {
        for (path, lines) in [
            ("/v1/cloudevents", vec![STRUCTURED]),
            ("/v1/cloudevents", vec![BATCH]),
            ("/v1/cloudevents", vec!["content-type: application/json"]),
            ("/services/collector", vec![]),
            ("/v1/opa/logs", vec![]),
        ] {
            let reply = child.post(path, &lines, &nonsense);
            assert!(matches!(reply.status, 200 | 204), "{what} to {path}: {reply:?}");
        }
        let records = child.records_from(before);
        before += records.len() as u64;
        let unparsed = |told: &&Told| !told.shown && told.class.as_deref() == Some("unparsed");
        assert!(records.len() >= 4, "{what}: {}", records.len());
        assert_eq!(records.iter().filter(unparsed).count(), records.len(), "{what}");
        let shown = records.iter().any(|told| told.ctx.as_object().unwrap().len() != 1);
        assert!(!shown, "{what}: only a commitment is shown");
    }
    child.fsck();
}

#[test]
fn a_body_that_is_not_what_its_coding_says_is_kept_as_it_came() {
    let child = Child::start(&KINDS, "");
    for (path, lines, event) in events() {
        let packed = gzip(event.as_bytes());
        let half = &packed[..packed.len() / 2];
        for came in [half, event.as_bytes()] {
            for coding in ["content-encoding: gzip", "content-encoding: deflate"] {
                let lines = [&lines[..], &[coding]].concat();
                let reply = child.post(path, &lines, came);
                assert!(matches!(reply.status, 200 | 204), "{path}: {reply:?}");
            }
        }
    }
    let records = child.records();
    let unparsed = |told: &Told| !told.shown && told.class.as_deref() == Some("unparsed");
    assert!(records.iter().all(unparsed));
    assert_eq!(records.len(), 2 * events().len(), "once, however it is said to be coded");
    let acks = "/services/collector/ack?channel=7b0b1ef6";
    let refused = child.post(acks, &["content-encoding: gzip"], b"no gzip");
    assert_eq!(refused.status, 400, "there is nothing in it to lose");
    child.fsck();
}

#[test]
fn what_is_not_content_is_refused_as_each_protocol_does() {
    let child = Child::start(&KINDS, "body_bytes_max = 65536");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    for (path, lines, event) in events() {
        for (lines, body, status) in [
            (lines.clone(), vec![b'{'; 65_537], 413),
            ([&lines[..], &["content-encoding: gzip"]].concat(), bomb.clone(), 413),
            ([&lines[..], &["content-encoding: br"]].concat(), event.into(), 415),
        ] {
            assert_eq!(child.post(path, &lines, &body).status, status, "{path}");
        }
        assert_eq!(child.send("PUT", path, &lines, event.as_bytes()).status, 405);
        let wrong = [&lines[..], &["authorization: Bearer att_other"]].concat();
        let is_hec = path.starts_with("/services");
        let refused = child.send("POST", path, &wrong, event.as_bytes());
        assert_eq!(refused.status, if is_hec { 403 } else { 401 }, "{path}");
        assert_eq!(child.send("POST", path, &lines, event.as_bytes()).status, 401, "{path}");
    }
    assert_eq!(child.post("/v1/cloudevents", &[], b"").status, 400);
    assert_eq!(child.post("/v1/opa/logs", &[], b"[]").status, 200);
    assert_eq!(child.post("/services/collector/other", &[], b"{}").status, 404);
    assert_eq!(child.records().len(), 0);
    let off = Child::start(&["otlp"], "");
    for (path, lines, event) in events() {
        assert_eq!(off.post(path, &lines, event.as_bytes()).status, 404, "{path}");
    }
    assert_eq!(off.send("GET", "/services/collector/health", &[], b"").status, 404);
}

#[test]
fn the_collector_answers_with_splunks_numbers() {
    let child = Child::start(&KINDS, "");
    let event = br#"{"event":1}"#;
    let code = |reply: Reply| (reply.status, body(&reply)["code"].clone());
    let health = child.send("GET", "/services/collector/health/1.0", &[], b"");
    assert_eq!(code(health), (200, json!(17)));
    let send = |line: &str| child.send("POST", "/services/collector", &[line], event);
    assert_eq!(code(send("x: y")), (401, json!(2)));
    assert_eq!(code(send("authorization: Digest x")), (401, json!(3)));
    assert_eq!(code(send("authorization: Splunk att_x")), (403, json!(4)));
    assert_eq!(code(child.post("/services/collector", &[], b" \n")), (400, json!(5)));
    assert_eq!(code(child.post("/services/collector/raw", &[], b"\n")), (400, json!(5)));
    assert_eq!(code(child.post("/services/collector/ack", &[], b"{}")), (400, json!(10)));
    let ack = "/services/collector/ack?channel=7b0b1ef6";
    assert_eq!(code(child.post(ack, &[], b"[]")), (400, json!(6)));
    // An identifier for each request on a channel, and an acknowledgement for each that was given.
    for (number, path) in ["/event", "/raw"].into_iter().enumerate() {
        let path = format!("/services/collector{path}");
        let answer = child.post(&path, &["x-splunk-request-channel: 7b0b1ef6"], event);
        assert_eq!(body(&answer), json!({"text": "Success", "code": 0, "ackId": number}));
    }
    let acks = child.post(ack, &[], br#"{"acks":[1,0,2]}"#);
    assert_eq!(body(&acks), json!({"acks": {"0": true, "1": true, "2": false}}));
    let alone = child.post("/services/collector", &[], event);
    assert_eq!(body(&alone), json!({"text": "Success", "code": 0}));
    // The token as a password, as `curl -u x:TOKEN` sends it.
    let mut basic = std::process::Command::new("curl");
    basic.args(["-sS", "-u", &format!("x:{}", child.token()), "-d", r#"{"event":2}"#]);
    let done = basic.arg(child.url("/services/collector")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), r#"{"code":0,"text":"Success"}"#);
}

#[test]
fn a_sender_of_cloudevents_that_asks_is_told_that_it_may() {
    let asked = |child: &Child, lines: &[&str]| {
        let bearer = format!("authorization: Bearer {}", child.token());
        child.send("OPTIONS", "/v1/cloudevents", &[lines, &[&bearer]].concat(), b"")
    };
    let question = ["webhook-request-origin: events.example", "webhook-request-rate: 1000"];
    for (more, rate) in [("", "*"), ("rate = 2", "120")] {
        let child = Child::start(&KINDS, more);
        let answer = asked(&child, &question);
        assert_eq!((answer.status, answer.header("allow")), (200, Some("options, post")));
        assert_eq!(answer.header("webhook-allowed-origin"), Some("events.example"));
        assert_eq!(answer.header("webhook-allowed-rate"), Some(rate));
        assert_eq!(asked(&child, &[]).header("webhook-allowed-origin"), None, "nobody asked");
        // Nobody else learns that somebody may.
        let stranger = child.send("OPTIONS", "/v1/cloudevents", &question, b"");
        assert_eq!((stranger.status, stranger.header("webhook-allowed-origin")), (401, None));
    }
}

#[test]
fn a_source_over_its_rate_is_told_to_come_again() {
    let child = Child::start(&KINDS, "rate = 1");
    for (path, lines, status) in [
        ("/v1/cloudevents", vec![BATCH], 429),
        ("/services/collector", vec![], 503),
        ("/v1/opa/logs", vec![], 429),
    ] {
        // More than a minute's worth.
        let many = if path.starts_with("/s") {
            "{}".repeat(90)
        } else {
            format!("[{}0]", "0,".repeat(89))
        };
        assert!(child.post(path, &lines, many.as_bytes()).status < 300);
        let late = child.post(path, &lines, b"[0]");
        assert_eq!(late.status, status, "{path}");
        assert!(late.header("retry-after").unwrap().parse::<u32>().unwrap() > 30);
        if status == 503 {
            assert_eq!(body(&late)["code"], json!(9));
        }
    }
    assert_eq!(child.records().len(), 270);
}
