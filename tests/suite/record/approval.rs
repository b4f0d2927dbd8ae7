//! Approvals: made with a key, written, read, and counted.

use attestree::core::{
    note::{KeyName, SigningKey},
    origin::Origin,
    record::{Approval, ApprovalRule, ApproverKey, PolicyDigest, Statement, Timestamp},
};

const OLD: PolicyDigest = PolicyDigest::from_bytes([1; 32]);
const NEW: PolicyDigest = PolicyDigest::from_bytes([2; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(KeyName::parse("approver").unwrap(), &[seed; 32])
}

fn public(seed: u8) -> ApproverKey {
    ApproverKey::new(*key(seed).verifier_key().public_bytes()).unwrap()
}

fn time(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

#[test]
fn an_approval_counts_for_one_change_of_one_log_until_it_ends() {
    let origin = Origin::parse("log.example/a").unwrap();
    let statement = Statement { origin: &origin, old: OLD, new: NEW, expires: time(10) };
    let rule = ApprovalRule::new(vec![public(1), public(2), public(3)], 2).unwrap();
    let of = |seeds: &[u8]| -> Vec<Approval> {
        seeds.iter().map(|seed| Approval::sign(&statement, &key(*seed))).collect()
    };
    let count = |origin: &Origin, old, new, given: &[Approval], at| {
        let keys = rule.approvers(origin, old, new, given, time(at));
        assert_eq!(rule.is_met(origin, old, new, given, time(at)), keys.len() >= 2);
        keys.len()
    };
    assert_eq!(count(&origin, OLD, NEW, &of(&[1, 3]), 9), 2);
    assert_eq!(count(&origin, OLD, NEW, &of(&[1, 1, 4]), 9), 1);
    assert_eq!(count(&origin, OLD, NEW, &of(&[1, 3]), 10), 0);
    assert_eq!(count(&origin, NEW, OLD, &of(&[1, 3]), 9), 0);
    assert_eq!(count(&Origin::parse("log.example/b").unwrap(), OLD, NEW, &of(&[1, 3]), 9), 0);
    let mut later = of(&[1, 3]);
    later.iter_mut().for_each(|approval| approval.expires = time(20));
    assert_eq!(count(&origin, OLD, NEW, &later, 9), 0);
}

#[test]
fn an_approval_has_one_text() {
    let origin = Origin::parse("log.example/a").unwrap();
    let statement = Statement { origin: &origin, old: OLD, new: NEW, expires: time(10) };
    let approval = Approval::sign(&statement, &key(1));
    let text = approval.format();
    assert_eq!(Approval::parse(&text).as_ref(), Some(&approval));
    assert_eq!(Approval::parse(&format!("{text}\n")), Some(approval));
    for wrong in [
        String::new(),
        text.replace("\":\"", "\": \""),
        text.replace("expires", "expired"),
        text.replace("\"key\":\"", "\"key\":\"A"),
        text.replace('}', ",\"z\":1}"),
    ] {
        assert_eq!(Approval::parse(&wrong), None, "{wrong}");
    }
}
