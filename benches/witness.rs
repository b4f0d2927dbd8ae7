//! A witness without a network: bodies of `add-checkpoint` in, durable cosignatures out.
//!
//! `witness/add-checkpoint/N` sends new heads of N logs, 1,024 at a time (of one log one at a time: each
//! begins where the one before ended). Everything is in it but HTTP: parsing, the log's signature, a
//! consistency proof of some 16 hashes, the journal with its syncs, the cosignature. `witness/raw` is what
//! such a request can't do without: two verifications, one signature; one synced write of as many bytes.

use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use attestree::{
    core::{
        hash::TreeHash,
        note::{CosignatureTime, CosigningKey, KeyName, NoteSignature, SignedNote, SigningKey},
        number::{LeafIndex, TreeSize},
        origin::Origin,
        tree::{NodeId, NodeReader, TreeHead, prove_consistency, root_at},
        witness::{AddCheckpoint, WitnessedLog},
    },
    server::{clock::SystemClock, random::Random, witness},
    witness::{Config, Parts, Rate, Witness, book::LogConfig, journal::Journal},
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::{runtime::Runtime, task::JoinSet};

/// Size of the first head; the proofs from there have about 16 hashes.
const SIZE_MIN: u64 = 70_001;

/// Heads that are in flight at a time.
const WIDTH: usize = 1_024;

/// A tree of 2^18 leaves, every node of it.
struct Tree(Vec<Vec<TreeHash>>);

impl Tree {
    fn new() -> Self {
        let leaves = (0_u32..1 << 18).map(|index| TreeHash::leaf(&index.to_be_bytes()));
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            let level = pairs.iter().map(|[left, right]| TreeHash::node(left, right)).collect();
            levels.push(level);
        }
        Self(levels)
    }

    fn head(&self, size: TreeSize) -> TreeHead {
        let root = match root_at(self, size) {
            Ok(root) => root,
            Err(error) => panic!("{error:?}"),
        };
        TreeHead { size, root }
    }
}

impl NodeReader for Tree {
    type Error = core::convert::Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Self::Error> {
        let at = |node: &NodeId| {
            let index = usize::try_from(node.index()).expect("small");
            *self
                .0
                .get(usize::from(node.level()))
                .and_then(|level| level.get(index))
                .expect("in it")
        };
        Ok(nodes.iter().map(at).collect())
    }

    fn tail(&self, _: LeafIndex, _: TreeSize) -> Option<TreeHash> {
        None
    }
}

/// A witness of some logs, all of which have the same tree under keys of their own.
struct Bench {
    tree: Tree,
    keys: Vec<SigningKey>,
    steps: Vec<u64>,
    witness: Arc<Witness>,
    runtime: Runtime,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(logs: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("w");
        let name = KeyName::parse("witness.example/bench").expect("a name");
        let init = witness::Init { data: data.clone(), watermark: None, name: name.clone() };
        witness::init(init, &mut Random::from_seed([1; 32])).expect("a witness");
        let key = CosigningKey::from_seed(name, &Random::from_seed([1; 32]).key_seed());
        let key_hash = TreeHash::digest(key.verifier_key().to_string().as_bytes());
        let mark = dir.path().join("w.watermark");
        let (journal, records) = Journal::open(&data, &mark, key_hash).expect("its journal");
        let keys: Vec<SigningKey> = (0..logs)
            .map(|number| {
                let name = KeyName::parse(&format!("log.example/{number}")).expect("a name");
                SigningKey::from_seed(name, TreeHash::leaf(&number.to_be_bytes()).as_bytes())
            })
            .collect();
        let config = |key: &SigningKey| {
            let vkey = key.verifier_key().clone();
            let origin = Origin::parse(vkey.name().as_str()).expect("an origin");
            LogConfig { log: WitnessedLog { origin, keys: vec![vkey] }, url: None }
        };
        let unlimited = Rate { per_second: 0 };
        let parts = Parts {
            key,
            journal,
            records,
            logs: keys.iter().map(config).collect(),
            config: Config {
                requests: unlimited,
                advances: unlimited,
                requests_max: WIDTH,
                evidence: data.join("evidence"),
                webhook: None,
            },
            clock: Arc::new(SystemClock::start()),
            seed: [2; 32],
        };
        let (witness, _writer) = Witness::start(parts).expect("it starts");
        let runtime = Runtime::new().expect("a runtime");
        let mut bench = Self {
            tree: Tree::new(),
            steps: vec![0; logs],
            keys,
            witness: Arc::new(witness),
            runtime,
            _dir: dir,
        };
        let first = (0..logs).map(|log| bench.body(log)).collect();
        bench.send(first);
        bench
    }

