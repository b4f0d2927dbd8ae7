//! The store on this machine's disk: synced commits, identities, proofs from stored tiles.
//!
//! Entries have 256 random bytes. Commits are measured against the same segments in a database that
//! holds nothing else (`bare`). Identities and proofs read a store of the size in their name, made
//! once a run and only if it is asked for; entries have 8 bytes there, because only their hashes are
//! read. What uniform proofs read is in the page cache: `inclusion-first` is the same from the disk.
//! Each benchmark asserts what it read. Throughput is in entries, keys or proofs.

use std::{
    cell::{OnceCell, RefCell},
    hint::black_box,
    time::Instant,
};

use attestree::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, LogNumber, TreeSize, UnixMillis},
        origin::Origin,
        tree::{Edge, prove_consistency, prove_inclusion, verify_inclusion},
    },
    store::{
        Bare, IdentityKey, IdentityRow, LogIdentity, LogKind, LogRow, LogRows, LogState, Store,
        StoreConfig, TileReader,
    },
};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

/// Length of an entry: that of a short audit event.
const ENTRY_BYTES: usize = 256;

/// Entries of a commit: one caller alone, some, and a full batch.
const BATCHES: [usize; 3] = [1, 256, 4_096];

/// Keys that are looked up at once: what a full batch asks.
const KEYS: usize = 4_096;

/// Returns whether the benchmarks measure. Criterion runs each once, as a test, unless cargo passes
/// this argument.
fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Returns a size, or a small one when the benchmarks run as tests.
fn scaled(size: u64) -> u64 {
    // 1,000, 2,000 and 3,000 for the three sizes: benchmarks need names of their own.
    if measures() { size } else { u64::from(size.ilog10()).saturating_sub(4) * 1_000 }
}

/// Takes a number as a leaf index.
fn index(number: u64) -> LeafIndex {
    LeafIndex::new(number).expect("sizes are small")
}

/// A store with one log that grows.
struct Growing {
    dir: TempDir,
    store: Store,
    edge: Edge,
}

impl Growing {
    /// Makes a store with one log.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let config = StoreConfig::default();
        let store = Store::init(&dir.path().join("db"), &config).expect("make a store");
        let row = LogRow {
            number: LogNumber(0),
            origin: Origin::parse("bench.example/log").expect("an origin"),
            kind: LogKind::Opaque,
            state: LogState::Open,
            identity: LogIdentity::None,
            vkeys: Vec::new(),
            created: UnixMillis(0),
        };
        store.create_log(&row).expect("make a log");
        Self { dir, store, edge: Edge::empty() }
    }

    /// Encodes the next batch.
    fn next<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a [u8]> + Clone,
        identities: Vec<(IdentityKey, IdentityRow)>,
    ) -> LogRows {
        let leaves: Vec<_> = entries.clone().map(TreeHash::leaf).collect();
        let previous = self.edge.head();
        let integration = self.edge.append(&leaves);
        let at = UnixMillis(previous.size.get());
        let rows = LogRows::encode(LogNumber(0), at, previous, entries, &integration, identities);
        self.edge = integration.edge;
        rows
    }

    /// Grows the log to `size` entries that hold their indices; each has an identity if asked for.
    fn grow(&mut self, size: u64, with_identities: bool) {
        while self.edge.size().get() < size {
            let from = self.edge.size().get();
            let entries: Vec<_> = (from..size.min(from + 4_096)).map(u64::to_be_bytes).collect();
            let identities = (from..).zip(&entries).filter(|_| with_identities);
            let identities = identities.map(|(at, bytes)| (key(bytes), row(at, bytes))).collect();
            let rows = self.next(entries.iter().map(<[u8; 8]>::as_slice), identities);
            self.store.commit(&[&rows]).expect("commit");
        }
    }
}

/// Returns the identity of an entry.
fn key(entry: &[u8]) -> IdentityKey {
    IdentityKey::entry_hash(LogNumber(0), &TreeHash::leaf(entry))
}

/// Returns the row of an entry's identity.
fn row(at: u64, entry: &[u8]) -> IdentityRow {
    IdentityRow { index: index(at), tag: TreeHash::leaf(entry) }
}

/// Measures commits of a log, and bare writes of the same segments.
fn commits(c: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut entries = vec![vec![0; ENTRY_BYTES]; 4_096];
    entries.iter_mut().for_each(|entry| random.fill_bytes(entry));
    let shared: Vec<Bytes> = entries.iter().cloned().map(Bytes::from).collect();

    let mut group = c.benchmark_group("store");
    group.sample_size(20);
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.try_into().expect("small")));
        let part = shared.get(..batch).expect("a batch of the entries");
        let dir = tempfile::tempdir().expect("make a directory");
        let mut bare = Bare::create(&dir.path().join("db")).expect("make a database");
        group.bench_function(format!("bare/{batch}"), |b| {
            b.iter(|| bare.write(part).expect("write"));
        });

        let growing = RefCell::new(Growing::new());
        let part = entries.get(..batch).expect("a batch of the entries");
        let store = growing.borrow().store.clone();
        group.bench_function(format!("commit/{batch}"), |b| {
            // Hashing and encoding are other stages; only the write is measured.
            b.iter_batched(
                || growing.borrow_mut().next(part.iter().map(Vec::as_slice), Vec::new()),
                |rows| store.commit(&[&rows]).expect("commit"),
                BatchSize::PerIteration,
            );
        });
        let head = store.recover(LogNumber(0), None).expect("recover").durable.row().head;
        assert_eq!(head, growing.borrow().edge.head());
    }
    group.finish();
}

