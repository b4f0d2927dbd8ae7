//! The witness as a daemon: over real sockets, over restarts, and with a log that lies.

mod config;
mod journal;
mod kill;
mod misbehaviour;
pub(crate) mod poll;
mod poll_lies;
mod protocol;
mod tls;

use std::{fs, net::SocketAddr, path::PathBuf, thread};

use attestree::{
    client::Server,
    core::{
        hash::TreeHash,
        note::{CosignatureTime, KeyName, SignedNote, SigningKey, VerifierKey},
        number::TreeSize,
        origin::Origin,
        tree::{Edge, TreeHead},
        witness::{AddCheckpoint, origin_hash_hex},
    },
    server::{
        random::Random,
        witness::{self, Init, RawConfig, Running, Status},
    },
};

use super::{
    published::signing_key,
    witness_rules::{Tree, note, request},
};

/// Name of the witness.
pub(crate) const NAME: &str = "witness.example/w1";

/// A witness in this process, in a directory of its own.
pub(crate) struct Watching {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) vkey: VerifierKey,
    pub(crate) raw: RawConfig,
    running: Option<Running>,
}

/// Returns the key of a test log.
pub(crate) fn log(name: &str) -> SigningKey {
    signing_key(name, name)
}

/// Makes a witness in `DIR/w`.
pub(crate) fn init(dir: &tempfile::TempDir) -> VerifierKey {
    let name = KeyName::parse(NAME).unwrap();
    let init = Init { data: dir.path().join("w"), watermark: None, name };
    witness::init(init, &mut Random::from_seed([9; 32])).unwrap()
}

impl Watching {
    /// Starts a witness of some logs, each `VKEY [URL]`.
    pub(crate) fn start(logs: &[String]) -> Self {
        Self::with(logs, RawConfig::default())
    }

    /// Starts a witness with what `raw` says.
    pub(crate) fn with(logs: &[String], raw: RawConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vkey = init(&dir);
        let raw = RawConfig {
            data: Some(dir.path().join("w")),
            listen: Some("127.0.0.1:0".to_owned()),
            log: Some(logs.to_vec()),
            ..raw
        };
        let mut watching = Self { dir, vkey, raw, running: None };
        watching.resume().unwrap();
        watching
    }

    /// Starts the witness again.
    pub(crate) fn resume(&mut self) -> Result<(), String> {
        let mut tries = 0;
        loop {
            let config = self.raw.clone().parse().unwrap();
            let started = thread::spawn(|| witness::start(config)).join().unwrap();
            match started.map_err(|error| format!("{error:#}")) {
                Ok(running) => {
                    self.running = Some(running);
                    return Ok(());
                }
                // A process that another test starts holds every lock between its fork and its exec.
                Err(error) if error.contains("in use by another") && tries < 1_000 => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Stops the witness; returns whether every write has succeeded.
    pub(crate) fn stop(&mut self) -> bool {
        let running = self.running.take();
        running.is_none_or(|running| thread::spawn(|| running.stop()).join().unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address()
    }

    pub(crate) fn status(&self) -> Status {
        self.running.as_ref().unwrap().witness().status()
    }

    /// Returns why a log is frozen.
    pub(crate) fn frozen(&self, origin: &str) -> Option<String> {
        let status = self.status();
        status.logs.into_iter().find(|log| log.origin == origin).unwrap().frozen
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sends a body; returns status, type and text of the answer.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String, String) {
        let http = Server::parse(&self.url("")).unwrap().http().unwrap();
        let answer = http.post(self.url("/add-checkpoint")).body(body).send().await.unwrap();
        told(answer).await
    }

    pub(crate) async fn add(&self, request: &AddCheckpoint) -> (u16, String, String) {
        self.post(request.format()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String, String) {
        let http = Server::parse(&self.url("")).unwrap().http().unwrap();
        told(http.get(self.url(path)).send().await.unwrap()).await
    }

    /// Reads the monitoring address; verifies both signatures and returns head and time.
    pub(crate) async fn monitored(&self, key: &SigningKey) -> Option<(TreeHead, u64)> {
        let origin = Origin::parse(key.verifier_key().name().as_str()).unwrap();
        let (status, _, text) =
            self.get(&format!("/{}/checkpoint", origin_hash_hex(&origin))).await;
        if status == 404 {
            return None;
        }
        Some(self.verify(key, &text))
    }

    /// Verifies a note under log and witness.
    pub(crate) fn verify(&self, key: &SigningKey, text: &str) -> (TreeHead, u64) {
        cosigned(key, &self.vkey, text)
    }

    /// Sends the files' path of evidence, sorted.
    pub(crate) fn evidence(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.file("w/evidence")) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Verifies a note under log and witness; returns what it states.
pub(crate) fn cosigned(key: &SigningKey, witness: &VerifierKey, text: &str) -> (TreeHead, u64) {
    let parsed = SignedNote::parse(text.as_bytes()).unwrap();
    let verified = parsed.verify([key.verifier_key(), witness]).unwrap();
    assert_eq!(verified.signatures().len(), 2);
    let time = verified.signature(witness).unwrap().time.map(CosignatureTime::get).unwrap();
    let lines: Vec<&str> = parsed.text().lines().collect();
    assert_eq!(lines[0], key.verifier_key().name().as_str());
    let root = TreeHash::parse_base64(lines[2]).unwrap();
    let size = TreeSize::new(lines[1].parse().unwrap()).unwrap();
    (TreeHead { size, root }, time)
}

async fn told(answer: reqwest::Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    (status, kind.unwrap_or_default(), answer.text().await.unwrap())
}

/// Writes a log as the configuration names it.
pub(crate) fn named(key: &SigningKey) -> String {
    key.verifier_key().to_string()
}

/// Makes the request for a step of one history.
pub(crate) fn step(key: &SigningKey, tree: &Tree, old: u64, new: u64) -> AddCheckpoint {
    request(old, tree.proof(old, new), &note(key, &tree.head(new)))
}

/// Returns the head of some leaves.
pub(crate) fn head_of(leaves: &[TreeHash]) -> TreeHead {
    Edge::empty().append(leaves).edge.head()
}

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
