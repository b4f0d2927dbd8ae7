//! An audit log in a temporary directory: keys in memory, policies that a test states, and a check that
//! reads everything back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use attestree::{
    core::{
        bundle,
        chain::Chain,
        number::{LeafIndex, LogNumber, TreeSize, UnixMillis},
        origin::Origin,
        policy::{Bundle, NoCustom, Policy, Statements, Watch},
        record::{ApprovalRule, Path, PolicyDigest, Record, Secret, json},
    },
    pipeline::{
        Answers, Applying, AuditParts, Clock, Content, Entropy, Governed, Governor, Ledger, Limits,
        Log, Meter, NewEntry, OpenError, Parts, Pipeline, Receipted, Submission, Vault, VaultError,
        create_log,
    },
    store::{
        Durable, LogIdentity, LogKind, LogRow, LogRows, LogState, Store, StoreConfig, StoreError,
        TileReader, Watermark,
    },
};
use bytes::Bytes;

use crate::world::{block_on, check_log, key};

use crate::held;

/// The log of a site.
pub const ORIGIN: &str = "audit.example/log";

/// Two clocks that a test moves.
#[derive(Debug)]
pub struct Hands {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Hands {
    /// Lets time pass.
    pub fn pass(&self, millis: u64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
        self.monotonic.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock back.
    pub fn back(&self, millis: u64) {
        self.wall.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
    }
}

/// Keys, policies and randomness of a site.
#[derive(Default)]
pub struct Safe {
    keys: Mutex<BTreeMap<String, [u8; 32]>>,
    policies: Mutex<BTreeMap<[u8; 32], Stated>>,
    drawn: AtomicU64,
    /// Whether the vault gives nothing.
    pub shut: AtomicBool,
    /// Whether it gives nothing because a write of it failed.
    pub poisoned: AtomicBool,
    /// Whether keys are only had by the batch.
    pub slow: AtomicBool,
    /// How often keys were asked for by the batch.
    pub asked: AtomicU64,
}

/// A policy as a test states it.
#[derive(Clone)]
pub struct Stated {
    pub statements: Statements,
    pub rule: ApprovalRule,
    pub watch: Watch,
}

impl Safe {
    fn key(&self, name: &str) -> Result<Secret, VaultError> {
        if self.shut.load(Ordering::SeqCst) {
            let poisoned = self.poisoned.load(Ordering::SeqCst);
            return Err(VaultError { reason: "the test has shut it".to_owned(), poisoned });
        }
        let mut keys = self.keys.lock().unwrap();
        let number = keys.len() as u8;
        Ok(Secret::new(*keys.entry(name.to_owned()).or_insert([number; 32])))
    }

    /// The subjects that have keys.
    pub fn names(&self) -> Vec<String> {
        self.keys.lock().unwrap().keys().cloned().collect()
    }
}

impl Vault for Safe {
    fn subject_keys(
        &self,
        _log: LogNumber,
        _origin: &Origin,
        subjects: &[&str],
    ) -> Result<Vec<Secret>, VaultError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        subjects.iter().map(|subject| self.key(subject)).collect()
    }

    fn known_subject_key(&self, _: LogNumber, _: &Origin, subject: &str) -> Option<Secret> {
        let known = self.keys.lock().unwrap().contains_key(subject);
        if known && !self.slow.load(Ordering::SeqCst) { self.key(subject).ok() } else { None }
    }

    fn token_key(&self, _log: LogNumber, path: &Path, epoch: u32) -> Result<Secret, VaultError> {
        self.key(&format!("token {epoch} {path}"))
    }

