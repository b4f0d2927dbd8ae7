//! Appending over gRPC, over a real socket.

use attestree::{
    core::{hash::TreeHash, tree},
    proto::{Answer, AppendBatchRequest, AppendRequest, BatchEntry},
    store::LogIdentity,
};
use bytes::Bytes;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    served::{ORIGIN, Served},
    told::{assert_status, hashes, index, verify},
};

/// Makes a request for one entry of the default log.
fn one(entry: &'static str, answer: Answer) -> AppendRequest {
    AppendRequest { entry: Bytes::from(entry), answer: answer.into(), ..AppendRequest::default() }
}

#[tokio::test]
async fn an_entry_is_answered_with_a_receipt_that_verifies() {
    let served = Served::start();
    let mut client = served.client().await;
    for (at, entry) in ["first", "second", "third"].into_iter().enumerate() {
        let answer = client.append(one(entry, Answer::Receipt)).await.unwrap().into_inner();
        assert_eq!(answer.leaf_index, u64::try_from(at).unwrap());
        assert!(!answer.duplicate);
        let leaf = TreeHash::leaf(entry.as_bytes());
        assert_eq!(&answer.leaf_hash[..], leaf.as_bytes());
        let head = verify(answer.checkpoint.as_ref(), &served.vkeys[0]);
        let proof = answer.proof.unwrap();
        assert_eq!(proof.tree_size, head.size.get());
        tree::verify_inclusion(&leaf, index(proof.leaf_index), &head, &hashes(&proof.hashes))
            .unwrap();
    }
}

#[tokio::test]
async fn the_answer_holds_what_was_asked_for() {
    let served = Served::start();
    let mut client = served.client().await;
    for answer in [Answer::Unspecified, Answer::Index] {
        let index = client.append(one("a", answer)).await.unwrap().into_inner();
        assert_eq!((index.checkpoint, index.proof), (None, None));
    }
    let checkpoint = client.append(one("b", Answer::Checkpoint)).await.unwrap().into_inner();
    assert!(checkpoint.checkpoint.is_some() && checkpoint.proof.is_none());
    let mut unknown = one("c", Answer::Index);
    unknown.answer = 99;
    let status = client.append(unknown).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("answer"));
}

#[tokio::test]
async fn bad_entries_are_refused_by_field_and_nothing_is_appended() {
    let served = Served::start();
    let mut client = served.client().await;
    let status = client.append(one("", Answer::Index)).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "ENTRY_EMPTY", Some("entry"));

    let long = AppendRequest { entry: vec![7; 65_536].into(), ..AppendRequest::default() };
    let status = client.append(long).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "ENTRY_TOO_LONG", Some("entry"));

    let key = AppendRequest { idempotency_key: vec![7; 257].into(), ..one("a", Answer::Index) };
    let status = client.append(key).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "KEY_LENGTH", Some("idempotency_key"));

    let elsewhere = AppendRequest { log: "log.example/none".to_owned(), ..one("a", Answer::Index) };
    let status = client.append(elsewhere).await.unwrap_err();
    assert_status(&status, Code::NotFound, "UNKNOWN_LOG", Some("log"));

    // Larger than any message: refused by the decoder.
    let huge = AppendRequest { entry: vec![7; 20 << 20].into(), ..AppendRequest::default() };
    let status = client.append(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);

    let longest = AppendRequest { entry: vec![7; 65_535].into(), ..AppendRequest::default() };
    assert_eq!(client.append(longest).await.unwrap().into_inner().leaf_index, 0);
}

#[tokio::test]
async fn an_idempotency_key_names_one_entry_for_ever() {
    let mut served = Served::start();
    let keyed = |entry, key: &'static str| AppendRequest {
        idempotency_key: key.into(),
        ..one(entry, Answer::Receipt)
    };
    let mut client = served.client().await;
    client.append(one("before", Answer::Index)).await.unwrap();
    let first = client.append(keyed("entry", "name")).await.unwrap().into_inner();
    served.stop();
    served.resume();
    let mut client = served.client().await;
    let again = client.append(keyed("entry", "name")).await.unwrap().into_inner();
    assert_eq!(
        (again.leaf_index, again.duplicate, first.duplicate),
        (first.leaf_index, true, false)
    );
    let status = client.append(keyed("other", "name")).await.unwrap_err();
    assert_status(&status, Code::AlreadyExists, "KEY_CONFLICT", Some("idempotency_key"));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["first_index"], "1");
    assert!(status.message().contains("index 1"));
    // A key of 256 bytes is the longest.
    let longest = AppendRequest { idempotency_key: vec![7; 256].into(), ..one("x", Answer::Index) };
    assert_eq!(client.append(longest).await.unwrap().into_inner().leaf_index, 2);
}

#[tokio::test]
async fn equal_entries_are_one_where_the_identity_is_the_hash() {
    let served = Served::with(&[(ORIGIN, LogIdentity::EntryHash)], Default::default());
    let mut client = served.client().await;
    for (entry, index, duplicate) in [("a", 0, false), ("b", 1, false), ("a", 0, true)] {
        let answer = client.append(one(entry, Answer::Index)).await.unwrap().into_inner();
        assert_eq!((answer.leaf_index, answer.duplicate), (index, duplicate), "{entry}");
    }
}

