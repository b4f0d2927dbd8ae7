//! Audit events of Kubernetes: what becomes of them, and that sending them again is harmless.

use std::collections::BTreeSet;

use attestree::{
    core::record::{Submission, json},
    source::{Item, kubernetes},
};
use bytes::Bytes;

use super::golden;

/// Far more than a batch of these tests has.
const ITEMS_MAX: usize = 4_096;

fn decode(body: &Bytes) -> Vec<Item> {
    kubernetes::decode(body, "prod-1", ITEMS_MAX)
}

/// Returns the batch of all kinds of requests.
pub(crate) fn requests() -> Bytes {
    let text = include_str!("../../vectors/source/kubernetes/requests.in.json");
    Bytes::from_static(text.as_bytes())
}

fn keys(items: &[Item]) -> BTreeSet<Vec<u8>> {
    items.iter().map(|item| item.key.clone().unwrap()).collect()
}

#[test]
fn golden_files_hold() {
    assert_eq!(golden::compare_all("kubernetes", decode), 7);
}

#[test]
fn an_event_is_one_however_its_batch_is_cut() {
    let items = decode(&requests());
    assert_eq!(items.len(), 10);
    assert_eq!(keys(&items).len(), items.len(), "two stages of one request are two events");
    let batch: serde_json::Value = serde_json::from_slice(&requests()).unwrap();
    for (event, item) in batch["items"].as_array().unwrap().iter().zip(&items) {
        let mut alone = batch.clone();
        alone["items"] = serde_json::json!([event]);
        let again = decode(&Bytes::from(alone.to_string()));
        assert_eq!(again.as_slice(), core::slice::from_ref(item));
    }
    let other = kubernetes::decode(&requests(), "prod-2", ITEMS_MAX);
    assert!(keys(&other).is_disjoint(&keys(&items)), "clusters number their requests alike");
}

#[test]
fn every_event_has_its_form_and_says_when_it_occurred() {
    for item in decode(&requests()) {
        assert!(item.is_event && item.occurred.is_some());
        Submission::parse(&item.bytes).unwrap().event().unwrap();
    }
}

#[test]
fn what_a_client_can_set_is_called_unverified() {
    let items = decode(&requests());
    let event: serde_json::Value = serde_json::from_slice(&items[0].bytes).unwrap();
    assert_eq!(event["ctx"]["source"]["ip"], "10.0.0.12");
    assert_eq!(event["ctx"]["unverified"]["source_ips"], serde_json::json!(["198.51.100.7"]));
    let agent = event["ctx"]["unverified"]["user_agent"].as_str().unwrap();
    assert!(agent.starts_with("kubectl/"));
    let text = event.to_string();
    assert_eq!(text.matches("kubectl/v1").count(), 1, "it stands nowhere else");
}

#[test]
fn a_batch_that_is_too_long_is_kept_as_it_came() {
    let whole = kubernetes::decode(&requests(), "prod-1", 10);
    assert!(whole.iter().all(|item| item.is_event));
    let [item] = &kubernetes::decode(&requests(), "prod-1", 9)[..] else { panic!("one item") };
    assert!(!item.is_event);
    assert_eq!((&item.bytes, item.key.is_some()), (&requests(), true));
    // Of a list that could fill the memory, no more than its beginning is looked at.
    let many = ["{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"items\":[0", "]}"]
        .join(&",0".repeat(400_000));
    let items = kubernetes::decode(&Bytes::from(many), "prod-1", usize::MAX);
    assert_eq!(items.iter().filter(|item| item.is_event).count(), 0);
    assert_eq!(items.len(), 1);
}

#[test]
fn one_malformed_event_spoils_no_other() {
    let batch = String::from_utf8(requests().to_vec()).unwrap();
    let spoiled = batch.replacen("\"items\":[", "\"items\":[{\"auditID\":7},", 1);
    let items = decode(&Bytes::from(spoiled));
    assert!(!items[0].is_event);
    assert_eq!(&items[0].bytes[..], b"{\"auditID\":7}");
    assert_eq!(items[1..], decode(&requests()));
}

#[test]
fn names_that_no_event_may_have_are_kept_inside_of_a_text() {
    let items = decode(&requests());
    let event: serde_json::Value = serde_json::from_slice(&items[5].bytes).unwrap();
    let patch = event["ctx"]["request"]["body"].as_str().unwrap();
    assert!(patch.contains("\"$patch\":\"delete\""));
    json::parse(patch.as_bytes(), &attestree::core::record::SUBMISSION_LIMITS).unwrap();
    assert_eq!(event["ctx"]["truncated_at_source"], true);
}
