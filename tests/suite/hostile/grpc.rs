//! Calls that ask for what can't be: each is refused by code, field and sentence.

use attestree::{
    core::entry::ENTRY_BYTES_MAX,
    proto::{
        self, BatchEntry, CreateLogRequest, admin_service_client::AdminServiceClient,
        append_stream_response::Outcome, prove_inclusion_request::Leaf,
    },
};
use bytes::Bytes;
use tokio_stream::{StreamExt as _, iter};
use tonic::Code::{
    AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, OutOfRange, Unimplemented,
};
use tonic_types::StatusExt as _;

use super::site::{Site, append, refused};

/// Most entries of one batch, and most bytes.
const BATCH_ENTRIES_MAX: usize = 4_096;
const BATCH_BYTES_MAX: usize = 16 * 1_024 * 1_024;
const KEY_BYTES_MAX: usize = 256;

fn batch(entries: Vec<Bytes>) -> proto::AppendBatchRequest {
    proto::AppendBatchRequest { entries, ..Default::default() }
}

fn keyed(entries: &[(&[u8], &[u8])]) -> proto::AppendBatchRequest {
    let entry = |(entry, key): &(&[u8], &[u8])| BatchEntry {
        entry: Bytes::copy_from_slice(entry),
        idempotency_key: Bytes::copy_from_slice(key),
    };
    proto::AppendBatchRequest {
        keyed_entries: entries.iter().map(entry).collect(),
        ..Default::default()
    }
}

/// Returns the size that the log has now.
async fn size(site: &mut Site) -> u64 {
    site.head().await.size.get()
}

#[tokio::test]
async fn entries_of_a_wrong_length_are_refused_by_name() {
    let mut site = Site::start(&[]).await;
    let mut client = site.client.clone();
    let long = Bytes::from(vec![7; ENTRY_BYTES_MAX + 1]);

    refused(client.append(append("")).await, InvalidArgument, "entry");
    refused(client.append(append(long.clone())).await, InvalidArgument, "entry");
    let one_wrong = |wrong: &Bytes| batch(vec!["a".into(), "b".into(), wrong.clone()]);
    refused(client.append_batch(one_wrong(&long)).await, InvalidArgument, "entries[2]");
    refused(client.append_batch(one_wrong(&Bytes::new())).await, InvalidArgument, "entries[2]");
    let request = keyed(&[(b"a", b"k"), (b"", b"l")]);
    refused(client.append_batch(request).await, InvalidArgument, "keyed_entries[1].entry");

    assert_eq!(size(&mut site).await, 0, "a refused batch leaves nothing");
    site.append(long.slice(1..)).await;
    site.check().await;
}

#[tokio::test]
async fn batches_stop_at_their_limits() {
    let mut site = Site::start(&[]).await;
    let mut client = site.client.clone();
    let many = |count: usize| batch(vec!["x".into(); count]);
    let large = Bytes::from(vec![1; ENTRY_BYTES_MAX]);
    let fitting = BATCH_BYTES_MAX / ENTRY_BYTES_MAX;

    refused(client.append_batch(many(0)).await, InvalidArgument, "entries");
    refused(client.append_batch(many(BATCH_ENTRIES_MAX + 1)).await, InvalidArgument, "entries");
    let request = batch(vec![large.clone(); fitting + 1]);
    refused(client.append_batch(request).await, InvalidArgument, "entries");
    // Beyond what any batch can be, the message is not even read.
    let status = client.append_batch(batch(vec![large.clone(); 2 * fitting])).await.unwrap_err();
    assert!(matches!(status.code(), OutOfRange | InvalidArgument), "{status:?}");
    assert_eq!(size(&mut site).await, 0);

    // At the limit it is taken.
    let answer = client.append_batch(batch(vec![large; fitting])).await.unwrap().into_inner();
    assert_eq!((answer.from, answer.to), (0, fitting as u64));
    let answer = client.append_batch(many(BATCH_ENTRIES_MAX)).await.unwrap().into_inner();
    assert_eq!(answer.to - answer.from, BATCH_ENTRIES_MAX as u64);
    site.check().await;
}

#[tokio::test]
async fn a_batch_has_one_list_of_entries() {
    let mut site = Site::start(&[]).await;
    let request = proto::AppendBatchRequest { entries: vec!["x".into()], ..keyed(&[(b"y", b"")]) };
    refused(site.client.append_batch(request).await, InvalidArgument, "keyed_entries");
    assert_eq!(size(&mut site).await, 0);
    site.check().await;
}

