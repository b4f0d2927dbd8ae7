//! Reads an audit log back and checks it against all that was ever promised.
//!
//! The laws:
//!
//! - The checkpoint's root is that of the records.
//! - Every record that was acknowledged stands at its index with its bytes, and the keys and rows beside the
//!   log open its fields as its receipt does.
//! - No event has two records, no record is of an event that nobody sent, and a batch is there whole or not.
//! - Every record names the last policy below it, and was judged by it; every policy that was acknowledged is
//!   at its index.
//! - What was counted is what was acknowledged, and at most what was sent.
//! - The numbers of the source have those gaps that it left.

use std::collections::HashMap;

use attestree::{
    core::{
        hash::TreeHash,
        number::LeafIndex,
        record::{Body, PolicyDigest, Record, System},
        tree::Frontier,
    },
    proto::{GetCheckpointRequest, ReadEntriesRequest, log_service_client::LogServiceClient},
    server::{self, KeyPlace},
};
use bytes::Bytes;
use serde_json::Value;

use super::{
    book::{Book, Ledger, Taken},
    place::Door,
    writer::Writer,
};
use crate::{
    crash::{random::Random, site::Site},
    told::verify,
};

/// Fields that are opened from the disk in one check.
const DISCLOSED: usize = 4;

/// What is read of a log.
#[derive(Default)]
struct Found {
    /// The index of the record of each event.
    events: HashMap<usize, u64>,
    policies: HashMap<PolicyDigest, u64>,
    counted: u64,
    gaps: Vec<(u64, u64)>,
}

/// Reads every record below the newest checkpoint.
async fn read_back(door: &Door, book: &Book) -> Vec<Bytes> {
    let mut client = LogServiceClient::new(door.channel.clone());
    client = client.max_decoding_message_size(64 << 20);
    let checkpoint = client.get_checkpoint(GetCheckpointRequest::default()).await.unwrap();
    let head = verify(checkpoint.into_inner().checkpoint.as_ref(), &book.vkey);
    let request = ReadEntriesRequest { to: Some(head.size.get()), ..Default::default() };
    let mut messages = client.read_entries(request).await.unwrap().into_inner();
    let (mut entries, mut frontier) = (Vec::new(), Frontier::new());
    while let Some(message) = messages.message().await.unwrap() {
        for entry in message.entries {
            frontier.push_leaf(TreeHash::leaf(&entry));
            entries.push(entry);
        }
    }
    assert_eq!((frontier.size(), frontier.root()), (head.size, head.root), "the records' root");
    entries
}

/// Takes the records one by one.
fn look(entries: &[Bytes], ledger: &Ledger) -> Found {
    let mut found = Found::default();
    let mut active: Option<(usize, PolicyDigest)> = None;
    for (index, entry) in (0_u64..).zip(entries) {
        let record = Record::parse(entry).unwrap();
        assert_eq!(record.policy(), active.map(|(_, digest)| digest), "the policy of {index}");
        match record.body() {
            Body::Event(event) => {
                let value: Value = serde_json::from_slice(entry).unwrap();
                let number = value["ctx"]["n"].as_u64().expect("nobody sent this event") as usize;
                assert!(number < ledger.sent.len(), "nobody sent event {number}");
                let before = found.events.insert(number, index);
                assert_eq!(before, None, "event {number} stands twice, at {index} as well");
                if value["act"] == "login" {
                    let rule: Vec<String> =
                        active.iter().map(|(number, _)| format!("v{number}")).collect();
                    assert_eq!(event.rules(), rule, "what judged record {index}");
                }
            }
            Body::System(System::Policy(policy)) => {
                let is_it = |switch: &super::book::Switch| switch.digest == policy.digest;
                let number = ledger.switches.iter().position(is_it);
                active = Some((number.expect("someone applied the policy"), policy.digest));
                found.policies.insert(policy.digest, index);
            }
            Body::System(System::Suppressed(tally)) => found.counted += tally.count,
            Body::System(System::Gap { from, to, .. }) => found.gaps.push((*from, *to)),
            Body::System(System::Genesis { .. } | System::PolicyPart(_)) => {}
            Body::System(other) => panic!("the log says at {index}: {other:?}"),
        }
    }
    found
}

