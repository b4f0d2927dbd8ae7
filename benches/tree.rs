//! The tree in memory: hashing, integrating, the second root, making and verifying proofs.
//!
//! Integration and second root run at the right edge of a tree of 10^7 leaves. Proofs are made from
//! expanded tiles in memory and uniformly spread over a tree of 10^6 leaves, or of 3,000 when the
//! benchmarks run as tests. Each benchmark asserts what it computed. Throughput is in leaves, or in
//! bytes for leaf hashes.

use core::convert::Infallible;
use std::hint::black_box;

use attestree::core::bundle::encode_entry;
use attestree::core::hash::TreeHash;
use attestree::core::number::{LeafIndex, TreeSize};
use attestree::core::tree::{
    Edge, Integration, NodeId, NodeReader, PROOF_BATCH_MAX, SecondRoot, Tile, TileId, prove_batch,
    prove_consistency, prove_inclusion, prove_range, verify_batch, verify_consistency,
    verify_inclusion, verify_range,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Length of an entry: that of a short audit event.
const ENTRY_BYTES: usize = 256;

/// Batches that are appended: one entry, one tile, one commit.
const BATCHES: [usize; 3] = [1, 256, 4_096];

/// Size of the tree that batches are appended to.
const EDGE_SIZE: u64 = 10_000_000;

/// Returns the size of the tree that proofs are made in.
fn proved_size() -> usize {
    // Criterion runs each benchmark once, as a test, unless cargo passes this.
    if std::env::args().any(|argument| argument == "--bench") { 1_000_000 } else { 3_000 }
}

/// Returns some hash for a position.
fn leaf(position: usize) -> TreeHash {
    TreeHash::digest(&position.to_be_bytes())
}

/// Takes a position as a leaf index.
fn index(position: usize) -> LeafIndex {
    u64::try_from(position).ok().and_then(LeafIndex::new).expect("positions are small")
}

/// Takes a number as a tree size.
fn size(size: usize) -> TreeSize {
    u64::try_from(size).ok().and_then(TreeSize::new).expect("sizes are small")
}

/// Returns the incomplete tiles of a tree of [`EDGE_SIZE`] leaves.
fn edge_levels() -> Vec<Vec<TreeHash>> {
    let width =
        |level: u32| usize::try_from((EDGE_SIZE >> (8 * level)) % 256).expect("a byte fits");
    (0..3).map(|level| (0..width(level)).map(leaf).collect()).collect()
}

/// Returns an entry and a segment that holds it many times.
fn segment(entries: usize) -> (Vec<u8>, Vec<u8>) {
    let entry: Vec<u8> = (0..=u8::MAX).cycle().take(ENTRY_BYTES).collect();
    let mut segment = Vec::new();
    for _ in 0..entries {
        encode_entry(&mut segment, &entry);
    }
    (entry, segment)
}

/// A tree in memory: its full tiles, level by level, and its edge.
struct Memory {
    tiles: Vec<Vec<Tile>>,
    edge: Edge,
}

impl Memory {
    /// Builds a tree and expands its tiles.
    fn build(leaves: &[TreeHash]) -> Self {
        let Integration { edge, tiles } = Edge::empty().append(leaves);
        let mut levels: Vec<Vec<Tile>> = Vec::new();
        for (id, tile) in tiles {
            let level = usize::from(id.level);
            levels.resize_with(levels.len().max(level + 1), Vec::new);
            tile.expand();
            levels.get_mut(level).expect("the level was added").push(tile);
        }
        Self { tiles: levels, edge }
    }

    /// Returns a full tile.
    fn tile(&self, id: TileId) -> Option<&Tile> {
        self.tiles.get(usize::from(id.level))?.get(usize::try_from(id.index).ok()?)
    }
}

impl NodeReader for Memory {
    type Error = Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Infallible> {
        let read = |node: &NodeId| {
            let (id, height, index) = node.place();
            match self.tile(id) {
                Some(tile) => tile.node(height, index),
                None => self.edge.node(*node).expect("what no tile holds is in the edge"),
            }
        };
        Ok(nodes.iter().map(read).collect())
    }

    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        self.edge.tail(from, size)
    }
}

/// Hashes of leaves.
fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    for bytes in [ENTRY_BYTES, 1_024] {
        let entry = vec![7; bytes];
        let expected = TreeHash::leaf(&entry);
        group.throughput(Throughput::Bytes(bytes.try_into().expect("entries are short")));
        group.bench_function(format!("leaf_hash/{bytes}"), |bencher| {
            bencher.iter(|| assert_eq!(TreeHash::leaf(black_box(&entry)), expected));
        });
    }
    group.finish();
}