#[tokio::test]
async fn idempotency_keys_have_a_longest_and_an_owner() {
    let mut site = Site::start(&[]).await;
    let mut client = site.client.clone();
    let longest = vec![b'k'; KEY_BYTES_MAX];
    let longer = vec![b'k'; KEY_BYTES_MAX + 1];
    let named = |entry: &'static str, key: &[u8]| {
        let idempotency_key = Bytes::copy_from_slice(key);
        proto::AppendRequest { idempotency_key, ..append(entry) }
    };

    refused(client.append(named("x", &longer)).await, InvalidArgument, "idempotency_key");
    let request = keyed(&[(b"x", b"short"), (b"y", &longer)]);
    refused(
        client.append_batch(request).await,
        InvalidArgument,
        "keyed_entries[1].idempotency_key",
    );

    let first = client.append(named("x", &longest)).await.unwrap().into_inner();
    site.accepted(first.leaf_index, "x");
    let status =
        refused(client.append(named("y", &longest)).await, AlreadyExists, "idempotency_key");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["first_index"], "0");
    let request = keyed(&[(b"a", b"short"), (b"y", &longest)]);
    refused(client.append_batch(request).await, AlreadyExists, "keyed_entries[1].idempotency_key");
    // Two contents under one key in one batch: neither is appended.
    let request = keyed(&[(b"a", b"own"), (b"b", b"own")]);
    refused(client.append_batch(request).await, AlreadyExists, "keyed_entries[1].idempotency_key");
    assert_eq!(size(&mut site).await, 1);
    site.check().await;
}

#[tokio::test]
async fn unknown_logs_are_not_found_by_any_call() {
    let mut site = Site::start(&[]).await;
    let mut client = site.client.clone();
    for log in ["no.such/log".to_owned(), "x".repeat(100_000), "log.example/hostile/".to_owned()] {
        let request = proto::AppendRequest { log: log.clone(), ..append("x") };
        refused(client.append(request).await, NotFound, "log");
        let request = proto::AppendBatchRequest { log: log.clone(), ..batch(vec!["x".into()]) };
        refused(client.append_batch(request).await, NotFound, "log");
        let request = proto::GetCheckpointRequest { log: log.clone(), ..Default::default() };
        refused(client.get_checkpoint(request).await, NotFound, "log");
        let request = proto::WatchCheckpointsRequest { log: log.clone(), kind: 0 };
        refused(client.watch_checkpoints(request).await, NotFound, "log");
        let leaf = Some(Leaf::LeafIndex(0));
        let request = proto::ProveInclusionRequest { log: log.clone(), leaf, tree_size: None };
        refused(client.prove_inclusion(request).await, NotFound, "log");
        let request = proto::GetEntryRequest { log: log.clone(), leaf_index: 0 };
        refused(client.get_entry(request).await, NotFound, "log");
        let request = proto::ReadEntriesRequest { log: log.clone(), ..Default::default() };
        refused(client.read_entries(request).await, NotFound, "log");
        let request = proto::AppendStreamRequest { log, entry: "x".into(), ..Default::default() };
        let mut answers = client.append_stream(iter([request])).await.unwrap().into_inner();
        refused(answers.message().await, NotFound, "log");
    }
    assert_eq!(size(&mut site).await, 0);
    site.check().await;
}

#[tokio::test]
async fn nothing_lies_beyond_the_head() {
    let mut site = Site::start(&[]).await;
    site.fill(300, 3).await;
    let mut client = site.client.clone();
    for beyond in [301, 1 << 40, (1 << 62) + 1, u64::MAX] {
        let leaf_index = beyond - 1;
        let request = proto::GetEntryRequest { leaf_index, ..Default::default() };
        refused(client.get_entry(request).await, OutOfRange, "leaf_index");
        let leaf = Some(Leaf::LeafIndex(leaf_index));
        let request = proto::ProveInclusionRequest { leaf, ..Default::default() };
        refused(client.prove_inclusion(request).await, OutOfRange, "leaf_index");
        let leaf = Some(Leaf::LeafIndex(0));
        let request =
            proto::ProveInclusionRequest { leaf, tree_size: Some(beyond), ..Default::default() };
        refused(client.prove_inclusion(request).await, OutOfRange, "tree_size");
        let request = proto::ProveInclusionBatchRequest {
            leaf_indices: vec![0, leaf_index],
            ..Default::default()
        };
        refused(client.prove_inclusion_batch(request).await, OutOfRange, "leaf_indices");
        let request = proto::ProveConsistencyRequest {
            old_size: 1,
            new_size: Some(beyond),
            ..Default::default()
        };
        refused(client.prove_consistency(request).await, OutOfRange, "new_size");
        let request = proto::ProveConsistencyRequest { old_size: beyond, ..Default::default() };
        refused(client.prove_consistency(request).await, OutOfRange, "old_size");
        let request = proto::ReadEntriesRequest { to: Some(beyond), ..Default::default() };
        refused(client.read_entries(request).await, OutOfRange, "to");
        let request = proto::ReadEntriesRequest { from: beyond, ..Default::default() };
        let status = client.read_entries(request).await.unwrap_err();
        assert!(matches!(status.code(), OutOfRange | InvalidArgument), "{status:?}");
    }
    // An index that the tree holds, but not at the size that is asked for.
    let leaf = Some(Leaf::LeafIndex(200));
    let request = proto::ProveInclusionRequest { leaf, tree_size: Some(200), ..Default::default() };
    refused(client.prove_inclusion(request).await, OutOfRange, "leaf_index");
    site.check().await;
}

