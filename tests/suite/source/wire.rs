//! Syslog over real sockets: beside HTTP on one port, in every hostile shape, and when the server stops.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    thread,
};

use attestree::server::{config::RawConfig, source::RawSource};
use serde_json::Value;

use super::child::records;
use crate::needs::skip;
use crate::served::Served;

/// Starts a server with an open source.
fn start(change: impl FnOnce(&mut RawSource)) -> Served {
    let mut source = RawSource {
        name: "hosts".to_owned(),
        kind: "syslog".to_owned(),
        open: Some(true),
        ..RawSource::default()
    };
    change(&mut source);
    Served::audit(RawConfig { sources: Some(vec![source]), ..RawConfig::default() })
}

fn connect(served: &Served) -> TcpStream {
    TcpStream::connect(served.address()).unwrap()
}

fn message(text: &str) -> String {
    format!("<38>1 2026-11-21T00:14:00Z web-7 sshd 812 LOGIN - {text}")
}

fn counted(text: &str) -> String {
    let message = message(text);
    format!("{} {message}", message.len())
}

/// Waits for so many records; returns of each its text, or its class, or a hyphen.
async fn texts(served: &Served, count: usize) -> Vec<String> {
    let text = |record: &Value| {
        let text = record["ctx"]["syslog"]["msg"].as_str().or(record["class"].as_str());
        text.unwrap_or("-").to_owned()
    };
    records(served.address(), count).await.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_both_framings_become_records_of_their_source() {
    let served = start(|_| {});
    let mut lines = connect(&served);
    lines.write_all(format!("{}\n", message("a")).as_bytes()).unwrap();
    assert_eq!(texts(&served, 1).await, ["a"]);
    let mut frames = connect(&served);
    frames.write_all(counted("b").as_bytes()).unwrap();
    // In pieces of one byte each, and without an end of line behind.
    for byte in counted("c").bytes() {
        frames.write_all(&[byte]).unwrap();
    }
    assert_eq!(texts(&served, 3).await, ["a", "b", "c"]);
    let records = records(served.address(), 3).await;
    let record = &records[2];
    assert_eq!(record["source"], "hosts");
    assert_eq!(record["ctx"]["claimed_source"], "sshd");
    assert_eq!((&record["class"], &record["act"]), (&"authentication".into(), &"LOGIN".into()));
    assert_eq!(record["ot"], "2026-11-21T00:14:00Z");
    assert_eq!(record["resource"]["host"], "web-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logger_of_this_machine_is_understood() {
    let served = start(|_| {});
    let port = served.address().port().to_string();
    for (number, more) in [&[][..], &["--octet-count"]].into_iter().enumerate() {
        let mut logger = Command::new("logger");
        logger.args(["--rfc5424", "--tcp", "-n", "127.0.0.1", "-P", &port]).args(more);
        logger.args(["-t", "backup", "-p", "auth.info", "--msgid", "NIGHTLY", "done", "\u{e9}"]);
        let Ok(done) = logger.output() else {
            skip(format_args!("what logger sends: it is not here; it is util-linux's"));
            return;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let records = records(served.address(), number + 1).await;
        let record = &records[number];
        let claimed = &record["ctx"]["claimed_source"];
        assert_eq!((&record["act"], claimed), (&"NIGHTLY".into(), &"backup".into()), "{record}");
        let said = &record["ctx"]["syslog"];
        assert_eq!(said["msg"], "done \u{e9}");
        assert!(said["sd"]["timeQuality"]["tzKnown"].is_string(), "{record}");
        assert_eq!(record["vd"], "accept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_served_beside_it() {
    let served = start(|_| {});
    // gRPC first, over HTTP/2.
    assert_eq!(records(served.address(), 0).await.len(), 0);
    let mut plain = connect(&served);
    plain.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_nothing_of_it_is_heard() {
    let served = Served::audit(RawConfig::default());
    let mut stream = connect(&served);
    stream.write_all(format!("{}\n", message("a")).as_bytes()).unwrap();
    let mut answer = Vec::new();
    // HTTP says what it thinks of it, and nothing is recorded.
    let _reset = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(records(served.address(), 0).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_shape_is_recorded_and_stops_nobody() {
    let served = start(|source| source.body_bytes_max = Some(70_000));
    let element = format!("[e{}]", " p=\"\"".repeat(12_000));
    let shapes: [(&[u8], usize); 9] = [
        (b"<34>Oct 11 22:14:15 mymachine su: RFC 3164\n", 1),
        (b"<13>1 - - - - - - a nul \0 in it\n", 1),
        (b"\0\0\0\0\n<13>", 0),
        (b"100 half of a frame", 1),
        (b"<13>1 - - - - - half of a line", 1),
        (b"<", 1),
        (b"9", 1),
        (b"1000000000 <13>1 - - - - - - a frame of a billion bytes", 1),
        (b"<13>\n\n\n\n\n<999>\n", 2),
    ];
    let mut expected = 0;
    for (shape, count) in shapes {
        let mut stream = connect(&served);
        stream.write_all(shape).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        expected += count;
        // The server has taken everything when it ends its side.
        let _reset = stream.read_to_end(&mut Vec::new());
    }
    let giant = format!("<13>1 - - - - - {element}\n{}\n", "x".repeat(150_000));
    connect(&served).write_all(giant.as_bytes()).unwrap();
    // One message of 70,000 bytes at most, whose element is spilled; and a line in three pieces.
    expected += 4;
    let texts = texts(&served, expected).await;
    assert_eq!(texts.len(), expected, "{texts:?}");
    assert_eq!(texts.iter().filter(|text| *text == "a nul \0 in it").count(), 1);
    let mut stream = connect(&served);
    stream.write_all(counted("still there").as_bytes()).unwrap();
    assert_eq!(self::texts(&served, expected + 1).await.last().unwrap(), "still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_by_its_id_is_one_record_and_without_it_two() {
    let served = start(|_| {});
    let keyed =
        "<38>1 2026-11-21T00:14:00Z h a - - [attestree@32473 id=\"7f3a\" seq=\"3\"] keyed\n";
    let bare = format!("{}\n", message("bare"));
    for text in [keyed, keyed, &bare, &bare, keyed] {
        let mut stream = connect(&served);
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ended = stream.read_to_end(&mut Vec::new());
    }
    let mut records = records(served.address(), 3).await;
    records.retain(|record| record["t"] == "event");
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["seq"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_takes_what_was_read() {
    let mut served = start(|_| {});
    let mut stream = connect(&served);
    // The server reads this connection.
    stream.write_all(counted("0").as_bytes()).unwrap();
    assert_eq!(texts(&served, 1).await, ["0"]);
    let mut silent: Vec<TcpStream> = (0..8).map(|_| connect(&served)).collect();
    let mut text = String::new();
    for number in 1..500 {
        text += &counted(&number.to_string());
    }
    stream.write_all(text.as_bytes()).unwrap();
    // These have said nothing before, and those may not even be accepted.
    for (number, stream) in (500..508).zip(&mut silent) {
        stream.write_all(counted(&number.to_string()).as_bytes()).unwrap();
    }
    let new: Vec<TcpStream> = (508..540)
        .map(|number| {
            let mut stream = connect(&served);
            stream.write_all(counted(&number.to_string()).as_bytes()).unwrap();
            stream
        })
        .collect();
    // All of it is in the kernel's hands, and the connections stay open.
    served.stop();
    served.resume();
    drop((silent, new));
    let mut numbers: Vec<u32> =
        texts(&served, 540).await.iter().map(|text| text.parse().unwrap()).collect();
    let of_first: Vec<u32> = numbers.iter().copied().filter(|number| *number < 500).collect();
    assert!(of_first.is_sorted());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..540).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_over_its_rate_is_held_up_and_loses_nothing() {
    let served = start(|source| {
        source.rate = Some(2_000);
        source.items_max = Some(100);
    });
    let mut stream = connect(&served);
    let writer = thread::spawn(move || {
        for number in 0..4_000 {
            stream.write_all(counted(&number.to_string()).as_bytes()).unwrap();
        }
        stream
    });
    let texts = texts(&served, 4_000).await;
    assert_eq!(texts, (0..4_000).map(|number| number.to_string()).collect::<Vec<_>>());
    drop(writer.join().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_at_once_keep_their_order_each() {
    let served = start(|_| {});
    let address = served.address();
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for number in 0..250 {
                    let text = format!("{}\n", message(&format!("{sender} {number}")));
                    stream.write_all(text.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let texts = texts(&served, 2_000).await;
    for sender in 0..8 {
        let prefix = format!("{sender} ");
        let own: Vec<&String> = texts.iter().filter(|text| text.starts_with(&prefix)).collect();
        let expected: Vec<String> = (0..250).map(|number| format!("{sender} {number}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}
