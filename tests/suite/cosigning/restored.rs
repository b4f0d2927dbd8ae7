//! Real processes: a log that is killed, restored from a backup with its watermark, and started again
//! among witnesses that remember more.

use std::{fs, path::PathBuf};

use super::site::{until, within};
use crate::crash::{
    process::{Server as Process, was_killed},
    site::{Site as Place, copy_tree},
};

/// The log.
const ORIGIN: &str = "log.example/restored";

/// Starts a witness; returns it with its line of the trust file.
fn witness(place: &Place, name: &str, log: &str) -> (Process, String) {
    let data = place.scratch(name).to_str().unwrap().to_owned();
    let key_name = format!("witness.example/{name}");
    let made = place.run(&["witness", "init", "--data", &data, "--name", &key_name]);
    assert!(made.status.success(), "{made:?}");
    let vkey = String::from_utf8(made.stdout).unwrap();
    let arguments = ["witness", "serve", "--data", &data, "--listen", "127.0.0.1:0", "--log", log];
    let stderr = place.scratch(&format!("{name}.stderr"));
    let process = Process::spawn(&arguments, &[], None, stderr).expect_listening();
    let line = format!("witness {name} {} {}\n", vkey.trim_end(), process.url());
    (process, line)
}

/// Starts the log.
fn serve(place: &Place, trust: &str, run: &str) -> Process {
    let data = place.data().to_str().unwrap().to_owned();
    let arguments = ["serve", "--data", &data, "--listen", "127.0.0.1:0", "--trust", trust];
    Process::spawn(&arguments, &[], None, place.scratch(run)).expect_listening()
}

/// Appends a line and waits for its quorum; returns whether that worked, and what was said.
fn append(place: &Place, log: &Process, trust: &str, line: &str) -> (bool, String) {
    let file: PathBuf = place.scratch("line");
    fs::write(&file, line).unwrap();
    let file = file.to_str().unwrap();
    let done = place.run(&["append", file, "--server", &log.url(), "--trust", trust]);
    let said = [&done.stdout[..], &done.stderr[..]].map(String::from_utf8_lossy).concat();
    (done.status.success(), said)
}

/// Returns the checkpoint's size as the log shows it.
async fn size(log: &Process) -> String {
    let url = format!("{}/checkpoint", log.url());
    let answer = crate::http_tiles::client().get(url).send().await.unwrap();
    answer.text().await.unwrap().lines().nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_with_its_watermark_is_halted_by_any_two_of_three_witnesses() {
    let place = Place::new();
    let vkey = place.init(ORIGIN, false).vkey;
    let (mut witnesses, mut lines) = (Vec::new(), format!("log {vkey}\n"));
    for name in ["w1", "w2", "w3"] {
        let (process, line) = witness(&place, name, &vkey);
        witnesses.push(process);
        lines += &line;
    }
    let trust = place.scratch("trust.policy");
    fs::write(&trust, lines + "group g 2 w1 w2 w3\nquorum g\n").unwrap();
    let trust = trust.to_str().unwrap();

    let mut log = serve(&place, trust, "first");
    let (appended, said) = append(&place, &log, trust, "before\n");
    assert!(appended && said.contains("index 0"), "{said}");
    assert!(was_killed(log.kill()));
    let (disk, backup) = (place.disk(), place.scratch("backup"));
    copy_tree(&disk, &backup);
    let mut log = serve(&place, trust, "second");
    let (appended, said) = append(&place, &log, trust, "after\n");
    assert!(appended && said.contains("index 1"), "{said}");
    assert!(was_killed(log.kill()));

    // Data and watermark as they were, and one witness that does not answer.
    fs::remove_dir_all(&disk).unwrap();
    copy_tree(&backup, &disk);
    assert!(was_killed(witnesses.remove(0).kill()));
    let mut log = serve(&place, trust, "third");
    until("the log halts", || log.stderr().contains("the log halts")).await;
    let (appended, said) = append(&place, &log, trust, "another\n");
    assert!(!appended && said.contains("halted"), "{said}");
    let shown = within("the log is read", size(&log)).await;
    assert!(
        shown.is_empty() || shown == "0" || shown == "1",
        "no second history is shown: {shown}"
    );
    assert!(log.stop().success());

    // It stays halted, whoever may be asked.
    witnesses.clear();
    let log = serve(&place, trust, "fourth");
    let (appended, said) = append(&place, &log, trust, "another\n");
    assert!(!appended && said.contains("halted"), "{said}");
}