/// Checks what was acknowledged.
fn check_promises(entries: &[Bytes], found: &Found, ledger: &Ledger) {
    for (number, sent) in ledger.sent.iter().enumerate() {
        let Some(Taken { index, leaf, entry, .. }) = &sent.taken else { continue };
        let stored = entries.get(*index as usize);
        let stored = stored.unwrap_or_else(|| panic!("the log ends before {index} of {number}"));
        assert_eq!(TreeHash::leaf(stored), *leaf, "record {index} of event {number}");
        assert!(entry.as_ref().is_none_or(|entry| entry == stored), "as above");
        assert_eq!(found.events.get(&number), Some(index), "event {number}");
    }
    for batch in &ledger.batches {
        let places: Vec<Option<u64>> =
            batch.clone().map(|number| found.events.get(&number).copied()).collect();
        let whole = match places[0] {
            Some(first) => places.iter().copied().eq((first..).map(Some).take(places.len())),
            None => places.iter().all(Option::is_none),
        };
        assert!(whole, "a batch is torn: {places:?}");
    }
    for switch in &ledger.switches {
        if let Some((index, _)) = switch.answered {
            assert_eq!(
                found.policies.get(&switch.digest),
                Some(&index),
                "a policy is at its index"
            );
        }
    }
}

/// Checks a log that may have lost nothing of a ledger.
pub(super) async fn check(door: &Door, book: &Book) {
    let ledger = book.ledger();
    let entries = read_back(door, book).await;
    let found = look(&entries, &ledger);
    check_promises(&entries, &found, &ledger);
    assert!(found.counted <= ledger.noise_sent, "nobody sent what was counted");
}

/// Checks what is remembered beside the records, by making the log say it: a change of policy ends what is
/// counted, and a number that is left out shows which one was due.
pub(super) async fn check_state(door: &Door, book: &Book, source: &str) {
    let mut writer = Writer::new(door, book);
    writer.switch(source).await.unwrap();
    writer.numbered(0).await.unwrap();
    writer.numbered(5).await.unwrap();
    let ledger = book.ledger();
    let entries = read_back(door, book).await;
    let found = look(&entries, &ledger);
    check_promises(&entries, &found, &ledger);
    let (told, promised) = (found.counted, ledger.noise_at.len() as u64);
    assert!(
        (promised..=ledger.noise_sent).contains(&told),
        "{told} were counted: {promised} were acknowledged, and {} sent",
        ledger.noise_sent
    );
    assert_eq!(found.gaps, ledger.skipped, "the numbers that are missing");
}

/// Sends again what has a key: what was acknowledged is a duplicate at its index, and the rest comes once.
pub(super) async fn send_again(door: &Door, book: &Book, random: &mut Random) {
    let ledger = book.ledger();
    let mut writer = Writer::new(door, book);
    for (number, sent) in ledger.sent.iter().enumerate().filter(|(_, sent)| !sent.key.is_empty()) {
        if sent.taken.is_some() && !random.chance(2) {
            continue;
        }
        let duplicate = writer.post(number).await.unwrap();
        assert!(duplicate || sent.taken.is_none(), "event {number} was acknowledged before");
    }
}

/// Checks with the database at rest: tree, chain of records, every field opened by its key, and some of them
/// as their receipts open them.
pub(super) fn check_disk(site: &Site, ledger: &Ledger, random: &mut Random) {
    site.fsck();
    let opened: Vec<&Taken> = ledger
        .sent
        .iter()
        .filter_map(|sent| sent.taken.as_ref())
        .filter(|taken| !taken.openings.is_empty())
        .collect();
    let data = site.data();
    let place = KeyPlace { data: &data, kek: None };
    for _ in 0..DISCLOSED.min(opened.len()) {
        let taken = opened[random.position(opened.len())];
        let index = LeafIndex::new(taken.index).unwrap();
        let disclosed = server::disclose(place, "", index, None).unwrap();
        let disclosed: Vec<_> = disclosed.iter().map(|one| one.opening().clone()).collect();
        assert_eq!(disclosed, taken.openings, "what opens record {index}");
    }
}
