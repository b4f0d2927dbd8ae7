//! A log and three real witnesses, each its own process: one witness dies at each step of its writing or
//! has a full disk, or the log comes back from a backup.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::crash::{
    process::{Server, Strace},
    site::copy_tree,
};
use crate::needs::strace_attaches;

const ORIGIN: &str = "outage.example/log";

/// How often a client asks for the first quorum before the test fails: some tens of seconds.
const ASKED_MAX: u32 = 1_000;

/// Calls by which a witness makes durable what it cosigns.
const CALLS: [&str; 2] = ["pwrite64", "fdatasync"];

/// A log, its witnesses, and where they are.
struct System {
    dir: TempDir,
    vkey: String,
    witnesses: Vec<Option<Server>>,
    urls: Vec<String>,
    log: Option<Server>,
    runs: u32,
}

fn attestree(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attestree")).args(arguments).output().unwrap()
}

/// Runs a verb that has to succeed, and returns what it printed.
#[track_caller]
fn run(arguments: &[&str]) -> String {
    let output = attestree(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

impl System {
    /// Makes a log and three witnesses, and starts them.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("log");
        let made = run(&["init", "--data", data.to_str().unwrap(), "--origin", ORIGIN]);
        let starts = format!("{ORIGIN}+");
        let vkey = made.split_whitespace().find(|word| word.starts_with(&starts)).unwrap();
        let mut system = Self {
            vkey: vkey.to_owned(),
            dir,
            witnesses: Vec::new(),
            urls: Vec::new(),
            log: None,
            runs: 0,
        };
        let mut policy = format!("log {vkey}\n");
        for number in 0..3 {
            let place = system.place(number);
            let name = format!("outage.example/w{number}");
            let vkey =
                run(&["witness", "init", "--data", place.to_str().unwrap(), "--name", &name]);
            let witness = system.spawn_witness(number, "127.0.0.1:0", &[]).expect_listening();
            system.urls.push(witness.url());
            system.witnesses.push(Some(witness));
            policy += &format!("witness w{number} {} {}\n", vkey.trim_end(), system.urls[number]);
        }
        policy += "group two 2 w0 w1 w2\nquorum two\n";
        fs::write(system.trust(), policy).unwrap();
        system.start_log();
        system
    }

    fn place(&self, witness: usize) -> PathBuf {
        self.dir.path().join(format!("w{witness}"))
    }

    fn trust(&self) -> PathBuf {
        self.dir.path().join("trust.policy")
    }

    /// Returns a path that was not used before.
    fn next_file(&mut self, name: &str) -> PathBuf {
        self.runs += 1;
        self.dir.path().join(format!("{name}.{}", self.runs))
    }

    /// Starts a witness without waiting for anything, under strace if options are given.
    fn spawn_witness(&mut self, number: usize, listen: &str, options: &[String]) -> Server {
        let place = self.place(number).to_str().unwrap().to_owned();
        let arguments =
            ["witness", "serve", "--data", &place, "--listen", listen, "--log", &self.vkey.clone()];
        let strace = Strace { options: options.to_vec(), output: self.next_file("trace") };
        let strace = (!options.is_empty()).then_some(&strace);
        let stderr = self.next_file("witness");
        Server::spawn(&arguments, &[], strace, stderr)
    }

    fn address(&self, witness: usize) -> &str {
        self.urls[witness].strip_prefix("http://").unwrap()
    }

    /// Starts a witness again at its address.
    fn restart_witness(&mut self, number: usize, options: &[String]) -> Server {
        let listen = self.address(number).to_owned();
        self.spawn_witness(number, &listen, options)
    }

    /// Starts the log.
    fn start_log(&mut self) {
        let data = self.dir.path().join("log").to_str().unwrap().to_owned();
        let trust = self.trust().to_str().unwrap().to_owned();
        let stderr = self.next_file("log");
        let arguments = [
            "serve",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--trust",
            &trust,
            "--checkpoint-interval-ms",
            "20",
        ];
        self.log = Some(Server::spawn(&arguments, &[], None, stderr).expect_listening());
    }

    /// Stops the log.
    fn stop_log(&mut self) {
        let mut log = self.log.take().unwrap();
        assert!(log.stop().success(), "the log ends in order: {}", log.stderr());
    }

    /// Puts copies of data and watermark in the place of others.
    fn replace(&self, place: &str, source: &str) {
        let [place, source] = [place, source].map(|name| self.dir.path().join(name));
        let watermark = |data: &Path| data.with_extension("watermark");
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        copy_tree(&source, &place);
        fs::copy(watermark(&source), watermark(&place)).unwrap();
    }

    /// Appends a line, and waits for the quorum.
    fn append(&mut self, line: &str) -> Output {
        let file = self.next_file("line");
        fs::write(&file, format!("{line}\n")).unwrap();
        let url = self.log.as_ref().unwrap().url();
        let trust = self.trust();
        let (file, trust) = (file.to_str().unwrap(), trust.to_str().unwrap());
        attestree(&["append", file, "--server", &url, "--trust", trust, "--json"])
    }

    /// Waits until there is a checkpoint with a quorum: before the first one a client that wants it is
    /// told to come back.
    fn await_quorum(&self) {
        let url = self.log.as_ref().unwrap().url();
        let trust = self.trust();
        let asked = ["checkpoint", "--server", &url, "--trust", trust.to_str().unwrap()];
        let met = (0..ASKED_MAX).any(|_| attestree(&asked).status.success());
        assert!(met, "the witnesses cosign the first candidate");
    }

    /// Appends a line; a quorum has to cosign it. Returns the size of the tree that it cosigned.
    #[track_caller]
    fn expect_cosigned(&mut self, line: &str) -> u64 {
        self.await_quorum();
        let output = self.append(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {said}");
        let appended: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(appended.get("not_cosigned").is_none(), "no quorum: {appended}");
        appended["tree_size"].as_u64().unwrap()
    }

    /// Returns the size that a witness remembers; it need not run.
    fn remembered(&self, witness: usize) -> u64 {
        let place = self.place(witness);
        let status = run(&["witness", "status", "--data", place.to_str().unwrap(), "--json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        assert!(status["logs"][0]["frozen"].is_null(), "nobody is accused: {status}");
        status["logs"][0]["size"].as_u64().unwrap()
    }

    /// Has a monitor read everything, and ask every witness: all of it has to be one history.
    fn assert_one_history(&mut self) {
        let state = self.next_file("monitor");
        let url = self.log.as_ref().unwrap().url();
        let trust = self.trust();
        let (state, trust) = (state.to_str().unwrap(), trust.to_str().unwrap());
        run(&["monitor", &url, "--trust", trust, "--state", state]);
    }
}

/// Returns the options by which strace lets a call fail.
fn inject(call: &str, fault: &str) -> Vec<String> {
    let inject = format!("inject={call}:{fault}");
    // The first line of the trace has to name the process, whether or not it makes the call.
    ["-f", "-qq", "--seccomp-bpf", "-e", &format!("trace=execve,{call}"), "-e", &inject]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn quorum_survives_a_witness_that_is_killed_at_every_write() {
    if !strace_attaches("quorum_survives_a_witness_that_is_killed_at_every_write") {
        return;
    }
    let mut system = System::start();
    system.expect_cosigned("first");
    let mut kills = 0;
    for call in CALLS {
        for number in 1..=12 {
            system.witnesses[0].take().unwrap().kill();
            let fault = inject(call, &format!("signal=KILL:when={number}"));
            let mut dying = system.restart_witness(0, &fault);
            let listened = dying.listens();
            // The others make the quorum, whether it dies now or has died.
            for line in 0..2 {
                system.expect_cosigned(&format!("{call} {number} {line}"));
            }
            let size = system.expect_cosigned(&format!("{call} {number} last"));
            let alive = listened && TcpStream::connect(system.address(0)).is_ok();
            kills += u32::from(!alive);
            dying.kill();
            assert!(system.remembered(0) <= size, "it remembers what was signed");
            // Without strace it goes on from what it remembers.
            let witness = system.restart_witness(0, &[]).expect_listening();
            system.witnesses[0] = Some(witness);
            if alive {
                // So often it does not make this call: later kills would hit nothing.
                break;
            }
        }
    }
    assert!(kills > 0, "it was killed at all");
    // With one of the others away, the quorum needs the one that died so often.
    system.witnesses[1].take().unwrap().kill();
    let size = system.expect_cosigned("with the one that died");
    assert!(system.remembered(0) >= size);
    let witness = system.restart_witness(1, &[]).expect_listening();
    system.witnesses[1] = Some(witness);
    system.assert_one_history();
}

#[test]
fn full_disk_of_a_witness_costs_its_cosignature_and_nothing_else() {
    if !strace_attaches("full_disk_of_a_witness_costs_its_cosignature_and_nothing_else") {
        return;
    }
    let mut system = System::start();
    system.expect_cosigned("before");
    system.witnesses[0].take().unwrap().kill();
    let before = system.remembered(0);
    let mut full = system.restart_witness(0, &inject("pwrite64", "error=ENOSPC"));
    let _starts_or_refuses = full.listens();
    for line in 0..3 {
        system.expect_cosigned(&format!("while the disk is full {line}"));
    }
    full.kill();
    // What it could not write it did not sign either.
    assert_eq!(system.remembered(0), before);
    let witness = system.restart_witness(0, &[]).expect_listening();
    system.witnesses[0] = Some(witness);
    system.witnesses[2].take().unwrap().kill();
    let size = system.expect_cosigned("with room again");
    assert!(system.remembered(0) >= size);
    let witness = system.restart_witness(2, &[]).expect_listening();
    system.witnesses[2] = Some(witness);
    system.assert_one_history();
}

#[test]
fn log_from_a_backup_signs_nothing_that_its_witnesses_contradict() {
    let mut system = System::start();
    system.expect_cosigned("in the backup");
    system.stop_log();
    system.replace("backup", "log");
    system.start_log();
    for line in 0..3 {
        system.expect_cosigned(&format!("after the backup {line}"));
    }
    system.stop_log();
    system.replace("newest", "log");

    // Data and watermark come back together: only the witnesses know better.
    system.replace("log", "backup");
    system.start_log();
    let output = system.append("a second history");
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    system.log.take().unwrap().stop();
    for witness in 0..3 {
        assert_eq!(system.remembered(witness), 4, "nothing new was cosigned");
    }

    // The way out: the newest data.
    system.replace("log", "newest");
    system.start_log();
    assert_eq!(system.expect_cosigned("the one history"), 5);
    system.assert_one_history();
}
