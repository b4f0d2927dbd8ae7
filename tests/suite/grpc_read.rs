//! Checkpoints, proofs and entries over gRPC, over a real socket.

use attestree::{
    core::{hash::TreeHash, tree},
    proto::{
        self, AppendBatchRequest, AppendRequest, GetCheckpointRequest, GetEntryRequest,
        ListLogsRequest, ProveConsistencyRequest, ProveInclusionBatchRequest,
        ProveInclusionRequest, ReadEntriesRequest, WatchCheckpointsRequest,
        log_service_client::LogServiceClient, prove_inclusion_request::Leaf,
    },
    server::config::RawConfig,
    store::LogIdentity,
};
use bytes::Bytes;
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    served::{ORIGIN, Served},
    told::{assert_status, hashes, index, size, verify},
};

type Client = LogServiceClient<Channel>;

/// The entry at an index of a filled log.
fn entry(index: u64) -> Bytes {
    Bytes::from(format!("entry {index}"))
}

/// Appends `entry(from)`, ... `entry(to - 1)` to the default log, in several commits.
async fn fill(client: &mut Client, from: u64, to: u64) {
    let mut next = from;
    while next < to {
        let end = to.min(next + 1_000);
        let entries = (next..end).map(entry).collect();
        client.append_batch(AppendBatchRequest { entries, ..Default::default() }).await.unwrap();
        next = end;
    }
}

fn leaf(index: u64) -> TreeHash {
    TreeHash::leaf(&entry(index))
}

fn by_index(leaf_index: u64, tree_size: Option<u64>) -> ProveInclusionRequest {
    ProveInclusionRequest {
        leaf: Some(Leaf::LeafIndex(leaf_index)),
        tree_size,
        ..Default::default()
    }
}

#[tokio::test]
async fn every_proof_of_a_small_log_verifies() {
    let served = Served::start();
    let mut client = served.client().await;
    let mut heads = Vec::new();
    for n in 0..20 {
        fill(&mut client, n, n + 1).await;
        let answer =
            client.get_checkpoint(GetCheckpointRequest::default()).await.unwrap().into_inner();
        heads.push(verify(answer.checkpoint.as_ref(), &served.vkeys[0]));
    }
    for head in &heads {
        for at in 0..head.size.get() {
            let answer = client
                .prove_inclusion(by_index(at, Some(head.size.get())))
                .await
                .unwrap()
                .into_inner();
            let proof = answer.proof.unwrap();
            assert_eq!((proof.leaf_index, proof.tree_size), (at, head.size.get()));
            assert_eq!(&answer.leaf_hash[..], leaf(at).as_bytes());
            tree::verify_inclusion(&leaf(at), index(at), head, &hashes(&proof.hashes)).unwrap();
            assert_eq!(verify(answer.checkpoint.as_ref(), &served.vkeys[0]).size, size(20));
        }
        for old in heads.iter().filter(|old| old.size <= head.size) {
            let (old_size, new_size) = (old.size.get(), Some(head.size.get()));
            let request = ProveConsistencyRequest { old_size, new_size, ..Default::default() };
            let answer = client.prove_consistency(request).await.unwrap().into_inner();
            tree::verify_consistency(old, head, &hashes(&answer.hashes)).unwrap();
        }
    }
}

#[tokio::test]
async fn proofs_of_a_log_of_two_tile_levels_verify_also_after_a_restart() {
    let mut served = Served::start();
    let mut client = served.client().await;
    fill(&mut client, 0, 70_000).await;
    served.stop();
    served.resume();
    let mut client = served.client().await;
    let newest = client.get_checkpoint(GetCheckpointRequest::default()).await.unwrap().into_inner();
    let head = verify(newest.checkpoint.as_ref(), &served.vkeys[0]);
    for at in [0, 255, 256, 65_535, 65_536, 69_999] {
        let answer = client.prove_inclusion(by_index(at, None)).await.unwrap().into_inner();
        let proof = hashes(&answer.proof.unwrap().hashes);
        tree::verify_inclusion(&leaf(at), index(at), &head, &proof).unwrap();
    }
    let request = ProveConsistencyRequest { old_size: 65_537, ..Default::default() };
    let answer = client.prove_consistency(request).await.unwrap().into_inner();
    assert_eq!((answer.old_size, answer.new_size), (65_537, 70_000));

    let leaf_indices: Vec<u64> = (0..4_096).map(|n| n * 17).collect();
    let request =
        ProveInclusionBatchRequest { leaf_indices: leaf_indices.clone(), ..Default::default() };
    let answer = client.prove_inclusion_batch(request).await.unwrap().into_inner();
    let leaves: Vec<_> = leaf_indices.iter().map(|at| (index(*at), leaf(*at))).collect();
    assert_eq!(
        hashes(&answer.leaf_hashes),
        leaves.iter().map(|(_, leaf)| *leaf).collect::<Vec<_>>()
    );
    tree::verify_batch(&leaves, &head, &hashes(&answer.hashes)).unwrap();
}

