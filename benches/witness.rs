//! A witness at work: `add-checkpoint` in, durable cosignatures out.
//!
//! `witness/add-checkpoint/N` sends new heads of N logs, 1,024 at a time (of one log one at a time: each
//! begins where the one before ended). Everything is in it but HTTP: parsing, the log's signature, a
//! consistency proof of some 16 hashes, the journal with its syncs, the cosignature. `witness/http/N` is
//! the daemon itself on a port of this machine, with 256 connections; its clients share the processor with
//! it. `witness/raw` is what such a request can't do without: two verifications, one signature; one synced
//! write of as many bytes.

use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use attestree::{
    client::{AddCheckpointAnswer, Server, WitnessClient},
    core::{
        hash::TreeHash,
        note::{CosignatureTime, CosigningKey, KeyName, SignedNote, SigningKey},
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

/// Heads that are in flight at a time in this process.
const WIDTH: usize = 1_024;

/// Connections of the clients, each with one request at a time.
const CONNECTIONS: usize = 256;

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

/// Some logs, all of which have the same tree under keys of their own.
struct Logs {
    tree: Tree,
    keys: Vec<SigningKey>,
    steps: Vec<u64>,
}

impl Logs {
    fn new(count: usize) -> Self {
        let key = |number: usize| {
            let name = KeyName::parse(&format!("log.example/{number}")).expect("a name");
            SigningKey::from_seed(name, TreeHash::leaf(&number.to_be_bytes()).as_bytes())
        };
        Self { tree: Tree::new(), keys: (0..count).map(key).collect(), steps: vec![0; count] }
    }

    /// Returns the next request of a log.
    fn next(&mut self, log: usize) -> AddCheckpoint {
        let (step, key) =
            (self.steps.get_mut(log).expect("a log"), self.keys.get(log).expect("a log"));
        let size = |step: u64| TreeSize::new(SIZE_MIN + step).expect("small");
        let (old, new) = (size(step.saturating_sub(1)), size(*step));
        let head = self.tree.head(new);
        let text = format!("{}\n{}\n{}\n", key.verifier_key().name().as_str(), new, head.root);
        let line = key.sign(&text);
        let note = Bytes::from(SignedNote::new(text, vec![line]).expect("a note").to_string());
        let (old_size, proof) = if *step == 0 {
            (TreeSize::ZERO, Vec::new())
        } else {
            (old, prove_consistency(&self.tree, old, new).expect("the tree is whole"))
        };
        *step += 1;
        AddCheckpoint { old_size, proof, note }
    }

    /// Returns so many new heads, of the logs in turn.
    fn turns(&mut self, count: usize) -> Vec<AddCheckpoint> {
        (0..count).map(|number| self.next(number % self.keys.len())).collect()
    }
}

/// Makes a witness's directory.
fn init(dir: &tempfile::TempDir) -> (PathBuf, CosigningKey) {
    let data = dir.path().join("w");
    let name = KeyName::parse("witness.example/bench").expect("a name");
    let init = witness::Init { data: data.clone(), watermark: None, name: name.clone() };
    witness::init(init, &mut Random::from_seed([1; 32])).expect("a witness");
    (data, CosigningKey::from_seed(name, &Random::from_seed([1; 32]).key_seed()))
}

/// Where requests are sent.
trait Target: Clone + Send + 'static {
    /// Sends one, which has to be cosigned.
    fn send(self, request: AddCheckpoint) -> impl Future<Output = ()> + Send;
}

impl Target for Arc<Witness> {
    async fn send(self, request: AddCheckpoint) {
        black_box(self.add_checkpoint(&request.format()).await.expect("every head is cosigned"));
    }
}

impl Target for WitnessClient {
    async fn send(self, request: AddCheckpoint) {
        let answer = self.add_checkpoint(&request).await.expect("the witness answers");
        let AddCheckpointAnswer::Cosigned(lines) = answer else {
            panic!("every head is cosigned: {answer:?}");
        };
        black_box(lines);
    }
}

/// A witness, its logs, and the way to it.
struct Bench<T> {
    logs: Logs,
    target: T,
    /// Requests that are in flight at a time.
    width: usize,
    runtime: Runtime,
    /// The daemon, where there is one, and its directory.
    _running: (Option<witness::Running>, tempfile::TempDir),
}

impl Bench<Arc<Witness>> {
    /// Calls a witness in this process.
    fn direct(count: usize) -> Self {
        let (logs, dir) = (Logs::new(count), tempfile::tempdir().expect("a temporary directory"));
        let (data, key) = init(&dir);
        let key_hash = TreeHash::digest(key.verifier_key().to_string().as_bytes());
        let mark = dir.path().join("w.watermark");
        let (journal, records) = Journal::open(&data, &mark, key_hash).expect("its journal");
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
            logs: logs.keys.iter().map(config).collect(),
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
        Self::begin(logs, Arc::new(witness), WIDTH, (None, dir))
    }
}

impl Bench<WitnessClient> {
    /// Talks to the daemon over HTTP.
    fn http(count: usize) -> Self {
        let (logs, dir) = (Logs::new(count), tempfile::tempdir().expect("a temporary directory"));
        let (data, _key) = init(&dir);
        let raw = witness::RawConfig {
            data: Some(data),
            listen: Some("127.0.0.1:0".to_owned()),
            log: Some(logs.keys.iter().map(|key| key.verifier_key().to_string()).collect()),
            requests_per_second: Some(0),
            advances_per_second: Some(0),
            ..witness::RawConfig::default()
        };
        let running = witness::start(raw.parse().expect("it can be")).expect("it starts");
        let server = Server::parse(&format!("http://{}", running.address())).expect("an address");
        let client = WitnessClient::new(&server, Duration::from_mins(1)).expect("a client");
        Self::begin(logs, client, CONNECTIONS, (Some(running), dir))
    }
}

impl<T: Target> Bench<T> {
    /// Has the first head of each log cosigned.
    fn begin(
        logs: Logs,
        target: T,
        width: usize,
        running: (Option<witness::Running>, tempfile::TempDir),
    ) -> Self {
        let (count, runtime) = (logs.keys.len(), Runtime::new().expect("a runtime"));
        let mut bench = Self { logs, target, width: width.min(count), runtime, _running: running };
        let first = bench.logs.turns(count);
        bench.send(first);
        bench
    }

    /// Sends requests, of which no two in flight are of one log; returns how long it took.
    fn send(&self, requests: Vec<AddCheckpoint>) -> Duration {
        self.runtime.block_on(async {
            let mut flight = JoinSet::new();
            #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
            let begun = Instant::now();
            for request in requests {
                if flight.len() == self.width {
                    flight.join_next().await.expect("it is full").expect("no panic");
                }
                flight.spawn(self.target.clone().send(request));
            }
            while let Some(sent) = flight.join_next().await {
                sent.expect("no panic");
            }
            begun.elapsed()
        })
    }

    /// Sends so many new heads.
    fn run(&mut self, count: u64) -> Duration {
        let requests = self.logs.turns(usize::try_from(count).expect("64-bit addresses"));
        self.send(requests)
    }
}

/// Measures one way to a witness, at one log and at ten thousand.
fn measure<T: Target>(criterion: &mut Criterion, name: &str, bench: fn(usize) -> Bench<T>) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(1));
    // Criterion runs each once, as a test, unless cargo passes this argument.
    let measures = std::env::args().any(|argument| argument == "--bench");
    for logs in [1, 10_000] {
        let mut bench = bench(if measures { logs } else { logs.min(64) });
        group.bench_function(logs.to_string(), |bencher| {
            bencher.iter_custom(|count| bench.run(count));
        });
    }
    group.finish();
}

fn add_checkpoint(criterion: &mut Criterion) {
    measure(criterion, "witness/add-checkpoint", Bench::direct);
}

fn http(criterion: &mut Criterion) {
    measure(criterion, "witness/http", Bench::http);
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

criterion_group!(benches, add_checkpoint, http, raw);
criterion_main!(benches);