    fn identity_secret(&self, _log: LogNumber) -> Result<Secret, VaultError> {
        self.key("identity")
    }
}

impl Governor for Safe {
    fn compile(&self, bundle: &Bundle) -> Result<Governed, Vec<String>> {
        let digest = bundle.digest();
        let policies = self.policies.lock().unwrap();
        let Some(stated) = policies.get(digest.as_bytes()) else {
            return Err(vec!["policy.yaml:1: nobody has stated this policy".to_owned()]);
        };
        let policy =
            Policy::compile(digest, &stated.statements).map_err(|e| vec![e.to_string()])?;
        Ok(Governed {
            policy: Arc::new(policy),
            custom: Arc::new(NoCustom),
            rule: stated.rule.clone(),
            watch: stated.watch.clone(),
        })
    }
}

impl Entropy for Safe {
    /// Counts: no two draws are alike.
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number =
                self.drawn.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// A data directory with one audit log.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub clock: Arc<Hands>,
    pub safe: Arc<Safe>,
}

impl Site {
    /// Makes the directory and the log, whose first policy this rule approves.
    pub fn new(rule: &ApprovalRule) -> Self {
        let dir = tempfile::tempdir().unwrap();
        held::open(|| Store::init(&dir.path().join("db"), &StoreConfig::default())).unwrap();
        Watermark::create(&dir.path().join("watermark")).unwrap();
        let clock = Hands { wall: AtomicU64::new(1_780_000_000_000), monotonic: AtomicU64::new(0) };
        let site = Self { dir, clock: Arc::new(clock), safe: Arc::default() };
        create_log(&site.store(), &site.row(), rule).unwrap();
        site
    }

    /// Opens the store alone.
    pub fn store(&self) -> Store {
        held::open(|| Store::open(&self.dir.path().join("db"), &StoreConfig::default())).unwrap()
    }

    fn row(&self) -> LogRow {
        let origin = Origin::parse(ORIGIN).unwrap();
        LogRow {
            number: LogNumber(0),
            kind: LogKind::Audit,
            state: LogState::Open,
            identity: LogIdentity::None,
            vkeys: vec![key(&origin, LogNumber(0)).verifier_key().clone()],
            created: self.clock.now(),
            origin,
        }
    }

    /// Opens the write path.
    pub fn open(&self) -> Pipeline {
        self.try_open(|store| Box::new(store.clone())).unwrap()
    }

