//! Candidates and their cosignatures.

use attestree::{
    client::{Client, NewEntry, Server, TileClient, Trust},
    core::{checkpoint::SignedCheckpoint, hash::TreeHash, receipt::Receipt, trust::TrustError},
    pipeline::Candidates,
    proto::{
        AddCosignatureRequest, Answer, AppendBatchRequest, AppendStreamRequest, CheckpointKind,
        GetCheckpointRequest, Wait, append_stream_response::Outcome,
    },
    server::config::RawConfig,
};
use bytes::Bytes;
use reqwest::StatusCode;
use tonic::Code;

use super::site::{Mode, Site, Witness, until, within};
use crate::{
    served::{ORIGIN, Served},
    told::{assert_status, hashes, index},
};

/// Asks for a checkpoint.
async fn checkpoint(
    site: &Site,
    kind: CheckpointKind,
) -> Result<(SignedCheckpoint, bool), tonic::Status> {
    let request = GetCheckpointRequest { kind: kind.into(), ..Default::default() };
    let answer = site.served.client().await.get_checkpoint(request).await?.into_inner();
    let checkpoint = answer.checkpoint.unwrap();
    Ok((
        SignedCheckpoint::verify(&checkpoint.note, &site.served.vkeys[0]).unwrap(),
        answer.cosigned,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_for_a_quorum_and_its_receipt_carries_it() {
    let [a, b, c] = [
        Witness::start(&["a.example"], Mode::Honest).await,
        Witness::start(&["b.example"], Mode::Honest).await,
        Witness::start(&["c.example"], Mode::Honest).await,
    ];
    let lines = a.lines(true) + &b.lines(true) + &c.lines(true);
    let trust = format!("{lines}group g 2 a.example b.example c.example\nquorum g\n");
    let site = Site::start(&trust, RawConfig::default());
    for at in 0..3 {
        let entry = format!("entry {at}");
        let answer = site.append(&entry, Wait::Cosigned, 60_000).await;
        assert!(answer.cosigned);
        let (checkpoint, proof) = (answer.checkpoint.unwrap(), answer.proof.unwrap());
        let receipt = Receipt {
            extra: None,
            index: index(answer.leaf_index),
            proof: hashes(&proof.hashes),
            note: checkpoint.note,
        };
        let verified = receipt.verify(entry.as_bytes(), &site.trust).unwrap();
        assert!(verified.trusted.witnesses.len() >= 2);
    }
    let (cosigned, has_quorum) = checkpoint(&site, CheckpointKind::Cosigned).await.unwrap();
    assert!(has_quorum && cosigned.head().size.get() == 3);
    site.trust.verify_checkpoint(cosigned.note()).unwrap();
    let note = site.get("/checkpoint?cosigned").await.bytes().await.unwrap();
    assert_eq!(site.trust.verify_checkpoint(&note).unwrap().checkpoint.head(), cosigned.head());
    // A candidate with a quorum is shown with its cosignatures to those who do not ask for them.
    let note = site.get("/checkpoint").await.bytes().await.unwrap();
    site.trust.verify_checkpoint(&note).unwrap();
    let metrics = site.get("/metrics").await.text().await.unwrap();
    for line in
        ["attestree_cosigned_size{origin=\"log.example/first\"} 3", "attestree_witness_size"]
    {
        assert!(metrics.contains(line), "{line} is missing from {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_that_are_dead_silent_or_lying_delay_nobody_and_count_for_nothing() {
    let honest = Witness::start(&["a.example", "b.example"], Mode::Honest).await;
    let mut lines = honest.lines(true);
    let bad = [
        ("silent.example", Mode::Silent),
        ("failing.example", Mode::Failing),
        ("forging.example", Mode::Forging),
        ("looping.example", Mode::Looping),
    ];
    let mut others = Vec::new();
    for (name, mode) in bad {
        let witness = Witness::start(&[name], mode).await;
        lines += &witness.lines(true);
        others.push(witness);
    }
    // Nobody listens where this one was.
    let dead = Witness::start(&["dead.example"], Mode::Honest).await;
    lines += &dead.lines(true);
    drop(dead);
    // Six of seven have to be heard, so that the guard can't pass: an operator lets it.
    let trust = format!(
        "{lines}group g 2 a.example b.example silent.example failing.example \
        forging.example looping.example dead.example\nquorum g\n"
    );
    let raw = RawConfig { sign_unheard: vec![ORIGIN.to_owned()], ..Default::default() };
    let site = Site::start(&trust, raw);
    for entry in ["first", "second"] {
        assert!(site.append(entry, Wait::Cosigned, 60_000).await.cosigned);
    }
    let (cosigned, _) = checkpoint(&site, CheckpointKind::Cosigned).await.unwrap();
    let verified = site.trust.verify_checkpoint(cosigned.note()).unwrap();
    let names: Vec<&str> = verified.witnesses.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.example", "b.example"]);
    for witness in &others {
        assert!(witness.requests() >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_behind_one_address_are_one_request() {
    let both = Witness::start(&["a.example", "b.example"], Mode::Honest).await;
    let trust = both.lines(true) + "group g all a.example b.example\nquorum g\n";
    // No candidate follows the first within this test.
    let raw = RawConfig { checkpoint_interval_ms: Some(60_000), ..Default::default() };
    let site = Site::start(&trust, raw);
    site.cosigned(0).await;
    assert_eq!(both.requests(), 2, "the guard asks once, and the first candidate is one request");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_deadline_an_append_is_answered_with_what_there_is() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let b = Witness::start(&["b.example"], Mode::Honest).await;
    let lines = a.lines(true) + &b.lines(true);
    let trust = format!("{lines}group g all a.example b.example\nquorum g\n");
    let site = Site::start(&trust, RawConfig::default());
    site.cosigned(0).await;
    b.behave(Mode::Silent);
    let answer = site.append("entry", Wait::Cosigned, 20).await;
    assert!(!answer.cosigned);
    let note = answer.checkpoint.unwrap().note;
    let refused = site.trust.verify_checkpoint(&note).unwrap_err();
    assert!(matches!(refused, TrustError::Quorum { .. }), "{refused}");
    let head = SignedCheckpoint::verify(&note, &site.served.vkeys[0]).unwrap().head();
    assert_eq!((answer.leaf_index, head.size.get()), (0, 1), "the entry is in the log, once");

    // The call's own deadline ends the wait too, and the answer arrives before it.
    let mut request = tonic::Request::new(AppendBatchRequest {
        entries: vec!["x".into(), "y".into()],
        answer: Answer::Receipt.into(),
        wait: Wait::Cosigned.into(),
        wait_ms: 300_000,
        ..Default::default()
    });
    request.metadata_mut().insert("grpc-timeout", "400m".parse().unwrap());
    let answer = site.served.client().await.append_batch(request).await.unwrap().into_inner();
    assert!(!answer.cosigned && (answer.from, answer.to) == (1, 3));
    assert!(answer.checkpoint.is_some() && !answer.range_proof.is_empty());

    let requests =
        ["s", "t"].map(|entry| AppendStreamRequest { entry: entry.into(), ..Default::default() });
    let first = AppendStreamRequest {
        wait: Wait::Cosigned.into(),
        wait_ms: 20,
        answer: Answer::Receipt.into(),
        ..Default::default()
    };
    let requests = tokio_stream::iter([first].into_iter().chain(requests));
    let mut client = site.served.client().await;
    let mut answers = client.append_stream(requests).await.unwrap().into_inner();
    for at in 3..5 {
        let Some(Outcome::Appended(answer)) = answers.message().await.unwrap().unwrap().outcome
        else {
            panic!("the entry is appended");
        };
        assert_eq!((answer.leaf_index, answer.cosigned), (at, false));
        assert!(answer.proof.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_publishes_cosigned_heads_shows_no_others() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let raw = RawConfig { publish: Some("cosigned".to_owned()), ..Default::default() };
    let site = Site::start(&trust, raw);
    site.cosigned(0).await;
    a.behave(Mode::Silent);
    let answer = site.append("unseen", Wait::Published, 20).await;
    assert_eq!((answer.checkpoint, answer.proof, answer.cosigned), (None, None, false));
    assert_eq!(answer.leaf_index, 0);
    for kind in [CheckpointKind::Newest, CheckpointKind::Candidate, CheckpointKind::Cosigned] {
        let (checkpoint, _) = checkpoint(&site, kind).await.unwrap();
        assert_eq!(checkpoint.head().size.get(), 0, "{kind:?}");
    }
    let note = site.get("/checkpoint").await.text().await.unwrap();
    assert_eq!(note.lines().nth(1), Some("0"));
    assert_eq!(site.get("/tile/entries/000.p/1").await.status(), StatusCode::NOT_FOUND);

    a.behave(Mode::Honest);
    let answer = site.append("seen", Wait::Published, 60_000).await;
    assert!(answer.cosigned);
    site.trust.verify_checkpoint(&answer.checkpoint.unwrap().note).unwrap();
    let (checkpoint, _) = checkpoint(&site, CheckpointKind::Newest).await.unwrap();
    assert_eq!(checkpoint.head().size.get(), 2);
    site.trust.verify_checkpoint(checkpoint.note()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_polls_delivers_by_itself() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let b = Witness::start(&["b.example"], Mode::Honest).await;
    let lines = a.lines(true) + &b.lines(false);
    let trust = format!("{lines}group g all a.example b.example\nquorum g\n");
    // One candidate stays, so that what is read is what is cosigned.
    let raw = RawConfig { checkpoint_interval_ms: Some(60_000), ..Default::default() };
    let site = Site::start(&trust, raw);
    let mut log = site.log().witnessed().unwrap().watch();
    log.wait_for(|all| all.newest().is_some()).await.unwrap();
    let (candidate, has_quorum) = checkpoint(&site, CheckpointKind::Candidate).await.unwrap();
    assert!(!has_quorum);

    let head = candidate.head();
    let deliver = |signatures: Vec<u8>, root: TreeHash| AddCosignatureRequest {
        tree_size: head.size.get(),
        root_hash: root.as_bytes().to_vec().into(),
        signatures: signatures.into(),
        ..Default::default()
    };
    let mut client = site.served.client().await;
    let stranger = Witness::start(&["stranger.example"], Mode::Honest).await;
    let answer =
        client.add_cosignature(deliver(stranger.cosign(candidate.note()), head.root)).await;
    assert_eq!(answer.unwrap().into_inner().accepted, 0, "nobody trusts it");

    let lines = b.cosign(candidate.note());
    let answer =
        client.add_cosignature(deliver(lines.clone(), head.root)).await.unwrap().into_inner();
    assert_eq!(answer.accepted, 1);
    site.cosigned(0).await;
    let (cosigned, _) = checkpoint(&site, CheckpointKind::Cosigned).await.unwrap();
    assert_eq!(site.trust.verify_checkpoint(cosigned.note()).unwrap().witnesses.len(), 2);

    let status = client.add_cosignature(deliver(lines, TreeHash::leaf(b"x"))).await.unwrap_err();
    assert_status(&status, Code::NotFound, "NO_CANDIDATE", Some("tree_size"));
    let status = client.add_cosignature(deliver(b"no line".to_vec(), head.root)).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("signatures"));
    let request = AddCosignatureRequest { root_hash: "short".into(), ..Default::default() };
    let status = client.add_cosignature(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("root_hash"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cosigned_head_that_covers_an_index_is_kept_over_a_restart() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let mut site = Site::start(&trust, RawConfig::default());
    let covering = |index| GetCheckpointRequest { covering: Some(index), ..Default::default() };
    for at in 0..4 {
        site.append(&format!("entry {at}"), Wait::Cosigned, 60_000).await;
    }
    // The first minute has one kept head, and it is written by a task of its own.
    let (log, store) = (site.log().number(), site.served.running().pipeline().store().clone());
    until("a head is kept", || store.newest_kept(log).unwrap().is_some()).await;
    drop(store);
    let kept = site.served.client().await.get_checkpoint(covering(0)).await.unwrap().into_inner();
    assert!(kept.cosigned);
    let note = kept.checkpoint.unwrap().note;
    let first = site.trust.verify_checkpoint(&note).unwrap().checkpoint.head();
    site.served.stop();
    site.served.resume();
    site.append("entry 4", Wait::Cosigned, 60_000).await;
    let mut client = site.served.client().await;
    let again = client.get_checkpoint(covering(0)).await.unwrap().into_inner();
    let again = site.trust.verify_checkpoint(&again.checkpoint.unwrap().note).unwrap();
    assert_eq!(again.checkpoint.head(), first);
    let newest = client.get_checkpoint(covering(4)).await.unwrap().into_inner();
    let newest = site.trust.verify_checkpoint(&newest.checkpoint.unwrap().note).unwrap();
    assert_eq!(newest.checkpoint.head().size.get(), 5, "none is kept yet, so it is the newest");
    let status = client.get_checkpoint(covering(5)).await.unwrap_err();
    assert_status(&status, Code::OutOfRange, "NOT_COVERED", Some("covering"));
    let both = GetCheckpointRequest { kind: CheckpointKind::Newest.into(), ..covering(0) };
    let status = client.get_checkpoint(both).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("kind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_64_candidates_take_cosignatures_and_older_ones_none() {
    let b = Witness::start(&["b.example"], Mode::Honest).await;
    let site = Site::start(&(b.lines(false) + "quorum none\n"), RawConfig::default());
    let log = site.log();
    let mut candidates = log.witnessed().unwrap().watch();
    let mut shown = Vec::new();
    for size in 1..=70_u64 {
        site.append(&format!("entry {size}"), Wait::Published, 0).await;
        let is_this = |all: &Candidates| {
            all.newest().is_some_and(|newest| newest.checkpoint().head().size.get() == size)
        };
        let all = within("a candidate", candidates.wait_for(is_this)).await.unwrap();
        shown.push(all.newest().unwrap().checkpoint().clone());
    }
    let deliver = |checkpoint: &SignedCheckpoint| AddCosignatureRequest {
        tree_size: checkpoint.head().size.get(),
        root_hash: checkpoint.head().root.as_bytes().to_vec().into(),
        signatures: b.cosign(checkpoint.note()).into(),
        ..Default::default()
    };
    let mut client = site.served.client().await;
    for kept in &shown[70 - 64..] {
        let answer = client.add_cosignature(deliver(kept)).await.unwrap().into_inner();
        assert_eq!(answer.accepted, 1);
    }
    let status = client.add_cosignature(deliver(&shown[70 - 65])).await.unwrap_err();
    assert_status(&status, Code::NotFound, "NO_CANDIDATE", Some("tree_size"));
}

#[tokio::test(flavor = "multi_thread")]
async fn add_answers_when_the_candidate_covers_the_entry() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let raw = RawConfig { checkpoint_interval_ms: Some(50), ..Default::default() };
    let site = Site::start(&trust, raw);
    site.append("entry", Wait::Published, 0).await;
    for at in 1..4_u64 {
        let url = site.served.url("/add");
        let answer = crate::http_tiles::client().post(url).body(format!("{at}")).send().await;
        assert_eq!(answer.unwrap().text().await.unwrap(), at.to_string());
        let note = site.get("/checkpoint").await.text().await.unwrap();
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        assert!(size > at, "{size} entries do not cover index {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_witnesses_says_so() {
    let served = Served::start();
    let mut client = served.client().await;
    let kind = CheckpointKind::Cosigned.into();
    let request = GetCheckpointRequest { kind, ..Default::default() };
    let status = client.get_checkpoint(request).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "NO_WITNESSES", None);
    let status = client.add_cosignature(AddCosignatureRequest::default()).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "NO_WITNESSES", None);
    let request = attestree::proto::AppendRequest {
        entry: "x".into(),
        wait: Wait::Cosigned.into(),
        ..Default::default()
    };
    let status = client.append(request).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "NO_WITNESSES", None);
    let answer = crate::http_tiles::client().get(served.url("/checkpoint?cosigned")).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::CONFLICT);
    let note = crate::http_tiles::client().get(served.url("/checkpoint")).send().await.unwrap();
    assert!(
        note.text().await.unwrap().starts_with("log.example/first\n0\n"),
        "nothing was appended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_policy_has_a_quorum_gets_what_meets_it() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let site = Site::start(&trust, RawConfig::default());
    site.cosigned(0).await;
    let server = Server::parse(&site.served.url("")).unwrap();
    let client = Client::connect(&server, None, Some(site.trust.clone())).await.unwrap();
    let entry = |text: &'static str| NewEntry { bytes: text.into(), key: Bytes::new() };
    let appended = client.append(entry("first")).await.unwrap();
    assert!(appended.cosigned);
    appended.receipt().verify(b"first", &site.trust).unwrap();
    let placed = client.append_batch(vec![entry("second"), entry("third")]).await.unwrap();
    assert!(placed.cosigned);
    placed.receipt(index(2)).unwrap().verify(b"third", &site.trust).unwrap();

    // A newer head than the cosigned one is there, and is not what such a client is shown.
    a.behave(Mode::Silent);
    site.append("fourth", Wait::Published, 0).await;
    let held = client.checkpoint().await.unwrap();
    assert_eq!(held.head().size.get(), 3);
    let receipt = client.prove_inclusion(index(1)).await.unwrap().receipt();
    receipt.verify(b"second", &site.trust).unwrap();
    let proved = client.prove_inclusion_batch(&[index(0), index(2)]).await.unwrap();
    assert_eq!(proved.checkpoint.head(), held.head());
    let consistency = client.prove_consistency(&appended.checkpoint.head()).await.unwrap();
    assert_eq!(consistency.checkpoint.head(), held.head());
    client.prove_inclusion(index(3)).await.unwrap_err();
    let tiles = TileClient::new(&server).unwrap();
    let known = Trust::known(site.trust.clone(), None).unwrap();
    assert_eq!(tiles.cosigned_checkpoint(&known).await.unwrap().head(), held.head());
}
