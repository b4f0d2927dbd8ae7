//! Splunk HEC: what becomes of objects and lines, and of what is broken between them.

use attestree::source::{Item, hec};
use bytes::Bytes;

use super::golden;

/// Far more events than any test has.
const MANY: usize = 1_000;

fn objects(body: &[u8]) -> Vec<Item> {
    let items = hec::decode(&Bytes::copy_from_slice(body), MANY);
    golden::check(&items);
    items
}

fn lines(body: &[u8], query: &str) -> Vec<Item> {
    let metadata = hec::Metadata::of_query(query);
    let items = hec::decode_raw(&Bytes::copy_from_slice(body), &metadata, MANY);
    golden::check(&items);
    items
}

#[test]
fn objects_and_lines_become_what_is_kept() {
    golden::compare("hec", "events", &objects(&golden::input("hec", "events.in.json")));
    let query = "channel=1&host=web%2D7&source=%2Fvar%2Flog+a&sourcetype=syslog&index=main";
    golden::compare("hec", "lines", &lines(&golden::input("hec", "lines.in.txt"), query));
}

#[test]
fn what_follows_a_broken_object_is_not_read() {
    // The text inside of an event could be chosen by a stranger.
    let items = objects(b"{\"event\":1}{\"event\":\"a \"b\" {\"event\":\"forged\"}");
    assert_eq!(items.iter().filter(|item| item.is_event).count(), 1);
    assert_eq!(&items[1].bytes[..], b"{\"event\":\"a \"b\" {\"event\":\"forged\"}");
    let again = objects(b"{\"event\":1}{\"event\":\"a \"b\" {\"event\":\"forged\"}");
    assert!(items[1].key.is_some() && again == items);
}

#[test]
fn equal_lines_are_different_events() {
    let items = lines(b"a\na\n", "");
    assert!(items.len() == 2 && items.iter().all(|item| item.key.is_none()));
    assert_eq!(lines(b"\n \r\n", ""), []);
    assert_eq!(objects(b" \n"), []);
}

#[test]
fn hostile_bodies_are_kept_as_they_came() {
    let deep = [vec![b'{'; 100_000], vec![b'}'; 100_000]].concat();
    let list = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let names = (0..20_000).map(|at| format!("\"{at}\":0")).collect::<Vec<_>>().join(",");
    let wide = format!("{{\"event\":{{{names}}}}}");
    for bad in [&deep[..], &list, wide.as_bytes(), b"\xff", b"[{\"event\":1}]", b"\"event\"", b"1e"]
    {
        let items = objects(bad);
        let kept: Vec<u8> = items.iter().flat_map(|item| item.bytes.clone()).collect();
        assert!(items.iter().all(|item| !item.is_event) && kept == bad);
    }
    let long = format!("{{\"event\":\"{}\"}}", "\u{1}".escape_unicode().to_string().repeat(9));
    assert_eq!(objects(long.as_bytes()).len(), 1);
    let line = "x".repeat((1 << 20) + 1);
    assert_eq!(lines(line.as_bytes(), "").len(), 2);
}

#[test]
fn more_events_than_are_allowed_are_kept_in_one_piece() {
    let items = hec::decode(&Bytes::from_static(b"{\"event\":1}\n{\"event\":2}{\"event\":3}\n"), 2);
    assert_eq!((items.len(), &items[2].bytes[..]), (3, &b"{\"event\":3}\n"[..]));
    let metadata = hec::Metadata::default();
    let items = hec::decode_raw(&Bytes::from_static(b"a\n\nb\nc\nd\n"), &metadata, 2);
    assert_eq!((items.len(), &items[2].bytes[..]), (3, &b"c\nd\n"[..]));
}

#[test]
fn acknowledgements_are_asked_for_by_numbers() {
    assert_eq!(
        hec::decode_acks(b"{\"acks\":[0, 7,18446744073709551615]}"),
        Some(vec![0, 7, u64::MAX])
    );
    let many = format!("{{\"acks\":[{}0]}}", "0,".repeat(hec::ACKS_MAX));
    for bad in ["", "[]", "{\"acks\":[-1]}", "{\"acks\":[1.5]}", "{\"acks\":7}", many.as_str()] {
        assert_eq!(hec::decode_acks(bad.as_bytes()), None, "{bad}");
    }
}
