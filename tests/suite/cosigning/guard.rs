//! The rollback guard, and what halts or pauses a log later.

use std::{fs, path::Path};

use attestree::{
    core::{
        checkpoint::{CheckpointText, SignedCheckpoint},
        evidence::{Evidence, Judgement},
        hash::TreeHash,
        note::SignedNote,
        origin::Origin,
        tree::TreeHead,
    },
    pipeline::LogStatus,
    proto::{AppendRequest, Wait},
    server::{self, config::RawConfig},
};
use reqwest::StatusCode;

use super::site::{Mode, Site, Witness, log_key, reason, until};
use crate::{served::ORIGIN, told::size};

/// Signs a head with the log's own key, as its operator could.
fn signed(entries: u64, root: TreeHash) -> SignedCheckpoint {
    let head = TreeHead { size: size(entries), root };
    let text = CheckpointText { origin: Origin::parse(ORIGIN).unwrap(), head }.to_string();
    let note = SignedNote::new(text.clone(), vec![log_key().sign(&text)]).unwrap().to_string();
    SignedCheckpoint::verify(note.as_bytes(), log_key().verifier_key()).unwrap()
}

/// Copies a directory as a backup does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A server that was stopped, backed up with its watermark, went on for a while, and was stopped and
/// restored from the backup.
async fn restored(trust: &str) -> Site {
    let mut site = Site::start(trust, RawConfig::default());
    site.append("before", Wait::Cosigned, 60_000).await;
    // The candidate is written down by a task of its own.
    let (log, store) = (site.log().number(), site.served.running().pipeline().store().clone());
    let is_of_one = |note: Option<bytes::Bytes>| {
        note.is_some_and(|note| note.starts_with(b"log.example/first\n1\n"))
    };
    until("the candidate is kept", || is_of_one(store.candidate_note(log).unwrap())).await;
    drop(store);
    site.served.stop();
    let (dir, backup) = (site.served.dir.path().to_owned(), tempfile::tempdir().unwrap());
    copy(&dir, backup.path());
    site.served.resume();
    for entry in ["after", "and after"] {
        assert!(site.append(entry, Wait::Cosigned, 60_000).await.cosigned);
    }
    site.served.stop();
    fs::remove_dir_all(dir.join("data")).unwrap();
    fs::remove_file(dir.join("data.watermark")).unwrap();
    copy(backup.path(), &dir);
    site
}

/// Tries to append once, and returns why it was refused.
async fn refused(site: &Site) -> String {
    let request = AppendRequest { entry: "x".into(), ..Default::default() };
    reason(&site.served.client().await.append(request).await.unwrap_err())
}

