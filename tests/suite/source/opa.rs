//! Decision logs of OPA: what becomes of decisions, and of what is none.

use attestree::source::{Item, opa};
use bytes::Bytes;

use super::golden;

/// Far more decisions than any test has.
const MANY: usize = 1_000;

fn decisions(body: &[u8]) -> Vec<Item> {
    let items = opa::decode(&Bytes::copy_from_slice(body), MANY);
    golden::check(&items);
    items
}

#[test]
fn decisions_become_what_is_kept() {
    for name in ["decisions", "object"] {
        let items = decisions(&golden::input("opa", &format!("{name}.in.json")));
        golden::compare("opa", name, &items);
    }
}

#[test]
fn a_decision_keeps_its_key_in_another_upload() {
    let one = decisions(br#"[{"decision_id":"1","result":true}]"#);
    let two = decisions(br#"[{"decision_id":"0"},{"decision_id":"1","result":true}]"#);
    assert_eq!(one[0], two[1]);
    assert_eq!(decisions(b"[]"), []);
}

#[test]
fn hostile_bodies_are_kept_as_they_came() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let inner = [b"[{\"decision_id\":\"1\",\"input\":", &deep[..], b"}]"].concat();
    for bad in [&deep[..], &inner, b"\xff", b"{}", b"[{\"decision_id\":\"1\"}", b"[{},]", b"7"] {
        let items = decisions(bad);
        assert!(items.iter().all(|item| !item.is_event) && items.len() == 1);
    }
    // One decision that is no UTF-8 spoils no other.
    let items =
        decisions(b"[{\"decision_id\":\"1\"},{\"decision_id\":\"\xff\"},{\"decision_id\":\"3\"}]");
    assert_eq!(items.iter().map(|item| item.is_event).collect::<Vec<_>>(), [true, false, true]);
    let items = opa::decode(&Bytes::from_static(b"[{\"decision_id\":\"1\"},2,3]"), 1);
    assert_eq!((items.len(), &items[1].bytes[..]), (2, &b",2,3]"[..]));
}