#[tokio::test]
async fn proofs_beyond_the_head_are_out_of_range() {
    let served = Served::start();
    let mut client = served.client().await;
    let status = client.prove_inclusion(by_index(0, None)).await.unwrap_err();
    assert_status(&status, Code::OutOfRange, "BEYOND_HEAD", Some("leaf_index"));
    fill(&mut client, 0, 10).await;
    for (at, size, field) in [
        (10, None, "leaf_index"),
        (5, Some(5), "leaf_index"),
        (5, Some(11), "tree_size"),
        (5, Some(u64::MAX), "tree_size"),
    ] {
        let status = client.prove_inclusion(by_index(at, size)).await.unwrap_err();
        assert_status(&status, Code::OutOfRange, "BEYOND_HEAD", Some(field));
    }
    let status = client.prove_inclusion(ProveInclusionRequest::default()).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("leaf"));

    let mut consistency = async |old_size, new_size| {
        let request = ProveConsistencyRequest { old_size, new_size, ..Default::default() };
        client.prove_consistency(request).await.unwrap_err()
    };
    assert_status(&consistency(0, None).await, Code::InvalidArgument, "FIELD", Some("old_size"));
    assert_status(
        &consistency(6, Some(5)).await,
        Code::InvalidArgument,
        "REVERSED",
        Some("old_size"),
    );
    assert_status(&consistency(11, None).await, Code::OutOfRange, "BEYOND_HEAD", Some("old_size"));
    assert_status(
        &consistency(1, Some(11)).await,
        Code::OutOfRange,
        "BEYOND_HEAD",
        Some("new_size"),
    );

    let mut batch = async |leaf_indices: Vec<u64>| {
        let request = ProveInclusionBatchRequest { leaf_indices, ..Default::default() };
        client.prove_inclusion_batch(request).await.unwrap_err()
    };
    for wrong in [vec![], vec![1, 1], vec![2, 1], (0..4_097).collect()] {
        assert_status(&batch(wrong).await, Code::InvalidArgument, "FIELD", Some("leaf_indices"));
    }
    assert_status(&batch(vec![1, 10]).await, Code::OutOfRange, "BEYOND_HEAD", Some("leaf_indices"));
}

#[tokio::test]
async fn an_entry_is_found_by_its_hash_where_the_log_keeps_that_index() {
    let logs = [(ORIGIN, LogIdentity::EntryHash), ("log.example/second", LogIdentity::None)];
    let served = Served::with(&logs, RawConfig::default());
    let mut client = served.client().await;
    fill(&mut client, 0, 10).await;
    let by_hash = |log: &str, hash: &[u8], tree_size| ProveInclusionRequest {
        log: log.to_owned(),
        leaf: Some(Leaf::LeafHash(Bytes::copy_from_slice(hash))),
        tree_size,
    };
    let found =
        client.prove_inclusion(by_hash("", leaf(7).as_bytes(), None)).await.unwrap().into_inner();
    assert_eq!(found.proof.unwrap().leaf_index, 7);
    let status =
        client.prove_inclusion(by_hash("", leaf(7).as_bytes(), Some(7))).await.unwrap_err();
    assert_status(&status, Code::OutOfRange, "BEYOND_HEAD", Some("leaf_hash"));
    let status = client.prove_inclusion(by_hash("", leaf(99).as_bytes(), None)).await.unwrap_err();
    assert_status(&status, Code::NotFound, "UNKNOWN_HASH", Some("leaf_hash"));
    let status = client.prove_inclusion(by_hash("", b"short", None)).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("leaf_hash"));
    let status = client
        .prove_inclusion(by_hash("log.example/second", leaf(7).as_bytes(), None))
        .await
        .unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "NO_HASH_INDEX", Some("leaf_hash"));
}

#[tokio::test]
async fn checkpoints_are_watched_and_a_slow_reader_skips() {
    let served = Served::start();
    let mut client = served.client().await;
    let mut watched =
        client.watch_checkpoints(WatchCheckpointsRequest::default()).await.unwrap().into_inner();
    let first = watched.next().await.unwrap().unwrap();
    assert_eq!(verify(first.checkpoint.as_ref(), &served.vkeys[0]).size, size(0));
    fill(&mut client, 0, 1).await;
    let next = watched.next().await.unwrap().unwrap();
    assert_eq!(verify(next.checkpoint.as_ref(), &served.vkeys[0]).size, size(1));
    // Not read for a while: far more checkpoints than any buffer between the two could hold.
    for n in 1..3_000 {
        fill(&mut client, n, n + 1).await;
    }
    let mut seen = 0;
    let mut last = 1;
    while last < 3_000 {
        let head =
            verify(watched.next().await.unwrap().unwrap().checkpoint.as_ref(), &served.vkeys[0]);
        assert!(head.size.get() > last);
        last = head.size.get();
        seen += 1;
    }
    assert!(seen <= 2_999);
    let unknown = WatchCheckpointsRequest { log: "log.example/none".to_owned(), kind: 0 };
    let status = client.watch_checkpoints(unknown).await.unwrap_err();
    assert_status(&status, Code::NotFound, "UNKNOWN_LOG", Some("log"));
}