/// Waits until the log stops taking entries for good.
async fn halted(site: &Site) {
    until("the log halts", || site.log().status() == LogStatus::Halted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_does_not_sign_a_second_history() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let b = Witness::start(&["b.example"], Mode::Silent).await;
    let c = Witness::start(&["c.example"], Mode::Honest).await;
    let lines = a.lines(true) + &b.lines(true) + &c.lines(true);
    let trust = format!("{lines}group g 2 a.example b.example c.example\nquorum g\n");
    let mut site = restored(&trust).await;
    assert_eq!(a.remembers().unwrap().size.get(), 3);
    site.served.resume();
    halted(&site).await;
    assert_eq!(refused(&site).await, "HALTED");
    let url = site.served.url("/add");
    let answer = crate::http_tiles::client().post(url).body("x").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    // It is read as it was when it was backed up, and nothing newer was signed.
    let note = site.get("/checkpoint").await.text().await.unwrap();
    assert_eq!(note.lines().nth(1), Some("1"));

    // The marker is durable: a second start does not ask again.
    let log = site.log().number();
    let is_marked = || site.served.running().pipeline().store().halted(log).unwrap().is_some();
    until("the halt is written down", is_marked).await;
    site.served.stop();
    site.served.resume();
    assert_eq!(refused(&site).await, "HALTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_without_a_signature_keeps_the_log_waiting_until_an_operator_speaks() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let mut site = restored(&trust).await;
    // It no longer shows what it remembers, and only names the size.
    a.behave(Mode::Boasting);
    site.served.resume();
    a.asked().await;
    assert_eq!(refused(&site).await, "WAITING");
    assert!(site.served.running().pipeline().is_guarding(&site.log()));
    let note = site.get("/checkpoint").await.text().await.unwrap();
    assert_eq!(note.lines().nth(1), Some("1"), "what was signed before is read");
    assert_eq!(site.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    site.served.stop();

    let raw = RawConfig { sign_unheard: vec![ORIGIN.to_owned()], ..site.served.raw() };
    let config = raw.parse().unwrap();
    let running = std::thread::spawn(|| server::start(config)).join().unwrap().unwrap();
    let log = running.pipeline().log("").unwrap();
    assert_eq!(running.pipeline().store().overrides(log.number()).unwrap().len(), 1);
    assert_ne!(log.status(), LogStatus::Halted);
    assert!(!running.pipeline().is_guarding(&log));
    std::thread::spawn(|| running.stop()).join().unwrap();

    let raw = RawConfig { sign_unheard: vec!["no.such/log".to_owned()], ..site.served.raw() };
    let config = raw.parse().unwrap();
    let Err(error) = std::thread::spawn(|| server::start(config)).join().unwrap() else {
        panic!("a leave for a log that there is not is a mistake");
    };
    assert!(error.to_string().contains("no.such/log"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_signs_once_those_heard_have_a_member_in_every_quorum() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let b = Witness::start(&["b.example"], Mode::Failing).await;
    let c = Witness::start(&["c.example"], Mode::Failing).await;
    let lines = a.lines(true) + &b.lines(true) + &c.lines(true);
    let trust = format!("{lines}group g 2 a.example b.example c.example\nquorum g\n");
    let site = Site::start(&trust, RawConfig::default());
    // One of three leaves a quorum of two that may know more.
    while a.requests() < 2 {
        a.asked().await;
    }
    assert_eq!(refused(&site).await, "WAITING");
    b.behave(Mode::Honest);
    let answer = site.append("entry", Wait::Cosigned, 60_000).await;
    assert!(answer.cosigned);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_tree_under_the_logs_key_halts_it_while_it_runs() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let site = Site::start(&trust, RawConfig::default());
    site.append("entry", Wait::Cosigned, 60_000).await;
    a.remember(&signed(1_000, TreeHash::leaf(b"elsewhere")));
    site.append("another", Wait::Published, 0).await;
    halted(&site).await;
    assert_eq!(refused(&site).await, "HALTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_history_under_the_logs_key_halts_it_and_leaves_evidence() {
    for entries in [1, 2] {
        let a = Witness::start(&["a.example"], Mode::Honest).await;
        let trust = a.lines(true) + "quorum a.example\n";
        let site = Site::start(&trust, RawConfig::default());
        for at in 0..2 {
            site.append(&format!("entry {at}"), Wait::Cosigned, 60_000).await;
        }
        a.remember(&signed(entries, TreeHash::leaf(b"elsewhere")));
        site.append("another", Wait::Published, 0).await;
        halted(&site).await;
        let directory = site.served.dir.path().join("data.evidence");
        let mut files = fs::read_dir(&directory).unwrap();
        let file = files.next().unwrap().unwrap();
        let evidence = Evidence::parse(&fs::read(file.path()).unwrap()).unwrap();
        let judgement = evidence.judge(&site.trust);
        assert!(matches!(judgement, Judgement::Guilty { .. }), "{judgement:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_number_alone_pauses_the_log_until_it_is_taken_back() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let trust = a.lines(true) + "quorum a.example\n";
    let site = Site::start(&trust, RawConfig::default());
    site.append("entry", Wait::Cosigned, 60_000).await;
    a.behave(Mode::Boasting);
    site.append("another", Wait::Published, 0).await;
    let log = site.log();
    until("the log pauses", || log.status() == LogStatus::Waiting).await;
    assert_eq!(refused(&site).await, "WAITING");
    a.behave(Mode::Honest);
    assert!(site.append("at last", Wait::Cosigned, 60_000).await.cosigned);
}
