//! CloudEvents: what becomes of each mode, of what is none, and of the same event on another way.

use attestree::source::{Item, cloudevents, json::key_of};
use bytes::Bytes;

use super::golden;

/// Far more events than any test has.
const MANY: usize = 1_000;

/// Decodes a body of this type.
fn body(kind: &str, body: &[u8]) -> Vec<Item> {
    let headers = [("content-type", kind.as_bytes()), ("authorization", b"Bearer secret")];
    let items = cloudevents::decode(&headers, &Bytes::copy_from_slice(body), MANY);
    golden::check(&items);
    items
}

/// Decodes header lines, an empty line and a body.
fn message(text: &[u8]) -> Vec<Item> {
    let end = text.windows(2).position(|two| two == b"\n\n").unwrap();
    let lines = text[..end].split(|byte| *byte == b'\n').map(|line| {
        let colon = line.windows(2).position(|two| two == b": ").unwrap();
        (str::from_utf8(&line[..colon]).unwrap(), &line[colon + 2..])
    });
    let lines: Vec<(&str, &[u8])> = lines.collect();
    cloudevents::decode(&lines, &Bytes::copy_from_slice(&text[end + 2..]), MANY)
}

#[test]
fn every_mode_becomes_what_is_kept() {
    let read = |file: &str| golden::input("cloudevents", file);
    let structured = body("application/cloudevents+json", &read("structured.in.json"));
    golden::compare("cloudevents", "structured", &structured);
    let batch = body("Application/CloudEvents-Batch+JSON; charset=utf-8", &read("batch.in.json"));
    golden::compare("cloudevents", "batch", &batch);
    for name in ["binary", "overlong", "image"] {
        let items = message(&read(&format!("{name}.in.http")));
        golden::compare("cloudevents", name, &items);
    }
}

#[test]
fn an_event_has_one_key_on_every_way() {
    let text = br#"{"specversion":"1.0","type":"t","source":"/a","id":"1 2"}"#;
    let alone = body("application/cloudevents+json", text);
    let listed = [b"[", &text[..], b"]"].concat();
    assert_eq!(body("application/cloudevents-batch+json", &listed), alone);
    let binary = message(b"ce-specversion: 1.0\nce-type: t\nce-source: /a\nce-id: \"1 2\"\n\n");
    assert_eq!(binary, alone);
    // Source and id are apart, wherever one ends.
    let key = |source: &str, id: &str| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let text = text.replace("/a", source).replace("1 2", id);
        body("application/cloudevents+json", text.as_bytes()).remove(0).key.unwrap()
    };
    assert_ne!(key("/a", "b1"), key("/ab", "1"));
    let long = "x".repeat(300);
    assert_ne!(key(&long, "1"), key(&long, "2"));
    assert!(key(&long, &long).starts_with(b"event#"));
}

#[test]
fn what_is_no_event_is_kept_whole_and_without_secrets() {
    for kind in ["application/cloudevents+xml", "application/cloudevents", "application/json"] {
        let items = body(kind, b"<event/>");
        assert!(items.len() == 1 && !items[0].is_event, "{kind}");
        let kept = String::from_utf8_lossy(&items[0].bytes).into_owned();
        assert!(kept.ends_with("<event/>") && !kept.contains("secret"), "{kept}");
    }
    assert_eq!(body("application/cloudevents+json", b""), []);
    assert_eq!(body("", b""), []);
    // Headers alone are something.
    let items = message(b"ce-id: 1\nce-data: 2\n\n");
    assert_eq!(&items[0].bytes[..], b"ce-data: 2\r\nce-id: 1\r\n\r\n");
    let twice = message(b"ce-id: 1\nce-id: 2\nce-source: a\nce-type: t\nce-specversion: 1.0\n\n");
    assert!(!twice[0].is_event);
}

#[test]
fn hostile_bodies_are_kept_as_they_came() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let nested = |levels: usize| {
        let data = [vec![b'['; levels], vec![b']'; levels]].concat();
        let head = br#"{"specversion":"1.0","type":"t","source":"/a","id":"1","data":"#;
        [&head[..], &data, b"}"].concat()
    };
    for bad in [&b"["[..], b"[1,", b"{\"id\":\"\xff\"}", b"nul", &deep, &nested(30)] {
        for kind in ["application/cloudevents+json", "application/cloudevents-batch+json"] {
            let items = body(kind, bad);
            assert!(!items.is_empty() && items.iter().all(|item| !item.is_event));
            assert!(items.iter().map(|item| item.bytes.len()).sum::<usize>() <= bad.len());
        }
    }
    assert!(body("application/cloudevents+json", &nested(29))[0].is_event);
    let long = vec![b'x'; (2 << 20) + 1];
    let pieces = body("application/cloudevents+json", &long);
    assert_eq!(pieces.iter().map(|item| item.bytes.len()).sum::<usize>(), long.len());
    assert_eq!(pieces[0].key, Some(key_of(&long)));
}

#[test]
fn more_events_than_are_allowed_are_kept_in_one_piece() {
    let event = br#"{"specversion":"1.0","type":"t","source":"/a","id":"1"}"#.to_vec();
    let list = [b"[".to_vec(), vec![event; 5].join(&b","[..]), b"]".to_vec()].concat();
    let headers = [("content-type", &b"application/cloudevents-batch+json"[..])];
    let items = cloudevents::decode(&headers, &Bytes::from(list), 3);
    assert_eq!(items.iter().filter(|item| item.is_event).count(), 3);
    assert!(items.len() == 4 && items[3].bytes.starts_with(b",{"));
}
