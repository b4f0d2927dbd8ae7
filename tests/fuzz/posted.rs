//! The laws of what foreign senders post as JSON: whatever comes is kept, and becomes the same each time.

use attestree::core::record::{FormFault, SUBMISSION_LIMITS, Submission};
use attestree::source::{Item, cloudevents as ce, hec as collector, opa as decisions};
use bytes::Bytes;

/// So many items of a body are read one by one: few, so that inputs reach the rest.
const ITEMS_MAX: usize = 5;

/// Checks items: none is empty or too long, and an event is one that can be recorded. Names of the sender's, and of
/// an event in this log's own form everything, may still be such that the event is quarantined.
pub(crate) fn check(items: &[Item], own: bool) {
    for item in items {
        assert!((1..=SUBMISSION_LIMITS.bytes).contains(&item.bytes.len()));
        assert!(item.key.as_ref().is_none_or(|key| (1..=256).contains(&key.len())));
        if item.is_event {
            let submission = Submission::parse(&item.bytes).expect("an event is JSON");
            if let Err(faults) = submission.event() {
                let is_content = |fault: &FormFault| matches!(fault, FormFault::Content(_));
                assert!(own || faults.iter().all(is_content), "{faults:?}");
            }
        }
    }
}

/// A request in any mode is kept; what is made of the same bytes in a batch has the same key.
pub fn cloudevents(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(0);
    let (head, body) = data.split_at(end);
    let body = Bytes::copy_from_slice(body.trim_ascii_start());
    let lines: Vec<(String, &[u8])> = head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
            Some((name, line[colon + 1..].trim_ascii()))
        })
        .collect();
    let headers: Vec<(&str, &[u8])> =
        lines.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let items = ce::decode(&headers, &body, ITEMS_MAX);
    check(&items, false);
    assert_eq!(ce::decode(&headers, &body, ITEMS_MAX), items);
    assert!(!items.is_empty() || body.is_empty() || body.starts_with(b"["));

    let alone = ce::decode(&[("content-type", b"application/cloudevents+json")], &body, ITEMS_MAX);
    let list = Bytes::from([b"[", &body[..], b"]"].concat());
    let batch =
        ce::decode(&[("content-type", b"application/cloudevents-batch+json")], &list, ITEMS_MAX);
    check(&batch, false);
    if let [Item { is_event: true, .. }] = &alone[..] {
        assert_eq!(batch, alone);
    }
}

/// Objects and lines are kept to the last byte that is no white space.
pub fn hec(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let items = collector::decode(&body, ITEMS_MAX);
    check(&items, true);
    assert!(!items.is_empty() || data.trim_ascii().is_empty());
    // What was read is a beginning of the body: with fewer allowed, the same.
    let fewer = collector::decode(&body, 1);
    check(&fewer, true);
    if let (Some(one), Some(other)) = (items.first(), fewer.first()) {
        assert_eq!(one, other);
    }
    let query = String::from_utf8_lossy(data);
    let metadata = collector::Metadata::of_query(&query);
    let lines = collector::decode_raw(&body, &metadata, ITEMS_MAX);
    check(&lines, false);
    let is_empty = data.split(|byte| *byte == b'\n').all(|line| line.trim_ascii().is_empty());
    assert_eq!(lines.is_empty(), is_empty);
    assert!(collector::decode_acks(data).is_none_or(|acks| acks.len() <= collector::ACKS_MAX));
}

/// Decisions are kept; one that is read has the same key wherever it stands.
pub fn opa(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let items = decisions::decode(&body, ITEMS_MAX);
    check(&items, false);
    let list = Bytes::from([b"[7,", data, b"]"].concat());
    let second = decisions::decode(&list, ITEMS_MAX);
    check(&second, false);
    let alone = decisions::decode(&Bytes::from([b"[", data, b"]"].concat()), ITEMS_MAX);
    if let [event @ Item { is_event: true, .. }] = &alone[..] {
        assert_eq!(second.get(1), Some(event));
    }
}
