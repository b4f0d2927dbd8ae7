//! Coordinates of perfect subtrees, and the seam through which they are read.

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};

use super::tile::{TILE_HEIGHT, TILE_WIDTH, TileId};

/// A perfect subtree: the `2^level` leaves `[index << level, (index + 1) << level)`.
///
/// Invariant: the last leaf below it lies in some tree of at most [`TreeSize::MAX`] leaves, so that
/// no shift or sum of positions leaves a `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    level: u8,
    index: u64,
}

impl NodeId {
    /// Takes coordinates as a node if some tree can hold it.
    pub fn new(level: u8, index: u64) -> Option<Self> {
        let fits = level <= 62 && index < TreeSize::MAX.get() >> level;
        fits.then_some(Self { level, index })
    }

    /// Takes coordinates that the caller derived from a tree of at most [`TreeSize::MAX`] leaves.
    pub(super) const fn derived(level: u8, index: u64) -> Self {
        Self { level, index }
    }

    /// Returns the level; leaves are level 0.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Returns the position among the nodes of the level, from 0.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Returns the leaf index one past the last leaf below the node.
    ///
    /// The node exists in exactly the trees of at least this size.
    pub const fn end(self) -> u64 {
        (self.index + 1) << self.level
    }

    /// Returns the tile that holds the node, and its height and index inside the tile.
    ///
    /// A node whose level is a multiple of the tile height is an entry of the upper tile (height
    /// 0), not the apex of the lower one, as in c2sp.org/tlog-tiles.
    pub fn place(self) -> (TileId, u8, usize) {
        let height = self.level % TILE_HEIGHT;
        let shift = TILE_HEIGHT - height;
        let tile = TileId { level: self.level / TILE_HEIGHT, index: self.index >> shift };
        (tile, height, narrow(self.index - (tile.index << shift)))
    }
}

/// Reads nodes of one tree for the proofs.
pub trait NodeReader {
    /// What can go wrong with a read.
    type Error;

    /// Returns the hash of each node, in the same order.
    ///
    /// Called once a proof. All nodes lie in the tree that the proof is for; their order is that of
    /// the proof, so neighbours in the tree need not be neighbours in the slice.
    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Self::Error>;

    /// Returns the root of the leaves `[from, size)` if the reader holds it already.
    ///
    /// Asked only for the incomplete subtree at the right edge of the tree of that size, which most
    /// proofs at the newest head need and which costs up to 61 hashes to fold. The default knows
    /// none.
    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        let _ = (from, size);
        None
    }
}

impl<R: NodeReader + ?Sized> NodeReader for &R {
    type Error = R::Error;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Self::Error> {
        (**self).read_nodes(nodes)
    }

    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        (**self).tail(from, size)
    }
}

/// The maximal perfect subtrees of the leaves `[from, to)`, left to right.
///
/// Their levels rise as long as the alignment of `from` is what limits them and fall once the
/// distance to `to` does, so there are at most two of each level.
#[derive(Clone, Debug)]
pub(super) struct PerfectNodes {
    from: u64,
    to: u64,
}

/// Returns the maximal perfect subtrees of the leaves `[from, to)`, left to right.
pub(super) const fn perfect_nodes(from: u64, to: u64) -> PerfectNodes {
    PerfectNodes { from, to }
}

impl Iterator for PerfectNodes {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let left = self.to.checked_sub(self.from).filter(|left| *left > 0)?;
        // Leaf 0 is aligned to every level; `trailing_zeros` says 64 there.
        let level = self.from.trailing_zeros().min(left.ilog2());
        let index = self.from >> level;
        self.from += 1 << level;
        Some(NodeId::derived(narrow_level(level), index))
    }
}

/// Returns how many maximal perfect subtrees `[from, to)` has.
pub(super) fn perfect_count(from: u64, to: u64) -> usize {
    perfect_nodes(from, to).count()
}

/// Narrows a number that is known to be an offset into something in memory.
pub(super) fn narrow(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset inside a tile fits in a usize")
}

/// Narrows a number of bits of a `u64`.
pub(super) fn narrow_level(bits: u32) -> u8 {
    u8::try_from(bits).expect("a u64 has at most 64 bits")
}

/// Returns how many hashes of a tile level a tree of `size` leaves has in its incomplete tile.
pub(super) fn partial_width(level: u8, size: u64) -> usize {
    let hashes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
    narrow(hashes) % TILE_WIDTH
}
