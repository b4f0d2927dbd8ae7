//! The laws of decoders: whatever comes, something is kept of it that the log takes.

use attestree::core::record::{SUBMISSION_LIMITS, Submission};
use attestree::source::otlp::Encoding;
use attestree::source::{Item, kubernetes::decode, otlp as decoder};
use bytes::Bytes;

/// Most bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 256;

/// Most items of a request in these laws.
const ITEMS_MAX: usize = 64;

/// An event has its form and a key is short; what is none is kept in its bytes.
fn check(items: &[Item], came: &Bytes) {
    for item in items {
        assert!((1..=SUBMISSION_LIMITS.bytes).contains(&item.bytes.len()));
        assert!(item.key.as_ref().is_none_or(|key| (1..=KEY_BYTES_MAX).contains(&key.len())));
        if item.is_event {
            let submission = Submission::parse(&item.bytes).expect("an event is a submission");
            submission.event().expect("an event has its form");
        } else {
            let kept = &item.bytes[..];
            let stands = |window: &[u8]| window == kept;
            assert!(kept.len() <= came.len() && came.windows(kept.len()).any(stands));
        }
    }
}

/// A request of OTLP, in either encoding.
pub fn otlp(data: &[u8]) {
    let came = Bytes::copy_from_slice(data);
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let items = decoder::decode(&came, encoding, ITEMS_MAX);
        check(&items, &came);
        assert_eq!(decoder::decode(&came, encoding, ITEMS_MAX), items);
        let keys: Vec<_> = items.iter().filter_map(|item| item.key.as_ref()).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "two items of one request have one name");
        }
    }
}

/// A batch of audit events of Kubernetes.
pub fn kubernetes(data: &[u8]) {
    let came = Bytes::copy_from_slice(data);
    let items = decode(&came, "prod-1", ITEMS_MAX);
    check(&items, &came);
    assert_eq!(decode(&came, "prod-1", ITEMS_MAX), items);
    // Names are of one cluster: another one's events never take their places.
    let others = decode(&came, "prod-2", ITEMS_MAX);
    let events = items.iter().filter(|item| item.is_event);
    for item in events {
        assert!(item.key.is_some() && others.iter().all(|other| other.key != item.key));
    }
}