#[tokio::test]
async fn arguments_that_contradict_themselves_are_refused() {
    let mut site = Site::start(&[]).await;
    site.fill(300, 3).await;
    let mut client = site.client.clone();
    let request = proto::ReadEntriesRequest { from: 9, to: Some(8), ..Default::default() };
    refused(client.read_entries(request).await, InvalidArgument, "from");
    let request =
        proto::ProveConsistencyRequest { old_size: 9, new_size: Some(8), ..Default::default() };
    refused(client.prove_consistency(request).await, InvalidArgument, "old_size");
    let request = proto::ProveConsistencyRequest::default();
    refused(client.prove_consistency(request).await, InvalidArgument, "old_size");
    let too_many = (0..4_097).collect();
    for leaf_indices in [vec![], vec![1, 1], vec![2, 1], too_many] {
        let request = proto::ProveInclusionBatchRequest { leaf_indices, ..Default::default() };
        refused(client.prove_inclusion_batch(request).await, InvalidArgument, "leaf_indices");
    }
    let request = proto::AppendRequest { answer: 99, ..append("x") };
    refused(client.append(request).await, InvalidArgument, "answer");
    site.check().await;
}

#[tokio::test]
async fn malformed_hashes_are_told_from_unknown_ones() {
    let mut site = Site::start(&[]).await;
    let mut client = site.client.clone();
    let by_hash = |bytes: usize| {
        let leaf = Some(Leaf::LeafHash(vec![1; bytes].into()));
        proto::ProveInclusionRequest { leaf, ..Default::default() }
    };
    for bytes in [0, 31, 33, 64] {
        refused(client.prove_inclusion(by_hash(bytes)).await, InvalidArgument, "leaf_hash");
    }
    // This log keeps no index of hashes.
    refused(client.prove_inclusion(by_hash(32)).await, FailedPrecondition, "leaf_hash");
    let neither = proto::ProveInclusionRequest::default();
    refused(client.prove_inclusion(neither).await, InvalidArgument, "leaf");
    site.check().await;
}

#[tokio::test]
async fn one_refusal_does_not_end_a_stream() {
    let mut site = Site::start(&[]).await;
    let send = |entry: Vec<u8>, key: Vec<u8>| proto::AppendStreamRequest {
        entry: entry.into(),
        idempotency_key: key.into(),
        ..Default::default()
    };
    let requests = vec![
        send(vec![1], vec![9]),
        send(vec![], vec![8]),
        send(vec![2; ENTRY_BYTES_MAX + 1], vec![]),
        send(vec![3], vec![0; KEY_BYTES_MAX + 1]),
        proto::AppendStreamRequest { log: "late".into(), ..send(vec![4], vec![]) },
        send(vec![5], vec![9]),
        send(vec![6], vec![]),
    ];
    let answers = site.client.append_stream(iter(requests)).await.unwrap().into_inner();
    let outcomes: Vec<Outcome> =
        answers.map(|answer| answer.unwrap().outcome.unwrap()).collect().await;
    let codes: Vec<i32> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Appended(_) => 0,
            Outcome::Refused(refusal) => {
                assert!(refusal.message.len() > 10, "{refusal:?}");
                refusal.code
            }
        })
        .collect();
    let (invalid, exists) = (InvalidArgument as i32, AlreadyExists as i32);
    assert_eq!(codes, [0, invalid, invalid, invalid, invalid, exists, 0]);
    for (outcome, entry) in outcomes.iter().zip([1, 0, 0, 0, 0, 5, 6]) {
        match outcome {
            Outcome::Appended(appended) => site.accepted(appended.leaf_index, vec![entry]),
            Outcome::Refused(refusal) if refusal.code == exists => {
                assert_eq!(refusal.first_index, Some(0));
            }
            Outcome::Refused(refusal) => assert_eq!(refusal.first_index, None),
        }
    }
    assert_eq!(size(&mut site).await, 2);
    site.check().await;
}

#[tokio::test]
async fn the_network_is_not_the_administrator() {
    let mut site = Site::start(&[]).await;
    let url = format!("http://{}", site.server.address());
    let mut admin = AdminServiceClient::connect(url).await.unwrap();
    let request = CreateLogRequest { origin: "example.com/mine".into(), ..Default::default() };
    let status = admin.create_log(request).await.unwrap_err();
    assert_eq!(status.code(), Unimplemented, "{status:?}");
    site.check().await;
}