    /// Opens the write path over a ledger of the test's own.
    pub fn try_open(
        &self,
        ledger: impl FnOnce(&Store) -> Box<dyn Ledger>,
    ) -> Result<Pipeline, OpenError> {
        let store = self.store();
        let logs = store.logs().unwrap();
        Pipeline::open(Parts {
            ledger: ledger(&store),
            watermark: held::open(|| Watermark::open(&self.dir.path().join("watermark")))?,
            reader: TileReader::new(store.clone(), 1 << 20),
            keys: logs.iter().map(|row| (row.number, key(&row.origin, row.number))).collect(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            limits: Limits { free_bytes_min: 0, ..Limits::default() },
            meter: Meter::default(),
            answerer: Box::new(Answers::send),
            witnesses: None,
            audit: Some(AuditParts {
                governor: Arc::clone(&self.safe) as Arc<dyn Governor>,
                vault: Arc::clone(&self.safe) as Arc<dyn Vault>,
                entropy: Arc::clone(&self.safe) as Arc<dyn Entropy>,
            }),
            store,
        })
    }

    /// States a policy under a name, and returns its bundle.
    pub fn state(&self, name: &str, stated: Stated) -> Bundle {
        let bundle = Bundle::new([("policy.yaml".to_owned(), name.as_bytes().to_vec())]).unwrap();
        let mut policies = self.safe.policies.lock().unwrap();
        policies.insert(*bundle.digest().as_bytes(), stated);
        bundle
    }
}

/// Nobody approves, and nothing is watched.
pub fn states(statements: Statements) -> Stated {
    Stated { statements, rule: ApprovalRule::NOBODY, watch: Watch::default() }
}

/// Applies a policy that nobody has to approve; returns the index of its record.
pub fn apply(pipeline: &Pipeline, log: &Arc<Log>, bundle: &Bundle) -> u64 {
    let answer =
        block_on(pipeline.apply_policy(log, bundle, Applying::default()).unwrap()).unwrap();
    let attestree::pipeline::Outcome::Sequenced { index } = answer.outcomes[0] else {
        panic!("a policy is a record")
    };
    assert_eq!(pipeline.active_policy(log), Some((bundle.digest(), index)));
    index.get()
}

/// Makes a submission of events without keys.
pub fn events(texts: &[&str]) -> Submission {
    let entry = |text: &&str| NewEntry::new(Bytes::from((*text).to_owned()), None);
    Submission {
        atomic: true,
        ..Submission::new(texts.iter().map(entry).collect(), Bytes::new(), Content::Event)
    }
}

/// Makes a submission of events of a principal.
pub fn events_of(principal: u8, texts: &[&str]) -> Submission {
    Submission { principal: vec![principal; 32].into(), ..events(texts) }
}

/// The name that records have for a principal.
pub fn source(principal: u8) -> String {
    format!(
        "sha256:{}",
        [principal; 32].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    )
}

/// Submits, and waits for the answer.
pub fn submit(pipeline: &Pipeline, log: &Arc<Log>, submission: Submission) -> Receipted {
    block_on(pipeline.submit(log, submission).unwrap()).unwrap()
}

/// One record as a test looks at it.
#[derive(Clone, Debug)]
pub struct Line {
    pub kind: String,
    pub policy: Option<PolicyDigest>,
    pub text: String,
}

impl Line {
    /// Returns the text at a place.
    pub fn at(&self, path: &str) -> Option<String> {
        let value = json::parse(self.text.as_bytes(), &attestree::core::record::RECORD_LIMITS);
        let value = value.unwrap();
        let found = Path::parse(path).unwrap();
        let found = found.find(value.as_object().unwrap())?;
        Some(found.as_str().map_or_else(|| found.format(), str::to_owned))
    }
}

/// Reads a whole audit log back and checks all of it: as any log, and record by record.
pub fn check(pipeline: &Pipeline, log: &Arc<Log>) -> Vec<Line> {
    let size = log.published().head().size.get();
    check_log(pipeline, log, size);
    let to = TreeSize::new(size).unwrap();
    let mut chain = Chain::new(log.row().origin.clone());
    let mut ids = BTreeSet::new();
    let mut lines = Vec::new();
    for segment in pipeline.store().segments(log.number(), LeafIndex::default(), to).unwrap() {
        for entry in bundle::decode(&segment.unwrap().1) {
            let bundle::StoredEntry::Bytes(bytes) = entry.unwrap() else {
                panic!("nothing is erased")
            };
            let faults = chain.take(LeafIndex::new(chain.next()).unwrap(), bytes);
            assert_eq!(faults, [], "{}: {}", lines.len(), String::from_utf8_lossy(bytes));
            let record = Record::parse(bytes).unwrap();
            assert!(ids.insert(record.id()), "an id is one record's");
            lines.push(line(&record, bytes));
        }
    }
    assert_eq!(chain.end(), None);
    assert_eq!(pipeline.active_policy(log).map(|(digest, _)| digest), chain.point().policy);
    lines
}

fn line(record: &Record<'_>, bytes: &[u8]) -> Line {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let line = Line { kind: String::new(), policy: record.policy(), text };
    Line { kind: line.at("/t").unwrap(), ..line }
}

/// A ledger whose commits wait while it is shut.
#[derive(Clone)]
pub struct Gate {
    store: Option<Store>,
    open: Arc<(Mutex<(bool, u64)>, Condvar)>,
}

impl Gate {
    /// Opens a site over a gate that is open.
    pub fn open(site: &Site) -> (Pipeline, Self) {
        let mut gate = Self { store: None, open: Arc::default() };
        gate.set(true);
        let pipeline = site.try_open(|store| {
            gate.store = Some(store.clone());
            Box::new(gate.clone())
        });
        gate.store = None;
        (pipeline.unwrap(), gate)
    }

    fn set(&self, open: bool) {
        let mut state = self.open.0.lock().unwrap();
        *state = (open, 0);
        self.open.1.notify_all();
    }

    /// Lets the next commits wait.
    pub fn shut(&self) {
        self.set(false);
    }

    /// Waits until a commit waits.
    pub fn reached(&self) {
        let mut state = self.open.0.lock().unwrap();
        while state.1 == 0 {
            state = self.open.1.wait(state).unwrap();
        }
    }

    /// Lets the commits pass.
    pub fn release(&self) {
        self.set(true);
    }
}

impl Ledger for Gate {
    fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError> {
        let mut state = self.open.0.lock().unwrap();
        state.1 += 1;
        self.open.1.notify_all();
        while !state.0 {
            state = self.open.1.wait(state).unwrap();
        }
        drop(state);
        self.store.as_ref().unwrap().commit(rows)
    }

    fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError> {
        self.store.as_ref().unwrap().halt(log, reason)
    }
}