#[tokio::test]
async fn a_batch_is_covered_by_one_range_proof() {
    let served = Served::start();
    let mut client = served.client().await;
    let mut from = 0;
    for count in [1, 5, 300, 1_000] {
        let entries: Vec<Bytes> = (0..count).map(|n| Bytes::from(format!("{from} {n}"))).collect();
        let request = AppendBatchRequest {
            entries: entries.clone(),
            answer: Answer::Receipt.into(),
            ..Default::default()
        };
        let answer = client.append_batch(request).await.unwrap().into_inner();
        assert_eq!((answer.from, answer.to, answer.duplicates.len()), (from, from + count, 0));
        let head = verify(answer.checkpoint.as_ref(), &served.vkeys[0]);
        let leaves: Vec<TreeHash> = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
        tree::verify_range(&leaves, index(answer.from), &head, &hashes(&answer.range_proof))
            .unwrap();
        from += count;
    }
}

#[tokio::test]
async fn duplicates_of_a_batch_are_mapped_and_proved() {
    let served = Served::start();
    let mut client = served.client().await;
    let keyed = |pairs: &[(&str, &str)]| AppendBatchRequest {
        keyed_entries: pairs
            .iter()
            .map(|(key, entry)| BatchEntry {
                entry: Bytes::from((*entry).to_owned()),
                idempotency_key: Bytes::from((*key).to_owned()),
            })
            .collect(),
        answer: Answer::Receipt.into(),
        ..AppendBatchRequest::default()
    };
    client.append_batch(keyed(&[("a", "A"), ("b", "B"), ("c", "C")])).await.unwrap();
    let mixed = [("c", "C"), ("d", "D"), ("a", "A"), ("d", "D"), ("", "E"), ("a", "A")];
    let answer = client.append_batch(keyed(&mixed)).await.unwrap().into_inner();
    assert_eq!((answer.from, answer.to), (3, 5));
    let duplicates: Vec<_> =
        answer.duplicates.iter().map(|one| (one.position, one.leaf_index)).collect();
    assert_eq!(duplicates, [(0, 2), (2, 0), (3, 3), (5, 0)]);
    let head = verify(answer.checkpoint.as_ref(), &served.vkeys[0]);
    let leaf = |entry: &str| TreeHash::leaf(entry.as_bytes());
    tree::verify_range(&[leaf("D"), leaf("E")], index(3), &head, &hashes(&answer.range_proof))
        .unwrap();
    let outside = [(index(0), leaf("A")), (index(2), leaf("C"))];
    tree::verify_batch(&outside, &head, &hashes(&answer.duplicates_proof)).unwrap();

    let repeated =
        client.append_batch(keyed(&[("a", "A"), ("b", "B")])).await.unwrap().into_inner();
    assert_eq!((repeated.from, repeated.to), (5, 5));
    assert!(repeated.range_proof.is_empty());
    let head = verify(repeated.checkpoint.as_ref(), &served.vkeys[0]);
    let outside = [(index(0), leaf("A")), (index(1), leaf("B"))];
    tree::verify_batch(&outside, &head, &hashes(&repeated.duplicates_proof)).unwrap();
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let served = Served::start();
    let mut client = served.client().await;
    let plain =
        |entries: Vec<Bytes>| AppendBatchRequest { entries, ..AppendBatchRequest::default() };
    let keyed =
        |keyed_entries| AppendBatchRequest { keyed_entries, ..AppendBatchRequest::default() };
    let entry = |key: &'static str, entry: &'static str| BatchEntry {
        entry: entry.into(),
        idempotency_key: key.into(),
    };

    let status = client.append_batch(plain(Vec::new())).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "NO_ENTRIES", Some("entries"));
    let status = client.append_batch(plain(vec!["a".into(), "".into()])).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "ENTRY_EMPTY", Some("entries[1]"));
    let status = client.append_batch(plain(vec!["a".into(); 4_097])).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "TOO_MANY_ENTRIES", Some("entries"));
    let status = client.append_batch(plain(vec![vec![7; 65_000].into(); 259])).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "BATCH_TOO_LARGE", Some("entries"));
    let status =
        client.append_batch(keyed(vec![entry("k", "a"), entry("l", "")])).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "ENTRY_EMPTY", Some("keyed_entries[1].entry"));
    let long = BatchEntry { entry: "a".into(), idempotency_key: vec![7; 257].into() };
    let status = client.append_batch(keyed(vec![long])).await.unwrap_err();
    assert_status(
        &status,
        Code::InvalidArgument,
        "KEY_LENGTH",
        Some("keyed_entries[0].idempotency_key"),
    );
    let both = AppendBatchRequest { entries: vec!["a".into()], ..keyed(vec![entry("k", "a")]) };
    let status = client.append_batch(both).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("keyed_entries"));

    client.append_batch(keyed(vec![entry("k", "a")])).await.unwrap();
    let status =
        client.append_batch(keyed(vec![entry("new", "x"), entry("k", "b")])).await.unwrap_err();
    assert_status(
        &status,
        Code::AlreadyExists,
        "KEY_CONFLICT",
        Some("keyed_entries[1].idempotency_key"),
    );
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["first_index"], "0");
    let next = client.append(one("after", Answer::Index)).await.unwrap().into_inner();
    assert_eq!(next.leaf_index, 1, "nothing of a refused batch is in the log");

    // The largest batch there is.
    let most = plain(vec![vec![7; 4_096].into(); 4_096]);
    let answer = client.append_batch(most).await.unwrap().into_inner();
    assert_eq!((answer.from, answer.to), (2, 4_098));
}
