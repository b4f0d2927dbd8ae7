//! Five witnesses of one log: three processes that keep to the rules, and two that collude.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use attestree::{
    client::{AddCheckpointAnswer, ClientError, Server, WitnessClient},
    core::{
        note::{CosignatureTime, CosigningKey, KeyName, NoteSignature, SignedNote, VerifierKey},
        number::TreeSize,
        tree::TreeHead,
        trust::TrustPolicy,
        witness::AddCheckpoint,
    },
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    crash::process::Server as Process,
    liar::{self, Face, History, Liar},
};

/// Witnesses that keep to the rules.
pub(super) const HONEST: usize = 3;

/// Witnesses that cosign whatever the log has signed.
const COLLUDERS: usize = 2;

/// How many witnesses the clients want: two quorums have 2 * 4 - 5 = 3 members in common, of which one is
/// honest.
const QUORUM: usize = 4;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the colluders say that they have cosigned.
const COLLUSION: u64 = 1_767_139_200;

/// A witness as a process of its own.
struct Honest {
    data: PathBuf,
    vkey: VerifierKey,
    process: Process,
    client: WitnessClient,
}

/// All witnesses, the log that lies, and everything that was ever cosigned.
pub(super) struct Ring {
    dir: TempDir,
    pub(super) liar: Liar,
    honest: Vec<Honest>,
    colluders: Vec<CosigningKey>,
    policy: TrustPolicy,
    /// By the text that was signed: the note with all cosignatures.
    cosigned: BTreeMap<String, (TreeHead, SignedNote)>,
    /// What the honest witnesses cosigned, each its own heads.
    heads: Vec<Vec<TreeHead>>,
    runtime: tokio::runtime::Runtime,
}

/// What a monitor said.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    /// The events.
    pub(super) events: Vec<Value>,
    /// The evidence files that it wrote.
    pub(super) evidence: Vec<PathBuf>,
}

impl Said {
    /// Returns whether a finding of this kind was made.
    pub(super) fn found(&self, kind: &str) -> bool {
        self.events.iter().any(|event| event["kind"] == kind)
    }
}

/// Runs the program to its end.
fn attestree(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attestree")).args(arguments).output().unwrap()
}

/// Returns the files of a directory that may not exist, in the order of their names.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

