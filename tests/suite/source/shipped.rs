//! `attestree ship` as a process, against a server as a process: both are killed, files are rotated meanwhile, and
//! afterwards every line is in the log once.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::mpsc::Receiver,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    child::{Child, PATIENCE, records},
    line::Line,
};
use crate::{crash::process::Process, random::Random, tls::write};

/// What the server is told of its source.
const SOURCE: &str = "
[[sources]]
name = \"files\"
kind = \"ship\"
open = true
";

/// A process that ships the files of a directory.
struct Shipper {
    process: Process,
    lines: Receiver<String>,
}

/// Returns the command that ships the files of a directory to a server.
fn command(dir: &Path, server: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attestree"));
    command.arg("ship").arg(dir.join("*.log*")).arg("--state").arg(dir.join("spool"));
    command.args(["--json", "--server", server]);
    command
}

impl Shipper {
    fn start(dir: &Path, server: &str, run: u32) -> Self {
        let stderr = dir.join(format!("stderr-{run}"));
        let (process, lines) = Process::start(&mut command(dir, server), stderr);
        Self { process, lines }
    }

    /// Waits until it says that something happened.
    fn wait_for(&self, event: &str) {
        let wanted = format!("\"event\":\"{event}\"");
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {event}: {}", self.process.stderr()));
            if line.contains(&wanted) {
                return;
            }
        }
    }
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// Returns the lines of the records.
fn lines(records: &[Value]) -> Vec<String> {
    let line = |record: &Value| record["ctx"]["file"]["line"].as_str().unwrap().to_owned();
    records.iter().map(line).collect()
}

