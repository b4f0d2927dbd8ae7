//! `AppendEvent` and `AppendEventBatch`.

use attestree::{
    core::{
        hash::TreeHash,
        record::{Body, Record, System, Verdict as Said},
        tree,
    },
    proto::{
        Answer, AppendBatchRequest, AppendEventBatchRequest, AppendEventRequest, AppendRequest,
        BatchEvent, EventRecord, GetEntryRequest, Verdict,
    },
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{LOGIN, events, governed, one, start, verdict};
use crate::{
    served::Served,
    told::{assert_status, hashes, index, verify},
};

#[tokio::test]
async fn an_event_becomes_a_record_with_a_receipt() {
    let served = start();
    let answer = events(&served).await.append_event(one(LOGIN)).await.unwrap().into_inner();
    let (record, appended) = (answer.record.unwrap(), answer.appended.unwrap());
    // Record 0 is the log's genesis.
    assert_eq!((appended.leaf_index, appended.duplicate), (1, false));
    assert_eq!((record.verdict(), record.rules.len()), (Verdict::Accept, 0));
    let leaf = TreeHash::leaf(&record.entry);
    assert_eq!(&record.leaf_hash[..], leaf.as_bytes());
    let head = verify(appended.checkpoint.as_ref(), &served.vkeys[0]);
    let proof = appended.proof.unwrap();
    tree::verify_inclusion(&leaf, index(proof.leaf_index), &head, &hashes(&proof.hashes)).unwrap();
    assert_eq!(verdict(&record.entry), (Said::Accept, vec![]));
}

#[tokio::test]
async fn the_answer_holds_what_was_asked_for() {
    let served = governed().await;
    let mut client = events(&served).await;
    let faulty = r#"{"act":"auth.login","out":"failure"}"#;
    for answer in [Answer::Unspecified, Answer::Index, Answer::Checkpoint] {
        let request = AppendEventRequest { answer: answer.into(), ..one(faulty) };
        let answered = client.append_event(request).await.unwrap().into_inner();
        let record = answered.record.unwrap();
        assert_eq!(record.verdict(), Verdict::Quarantine);
        assert_eq!(record.rules, ["authentication/actor.id", "reasons"]);
        assert!(record.entry.is_empty() && record.openings.is_empty());
        let appended = answered.appended.unwrap();
        assert_eq!(appended.checkpoint.is_some(), answer == Answer::Checkpoint);
    }
}

#[tokio::test]
async fn each_verdict_is_told_with_its_rules() {
    let served = governed().await;
    let mut client = events(&served).await;
    let warned = r#"{"act":"auth.login","out":"failure","actor":{"id":"u"}}"#;
    let cases = [
        (LOGIN, Verdict::Accept, vec![]),
        (warned, Verdict::Warn, vec!["reasons"]),
        (r#"{"vd":"accept"}"#, Verdict::Quarantine, vec!["record/server-member"]),
        (r#"{"act":7}"#, Verdict::Quarantine, vec!["record/form-act"]),
        (r#"{"$x":1}"#, Verdict::Quarantine, vec!["record/server-member"]),
    ];
    for (event, said, rules) in cases {
        let record = client.append_event(one(event)).await.unwrap().into_inner().record.unwrap();
        assert_eq!(
            (record.verdict(), record.rules),
            (said, rules.iter().map(ToString::to_string).collect())
        );
        let shows = matches!(said, Verdict::Accept | Verdict::Warn);
        assert_eq!(record.openings.iter().any(|opening| opening.path == "/ctx/raw"), !shows);
        // What the producer has is not sent back.
        assert!(record.openings.iter().all(|opening| opening.value.is_none()));
    }
    let size = served.running().pipeline().logs()[0].published().head().size;
    let status = client.append_event(one(r#"{"act":"deploy.start"}"#)).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "POLICY", Some("event"));
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["rules"], "deployment/approval");
    assert_eq!(metadata["policy"], super::bundle(super::POLICY).digest().to_string());
    assert_eq!(served.running().pipeline().logs()[0].published().head().size, size);
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_its_position() {
    let served = start();
    let mut client = events(&served).await;
    let status =
        client.append_event(one("{\n  \"act\": \"a\",\n  \"act\": \"b\"}")).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "MALFORMED", Some("event"));
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((metadata["line"].as_str(), metadata["column"].as_str()), ("3", "3"));
    assert_eq!(metadata["offset"], "18");
    assert!(!metadata.contains_key("position"));
    let status = client.append_event(one("")).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "NO_EVENT", Some("event"));
    let status = client.append_event(one(vec![b' '; (1 << 20) + 1])).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "EVENT_TOO_LONG", Some("event"));
}

#[tokio::test]
async fn an_idempotency_key_names_one_event_for_ever() {
    let mut served = start();
    let keyed = |event| AppendEventRequest { idempotency_key: "name".into(), ..one(event) };
    let first = events(&served).await.append_event(keyed(LOGIN)).await.unwrap().into_inner();
    served.stop();
    served.resume();
    let mut client = events(&served).await;
    let again = client.append_event(keyed(LOGIN)).await.unwrap().into_inner();
    let (place, record) = (again.appended.unwrap(), again.record.unwrap());
    assert_eq!((place.leaf_index, place.duplicate), (first.appended.unwrap().leaf_index, true));
    // Only the log knows the bytes of an event that was there before, but the proof is for its leaf.
    assert_eq!(record.leaf_hash, first.record.unwrap().leaf_hash);
    assert_eq!((record.verdict(), record.entry.len()), (Verdict::Unspecified, 0));
    let status = client.append_event(keyed("{}")).await.unwrap_err();
    assert_status(&status, Code::AlreadyExists, "KEY_CONFLICT", Some("idempotency_key"));
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let served = governed().await;
    let mut client = events(&served).await;
    let batch = |events: &[&'static str]| AppendEventBatchRequest {
        events: events.iter().map(|event| (*event).into()).collect(),
        answer: Answer::Receipt.into(),
        ..Default::default()
    };
    let answer = client.append_event_batch(batch(&[LOGIN, r#"{"act":7}"#, "{}"])).await;
    let answer = answer.unwrap().into_inner();
    let said: Vec<Verdict> = answer.records.iter().map(EventRecord::verdict).collect();
    assert_eq!(said, [Verdict::Accept, Verdict::Quarantine, Verdict::Accept]);
    let appended = answer.appended.unwrap();
    assert_eq!(appended.to - appended.from, 3);
    let head = verify(appended.checkpoint.as_ref(), &served.vkeys[0]);
    let leaves: Vec<TreeHash> =
        answer.records.iter().map(|record| TreeHash::leaf(&record.entry)).collect();
    let proof = hashes(&appended.range_proof);
    tree::verify_range(&leaves, index(appended.from), &head, &proof).unwrap();

    for (faulty, code, reason) in [
        ("{", Code::InvalidArgument, "MALFORMED"),
        (r#"{"act":"deploy.x"}"#, Code::FailedPrecondition, "POLICY"),
    ] {
        let status = client.append_event_batch(batch(&["{}", "{}", faulty])).await.unwrap_err();
        assert_status(&status, code, reason, Some("events[2]"));
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().metadata["position"], "2");
    }
    let keyed =
        ["a", "b", "a"].map(|key| BatchEvent { event: "{}".into(), idempotency_key: key.into() });
    let request = AppendEventBatchRequest {
        keyed_events: keyed.to_vec(),
        answer: Answer::Receipt.into(),
        ..Default::default()
    };
    let answer = client.append_event_batch(request).await.unwrap().into_inner();
    let place = answer.appended.unwrap();
    let request = GetEntryRequest { leaf_index: appended.to, ..Default::default() };
    let entry = served.client().await.get_entry(request).await.unwrap().into_inner().entry;
    // The alert about the quarantine follows it at once; nothing of the refused batches was appended.
    let alert = Record::parse(&entry).unwrap();
    assert!(matches!(alert.body(), Body::System(System::Alert(..))), "{alert:?}");
    assert_eq!(place.from, appended.to + 1);
    assert_eq!((place.to, place.duplicates[0].leaf_index), (place.from + 2, place.from));
    assert_eq!(answer.records[2].leaf_hash, answer.records[0].leaf_hash);
}

#[tokio::test]
async fn raw_entries_and_events_keep_to_their_logs() {
    let served = start();
    let mut raw = served.client().await;
    let entry = AppendRequest { entry: "{}".into(), ..Default::default() };
    let status = raw.append(entry).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "AUDIT_LOG", None);
    let entries = AppendBatchRequest { entries: vec!["{}".into()], ..Default::default() };
    let status = raw.append_batch(entries).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "AUDIT_LOG", None);

    let opaque = Served::start();
    let status = events(&opaque).await.append_event(one("{}")).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "OPAQUE_LOG", None);
}
