//! Small trees kept whole, the recursion of RFC 6962 over them, and a reader of tiles and edge.

use std::cell::Cell;
use std::collections::HashMap;
use std::convert::Infallible;

use attestree::core::bundle::encode_entry;
use attestree::core::hash::TreeHash;
use attestree::core::number::{LeafIndex, TreeSize};
use attestree::core::tree::{
    Edge, Frontier, Integration, NodeId, NodeReader, Tile, TileId, TreeHead,
};
use rs_merkle::Hasher as _;
use sha2::{Digest as _, Sha256};

/// Takes a number as a leaf index.
pub(super) fn leaf_index(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

/// Takes a number as a tree size.
pub(super) fn tree_size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

/// Takes an index or a size as a position in memory.
pub(super) fn position(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

/// Returns the entry at `index` of every test tree: the convention of the x/mod tlog tests.
pub(super) fn entry(index: usize) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

/// Returns the leaf hashes of the first `count` test entries.
pub(super) fn leaves(count: usize) -> Vec<TreeHash> {
    (0..count).map(|index| TreeHash::leaf(&entry(index))).collect()
}

/// Encodes test entries as one segment.
pub(super) fn segment(indices: core::ops::Range<usize>) -> Vec<u8> {
    let mut segment = Vec::new();
    indices.for_each(|index| encode_entry(&mut segment, &entry(index)));
    segment
}

/// MTH of RFC 6962, section 2.1, word for word.
pub(super) fn mth(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            TreeHash::node(&mth(left), &mth(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
pub(super) fn path(index: usize, leaves: &[TreeHash]) -> Vec<TreeHash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut hashes, sibling) = if index < left.len() {
        (path(index, left), right)
    } else {
        (path(index - left.len(), right), left)
    };
    hashes.push(mth(sibling));
    hashes
}

/// SUBPROOF of RFC 6962, section 2.1.2; `whole` says that the old tree is this very subtree.
pub(super) fn subproof(old: usize, leaves: &[TreeHash], whole: bool) -> Vec<TreeHash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = if old <= left.len() {
        (subproof(old, left, whole), right)
    } else {
        (subproof(old - left.len(), right, false), left)
    };
    proof.push(mth(other));
    proof
}

/// Returns the largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// Returns the head of the tree over these leaves by the recursion.
pub(super) fn head(leaves: &[TreeHash]) -> TreeHead {
    TreeHead { size: tree_size(leaves.len() as u64), root: mth(leaves) }
}

/// A tree that keeps all leaves and answers any perfect node by the recursion.
pub(super) struct Naive<'a> {
    pub(super) leaves: &'a [TreeHash],
    /// How often nodes were read.
    pub(super) reads: Cell<usize>,
}

impl<'a> Naive<'a> {
    pub(super) fn new(leaves: &'a [TreeHash]) -> Self {
        Self { leaves, reads: Cell::new(0) }
    }
}

impl NodeReader for Naive<'_> {
    type Error = Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Infallible> {
        self.reads.set(self.reads.get() + 1);
        let node = |node: &NodeId| {
            let end = position(node.end());
            mth(&self.leaves[end - (1 << node.level())..end])
        };
        Ok(nodes.iter().map(node).collect())
    }
}

/// What a log holds: the full tiles and the edge.
#[derive(Clone)]
pub(super) struct Tiled {
    pub(super) tiles: HashMap<TileId, Tile>,
    pub(super) edge: Edge,
}

impl Tiled {
    /// Grows a tree of test leaves in batches of `batch`.
    pub(super) fn grow(leaves: &[TreeHash], batch: usize) -> Self {
        let mut tiled = Self { tiles: HashMap::new(), edge: Edge::empty() };
        for batch in leaves.chunks(batch) {
            tiled.append(batch);
        }
        tiled
    }

    /// Appends leaves as the log does.
    pub(super) fn append(&mut self, leaves: &[TreeHash]) -> Integration {
        let integration = self.edge.append(leaves);
        integration.edge.check();
        self.tiles.extend(integration.tiles.iter().cloned());
        self.edge = integration.edge.clone();
        integration
    }

    /// Returns a node from the edge or a full tile, whichever holds it.
    pub(super) fn node(&self, node: NodeId) -> TreeHash {
        let (tile, height, index) = node.place();
        match self.tiles.get(&tile) {
            Some(tile) => tile.node(height, index),
            None => self.edge.node(node).expect("what no tile holds is in the edge"),
        }
    }
}