/// Measures looking up identities of which none is known, and of which all are.
fn identities(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(KEYS.try_into().expect("small")));
    let growing = RefCell::new(Growing::new());
    for size in [100_000, 1_000_000, 10_000_000].map(scaled) {
        for (name, present) in [("absent", false), ("present", true)] {
            let mut random = ChaCha8Rng::seed_from_u64(2);
            let mut next = || {
                let number = random.next_u64();
                let number = if present { number % size } else { number | 1 << 63 };
                key(&number.to_be_bytes())
            };
            group.bench_function(format!("identity-{name}/{size}"), |b| {
                growing.borrow_mut().grow(size, true);
                let store = growing.borrow().store.clone();
                b.iter_batched(
                    || (0..KEYS).map(|_| next()).collect(),
                    |keys: Vec<_>| {
                        let found = store.identities(&keys).expect("look up");
                        assert!(found.iter().all(|row| row.is_some() == present));
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Reads every full tile of the lowest level once, each for one proof and in no order.
///
/// Tiles are flushed past the page cache, so this is what the disk gives. After it they are in the
/// page cache, and what is measured next does not depend on how long the measurement takes.
#[expect(clippy::disallowed_methods, reason = "this is a measurement")]
fn read_first(growing: &Growing, size: u64) {
    let reader = TileReader::new(growing.store.clone(), TileReader::CACHE_BYTES_DEFAULT);
    let nodes = reader.nodes(LogNumber(0), &growing.edge);
    let head = growing.edge.head();
    let started = Instant::now();
    let tiles = size / 256;
    for number in 0..tiles {
        // A prime that divides no number of tiles here: each tile comes once.
        let at = index(number * 7_919 % tiles * 256 + number % 256);
        let proof = prove_inclusion(&nodes, at, head.size).expect("prove");
        verify_inclusion(&TreeHash::leaf(&at.get().to_be_bytes()), at, &head, &proof)
            .expect("verify");
    }
    if measures() {
        let rate = tiles as f64 / started.elapsed().as_secs_f64();
        println!(
            "store/inclusion-first/{size}: {rate:.0} proofs/s, each from a tile not read before"
        );
    }
}

/// Measures proofs from stored tiles: over all leaves, and over the newest ones.
fn proofs(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let growing = RefCell::new(Growing::new());
    for size in [100_000, 1_000_000, 10_000_000].map(scaled) {
        let ready = OnceCell::new();
        let ready = || {
            ready.get_or_init(|| {
                let mut growing = growing.borrow_mut();
                growing.grow(size, false);
                growing.store.flush().expect("flush");
                read_first(&growing, size);
                let reader =
                    TileReader::new(growing.store.clone(), TileReader::CACHE_BYTES_DEFAULT);
                (growing.edge.clone(), reader)
            })
        };
        for (name, span) in [("uniform", size), ("newest-100000", size.min(100_000))] {
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let mut next = || index(size - 1 - random.next_u64() % span);
            group.bench_function(format!("inclusion-{name}/{size}"), |b| {
                let (edge, reader) = ready();
                let (nodes, size) = (reader.nodes(LogNumber(0), edge), edge.size());
                b.iter(|| black_box(prove_inclusion(&nodes, next(), size).expect("prove")));
            });
            group.bench_function(format!("consistency-{name}/{size}"), |b| {
                let (edge, reader) = ready();
                let (nodes, size) = (reader.nodes(LogNumber(0), edge), edge.size());
                b.iter(|| {
                    let old = TreeSize::new(next().get() + 1).expect("sizes are small");
                    black_box(prove_consistency(&nodes, old, size).expect("prove"))
                });
            });
        }
    }
    group.finish();
}

/// Measures opening a store and taking its log up again, after a clean end.
fn reopening(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    group.sample_size(10);
    let growing = RefCell::new(Growing::new());
    for size in [100_000, 1_000_000, 10_000_000].map(scaled) {
        group.bench_function(format!("open-and-recover/{size}"), |b| {
            let mut growing = growing.borrow_mut();
            let copy = growing.dir.path().join(format!("copy-{size}"));
            if !copy.exists() {
                growing.grow(size, false);
                growing.store.flush().expect("flush");
                growing.store.backup(&copy).expect("copy");
            }
            b.iter(|| {
                let store = Store::open(&copy, &StoreConfig::default()).expect("open");
                let recovered = store.recover(LogNumber(0), None).expect("recover");
                assert_eq!(recovered.edge.head(), growing.edge.head());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commits, identities, proofs, reopening);
criterion_main!(benches);
