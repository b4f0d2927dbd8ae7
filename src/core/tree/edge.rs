//! The right edge of a tree: its incomplete tiles, and how leaves are appended to them.

use std::sync::Arc;

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};

use super::TreeHead;
use super::node::{NodeId, narrow, partial_width};
use super::tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileId};

/// The incomplete tiles of a tree, one for each tile level, with all perfect nodes inside them.
///
/// An immutable snapshot: appending makes another edge, which shares the levels that it did not
/// touch. A clone costs one reference count for each level. Together with the full tiles it holds
/// every node of its tree.
///
/// # Invariants
///
/// - `levels[l]` holds `(size >> 8l) % 256` hashes; the last level is not empty.
/// - `tails` holds one hash for each set bit of `size`: the root of the leaves from its subtree on.
#[derive(Clone, Debug)]
pub struct Edge {
    size: u64,
    levels: Vec<Arc<Partial>>,
    tails: Arc<[TreeHash]>,
}

/// What appending leaves makes.
#[derive(Clone, Debug)]
pub struct Integration {
    /// The edge of the grown tree; its head is the new tree head.
    pub edge: Edge,
    /// The tiles that became full, in the order in which they did.
    pub tiles: Vec<(TileId, Tile)>,
}

/// Hashes that can't be the incomplete tiles of a tree of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tile level {level} of size {size} has {expected} hashes outside full tiles, not {hashes}")]
pub struct LevelsError {
    /// Size of the tree.
    pub size: TreeSize,
    /// Tile level.
    pub level: usize,
    /// How many hashes it needs.
    pub expected: usize,
    /// How many hashes there were.
    pub hashes: usize,
}

impl Edge {
    /// Returns the edge of the tree without leaves.
    pub fn empty() -> Self {
        Self::assemble(0, Vec::new())
    }

    /// Takes the hashes of the incomplete tile of each tile level, from the leaves up.
    ///
    /// Levels without such hashes may be empty, and left out at the end.
    pub fn from_levels(size: TreeSize, levels: Vec<Vec<TreeHash>>) -> Result<Self, LevelsError> {
        check_levels(size, &levels)?;
        let mut partials: Vec<Arc<Partial>> = Vec::with_capacity(levels.len());
        for hashes in levels {
            let mut partial = Partial::new();
            for hash in hashes {
                partial.push(hash);
            }
            partials.push(Arc::new(partial));
        }
        Ok(Self::assemble(size.get(), partials))
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.size).expect("append keeps the size in bounds")
    }

    /// Returns the tree head. Costs nothing: the root is computed when the edge is made.
    pub fn head(&self) -> TreeHead {
        let root = self.tails.first().copied().unwrap_or_else(TreeHash::empty_root);
        TreeHead { size: self.size(), root }
    }

    /// Returns the hashes of the incomplete tile of a tile level; none if there is no such tile.
    pub fn partial(&self, level: u8) -> &[TreeHash] {
        self.levels.get(usize::from(level)).map_or(&[], |partial| &partial.hashes)
    }

    /// Returns the hashes of the incomplete tile of a tile level behind one another, as served.
    pub fn partial_bytes(&self, level: u8) -> Vec<u8> {
        self.partial(level).iter().flat_map(TreeHash::as_bytes).copied().collect()
    }

    /// Returns a perfect node that lies in an incomplete tile of this tree, without hashing.
    pub fn node(&self, node: NodeId) -> Option<TreeHash> {
        if node.end() > self.size {
            return None;
        }
        let (tile, height, index) = node.place();
        // A tile that ends at or below the size is full and has left the edge.
        if tile.end() <= self.size {
            return None;
        }
        self.levels.get(usize::from(tile.level))?.node(height, index)
    }

    /// Returns the root of the leaves `[from, size)` if that is a subtree at the right edge of the
    /// tree of this size, without hashing. See [`super::NodeReader::tail`].
    pub fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        let from = from.get();
        // The subtrees of the edge begin where the higher set bits of the size end.
        let rest = self.size.checked_sub(from)?;
        let begins = from == 0 || rest < 1 << from.trailing_zeros();
        if size.get() != self.size || !begins {
            return None;
        }
        self.tails.get(narrow(u64::from(from.count_ones()))).copied()
    }

    /// Appends leaf hashes: about one node hash for each.
    ///
    /// # Panics
    ///
    /// If the tree would have more than [`TreeSize::MAX`] leaves.
    pub fn append(&self, leaves: &[TreeHash]) -> Integration {
        let added = u64::try_from(leaves.len()).expect("a slice is shorter than 2^64");
        assert!(
            added <= TreeSize::MAX.get() - self.size,
            "a tree has at most TreeSize::MAX leaves"
        );
        let size = self.size + added;

        let mut levels = self.levels.clone();
        let mut tiles = Vec::with_capacity(leaves.len() / TILE_WIDTH + 1);
        let mut roots = self.append_level(0, leaves, &mut levels, &mut tiles);
        let mut level = 1;
        while !roots.is_empty() {
            roots = self.append_level(level, &roots, &mut levels, &mut tiles);
            level += 1;
        }
        // Levels were filled one after another; what is stored is ordered by completion.
        tiles.sort_by_key(|(id, _)| *id);

        let edge = Self::assemble(size, levels);
        if cfg!(debug_assertions) {
            edge.check();
        }
        Integration { edge, tiles }
    }

    /// Appends hashes to one tile level; returns the roots of the tiles that became full.
    fn append_level(
        &self,
        level: u8,
        hashes: &[TreeHash],
        levels: &mut Vec<Arc<Partial>>,
        tiles: &mut Vec<(TileId, Tile)>,
    ) -> Vec<TreeHash> {
        if hashes.is_empty() {
            return Vec::new();
        }
        let position = usize::from(level);
        // The level is shared with the edge that is appended to, so it is copied, and once only.
        let mut partial = levels.get(position).map_or_else(Partial::new, |old| old.copy());
        let mut index = self.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
        let mut roots = Vec::with_capacity(hashes.len() / TILE_WIDTH + 1);
        for hash in hashes {
            partial.push(*hash);
            if partial.hashes.len() == TILE_WIDTH {
                roots.push(partial.node(TILE_HEIGHT, 0).expect("a full tile has a root"));
                tiles.push((TileId { level, index }, partial.tile()));
                index += 1;
                partial.clear();
            }
        }
        match levels.get_mut(position) {
            Some(old) => *old = Arc::new(partial),
            None => levels.push(Arc::new(partial)),
        }
        roots
    }

    /// Puts an edge together: drops empty levels at the top and folds the tails.
    fn assemble(size: u64, mut levels: Vec<Arc<Partial>>) -> Self {
        while levels.last().is_some_and(|partial| partial.hashes.is_empty()) {
            levels.pop();
        }
        // From the right: the subtree of each set bit, lowest first, takes what is right of it.
        let mut tails: Vec<TreeHash> = Vec::with_capacity(narrow(u64::from(size.count_ones())));
        for partial in &levels {
            for subtree in partial.subtrees() {
                let tail = tails.last().map_or(subtree, |right| TreeHash::node(&subtree, right));
                tails.push(tail);
            }
        }
        tails.reverse();
        Self { size, levels, tails: tails.into() }
    }

    /// Asserts the invariants of the type.
    pub fn check(&self) {
        for (level, partial) in (0_u8..).zip(&self.levels) {
            let width = partial.hashes.len();
            assert_eq!(width, partial_width(level, self.size), "the size says how many hashes");
            let inner = width - narrow(u64::from(width.count_ones()));
            assert_eq!(partial.inner.len(), inner, "all perfect nodes of an edge are there");
        }
        assert!(self.levels.last().is_none_or(|top| !top.hashes.is_empty()), "no empty top level");
        assert_eq!(self.tails.len(), narrow(u64::from(self.size.count_ones())), "one tail a bit");
    }
}