impl NodeReader for Tiled {
    type Error = Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Infallible> {
        Ok(nodes.iter().map(|node| self.node(*node)).collect())
    }

    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        self.edge.tail(from, size)
    }
}

/// Returns the frontier of these leaves, pushed one by one.
pub(super) fn frontier(leaves: &[TreeHash]) -> Frontier {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push_leaf(*leaf);
        frontier.check();
    }
    frontier
}

/// RFC 6962 hashing for `rs_merkle`, written apart from the one in the library.
#[derive(Clone)]
pub(super) struct RsHasher;

impl rs_merkle::Hasher for RsHasher {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        Sha256::new_with_prefix([0]).chain_update(data).finalize().into()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        let node = |right| Sha256::new_with_prefix([1]).chain_update(left).chain_update(right);
        right.map_or(*left, |right: &[u8; 32]| node(right).finalize().into())
    }
}

/// Builds the tree of `rs_merkle` over the first `size` test entries.
pub(super) fn rs_tree(size: usize) -> rs_merkle::MerkleTree<RsHasher> {
    let leaves: Vec<_> = (0..size).map(|index| RsHasher::hash(&entry(index))).collect();
    rs_merkle::MerkleTree::from_leaves(&leaves)
}

/// Takes hashes of `rs_merkle` as ours.
pub(super) fn from_rs(hashes: &[[u8; 32]]) -> Vec<TreeHash> {
    hashes.iter().map(|hash| TreeHash::from_bytes(*hash)).collect()
}

/// The tree of `ct-merkle`.
pub(super) type CtTree = ct_merkle::mem_backed_tree::MemoryBackedTree<Sha256, Vec<u8>>;

/// Builds the tree of `ct-merkle` over the first `size` test entries.
pub(super) fn ct_tree(size: usize) -> CtTree {
    let mut tree = CtTree::new();
    (0..size).for_each(|index| tree.push(entry(index)));
    tree
}

/// Splits bytes into hashes.
pub(super) fn from_ct(bytes: &[u8]) -> Vec<TreeHash> {
    bytes.chunks(32).map(|hash| TreeHash::from_slice(hash).unwrap()).collect()
}

/// Returns hashes behind one another.
pub(super) fn to_bytes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(TreeHash::as_bytes).copied().collect()
}

/// Returns the hash with one bit flipped.
pub(super) fn flip(hash: &TreeHash, bit: usize) -> TreeHash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    TreeHash::from_bytes(bytes)
}

/// Returns every proof that differs from `proof` by one step, with a name for the step: each hash
/// dropped, doubled, flipped in one bit or exchanged with the next, and a foreign hash anywhere.
pub(super) fn mutations(proof: &[TreeHash]) -> Vec<(String, Vec<TreeHash>)> {
    let foreign = TreeHash::leaf(b"foreign");
    let mut mutations = Vec::new();
    let mut add = |name: String, change: &dyn Fn(&mut Vec<TreeHash>)| {
        let mut mutated = proof.to_vec();
        change(&mut mutated);
        mutations.push((name, mutated));
    };
    for at in 0..=proof.len() {
        add(format!("foreign hash at {at}"), &|proof| proof.insert(at, foreign));
        add(format!("cut at {at} and one foreign hash"), &|proof| {
            proof.truncate(at);
            proof.push(foreign);
        });
    }
    for at in 0..proof.len() {
        add(format!("hash {at} dropped"), &|proof| {
            proof.remove(at);
        });
        add(format!("hash {at} doubled"), &|proof| proof.insert(at, proof[at]));
        add(format!("hash {at} replaced"), &|proof| proof[at] = foreign);
        for bit in [0, 7, 100, 255] {
            add(format!("bit {bit} of hash {at} flipped"), &|proof| {
                proof[at] = flip(&proof[at], bit);
            });
        }
        if at + 1 < proof.len() {
            add(format!("hashes {at} and {} exchanged", at + 1), &|proof| proof.swap(at, at + 1));
        }
    }
    mutations
}

/// Sizes around the edges of one and two tile levels.
pub(super) const EDGE_SIZES: [usize; 9] = [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537];