/// Runs it to the end of the files.
fn once(dir: &Path, server: &str, more: &[&str]) -> Output {
    command(dir, server).arg("--once").args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_in_the_log_once_through_kills_and_rotations() {
    let random = &mut Random::seeded("ship");
    let mut child = Child::configured(SOURCE);
    let line = Line::to(child.address());
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let url = format!("http://{}", line.address());
    let mut shipper = Shipper::start(dir.path(), &url, 0);
    // Of each file under a name: its number, and how many lines it has.
    let mut files: BTreeMap<&str, (u32, u32)> = [("a", (0, 0)), ("b", (0, 0))].into();
    let mut expected = Vec::new();
    for round in 1..=60_u32 {
        for (name, (generation, count)) in &mut files {
            let mut text = String::new();
            for _ in 0..random.below(200) {
                text += &format!("{name} {generation} {count}\n");
                expected.push(format!("{name} {generation} {count}"));
                *count += 1;
            }
            let path = dir.path().join(format!("{name}.log"));
            // In two pieces, so that half a line is there at times.
            let middle = random.position(text.len() + 1);
            append(&path, &text[..middle]);
            append(&path, &text[middle..]);
            if random.chance(25) {
                let rotated = dir.path().join(format!("{name}.log.{generation}"));
                fs::rename(&path, rotated).unwrap();
                File::create(&path).unwrap();
                (*generation, *count) = (*generation + 1, 0);
            }
        }
        match random.below(6) {
            0 | 1 => {
                shipper.process.send(Signal::KILL);
                shipper.process.wait();
                shipper = Shipper::start(dir.path(), &url, round);
            }
            2 => {
                child.kill();
                line.lead(None);
                line.cut();
                child.resume();
                line.lead(Some(child.address()));
            }
            3 => line.cut(),
            4 => shipper.wait_for("sent"),
            _ => {}
        }
    }
    let shipped = lines(&records(child.address(), expected.len()).await);
    shipper.process.send(Signal::TERM);
    assert!(shipper.process.wait().success(), "{}", shipper.process.stderr());
    let mut sorted = shipped.clone();
    sorted.sort();
    let mut wanted = expected.clone();
    wanted.sort();
    assert_eq!(sorted, wanted, "every line once");
    // In order within each file.
    let mut newest: BTreeMap<String, u32> = BTreeMap::new();
    for line in shipped {
        let (file, number) = line.rsplit_once(' ').unwrap();
        let number: u32 = number.parse().unwrap();
        let before = newest.insert(file.to_owned(), number);
        assert_eq!(number, before.map_or(0, |before| before + 1), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_when_everything_is_in_the_log() {
    let child = Child::configured(SOURCE);
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let url = format!("http://{}", child.address());
    append(&dir.path().join("a.log"), "one\ntwo\nthr");
    let output = once(dir.path(), &url, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("\"event\":\"done\",\"lines\":2,\"bytes\":6,\"waiting\":0"));
    append(&dir.path().join("a.log"), "ee\n");
    let output = once(dir.path(), &url, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let records = records(child.address(), 3).await;
    assert_eq!(lines(&records), ["one", "two", "three"]);
    assert_eq!(records[0]["source"], "files");
    let path = dir.path().join("a.log").display().to_string();
    assert_eq!(records[0]["ctx"]["file"]["path"], Value::from(path));
    // To the second: the log's clock has no microseconds.
    let second = |time: &Value| time.as_str().unwrap()[..19].to_owned();
    assert!(second(&records[0]["ctx"]["file"]["read"]) <= second(&records[0]["at"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_full_waits_and_loses_nothing() {
    let mut child = Child::configured(SOURCE);
    let line = Line::to(child.address());
    line.lead(None);
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let url = format!("http://{}", line.address());
    let mut expected = Vec::new();
    for number in 0..80 {
        expected.push(format!("{number} {}", "x".repeat(100_000)));
        append(&dir.path().join("a.log"), &format!("{}\n", expected[number]));
    }
    let mut shipper = {
        let mut command = command(dir.path(), &url);
        command.args(["--spool-bytes-max", "4194304"]);
        let (process, lines) = Process::start(&mut command, dir.path().join("stderr"));
        Shipper { process, lines }
    };
    shipper.wait_for("full");
    child.stop();
    child.resume();
    line.lead(Some(child.address()));
    shipper.wait_for("room");
    let shipped = records(child.address(), 80).await;
    // Long lines are spilled: their commitments stand there.
    assert_eq!(shipped.len(), 80);
    shipper.process.send(Signal::TERM);
    assert!(shipper.process.wait().success());
    assert!(!shipper.process.stderr().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_and_events_are_what_they_say_and_all_else_is_kept() {
    let child = Child::configured(SOURCE);
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let url = format!("http://{}", child.address());
    append(&dir.path().join("a.log"), "{\"level\":\"info\"}\nno json\n");
    let output = once(dir.path(), &url, &["--format", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    let other = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    append(&other.path().join("b.log"), "{\"act\":\"auth.login\",\"class\":\"authentication\"}\n");
    let output = once(other.path(), &url, &["--format", "event"]);
    assert!(output.status.success(), "{}", said(&output));
    let records = records(child.address(), 3).await;
    assert_eq!(records[0]["ctx"]["json"]["level"], "info");
    assert_eq!(
        (&records[1]["vd"], &records[1]["class"]),
        (&"quarantine".into(), &"unparsed".into())
    );
    assert_eq!(records[2]["act"], "auth.login");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_source_and_its_file_is_guarded() {
    let hash = attestree::core::hash::TreeHash::digest(b"att_secret");
    let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let scratch = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tokens: PathBuf = scratch.path().join("tokens");
    write(&tokens, &format!("sha256:{hex}\n"));
    let source = format!("\n[[sources]]\nname = \"files\"\nkind = \"ship\"\ntokens = {tokens:?}\n");
    let child = Child::configured(&source);
    let url = format!("http://{}", child.address());
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    append(&dir.path().join("a.log"), "one\n");
    let token = scratch.path().join("token");
    let option = ["--token-file", token.to_str().unwrap()];
    fs::write(&token, "att_secret\n").unwrap();
    let output = once(dir.path(), &url, &option);
    assert!(!output.status.success() && said(&output).contains("chmod 600"), "{}", said(&output));
    write(&token, "att_secret\n");
    let output = once(dir.path(), &url, &option);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(lines(&records(child.address(), 1).await), ["one"]);
    write(&token, "att_wrong\n");
    append(&dir.path().join("a.log"), "two\n");
    let shipper = {
        let mut command = command(dir.path(), &url);
        command.args(option);
        let (process, lines) = Process::start(&mut command, dir.path().join("stderr"));
        Shipper { process, lines }
    };
    // It waits: whoever mends the token loses nothing.
    shipper.wait_for("away");
}
