//! A write path in this process: a store in a temporary directory, a clock that a test moves, and a
//! check that reads everything back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use attestree::{
    core::{
        bundle,
        hash::TreeHash,
        note::{KeyName, SigningKey},
        number::{LeafIndex, LogNumber, TreeSize, UnixMillis},
        origin::Origin,
        tree::{self, Edge},
    },
    pipeline::{
        Answers, Clock, Content, Ledger, Limits, Log, Meter, NewEntry, OpenError, Parts, Pipeline,
        Submission, next_log,
    },
    store::{LogIdentity, LogKind, LogRow, LogState, Store, StoreConfig, TileReader, Watermark},
};
use bytes::Bytes;

use crate::held;

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct StillClock(AtomicU64);

impl StillClock {
    /// Starts at some moment of 2026.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_780_000_000_000)))
    }

    /// Moves the clock back.
    pub fn back(&self, millis: u64) {
        self.0.fetch_sub(millis, Ordering::Relaxed);
    }
}

impl Clock for StillClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A data directory and what is needed to open it over and over.
pub struct World {
    pub dir: tempfile::TempDir,
    pub clock: Arc<StillClock>,
    pub limits: Limits,
}

/// Returns the key of a test log: a pure function of its number.
pub fn key(origin: &Origin, number: LogNumber) -> SigningKey {
    let mut seed = [7; 32];
    seed[0] = u8::try_from(number.0).unwrap();
    SigningKey::from_seed(KeyName::parse(origin.as_str()).unwrap(), &seed)
}

impl World {
    /// Makes a directory without logs.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        held::open(|| Store::init(&dir.path().join("db"), &StoreConfig::default())).unwrap();
        Watermark::create(&dir.path().join("watermark")).unwrap();
        Self {
            dir,
            clock: StillClock::new(),
            limits: Limits { free_bytes_min: 0, ..Limits::default() },
        }
    }

    /// Makes a directory with logs `log.example/0`, `log.example/1`, ...
    pub fn with_logs(count: u32, identity: LogIdentity) -> Self {
        let world = Self::new();
        let store = world.store();
        for number in 0..count {
            let (row, _) = world.row(&store, &format!("log.example/{number}"), identity);
            store.create_log(&row).unwrap();
        }
        world
    }

    /// Opens the store alone.
    pub fn store(&self) -> Store {
        held::open(|| Store::open(&self.dir.path().join("db"), &StoreConfig::default())).unwrap()
    }

    /// Returns the row and the key that a new log would have.
    pub fn row(&self, store: &Store, origin: &str, identity: LogIdentity) -> (LogRow, SigningKey) {
        let origin = Origin::parse(origin).unwrap();
        let number = next_log(store, &origin).unwrap();
        let key = key(&origin, number);
        let row = LogRow {
            number,
            kind: LogKind::Opaque,
            state: LogState::Open,
            identity,
            vkeys: vec![key.verifier_key().clone()],
            created: self.clock.now(),
            origin,
        };
        (row, key)
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
            limits: self.limits,
            meter: Meter::default(),
            answerer: Box::new(Answers::send),
            witnesses: None,
            audit: None,
            store,
        })
    }
}

/// Makes a submission of entries without keys.
pub fn entries(bytes: &[&str]) -> Submission {
    let entries = bytes.iter().map(|bytes| NewEntry::new(Bytes::from((*bytes).to_owned()), None));
    Submission { atomic: true, ..Submission::new(entries.collect(), Bytes::new(), Content::Raw) }
}

/// Makes a submission of entries with an idempotency key each.
pub fn keyed(pairs: &[(&str, &str)]) -> Submission {
    let entries = pairs.iter().map(|(key, bytes)| {
        let key = Bytes::from((*key).to_owned());
        NewEntry::new(Bytes::from((*bytes).to_owned()), Some(key))
    });
    Submission { atomic: true, ..Submission::new(entries.collect(), Bytes::new(), Content::Raw) }
}

/// Reads a whole log back through the public API and verifies all of it: entries, tiles, root,
/// every inclusion proof of a small log (the edges of a large one) and consistency with all prefixes.
pub fn check_log(pipeline: &Pipeline, log: &Arc<Log>, size: u64) {
    let published = log.published();
    let head = published.head();
    assert_eq!(head.size.get(), size, "the log has as many entries as were acknowledged");
    let to = TreeSize::new(size).unwrap();
    let mut hashes = Vec::new();
    for segment in pipeline.store().segments(log.number(), LeafIndex::default(), to).unwrap() {
        let (first, bytes) = segment.unwrap();
        assert_eq!(first.get(), hashes.len() as u64, "segments leave no gap");
        hashes.extend(bundle::decode(&bytes).map(|entry| entry.unwrap().leaf_hash()));
    }
    assert_eq!(hashes.len() as u64, size);

    let rebuilt = Edge::empty().append(&hashes);
    assert_eq!(rebuilt.edge.head(), head, "the entries have the published root");
    for (id, tile) in &rebuilt.tiles {
        assert_eq!(pipeline.store().tile(log.number(), *id).unwrap().as_ref(), Some(tile));
    }
    let reader = pipeline.reader().nodes(log.number(), &published.edge);
    let probe = |at: &u64| size <= 600 || *at < 3 || at % 255 < 3 || size - at < 3;
    for index in (0..size).filter(probe) {
        let leaf = LeafIndex::new(index).unwrap();
        let proof = tree::prove_inclusion(&reader, leaf, head.size).unwrap();
        tree::verify_inclusion(&hashes[usize::try_from(index).unwrap()], leaf, &head, &proof)
            .unwrap();
    }
    for old in (1..=size).filter(probe) {
        let prefix = usize::try_from(old).unwrap();
        let old = Edge::empty().append(&hashes[..prefix]).edge.head();
        let proof =
            tree::prove_consistency(&reader, old.size, TreeSize::new(size).unwrap()).unwrap();
        tree::verify_consistency(&old, &head, &proof).unwrap();
    }
}

/// Returns the leaf hash of a text.
pub fn leaf(text: &str) -> TreeHash {
    TreeHash::leaf(text.as_bytes())
}

/// Waits for a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
