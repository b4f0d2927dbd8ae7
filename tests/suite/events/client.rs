//! The client: honest answers verify, and a server that changes events is caught.

use attestree::{
    client::{Became, Client, ClientError, NewEntry, Server, Untrue, event_batch},
    core::{
        record::{EchoError, RedactionAction, Verdict},
        trust::TrustPolicy,
    },
    proto::{self, AppendEventBatchResponse, AppendEventResponse},
};
use bytes::Bytes;

use super::{LOGIN, events, governed, one};
use crate::served::Served;

pub(super) async fn connect(served: &Served) -> Client {
    let server = Server::parse(&served.url("")).unwrap();
    let policy = TrustPolicy::parse(&format!("log {}\nquorum none\n", served.vkeys[0])).unwrap();
    Client::connect(&server, None, Some(policy)).await.unwrap()
}

fn new(event: &'static str) -> NewEntry {
    NewEntry { bytes: event.into(), key: Bytes::new() }
}

#[tokio::test]
async fn a_producer_gets_its_record_with_what_opens_it() {
    let served = governed().await;
    let client = connect(&served).await;
    let appended = client.append_event(new(LOGIN)).await.unwrap();
    let Became::Recorded(recorded) = appended.became else { panic!("a new record") };
    let echo = recorded.echo;
    assert_eq!(echo.verdict, Verdict::Accept);
    let paths: Vec<&str> = echo.openings.iter().map(|opening| opening.path.as_str()).collect();
    assert_eq!(paths, ["/actor/email"]);
    assert_eq!(&**echo.openings[0].value, br#""a@example.com""#);
    let redacted: Vec<_> =
        echo.redactions.iter().map(|one| (one.path.as_str(), one.action)).collect();
    let wanted = [
        ("/ctx/note", RedactionAction::Mask),
        ("/ctx/password", RedactionAction::Drop),
        ("/ctx/phone", RedactionAction::Token),
    ];
    assert_eq!(redacted, wanted);
    for secret in ["hunter2", "a@example.com", "4111 1111", "+49 30"] {
        assert!(!String::from_utf8_lossy(&recorded.entry).contains(secret), "{secret}");
    }

    let events = vec![new(LOGIN), new("{}"), new(r#"{"act":7}"#)];
    let placed = client.append_event_batch(events).await.unwrap();
    let verdicts = placed.became.iter().map(|became| match became {
        Became::Recorded(recorded) => recorded.echo.verdict,
        other => panic!("{other:?}"),
    });
    let verdicts: Vec<Verdict> = verdicts.collect();
    assert_eq!(verdicts, [Verdict::Accept, Verdict::Accept, Verdict::Quarantine]);
    let places: Vec<u64> = placed.placed.places.iter().map(|place| place.index.get()).collect();
    assert_eq!(places[2], places[0] + 2);
}

#[tokio::test]
async fn a_repeat_is_proved_by_its_leaf_alone() {
    let served = governed().await;
    let client = connect(&served).await;
    let keyed = |key: &'static str| NewEntry { key: key.into(), ..new(LOGIN) };
    let first = client.append_event(keyed("a")).await.unwrap().appended.unwrap();
    let again = client.append_event(keyed("a")).await.unwrap();
    assert!(matches!(again.became, Became::Before));
    assert_eq!(again.appended.unwrap().index, first.index);
    let batch = vec![keyed("b"), keyed("a"), keyed("b")];
    let placed = client.append_event_batch(batch).await.unwrap();
    let duplicates: Vec<bool> = placed.placed.places.iter().map(|place| place.duplicate).collect();
    assert_eq!(duplicates, [false, true, true]);
    assert!(matches!(placed.became[..], [Became::Recorded(_), Became::Before, Became::Before]));
}

#[tokio::test]
async fn a_refusal_names_rules_and_policy() {
    let served = governed().await;
    let client = connect(&served).await;
    let error = client.append_event(new(r#"{"act":"deploy.x"}"#)).await.unwrap_err();
    let ClientError::Refused(refused) = error else { panic!("{error}") };
    assert!(refused.is_verdict());
    assert_eq!(refused.details["rules"], "deployment/approval");
}

/// Returns why the answer of a server that lies is not taken.
fn lie(
    client: &Client,
    answer: &AppendEventResponse,
    spoil: impl Fn(&mut AppendEventResponse),
) -> Untrue {
    let mut lie = answer.clone();
    spoil(&mut lie);
    client.appended_event(LOGIN.as_bytes(), &lie).expect_err("a lie is not taken")
}

#[tokio::test]
async fn a_server_that_changes_an_event_is_caught() {
    let served = governed().await;
    let client = connect(&served).await;
    let answer = events(&served).await.append_event(one(LOGIN)).await.unwrap().into_inner();
    client.appended_event(LOGIN.as_bytes(), &answer).unwrap();

    // It recorded something else, and proves that honestly.
    let other = LOGIN.replace("failure", "success");
    let honest = events(&served).await.append_event(one(other)).await.unwrap().into_inner();
    let untrue = client.appended_event(LOGIN.as_bytes(), &honest).unwrap_err();
    let Untrue::Echo(error) = untrue else { panic!("{untrue}") };
    assert_eq!(*error, EchoError::Changed { path: "/out".to_owned() });

    let record = |answer: &mut AppendEventResponse, change: fn(&mut proto::EventRecord)| {
        change(answer.record.as_mut().unwrap());
    };
    let cases: [(fn(&mut proto::EventRecord), fn(&Untrue) -> bool); 8] = [
        (|record| record.openings.clear(), |untrue| matches!(untrue, Untrue::Echo(_))),
        (
            |record| record.openings[0].salt = vec![0; 32].into(),
            |untrue| matches!(untrue, Untrue::Echo(_)),
        ),
        (
            |record| record.openings[0].salt = vec![0; 31].into(),
            |untrue| matches!(untrue, Untrue::Malformed { .. }),
        ),
        (
            |record| record.openings[0].path = "actor".to_owned(),
            |untrue| matches!(untrue, Untrue::Malformed { .. }),
        ),
        (
            |record| record.verdict = proto::Verdict::Warn.into(),
            |untrue| matches!(untrue, Untrue::Malformed { .. }),
        ),
        (
            |record| record.rules.push("a".to_owned()),
            |untrue| matches!(untrue, Untrue::Malformed { .. }),
        ),
        (|record| record.entry = Bytes::new(), |untrue| matches!(untrue, Untrue::Malformed { .. })),
        (|record| record.suppressed = true, |untrue| matches!(untrue, Untrue::Malformed { .. })),
    ];
    for (number, (change, caught)) in cases.into_iter().enumerate() {
        let untrue = lie(&client, &answer, |answer| record(answer, change));
        assert!(caught(&untrue), "{number}: {untrue}");
    }
    // A record that is not in the tree.
    let mut forged = answer.clone();
    let record = forged.record.as_mut().unwrap();
    let entry = String::from_utf8(record.entry.to_vec()).unwrap().replace("web-7", "web-8");
    record.leaf_hash =
        attestree::core::hash::TreeHash::leaf(entry.as_bytes()).as_bytes().to_vec().into();
    record.entry = entry.into();
    let submitted = LOGIN.replace("web-7", "web-8");
    let untrue = client.appended_event(submitted.as_bytes(), &forged).unwrap_err();
    assert!(matches!(untrue, Untrue::Proof { .. }), "{untrue}");
}

#[tokio::test]
async fn a_batch_of_changed_events_is_caught() {
    let served = governed().await;
    let client = connect(&served).await;
    let sent = [LOGIN, "{}", r#"{"act":7}"#].map(Bytes::from);
    let news = sent.iter().map(|bytes| NewEntry { bytes: bytes.clone(), key: Bytes::new() });
    let request = event_batch(String::new(), news.collect());
    let answer = events(&served).await.append_event_batch(request).await.unwrap().into_inner();
    client.placed_events(&sent, &answer).unwrap();
    let caught = |spoil: fn(&mut AppendEventBatchResponse)| {
        let mut lie = answer.clone();
        spoil(&mut lie);
        assert!(client.placed_events(&sent, &lie).is_err());
    };
    caught(|answer| answer.records.swap(0, 1));
    caught(|answer| drop(answer.records.pop()));
    caught(|answer| answer.records[2].suppressed = true);
    caught(|answer| {
        answer.records[2] = proto::EventRecord { suppressed: true, ..Default::default() }
    });
    caught(|answer| answer.appended = None);
    caught(|answer| {
        let duplicate = proto::BatchDuplicate { position: 1, leaf_index: 0 };
        answer.appended.as_mut().unwrap().duplicates.push(duplicate);
    });
    let mut swapped = sent.clone();
    swapped.swap(0, 1);
    assert!(client.placed_events(&swapped, &answer).is_err());
}
