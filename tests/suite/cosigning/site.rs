//! A witness of the tests, which obeys the rules or breaks them on demand, and a server that has some.

use core::time::Duration;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use attestree::{
    core::{
        checkpoint::SignedCheckpoint,
        note::{CosignatureTime, CosigningKey, KeyName, SignedNote, SigningKey},
        origin::Origin,
        tree::TreeHead,
        trust::TrustPolicy,
        witness::{AddCheckpoint, Refusal, WitnessedLog, judge, origin_hash_hex},
    },
    pipeline::Log,
    proto::{Answer, AppendRequest, AppendResponse, Wait},
    server::{config::RawConfig, random::Random},
    store::LogIdentity,
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::served::{ORIGIN, Served};

/// How long anything may take before the test fails: far longer than it takes on a machine that does
/// other things as well.
const PATIENCE: Duration = Duration::from_mins(5);

/// Awaits what has to come.
pub async fn within<T>(what: &str, coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, coming).await.unwrap_or_else(|_late| panic!("late: {what}"))
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    within(what, held).await;
}

/// The seed of the servers of the tests, from which the key of their first log is drawn.
pub const SERVED_SEED: [u8; 32] = [42; 32];

/// Returns the key of the log [`ORIGIN`], which nobody but its server should have.
pub fn log_key() -> SigningKey {
    let seed = Random::from_seed(SERVED_SEED).key_seed();
    SigningKey::from_seed(KeyName::parse(ORIGIN).unwrap(), &seed)
}

/// How a witness behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the rules.
    Honest,
    /// It never answers.
    Silent,
    /// It fails.
    Failing,
    /// It cosigns with a key that nobody trusts, under its own name and id.
    Forging,
    /// It names another size whatever it is sent.
    Looping,
    /// It says that it has cosigned a million entries, and remembers nothing.
    Boasting,
    /// It names the size that it has cosigned last, compares nothing and shows nothing.
    Numbering,
    /// By the rules, but it shows nobody what it remembers.
    Hiding,
    /// By the rules, but to another tree of the size that it has cosigned it names that size.
    Naming,
}

/// What a witness of the tests is made of.
struct Inner {
    keys: Vec<CosigningKey>,
    mode: Mutex<Mode>,
    latest: Mutex<Option<(TreeHead, Bytes)>>,
    requests: AtomicUsize,
    seconds: AtomicU64,
    asked: Notify,
    looked: Notify,
}

