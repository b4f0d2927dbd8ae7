//! `attestree dev`: one process, five commands that work, and a second start that goes on.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::crash::process::{PATIENCE, Process};

/// A running `attestree dev`.
struct Dev {
    process: Process,
    /// What it printed.
    begun: Value,
}

impl Dev {
    /// Starts it in a directory whose name a shell has to be told apart.
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attestree"));
        command.args(["--json", "dev", "--data"]).arg(dir.join("a dev's")).args(arguments);
        let (process, lines) = Process::start(&mut command, dir.join("stderr"));
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("it says nothing: {}", process.stderr()));
        Self { process, begun: serde_json::from_str(&line).unwrap() }
    }

    /// Returns a text that it printed.
    fn text(&self, key: &str) -> &str {
        self.begun[key].as_str().unwrap()
    }

    /// Ends it by a signal; it has to end well.
    fn end(&mut self, signal: Signal) {
        self.process.send(signal);
        let status = self.process.wait();
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}

/// Runs a line of a shell in a directory.
fn shell(dir: &Path, line: &str) -> Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_attestree"));
    let mut path = vec![program.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut command = Command::new("sh");
    command.args(["-e", "-c", line]).current_dir(dir);
    command.env("PATH", std::env::join_paths(path).unwrap()).output().unwrap()
}

/// Runs a line of a shell, which has to succeed, and returns what it printed.
#[track_caller]
fn run(dir: &Path, line: &str) -> String {
    let output = shell(dir, line);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{line}: {}\n{out}{error}", output.status);
    out
}

#[test]
fn every_command_that_is_shown_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path(), &[]);
    let commands: Vec<String> = dev.begun["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(commands.len(), 5);
    let said: Vec<String> = commands.iter().map(|command| run(dir.path(), command)).collect();

    assert!(said[0].contains("3 entries"), "{said:?}");
    let receipt = std::fs::read_to_string(dir.path().join("0.tlog-proof")).unwrap();
    let cosignatures = receipt.matches("\u{2014} dev.example/log/witness-").count();
    assert!(cosignatures >= 2, "a quorum has cosigned: {receipt}");
    assert!(said[2].contains("witness-"), "{said:?}");
    assert!(said[3].contains('3'), "{said:?}");
    assert!(said[4].contains("cosigned up to size 3"), "{said:?}");
    dev.end(Signal::INT);
}

#[test]
fn second_start_goes_on_where_the_first_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path(), &["--origin", "dev.example/other"]);
    let first = dev.begun.clone();
    assert_eq!(dev.text("origin"), "dev.example/other");
    run(dir.path(), first["commands"][0].as_str().unwrap());
    run(dir.path(), first["commands"][1].as_str().unwrap());
    dev.end(Signal::TERM);

    // Keys, ports and history are the same; the log was let sign by witnesses that remember it.
    let mut dev = Dev::start(dir.path(), &[]);
    assert_eq!(dev.begun, first);
    run(dir.path(), first["commands"][0].as_str().unwrap());
    let checkpoint = format!("attestree checkpoint --server {} --json", dev.text("url"));
    let checkpoint: Value = serde_json::from_str(&run(dir.path(), &checkpoint)).unwrap();
    assert_eq!(checkpoint["size"], 6);
    run(dir.path(), first["commands"][2].as_str().unwrap());
    run(dir.path(), first["commands"][3].as_str().unwrap());
    dev.end(Signal::TERM);

    // Nothing that belongs to it is left.
    let left = shell(dir.path(), &format!("attestree checkpoint --server {}", dev.text("url")));
    assert!(!left.status.success());
}

#[test]
fn killed_it_leaves_nothing_running_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path(), &[]);
    let first = dev.begun.clone();
    run(dir.path(), first["commands"][0].as_str().unwrap());
    dev.process.send(Signal::KILL);
    dev.process.wait();
    let mut dev = Dev::start(dir.path(), &[]);
    assert_eq!(dev.begun["vkey"], first["vkey"]);
    run(dir.path(), dev.begun["commands"][0].as_str().unwrap());
    run(dir.path(), dev.begun["commands"][1].as_str().unwrap());
    dev.end(Signal::INT);
}

#[test]
fn two_in_one_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path(), &[]);
    let second = shell(dir.path(), "attestree dev --data \"a dev's\"");
    assert_eq!(second.status.code(), Some(1), "{}", String::from_utf8_lossy(&second.stderr));
    dev.end(Signal::TERM);
}
