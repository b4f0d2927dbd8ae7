//! The second computation of every root, from the bytes that were written.
//!
//! Logs have died of one flipped bit between an entry's bytes, its leaf hash, a tile and the signed
//! root. So a root is computed twice from independent inputs before it is signed: once by
//! [`super::Edge`] on the way in, and once here, from the encoded segments as they were handed to
//! the store, by `rs_merkle`. The two share neither state nor code above SHA-256.
//!
//! `rs_merkle` keeps whole trees in memory and is slow to grow, so it only ever builds trees over
//! at most 256 hashes. A tree over the roots of neighbouring perfect subtrees of one height has the
//! root of the whole, so the small trees compose to any size.

use crate::core::bundle::{self, BundleError};
use crate::core::hash::{HASH_BYTES, TreeHash};
use crate::core::number::TreeSize;

use super::edge::{LevelsError, check_levels};
use super::tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileId};
use super::{TreeHead, oracle};

/// Hashes of one group. A tile is 16 groups of 16; the roots of full groups are kept, so that a
/// small batch rebuilds at most two small trees on each tile level.
const GROUP_WIDTH: usize = 16;

/// The first layer above the hashes that an encoded tile holds: that of height 4.
const STORED_LAYER_MIN: usize = 4;

/// How many such layers it holds: heights 4 to 8.
const STORED_LAYERS: usize = 5;

/// A hash as `rs_merkle` takes it.
type Hash = [u8; HASH_BYTES];

/// The incomplete tiles of a tree, kept apart from [`super::Edge`].
///
/// # Invariants
///
/// - `levels[l]` holds `(size >> 8l) % 256` hashes and the root of each full group of 16 of them.
#[derive(Clone, Debug)]
pub struct SecondRoot {
    size: u64,
    levels: Vec<Level>,
}

/// One incomplete tile.
#[derive(Clone, Debug, Default)]
struct Level {
    hashes: Vec<Hash>,
    groups: Vec<Hash>,
}

/// A tree head that was computed a second time. Made only by [`SecondRoot::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondHead(TreeHead);

impl SecondHead {
    /// Returns the head.
    pub const fn head(&self) -> TreeHead {
        self.0
    }
}

/// Where the second computation differs from the first. Nothing of that batch may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecondMismatch {
    /// A segment is not the encoding of entries.
    #[error("segment {position} of the batch is damaged: {error}")]
    Segment {
        /// Position of the segment in the batch, from 0.
        position: usize,
        /// What is wrong with it.
        #[source]
        error: BundleError,
    },
    /// The batch does not lead to the claimed size.
    #[error("the batch leads to size {counted}, not {claimed}")]
    Size {
        /// Size after the entries of the segments.
        counted: u64,
        /// Size of the claimed head.
        claimed: TreeSize,
    },
    /// The batch completes a tile that it does not hold.
    #[error("the batch completes tile {} of level {} but does not hold it", .id.index, .id.level)]
    TileMissing {
        /// The tile.
        id: TileId,
    },
    /// The batch holds a tile that it does not complete, or not at this place.
    #[error("the batch holds tile {} of level {} out of place", .id.index, .id.level)]
    TileMisplaced {
        /// The tile.
        id: TileId,
    },
    /// A tile holds other bytes than it should.
    #[error("tile {} of level {} differs at byte {at}", .id.index, .id.level)]
    Tile {
        /// The tile.
        id: TileId,
        /// First byte that differs.
        at: usize,
    },
    /// The roots differ.
    #[error("the root of size {} is {computed}, not {}", .claimed.size, .claimed.root)]
    Root {
        /// What was computed here.
        computed: TreeHash,
        /// What was claimed.
        claimed: TreeHead,
    },
}

impl SecondRoot {
    /// Returns the state for the tree without leaves.
    pub const fn empty() -> Self {
        Self { size: 0, levels: Vec::new() }
    }

    /// Takes the hashes of the incomplete tile of each tile level, as [`super::Edge::from_levels`].
    pub fn from_levels(size: TreeSize, levels: Vec<Vec<TreeHash>>) -> Result<Self, LevelsError> {
        check_levels(size, &levels)?;
        let levels = levels.into_iter().map(Level::new).collect();
        Ok(Self { size: size.get(), levels })
    }