/// Checks that `levels` hold as many hashes as the incomplete tiles of a tree of `size` leaves.
pub(super) fn check_levels(size: TreeSize, levels: &[Vec<TreeHash>]) -> Result<(), LevelsError> {
    // A tree of 2^62 leaves has 8 tile levels; more than that must be empty like any other.
    for level in 0..levels.len().max(8) {
        let expected = u8::try_from(level).map_or(0, |level| partial_width(level, size.get()));
        let hashes = levels.get(level).map_or(0, Vec::len);
        if hashes != expected {
            return Err(LevelsError { size, level, expected, hashes });
        }
    }
    Ok(())
}

/// An incomplete tile: its hashes and all perfect nodes over them.
///
/// `inner` holds the nodes of heights 1 and up in the order in which they become complete, so that
/// both vectors only ever grow at their ends.
#[derive(Clone, Debug)]
struct Partial {
    hashes: Vec<TreeHash>,
    inner: Vec<TreeHash>,
}

impl Partial {
    /// Makes an empty tile with room for a full one, so that nothing is allocated on the way.
    fn new() -> Self {
        Self { hashes: Vec::with_capacity(TILE_WIDTH), inner: Vec::with_capacity(TILE_WIDTH - 1) }
    }

    /// Copies the tile, with room for a full one.
    fn copy(&self) -> Self {
        let mut copy = Self::new();
        copy.hashes.extend_from_slice(&self.hashes);
        copy.inner.extend_from_slice(&self.inner);
        copy
    }

    /// Empties the tile and keeps its room.
    fn clear(&mut self) {
        self.hashes.clear();
        self.inner.clear();
    }

    /// Adds one hash and each node that it completes.
    fn push(&mut self, hash: TreeHash) {
        let (mut height, mut index, mut node) = (0, self.hashes.len(), hash);
        self.hashes.push(hash);
        while index % 2 == 1 {
            let left = self.node(height, index - 1).expect("a left sibling is complete");
            node = TreeHash::node(&left, &node);
            self.inner.push(node);
            index /= 2;
            height += 1;
        }
    }

    /// Returns a node if it is complete.
    fn node(&self, height: u8, index: usize) -> Option<TreeHash> {
        if height == 0 {
            return self.hashes.get(index).copied();
        }
        // The hash `last` completed the node. Before it came `last >> h` nodes of each height `h`,
        // which over all heights from 1 on is `last` minus its set bits (Legendre); then the nodes
        // below this one that `last` completed as well.
        let last = ((index + 1) << height) - 1;
        let before = last - narrow(u64::from(last.count_ones()));
        self.inner.get(before + usize::from(height) - 1).copied()
    }

    /// Returns the roots of the maximal perfect subtrees, smallest first.
    fn subtrees(&self) -> impl Iterator<Item = TreeHash> {
        let width = self.hashes.len();
        (0..TILE_HEIGHT).filter(move |height| (width >> height) % 2 == 1).map(move |height| {
            let node = self.node(height, (width >> height) - 1);
            node.expect("each set bit of the width is a complete node")
        })
    }

    /// Returns the full tile over 256 hashes, without hashing anything again.
    fn tile(&self) -> Tile {
        let mut bytes = Vec::with_capacity(Tile::ENCODED_BYTES);
        for hash in &self.hashes {
            bytes.extend_from_slice(hash.as_bytes());
        }
        for height in 4..=TILE_HEIGHT {
            for index in 0..TILE_WIDTH >> height {
                let node = self.node(height, index).expect("a full tile has all nodes");
                bytes.extend_from_slice(node.as_bytes());
            }
        }
        Tile::from_parts(bytes)
    }
}