/// New nodes, tiles and head of a batch.
fn integrate(criterion: &mut Criterion) {
    let edge = Edge::from_levels(size(10_000_000), edge_levels()).expect("the widths are right");
    let mut group = criterion.benchmark_group("tree");
    for batch in BATCHES {
        let leaves: Vec<TreeHash> = (0..batch).map(leaf).collect();
        let expected = edge.append(&leaves).edge.head();
        group.throughput(Throughput::Elements(batch.try_into().expect("batches are small")));
        group.bench_function(format!("integrate/{batch}"), |bencher| {
            bencher.iter(|| assert_eq!(edge.append(black_box(&leaves)).edge.head(), expected));
        });
    }
    group.finish();
}

/// The same, a second time from the encoded bytes.
fn second_root(criterion: &mut Criterion) {
    let tree = size(10_000_000);
    let edge = Edge::from_levels(tree, edge_levels()).expect("the widths are right");
    let second = SecondRoot::from_levels(tree, edge_levels()).expect("the widths are right");
    let mut group = criterion.benchmark_group("tree");
    for batch in BATCHES {
        let (entry, segment) = segment(batch);
        let integration = edge.append(&vec![TreeHash::leaf(&entry); batch]);
        let tiles: Vec<_> = integration.tiles.iter().map(|(id, t)| (*id, t.encode())).collect();
        let claimed = integration.edge.head();
        group.throughput(Throughput::Elements(batch.try_into().expect("batches are small")));
        group.bench_function(format!("second_root/{batch}"), |bencher| {
            bencher.iter(|| {
                let tiles = tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
                let (checked, _) = second
                    .check([black_box(segment.as_slice())], tiles, claimed)
                    .expect("it agrees");
                assert_eq!(checked.head(), claimed);
            });
        });
    }
    group.finish();
}

/// Proofs, made and verified.
fn proofs(criterion: &mut Criterion) {
    let leaves: Vec<TreeHash> = (0..proved_size()).map(leaf).collect();
    let memory = Memory::build(&leaves);
    let head = memory.edge.head();
    // A stride that is prime to the sizes visits all leaves in a scattered order.
    let mut position = 0;
    let mut next = || {
        position = (position + 611_953) % leaves.len();
        position
    };
    let mut group = criterion.benchmark_group("tree");

    group.throughput(Throughput::Elements(1));
    group.bench_function("prove_inclusion", |bencher| {
        bencher.iter(|| prove_inclusion(&memory, index(next()), head.size).expect("in the tree"));
    });
    let at = next();
    let proof = prove_inclusion(&memory, index(at), head.size).expect("in the tree");
    let leaf = *leaves.get(at).expect("in the tree");
    group.bench_function("verify_inclusion", |bencher| {
        bencher
            .iter(|| verify_inclusion(black_box(&leaf), index(at), &head, &proof).expect("true"));
    });

    group.bench_function("prove_consistency", |bencher| {
        bencher.iter(|| prove_consistency(&memory, size(next() + 1), head.size).expect("smaller"));
    });
    let (old_leaves, _) = leaves.split_at(leaves.len() / 3);
    let old = Edge::empty().append(old_leaves).edge.head();
    let proof = prove_consistency(&memory, old.size, head.size).expect("smaller");
    group.bench_function("verify_consistency", |bencher| {
        bencher.iter(|| verify_consistency(black_box(&old), &head, &proof).expect("true"));
    });

    let count = leaves.len().min(1_000);
    let (from, to) = (index(leaves.len() - count), index(leaves.len()));
    let range = leaves.last_chunk::<1_000>().expect("both sizes are larger");
    let proof = prove_range(&memory, from, to, head.size).expect("in the tree");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("verify_range/1000", |bencher| {
        bencher.iter(|| verify_range(black_box(range), from, &head, &proof).expect("true"));
    });
    group.finish();
    batches(criterion, &memory, &leaves);
}

/// Multi-proofs of leaves that are spread over the whole tree: the worst case.
fn batches(criterion: &mut Criterion, memory: &Memory, leaves: &[TreeHash]) {
    let head = memory.edge.head();
    let mut group = criterion.benchmark_group("tree");
    group.sample_size(10);
    for batch in [16, 256, PROOF_BATCH_MAX] {
        let stride = leaves.len().div_ceil(batch);
        let claims: Vec<_> = leaves.iter().enumerate().step_by(stride).collect();
        let claims: Vec<_> = claims.into_iter().map(|(at, leaf)| (index(at), *leaf)).collect();
        let indices: Vec<LeafIndex> = claims.iter().map(|(index, _)| *index).collect();
        group.throughput(Throughput::Elements(claims.len().try_into().expect("batches are small")));
        group.bench_function(format!("prove_batch/{batch}"), |bencher| {
            bencher.iter(|| prove_batch(memory, black_box(&indices), head.size).expect("in order"));
        });
        let proof = prove_batch(memory, &indices, head.size).expect("in order");
        group.bench_function(format!("verify_batch/{batch}"), |bencher| {
            bencher.iter(|| verify_batch(black_box(&claims), &head, &proof).expect("true"));
        });
    }
    group.finish();
}

criterion_group!(benches, hashes, integrate, second_root, proofs);
criterion_main!(benches);
