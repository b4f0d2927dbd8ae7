//! The monitor against real servers: the honest one of this crate, and one that lies.

use std::{
    fs,
    io::BufReader,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use attestree::core::{
    evidence::{Evidence, Judgement},
    note::CosigningKey,
    tree::TreeHead,
    trust::TrustPolicy,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    hostile::server::BINARY,
    liar::{self, Face, Liar, key},
    published::cosigning_key,
};

mod audit;
mod lie;
mod state;

/// A monitor's directory and policy, and the log that it watches.
struct Scene {
    dir: TempDir,
    liar: Liar,
}

/// What one run of the monitor has told.
#[derive(Debug)]
struct Told {
    code: i32,
    events: Vec<Value>,
    errors: String,
}

impl Scene {
    /// Watches a log with these witnesses, each at a face of its own name.
    fn new(witnesses: &[&str]) -> Self {
        let scene = Self { dir: TempDir::new().unwrap(), liar: Liar::start() };
        let mut policy = format!("log {} {}\n", key().verifier_key(), scene.liar.url("log"));
        for name in witnesses {
            let (key, url) = (witness(name), scene.liar.url(name));
            policy += &format!("witness {name} {} {url}\n", key.verifier_key());
        }
        scene.write_policy(&(policy + "quorum none\n"));
        scene
    }

    fn write_policy(&self, policy: &str) {
        fs::write(self.dir.path().join("trust.policy"), policy).unwrap();
    }

    fn policy(&self) -> TrustPolicy {
        TrustPolicy::parse(&fs::read_to_string(self.dir.path().join("trust.policy")).unwrap())
            .unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.args(["monitor", "--json", "--trust", "trust.policy", "--state", "state"]);
        command.args(arguments);
        command
    }

    /// Looks once.
    fn look(&self) -> Told {
        self.look_with(&[])
    }

    fn look_with(&self, arguments: &[&str]) -> Told {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let lines = String::from_utf8(stdout).unwrap();
        Told {
            code: status.code().unwrap(),
            events: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            errors: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Returns the evidence files, each of which has to convict.
    fn evidence(&self) -> Vec<Evidence> {
        let files = fs::read_dir(self.dir.path().join("state")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|end| end == "evidence"));
        let read = |path: PathBuf| {
            let mut judged = Command::new(BINARY);
            judged.env_clear().current_dir(self.dir.path());
            judged.args(["verify-evidence", "--trust", "trust.policy"]).arg(&path);
            let judged = judged.output().unwrap();
            let said = String::from_utf8_lossy(&judged.stdout).into_owned();
            assert!(judged.status.success() && said.starts_with("guilty: the log "), "{judged:?}");
            let evidence = Evidence::parse(&fs::read(path).unwrap()).unwrap();
            let verdict = evidence.judge(&self.policy());
            assert!(matches!(verdict, Judgement::Guilty { .. }), "{verdict:?}");
            evidence
        };
        files.map(read).collect()
    }

    /// Returns what is kept of the log.
    fn state(&self) -> PathBuf {
        let files = fs::read_dir(self.dir.path().join("state")).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "state")).unwrap()
    }
}

/// A monitor that goes on until it is killed, at the latest when this is dropped.
struct Following(Child);

impl Following {
    /// Starts to follow, and returns the lines of its events.
    fn start(command: &mut Command) -> (Self, BufReader<ChildStdout>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        (Self(child), events)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Told {
    /// Returns the events of a kind.
    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// Returns the kinds and sources of all findings.
    fn findings(&self) -> Vec<(&str, &str)> {
        self.of("finding")
            .map(|event| (event["kind"].as_str().unwrap(), event["source"].as_str().unwrap()))
            .collect()
    }

    /// Returns size and number of entries of the tree that was read to its end.
    fn read(&self) -> Option<(u64, u64)> {
        let event = self.of("read").last()?;
        Some((event["size"].as_u64().unwrap(), event["entries"].as_u64().unwrap()))
    }
}

fn witness(name: &str) -> CosigningKey {
    cosigning_key("witness.example", name)
}

fn cosigned(name: &str, head: TreeHead) -> Face {
    Face::witness(liar::cosigned(head, &witness(name), 1_800_000_000))
}
