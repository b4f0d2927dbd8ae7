//! Clients whose trust policy wants a quorum: they follow what it covers, and wait for the first.

use std::{path::Path, process::Command};

use attestree::{
    client::{Client, Server},
    proto::{CheckpointKind, Wait, WatchCheckpointsRequest},
    server::config::RawConfig,
};
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::site::{Mode, Site, Witness, until, within};
use crate::{
    hostile::server::BINARY,
    served::{ORIGIN, Served},
    told::{assert_status, verify},
};

/// A log with one witness that fails at first: it signs, and has no quorum.
async fn without_quorum() -> (Witness, Site) {
    let witness = Witness::start(&["a.example"], Mode::Failing).await;
    let raw = RawConfig { sign_unheard: vec![ORIGIN.to_owned()], ..Default::default() };
    let site = Site::start(&(witness.lines(true) + "quorum a.example\n"), raw);
    (witness, site)
}

async fn client(site: &Site) -> Client {
    let server = Server::parse(&site.served.url("")).unwrap();
    Client::connect(&server, None, Some(site.trust.clone())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_a_quorum_follows_cosigned_heads_from_the_first_on() {
    let (witness, site) = without_quorum().await;
    let client = client(&site).await;
    client.checkpoint().await.unwrap_err();
    let mut watch = client.watch().await.unwrap();
    // The log shows signed heads meanwhile, to whoever asks for them.
    site.append("signed", Wait::Published, 0).await;
    let mut signed = site
        .served
        .client()
        .await
        .watch_checkpoints(WatchCheckpointsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let answer = signed.next().await.unwrap().unwrap();
    assert_eq!(verify(answer.checkpoint.as_ref(), &site.served.vkeys[0]).size.get(), 1);

    witness.behave(Mode::Honest);
    let mut last = None;
    for size in 1..=4_u64 {
        site.cosigned(size).await;
        while last.is_none_or(|last| last < size) {
            let shown = within("a cosigned head", watch.next()).await.unwrap().unwrap();
            assert!(Some(shown.head().size.get()) > last, "each one is newer");
            site.trust.verify_checkpoint(shown.note()).unwrap();
            last = Some(shown.head().size.get());
        }
        site.append(&format!("entry {size}"), Wait::Published, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_followed_and_logs_without_witnesses_say_so() {
    let (_witness, site) = without_quorum().await;
    site.append("entry", Wait::Published, 0).await;
    let request =
        WatchCheckpointsRequest { kind: CheckpointKind::Candidate.into(), ..Default::default() };
    let mut grpc = site.served.client().await;
    let mut candidates = grpc.watch_checkpoints(request.clone()).await.unwrap().into_inner();
    let mut size = 0;
    while size < 1 {
        let answer = within("a candidate", candidates.next()).await.unwrap().unwrap();
        size = verify(answer.checkpoint.as_ref(), &site.served.vkeys[0]).size.get();
    }

    let served = Served::start();
    let mut grpc = served.client().await;
    let mut all = grpc.watch_checkpoints(request).await.unwrap().into_inner();
    assert_eq!(
        verify(all.next().await.unwrap().unwrap().checkpoint.as_ref(), &served.vkeys[0]).size.get(),
        0
    );
    let kind = CheckpointKind::Cosigned.into();
    let request = WatchCheckpointsRequest { kind, ..Default::default() };
    let status = grpc.watch_checkpoints(request).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "NO_WITNESSES", None);
    let request = WatchCheckpointsRequest { kind: 9, ..Default::default() };
    let status = grpc.watch_checkpoints(request).await.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("kind"));
}

/// Prepares to append two lines under the trust policy, and to write their receipts, in a directory.
fn append(site: &Site, witness: &Witness, dir: &Path) -> Command {
    let policy = format!("log {}\n{}quorum a.example\n", site.served.vkeys[0], witness.lines(true));
    std::fs::write(dir.join("trust.policy"), policy).unwrap();
    std::fs::write(dir.join("entries"), "first\nsecond\n").unwrap();
    let mut command = Command::new(BINARY);
    command.current_dir(dir).env_clear().args(["append", "entries", "--trust", "trust.policy"]);
    command.args(["--receipts", ".", "--server", &site.served.url("")]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn append_gives_up_after_half_a_minute_and_says_what_to_do() {
    let (witness, site) = without_quorum().await;
    let dir = tempfile::tempdir().unwrap();
    let mut command = append(&site, &witness, dir.path());
    let appending = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = within("the command ends", appending).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["nothing was appended", "quorum none", "attestree receipt upgrade"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(site.log().published().head().size.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn append_waits_for_the_first_quorum() {
    let (witness, site) = without_quorum().await;
    let dir = tempfile::tempdir().unwrap();
    let mut command = append(&site, &witness, dir.path());
    let appending = tokio::task::spawn_blocking(move || command.output().unwrap());
    // Once the command is there, the witness begins to answer.
    let metrics = async {
        let is_there = |text: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("attestree_connections "));
            line.is_some_and(|open| open.parse::<u64>().unwrap() >= 2)
        };
        while !is_there(&site.get("/metrics").await.text().await.unwrap()) {}
    };
    within("the command connects", metrics).await;
    witness.behave(Mode::Honest);
    let output = within("the command ends", appending).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.starts_with("appended 2 entries"), "{output:?}");
    until("the receipt is there", || dir.path().join("1.tlog-proof").exists()).await;
    let receipt = std::fs::read(dir.path().join("1.tlog-proof")).unwrap();
    let receipt = attestree::core::receipt::Receipt::parse(&receipt).unwrap();
    receipt.verify(b"second", &site.trust).unwrap();
}