/// A witness on a port of its own.
pub struct Witness {
    inner: Arc<Inner>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Witness {
    /// Starts a witness with as many keys as names.
    pub async fn start(names: &[&str], mode: Mode) -> Self {
        let key = |name: &&str| {
            let seed = attestree::core::hash::TreeHash::digest(name.as_bytes());
            CosigningKey::from_seed(KeyName::parse(name).unwrap(), seed.as_bytes())
        };
        let inner = Arc::new(Inner {
            keys: names.iter().map(key).collect(),
            mode: Mutex::new(mode),
            latest: Mutex::new(None),
            requests: AtomicUsize::new(0),
            seconds: AtomicU64::new(1_800_000_000),
            asked: Notify::new(),
            looked: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{hash}/checkpoint", get(latest))
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { inner, address, task }
    }

    /// Changes how it behaves.
    pub fn behave(&self, mode: Mode) {
        *self.inner.mode.lock().unwrap() = mode;
    }

    /// Returns how often it was sent a checkpoint.
    pub fn requests(&self) -> usize {
        self.inner.requests.load(Ordering::SeqCst)
    }

    /// Waits until it is sent another checkpoint.
    pub async fn asked(&self) {
        within("the witness is asked", self.inner.asked.notified()).await;
    }

    /// Waits until its monitoring endpoint is read once more.
    pub async fn looked(&self) {
        within("the witness is looked at", self.inner.looked.notified()).await;
    }

    /// Returns the head that it remembers.
    pub fn remembers(&self) -> Option<TreeHead> {
        self.inner.latest.lock().unwrap().as_ref().map(|(head, _)| *head)
    }

    /// Makes it remember a checkpoint that it was never sent.
    pub fn remember(&self, checkpoint: &SignedCheckpoint) {
        let note = checkpoint.note().clone();
        *self.inner.latest.lock().unwrap() = Some((checkpoint.head(), note));
    }

    /// Cosigns a note with its first key, as a witness that polls does.
    pub fn cosign(&self, note: &[u8]) -> Vec<u8> {
        let note = SignedNote::parse(note).unwrap();
        let line = self.inner.keys[0].sign(note.text(), self.inner.time());
        format!("{line}\n").into_bytes()
    }

    /// Returns its lines of a trust file; without an address it comes by itself.
    pub fn lines(&self, with_address: bool) -> String {
        let url = if with_address { format!(" http://{}", self.address) } else { String::new() };
        let line = |key: &CosigningKey| {
            let vkey = key.verifier_key();
            format!("witness {} {vkey}{url}\n", vkey.name().as_str())
        };
        self.inner.keys.iter().map(line).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    fn time(&self) -> CosignatureTime {
        CosignatureTime::new(self.seconds.fetch_add(1, Ordering::SeqCst)).unwrap()
    }

    fn cosignatures(&self, text: &str, forge: bool) -> String {
        let line = |key: &CosigningKey| {
            if !forge {
                return format!("{}\n", key.sign(text, self.time()));
            }
            // A line under the right name and id, with a signature over another text.
            format!("{}\n", key.sign("log.example/other\n0\n\n", self.time()))
        };
        self.keys.iter().map(line).collect()
    }
}

async fn add_checkpoint(State(inner): State<Arc<Inner>>, body: Bytes) -> Response {
    inner.requests.fetch_add(1, Ordering::SeqCst);
    inner.asked.notify_one();
    let request = AddCheckpoint::parse(&body).unwrap();
    let (note, text) = request.checkpoint().unwrap();
    let mode = *inner.mode.lock().unwrap();
    let conflict = |size: u64| (StatusCode::CONFLICT, format!("{size}\n")).into_response();
    match mode {
        Mode::Honest | Mode::Hiding | Mode::Naming => {}
        Mode::Silent => std::future::pending().await,
        Mode::Failing => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mode::Forging => return inner.cosignatures(note.text(), true).into_response(),
        // Always another size than the one that was proved from, and one that the log has signed: a larger
        // number would pause it. An empty tree has no such size.
        Mode::Looping if text.head.size.get() == 0 => {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Mode::Looping => return conflict(u64::from(request.old_size.get() == 0)),
        Mode::Boasting => return conflict(1_000_000),
        Mode::Numbering => {
            let latest = inner.latest.lock().unwrap();
            return conflict(latest.as_ref().map_or(0, |(head, _)| head.size.get()));
        }
    }
    let origin = Origin::parse(ORIGIN).unwrap();
    let log = WitnessedLog { origin, keys: vec![log_key().verifier_key().clone()] };
    let mut latest = inner.latest.lock().unwrap();
    match judge(&log, latest.as_ref().map(|(head, _)| head), &request) {
        Ok(accepted) => {
            let lines = inner.cosignatures(note.text(), false);
            let note = format!("{}{lines}", String::from_utf8_lossy(accepted.checkpoint().note()));
            *latest = Some((text.head, note.into()));
            lines.into_response()
        }
        Err(Refusal::Conflict { latest }) => conflict(latest.get()),
        Err(Refusal::Fork { latest, .. }) if mode == Mode::Naming => conflict(latest.size.get()),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap();
            (status, refusal.to_string()).into_response()
        }
    }
}

async fn latest(State(inner): State<Arc<Inner>>, Path(hash): Path<String>) -> Response {
    inner.looked.notify_one();
    let mode = *inner.mode.lock().unwrap();
    let known = hash == origin_hash_hex(&Origin::parse(ORIGIN).unwrap());
    let latest = inner.latest.lock().unwrap().clone();
    match latest.filter(|_| known && matches!(mode, Mode::Honest | Mode::Naming)) {
        Some((_, note)) => note.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A server whose log has witnesses.
pub struct Site {
    pub served: Served,
    /// Holds the trust file.
    _dir: tempfile::TempDir,
    /// What auditors believe: the log's key, the same witnesses and quorum.
    pub trust: TrustPolicy,
}

impl Site {
    /// Starts a server; `witnesses` are the lines of the trust file that name witnesses and quorum.
    pub fn start(witnesses: &str, raw: RawConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("trust.policy");
        std::fs::write(&path, witnesses).unwrap();
        let raw = RawConfig {
            trust: Some(path),
            checkpoint_interval_ms: raw.checkpoint_interval_ms.or(Some(1)),
            ..raw
        };
        let served = Served::with(&[(ORIGIN, LogIdentity::None)], raw);
        assert_eq!(&served.vkeys[0], log_key().verifier_key());
        let text = format!("log {}\n{witnesses}", served.vkeys[0]);
        Self { served, _dir: dir, trust: TrustPolicy::parse(&text).unwrap() }
    }

    /// Returns the log as the server holds it.
    pub fn log(&self) -> Arc<Log> {
        self.served.running().pipeline().logs().remove(0)
    }

    /// Appends an entry, again and again until the log takes entries.
    pub async fn append(&self, entry: &str, wait: Wait, wait_ms: u32) -> AppendResponse {
        within("the log takes an entry", self.retry(entry, wait, wait_ms)).await
    }

    async fn retry(&self, entry: &str, wait: Wait, wait_ms: u32) -> AppendResponse {
        let mut client = self.served.client().await;
        loop {
            let request = AppendRequest {
                entry: entry.to_owned().into(),
                answer: Answer::Receipt.into(),
                wait: wait.into(),
                wait_ms,
                ..Default::default()
            };
            match client.append(request).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert_eq!(reason(&status), "WAITING", "{status:?}"),
            }
        }
    }

    /// Waits until a quorum covers a tree of this size.
    pub async fn cosigned(&self, size: u64) {
        let log = self.log();
        let mut candidates = log.witnessed().unwrap().watch();
        let covers = |head: &Arc<attestree::pipeline::Published>| head.head().size.get() >= size;
        let wait = candidates.wait_for(|all| all.cosigned().is_some_and(covers));
        within("a quorum covers the tree", wait).await.unwrap();
    }

    /// Reads something under HTTP.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        crate::http_tiles::client().get(self.served.url(path)).send().await.unwrap()
    }
}

/// Returns the reason of a refusal.
pub fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_error_details().error_info().unwrap().reason.clone()
}