    /// Returns the next body of a log.
    fn body(&mut self, log: usize) -> Vec<u8> {
        let (step, key) =
            (self.steps.get_mut(log).expect("a log"), self.keys.get(log).expect("a log"));
        let size = |step: u64| TreeSize::new(SIZE_MIN + step).expect("small");
        let (old, new) = (size(step.saturating_sub(1)), size(*step));
        let head = self.tree.head(new);
        let text = format!("{}\n{}\n{}\n", key.verifier_key().name().as_str(), new, head.root);
        let line = key.sign(&text);
        let note = SignedNote::new(text, vec![line]).expect("a note").to_string();
        let request = if *step == 0 {
            AddCheckpoint { old_size: TreeSize::ZERO, proof: Vec::new(), note: Bytes::from(note) }
        } else {
            let proof = prove_consistency(&self.tree, old, new).expect("the tree is whole");
            AddCheckpoint { old_size: old, proof, note: Bytes::from(note) }
        };
        *step += 1;
        request.format()
    }

    /// Sends bodies, of which no two in flight are of one log; returns how long it took.
    fn send(&self, bodies: Vec<Vec<u8>>) -> Duration {
        let width = WIDTH.min(self.keys.len());
        self.runtime.block_on(async {
            let mut flight = JoinSet::new();
            #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
            let begun = Instant::now();
            for body in bodies {
                if flight.len() == width {
                    check(flight.join_next().await.expect("it is full"));
                }
                let witness = Arc::clone(&self.witness);
                flight.spawn(async move { witness.add_checkpoint(&body).await });
            }
            while let Some(answer) = flight.join_next().await {
                check(answer);
            }
            begun.elapsed()
        })
    }

    /// Sends so many new heads.
    fn run(&mut self, count: u64) -> Duration {
        let count = usize::try_from(count).expect("64-bit addresses");
        let bodies = (0..count).map(|number| self.body(number % self.keys.len())).collect();
        self.send(bodies)
    }
}

type Answer = Result<Result<NoteSignature, attestree::witness::Denial>, tokio::task::JoinError>;

fn check(answer: Answer) {
    black_box(answer.expect("no panic").expect("every head is cosigned"));
}

fn add_checkpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("witness/add-checkpoint");
    group.sample_size(10).throughput(Throughput::Elements(1));
    // Criterion runs each once, as a test, unless cargo passes this argument.
    let measures = std::env::args().any(|argument| argument == "--bench");
    for logs in [1, 10_000] {
        let mut bench = Bench::new(if measures { logs } else { logs.min(64) });
        group.bench_function(logs.to_string(), |bencher| {
            bencher.iter_custom(|count| bench.run(count));
        });
    }
    group.finish();
}

fn raw(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("witness/raw");
    let key = SigningKey::from_seed(KeyName::parse("log.example/0").expect("a name"), &[3; 32]);
    let own = CosigningKey::from_seed(KeyName::parse("w.example").expect("a name"), &[4; 32]);
    let text = format!("log.example/0\n{SIZE_MIN}\n{}\n", TreeHash::empty_root());
    let line = key.sign(&text);
    group.bench_function("two-verifications-one-signature", |bencher| {
        let time = CosignatureTime::new(1_780_000_000).expect("a time");
        bencher.iter(|| {
            for _ in 0..2 {
                black_box(line.verify(key.verifier_key(), &text).expect("it holds"));
            }
            black_box(own.sign(&text, time))
        });
    });
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create(dir.path().join("file")).expect("a file");
    group.bench_function("synced-write", |bencher| {
        bencher
            .iter(|| file.write_all(&[7; 320]).and_then(|()| file.sync_data()).expect("written"));
    });
    group.finish();
}

criterion_group!(benches, add_checkpoint, raw);
criterion_main!(benches);