impl Honest {
    /// Makes a witness and starts it.
    fn start(dir: &Path, number: usize) -> Self {
        let data = dir.join(format!("w{number}"));
        let place = data.to_str().unwrap();
        let made = attestree(&[
            "witness",
            "init",
            "--data",
            place,
            "--name",
            &format!("w.example/{number}"),
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let vkey = String::from_utf8(made.stdout).unwrap();
        let vkey = VerifierKey::parse(vkey.trim_end()).unwrap();
        let log = liar::key().verifier_key().to_string();
        let arguments =
            ["witness", "serve", "--data", place, "--listen", "127.0.0.1:0", "--log", &log];
        let stderr = dir.join(format!("w{number}.stderr"));
        let process = Process::spawn(&arguments, &[], None, stderr).expect_listening();
        let server = Server::parse(&process.url()).unwrap();
        let client = WitnessClient::new(&server, PATIENCE).unwrap();
        Self { data, vkey, process, client }
    }
}

impl Ring {
    /// Starts the witnesses.
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let liar = Liar::start();
        let honest: Vec<Honest> =
            (0..HONEST).map(|number| Honest::start(dir.path(), number)).collect();
        let colluder = |number: usize| {
            let name = KeyName::parse(&format!("colluder.example/{number}")).unwrap();
            CosigningKey::from_seed(name, &[u8::try_from(number).unwrap() + 50; 32])
        };
        let colluders: Vec<CosigningKey> = (0..COLLUDERS).map(colluder).collect();

        let mut lines = format!("log {}\n", liar::key().verifier_key());
        for (number, Honest { vkey, process, .. }) in honest.iter().enumerate() {
            lines += &format!("witness w{number} {vkey} {}\n", process.url());
        }
        for (number, key) in colluders.iter().enumerate() {
            let (vkey, url) = (key.verifier_key(), liar.url(&format!("c{number}")));
            lines += &format!("witness c{number} {vkey} {url}\n");
        }
        lines += &format!("group most {QUORUM} w0 w1 w2 c0 c1\nquorum most\n");
        fs::write(dir.path().join("trust.policy"), &lines).unwrap();
        Self {
            dir,
            liar,
            honest,
            colluders,
            policy: TrustPolicy::parse(&lines).unwrap(),
            cosigned: BTreeMap::new(),
            heads: vec![Vec::new(); HONEST],
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    /// Has the colluders cosign a head, and remember it.
    pub(super) fn collude(&mut self, head: TreeHead) {
        let note = SignedNote::parse(&liar::note(head, &[])).unwrap();
        let time = CosignatureTime::new(COLLUSION).unwrap();
        for number in 0..COLLUDERS {
            let line = self.colluders[number].sign(note.text(), time);
            self.keep(head, &note, vec![line]);
            self.remember(number, head);
        }
    }

    /// Has the liar show what a colluder claims to remember.
    fn remember(&self, number: usize, head: TreeHead) {
        let note = liar::cosigned(head, &self.colluders[number], COLLUSION);
        self.liar.show(&format!("c{number}"), Face::witness(note));
    }

    /// Sends a request to an honest witness, and keeps what it cosigns. Returns the status.
    pub(super) fn ask(&mut self, witness: usize, request: &AddCheckpoint) -> u16 {
        let client = &self.honest[witness].client;
        match self.runtime.block_on(client.add_checkpoint(request)) {
            Ok(AddCheckpointAnswer::Cosigned(lines)) => {
                let (note, text) = request.checkpoint().unwrap();
                let vkey = &self.honest[witness].vkey;
                assert!(lines.iter().all(|line| line.verify(vkey, note.text()).is_ok()));
                self.heads[witness].push(text.head);
                self.keep(text.head, &note, lines);
                200
            }
            Ok(AddCheckpointAnswer::Conflict { .. }) => 409,
            Ok(AddCheckpointAnswer::Refused { status, .. }) => status,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends the head of a history to an honest witness, with the proof from some size of it.
    pub(super) fn push(&mut self, witness: usize, history: &History, old: u64, new: u64) -> u16 {
        let proof = if old == 0 { Vec::new() } else { history.link(old, new).1 };
        self.ask(witness, &request(old, proof, liar::note(history.head(new), &[])))
    }

    /// Has everyone cosign the head of a history.
    pub(super) fn agree(&mut self, history: &History, old: u64, new: u64) {
        for witness in 0..HONEST {
            assert_eq!(self.push(witness, history, old, new), 200, "witness {witness}");
        }
        self.collude(history.head(new));
    }

    /// Returns what an honest witness remembers.
    pub(super) fn latest(&self, witness: usize) -> Result<TreeHead, ClientError> {
        let origin = attestree::core::origin::Origin::parse(liar::ORIGIN).unwrap();
        let note = self.runtime.block_on(self.honest[witness].client.latest(&origin))?;
        let keys = attestree::client::trust_listed(&[liar::key().verifier_key().clone()]);
        Ok(keys.verify_checkpoint(&note.expect("it has cosigned")).unwrap().checkpoint.head())
    }

    fn keep(&mut self, head: TreeHead, note: &SignedNote, lines: Vec<NoteSignature>) {
        let kept = self.cosigned.entry(note.text().to_owned()).or_insert((head, note.clone()));
        kept.1 = kept.1.with_signatures(lines).unwrap();
    }

    /// Returns the heads for which a client is content with the cosignatures.
    pub(super) fn covered(&self) -> Vec<TreeHead> {
        let met =
            |note: &SignedNote| self.policy.verify_checkpoint(note.to_string().as_bytes()).is_ok();
        let covered = self.cosigned.values().filter(|(_, note)| met(note));
        covered.map(|(head, _)| *head).collect()
    }

    /// Asserts the law: one history for the quorums, and one for each witness that keeps to the rules.
    pub(super) fn assert_one_history(&self, histories: &[&History]) {
        let sets = self.heads.iter().cloned().chain([self.covered()]);
        for heads in sets {
            let sizes: BTreeSet<TreeSize> = heads.iter().map(|head| head.size).collect();
            let holds = |history: &&&History| {
                // Every history here is longer than all that was signed of any.
                heads.iter().all(|head| history.head(head.size.get()) == *head)
            };
            assert!(histories.iter().any(|history| holds(&history)), "two histories at {sizes:?}");
        }
    }

    /// Has a monitor look once at what the liar shows under a prefix; it remembers under its name.
    pub(super) fn monitor(&self, name: &str, face: &str) -> Said {
        let state = self.dir.path().join(name);
        let policy = self.dir.path().join("trust.policy");
        let url = self.liar.url(face);
        let output = attestree(&[
            "monitor",
            &url,
            "--trust",
            policy.to_str().unwrap(),
            "--state",
            state.to_str().unwrap(),
            "--json",
        ]);
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Said { code: output.status.code(), events, evidence: files(&state, "evidence") }
    }

    /// Returns the evidence that an honest witness has written.
    pub(super) fn evidence(&self, witness: usize) -> Vec<PathBuf> {
        files(&self.honest[witness].data.join("evidence"), "evidence")
    }

    /// Asserts that a file convicts the log, before somebody who has nothing but its key.
    pub(super) fn assert_convicts(&self, evidence: &[PathBuf]) {
        assert!(!evidence.is_empty(), "there is evidence");
        let key = self.dir.path().join("key.policy");
        fs::write(&key, format!("log {}\nquorum none\n", liar::key().verifier_key())).unwrap();
        for file in evidence {
            let (file, key) = (file.to_str().unwrap(), key.to_str().unwrap());
            let judged = attestree(&["verify-evidence", file, "--trust", key, "--json"]);
            let verdict: Value = serde_json::from_slice(&judged.stdout).unwrap();
            assert_eq!(
                (judged.status.code(), verdict["verdict"].as_str()),
                (Some(0), Some("guilty"))
            );
        }
    }
}

/// Puts a request together.
pub(super) fn request(
    old: u64,
    proof: Vec<attestree::core::hash::TreeHash>,
    note: Vec<u8>,
) -> AddCheckpoint {
    AddCheckpoint { old_size: TreeSize::new(old).unwrap(), proof, note: note.into() }
}
