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

use super::site::{Mode, Site, Witness, log_key, reason, until, within};
use crate::{
    crash::{
        process::{Server as Process, Strace},
        site::Site as Place,
    },
    needs::strace_attaches,
    served::ORIGIN,
    told::size,
    witness::Watching,
};

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
async fn a_log_that_stands_still_notices_within_a_minute_too() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let site = Site::start(&(a.lines(true) + "quorum a.example\n"), RawConfig::default());
    site.append("entry", Wait::Cosigned, 60_000).await;
    let asked = a.requests();
    a.remember(&signed(1_000, TreeHash::leaf(b"elsewhere")));
    // The guard has looked once, which may not have been taken note of yet.
    a.looked().await;
    if site.log().status() != LogStatus::Halted {
        a.looked().await;
    }
    halted(&site).await;
    assert_eq!(a.requests(), asked, "nobody asked it for a cosignature");
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
        assert_convicts(&site);
    }
}

/// Asserts that the log has left evidence against itself.
fn assert_convicts(site: &Site) {
    let directory = site.served.dir.path().join("data.evidence");
    let mut files = fs::read_dir(&directory).unwrap();
    let file = files.next().unwrap().unwrap();
    let evidence = Evidence::parse(&fs::read(file.path()).unwrap()).unwrap();
    let judgement = evidence.judge(&site.trust);
    assert!(matches!(judgement, Judgement::Guilty { .. }), "{judgement:?}");
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

/// A server whose log has the entries `first` and `second`, both cosigned, and is stopped.
async fn stopped_after_two(a: &Witness) -> Site {
    let mut site = Site::start(&(a.lines(true) + "quorum a.example\n"), RawConfig::default());
    for entry in ["first", "second"] {
        site.append(entry, Wait::Cosigned, 60_000).await;
    }
    let (log, store) = (site.log().number(), site.served.running().pipeline().store().clone());
    let is_of_two = |note: Option<bytes::Bytes>| {
        note.is_some_and(|note| note.starts_with(b"log.example/first\n2\n"))
    };
    until("the candidate is kept", || is_of_two(store.candidate_note(log).unwrap())).await;
    drop(store);
    site.served.stop();
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_within_the_log_is_no_answer_unless_the_tree_was_compared() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let mut site = stopped_after_two(&a).await;
    a.behave(Mode::Numbering);
    let before = a.requests();
    site.served.resume();
    // Asked again and again: with each round it is as if nobody had answered.
    while a.requests() < before + 2 {
        a.asked().await;
    }
    assert_eq!(refused(&site).await, "WAITING");
    a.behave(Mode::Honest);
    assert!(site.append("third", Wait::Cosigned, 60_000).await.cosigned);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_answers_to_another_tree_of_the_same_size_halt_the_log() {
    // 422 as the specification has it, and 409 with the very size, as other witnesses answer.
    for mode in [Mode::Honest, Mode::Naming] {
        let a = Witness::start(&["a.example"], Mode::Honest).await;
        let mut site = stopped_after_two(&a).await;
        a.remember(&signed(2, TreeHash::leaf(b"elsewhere")));
        a.behave(mode);
        site.served.resume();
        halted(&site).await;
        assert_convicts(&site);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_shows_nothing_is_heard_by_comparing_for_itself() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let mut site = stopped_after_two(&a).await;
    // It was away when the second entry came: it names size 1, and then takes the proof from there.
    a.remember(&signed(1, TreeHash::leaf(b"first")));
    a.behave(Mode::Hiding);
    site.served.resume();
    assert!(site.append("third", Wait::Cosigned, 60_000).await.cosigned);
    site.served.stop();

    // One that has cosigned another tree of size 1 takes no proof, and is not heard.
    a.remember(&signed(1, TreeHash::leaf(b"elsewhere")));
    let before = a.requests();
    site.served.resume();
    while a.requests() < before + 4 {
        a.asked().await;
    }
    assert_eq!(refused(&site).await, "WAITING");
    // As soon as it shows that one, the log halts.
    a.behave(Mode::Honest);
    halted(&site).await;
}

#[test]
fn a_watermark_that_fails_after_the_guard_ends_the_process() {
    let test = "a_watermark_that_fails_after_the_guard_ends_the_process";
    let place = Place::new();
    if !strace_attaches(test) {
        return;
    }
    let log = place.init("log.example/marked", false);
    let witness = Watching::start(&[log.vkey]);
    let trust = place.scratch("trust.policy");
    let url = witness.url("");
    fs::write(&trust, format!("witness w {} {url}\nquorum w\n", witness.vkey)).unwrap();

    // The log's first mark since the start is the one before its first signature.
    let mark = place.watermark().to_str().unwrap().to_owned();
    let inject = ["-f", "-qq", "-P", &mark, "-e", "inject=pwrite64:error=EIO"];
    let strace =
        Strace { options: inject.map(str::to_owned).to_vec(), output: place.scratch("trace") };
    let (data, trust) = (place.data(), trust.to_str().unwrap().to_owned());
    let arguments =
        ["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--trust", &trust];
    let mut server =
        Process::spawn(&arguments, &[], Some(&strace), place.scratch("stderr")).expect_listening();
    assert!(!server.wait().success());
    assert!(server.stderr().contains("the log can't sign"), "{}", server.stderr());

    // Nothing was signed, and a sound disk is all that it takes.
    let mut server =
        Process::spawn(&arguments, &[], None, place.scratch("second")).expect_listening();
    let url = format!("{}/readyz", server.url());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let is_ready = async {
        while !crate::http_tiles::client().get(&url).send().await.unwrap().status().is_success() {}
    };
    runtime.block_on(within("the log signs", is_ready));
    assert!(server.stop().success());
}