#[tokio::test]
async fn a_stop_ends_watchers_and_streams_with_unavailable() {
    let mut served = Served::start();
    let mut client = served.client().await;
    let mut watched =
        client.watch_checkpoints(WatchCheckpointsRequest::default()).await.unwrap().into_inner();
    watched.next().await.unwrap().unwrap();
    let mut appends = client.append_stream(tokio_stream::pending()).await.unwrap().into_inner();
    served.stop();
    let status = watched.next().await.unwrap().unwrap_err();
    assert_status(&status, Code::Unavailable, "SHUTTING_DOWN", None);
    let status = appends.next().await.unwrap().unwrap_err();
    assert_status(&status, Code::Unavailable, "SHUTTING_DOWN", None);
}

#[tokio::test]
async fn logs_are_listed_and_kept_apart() {
    let logs = [(ORIGIN, LogIdentity::None), ("log.example/deep/second", LogIdentity::EntryHash)];
    let served = Served::with(&logs, RawConfig::default());
    let mut client = served.client().await;
    let append = AppendRequest {
        log: "log.example/deep/second".to_owned(),
        entry: "x".into(),
        ..Default::default()
    };
    assert_eq!(client.append(append).await.unwrap().into_inner().leaf_index, 0);
    let listed = client.list_logs(ListLogsRequest::default()).await.unwrap().into_inner().logs;
    let outline: Vec<_> = listed
        .iter()
        .map(|log| (log.origin.as_str(), log.prefix.as_str(), log.tree_size, log.identity()))
        .collect();
    assert_eq!(
        outline,
        [
            (ORIGIN, "/first", 0, proto::Identity::None),
            ("log.example/deep/second", "/deep/second", 1, proto::Identity::EntryHash)
        ]
    );
    for (log, vkey) in listed.iter().zip(&served.vkeys) {
        assert_eq!(log.vkeys, [vkey.to_string()]);
        assert_eq!((log.kind(), log.state()), (proto::LogKind::Opaque, proto::LogState::Open));
        assert!(log.created_unix_ms > 1_700_000_000_000);
    }
}

#[tokio::test]
async fn entries_are_read_back_one_by_one_and_as_ranges() {
    let served = Served::start();
    let mut client = served.client().await;
    fill(&mut client, 0, 1_500).await;
    let one = |leaf_index| GetEntryRequest { leaf_index, ..Default::default() };
    for at in [0, 255, 256, 999, 1_000, 1_499] {
        let answer = client.get_entry(one(at)).await.unwrap().into_inner();
        assert_eq!(
            (answer.entry, &answer.leaf_hash[..]),
            (entry(at), leaf(at).as_bytes().as_slice())
        );
    }
    let status = client.get_entry(one(1_500)).await.unwrap_err();
    assert_status(&status, Code::OutOfRange, "BEYOND_HEAD", Some("leaf_index"));

    for (from, to) in [
        (0, None),
        (0, Some(0)),
        (3, Some(4)),
        (100, Some(700)),
        (1_499, Some(1_500)),
        (1_500, None),
    ] {
        let request = ReadEntriesRequest { from, to, ..Default::default() };
        let mut stream = client.read_entries(request).await.unwrap().into_inner();
        let mut next = from;
        while let Some(message) = stream.next().await {
            let message = message.unwrap();
            assert_eq!(message.from, next);
            assert!((1..=256).contains(&message.entries.len()));
            for read in message.entries {
                assert_eq!(read, entry(next));
                next += 1;
            }
        }
        assert_eq!(next, to.unwrap_or(1_500));
    }
    let mut refused = async |from, to| {
        let request = ReadEntriesRequest { from, to, ..Default::default() };
        client.read_entries(request).await.unwrap_err()
    };
    assert_status(&refused(5, Some(4)).await, Code::InvalidArgument, "REVERSED", Some("from"));
    assert_status(&refused(0, Some(1_501)).await, Code::OutOfRange, "BEYOND_HEAD", Some("to"));
    assert_status(&refused(1_501, None).await, Code::OutOfRange, "BEYOND_HEAD", Some("from"));
}

#[tokio::test]
async fn large_entries_are_read_in_messages_that_every_client_takes() {
    let served = Served::start();
    let mut client = served.client().await;
    let entries: Vec<Bytes> = (0..100).map(|n| Bytes::from(vec![n; 65_535])).collect();
    client
        .append_batch(AppendBatchRequest { entries: entries.clone(), ..Default::default() })
        .await
        .unwrap();
    let mut stream = client.read_entries(ReadEntriesRequest::default()).await.unwrap().into_inner();
    let mut read = Vec::new();
    while let Some(message) = stream.next().await {
        let message = message.unwrap();
        assert!(message.entries.iter().map(Bytes::len).sum::<usize>() <= 1 << 20);
        read.extend(message.entries);
    }
    assert_eq!(read, entries);
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    let served = Served::start();
    let channel =
        tonic::transport::Endpoint::try_from(served.url("")).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "attestree.v1.LogService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!()
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"attestree.v1.LogService") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    assert!(
        !names.contains(&"attestree.v1.AdminService"),
        "the operator's calls are not on the network"
    );
}