    /// Returns the number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Computes the head after a batch from its encoded segments, compares every byte of its
    /// encoded tiles (in the order of completion) and the claimed head.
    ///
    /// Returns what allows the head to be signed, and the state for the next batch. An erased entry
    /// counts with its stored leaf hash: there is nothing left to hash, and the root still binds it.
    pub fn check<'a>(
        &self,
        segments: impl IntoIterator<Item = &'a [u8]>,
        tiles: impl IntoIterator<Item = (TileId, &'a [u8])>,
        claimed: TreeHead,
    ) -> Result<(SecondHead, Self), SecondMismatch> {
        let mut next = self.clone();
        let mut tiles = tiles.into_iter();
        for (position, segment) in segments.into_iter().enumerate() {
            for entry in bundle::decode(segment) {
                let entry = entry.map_err(|error| SecondMismatch::Segment { position, error })?;
                next.push(*entry.leaf_hash().as_bytes(), &mut tiles)?;
            }
        }

        if next.size != claimed.size.get() {
            return Err(SecondMismatch::Size { counted: next.size, claimed: claimed.size });
        }
        if let Some((id, _)) = tiles.next() {
            return Err(SecondMismatch::TileMisplaced { id });
        }
        let computed = next.root();
        if computed != claimed.root {
            return Err(SecondMismatch::Root { computed, claimed });
        }
        Ok((SecondHead(claimed), next))
    }

    /// Adds a leaf hash; compares each tile that it completes with the next of `tiles`.
    fn push<'a>(
        &mut self,
        leaf: Hash,
        tiles: &mut impl Iterator<Item = (TileId, &'a [u8])>,
    ) -> Result<(), SecondMismatch> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Level::default());
            }
            let state = self.levels.get_mut(usize::from(level)).expect("the level was added");
            state.hashes.push(hash);
            if state.hashes.len() < TILE_WIDTH {
                break;
            }

            let index = (self.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT) - 1;
            let expected = TileId { level, index };
            let (id, bytes) = tiles.next().ok_or(SecondMismatch::TileMissing { id: expected })?;
            if id != expected {
                return Err(SecondMismatch::TileMisplaced { id });
            }
            hash = state.compare(bytes).map_err(|at| SecondMismatch::Tile { id, at })?;
            state.hashes.clear();
            state.groups.clear();
        }
        Ok(())
    }

    /// Returns the root, from the lowest level up: what is left of a level closes the one above.
    fn root(&mut self) -> TreeHash {
        let mut below = None;
        for level in &mut self.levels {
            below = level.root(below).or(below);
        }
        below.map_or_else(TreeHash::empty_root, TreeHash::from_bytes)
    }
}

impl Level {
    /// Takes the hashes of an incomplete tile.
    fn new(hashes: Vec<TreeHash>) -> Self {
        let hashes = hashes.into_iter().map(|hash| *hash.as_bytes()).collect();
        let mut level = Self { hashes, groups: Vec::new() };
        level.settle();
        level
    }

    /// Computes the roots of full groups that are not there yet.
    fn settle(&mut self) {
        let (full, _) = self.hashes.as_chunks::<GROUP_WIDTH>();
        for group in full.iter().skip(self.groups.len()) {
            self.groups.extend(root_of(group));
        }
    }

    /// Compares a full tile with its stored bytes; returns its root or the first byte that differs.
    fn compare(&self, bytes: &[u8]) -> Result<Hash, usize> {
        // One tree over all hashes: as long as batches are large, groups only cost allocations.
        let tree = oracle::tree(&self.hashes);
        let layers = tree.layers();
        // The crate repeats the root as a layer of its own where the width is a power of two.
        let upper = layers.iter().skip(STORED_LAYER_MIN).take(STORED_LAYERS);
        let mut from = 0;
        for (_, hash) in layers.iter().take(1).chain(upper).flatten() {
            let stored = bytes.get(from..from + HASH_BYTES).ok_or(bytes.len())?;
            if stored != hash {
                let same = stored.iter().zip(hash).take_while(|(a, b)| a == b).count();
                return Err(from + same);
            }
            from += HASH_BYTES;
        }
        assert_eq!(from, Tile::ENCODED_BYTES, "the format of a tile has 287 hashes");
        if bytes.len() > from {
            return Err(from);
        }
        Ok(*tree.root().expect("a full tile has a root"))
    }

    /// Returns the root of the tile's hashes with `below` as one more, if there is any hash.
    fn root(&mut self, below: Option<Hash>) -> Option<Hash> {
        self.settle();
        let (_, rest) = self.hashes.as_chunks::<GROUP_WIDTH>();
        let rest: Vec<Hash> = rest.iter().copied().chain(below).collect();
        let groups: Vec<Hash> = self.groups.iter().copied().chain(root_of(&rest)).collect();
        root_of(&groups)
    }
}

/// Returns the root over a few hashes, if there are any.
fn root_of(hashes: &[Hash]) -> Option<Hash> {
    match hashes {
        [] => None,
        [one] => Some(*one),
        _ => oracle::tree(hashes).root().copied(),
    }
}
