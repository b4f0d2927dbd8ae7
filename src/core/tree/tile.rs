//! Full tiles: 256 neighbouring hashes of one tile level, and the perfect nodes above them.

use std::sync::OnceLock;

use crate::core::hash::{HASH_BYTES, TreeHash};

/// Hashes of a full tile (c2sp.org/tlog-tiles).
pub const TILE_WIDTH: usize = 256;

/// Levels of the tree that one tile level spans.
pub const TILE_HEIGHT: u8 = 8;

/// Heights below this one are not in the encoding: a node there costs at most 7 hashes, and they
/// would be 7 of its 9 KiB of nodes.
const STORED_HEIGHT_MIN: u8 = 4;

/// Coordinates of a tile.
///
/// Tiles are ordered by when they become full, and a tile comes before the one above that it
/// completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileId {
    /// Tile level: the entries of level `l` are roots of `256^l` leaves.
    pub level: u8,
    /// Position among the tiles of the level, from 0.
    pub index: u64,
}

impl TileId {
    /// Returns the leaf index one past the last leaf below the tile, `(index + 1) << 8(level + 1)`.
    ///
    /// The tile is full in exactly the trees of at least this size. For coordinates that no tree
    /// holds this is `u64::MAX`.
    pub fn end(self) -> u64 {
        let shift = u32::from(TILE_HEIGHT) * (u32::from(self.level) + 1);
        let tiles = self.index.saturating_add(1);
        if tiles.leading_zeros() > shift { tiles << shift } else { u64::MAX }
    }
}

impl Ord for TileId {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        // The index decides only between coordinates that no tree holds.
        let key = |id: &Self| (id.end(), id.level, id.index);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for TileId {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Bytes that can't be an encoded tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tile has {} bytes, not {bytes}", Tile::ENCODED_BYTES)]
pub struct TileError {
    /// Length of the bytes.
    pub bytes: usize,
}

/// A full tile, kept as its encoding.
///
/// # Format
///
/// 9,184 bytes: the 256 hashes (height 0) from left to right, then the perfect nodes over them,
/// height after height and each from left to right: 16 of height 4, 8 of height 5, 4 of height 6, 2
/// of height 7 and the tile's root. The first 8,192 bytes are what c2sp.org/tlog-tiles serves.
///
/// A node of heights 1 to 3 is hashed from up to 8 entries when it is asked for; [`Tile::expand`]
/// computes all of them once, for tiles that stay in a cache.
#[derive(Clone, Debug)]
pub struct Tile {
    bytes: Box<[u8]>,
    low: OnceLock<Box<[TreeHash]>>,
}

impl Tile {
    /// Length of an encoded tile: 256 + 16 + 8 + 4 + 2 + 1 hashes.
    pub const ENCODED_BYTES: usize = 9_184;

    /// Makes the tile over 256 hashes; computes the 255 nodes above them.
    pub fn new(hashes: &[TreeHash; TILE_WIDTH]) -> Self {
        let mut bytes = Vec::with_capacity(Self::ENCODED_BYTES);
        bytes.extend(hashes.iter().flat_map(TreeHash::as_bytes));
        let mut row = hashes.to_vec();
        for height in 1..=TILE_HEIGHT {
            row = parents(&row);
            if height >= STORED_HEIGHT_MIN {
                bytes.extend(row.iter().flat_map(TreeHash::as_bytes));
            }
        }
        Self::from_parts(bytes)
    }

    /// Takes bytes that were put together as the format says.
    pub(super) fn from_parts(bytes: Vec<u8>) -> Self {
        assert_eq!(bytes.len(), Self::ENCODED_BYTES, "a tile holds 287 hashes");
        Self { bytes: bytes.into_boxed_slice(), low: OnceLock::new() }
    }

    /// Returns the encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// Returns the encoding without a copy.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes an encoded tile. Only the length is checked; see [`Tile::check`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TileError> {
        if bytes.len() != Self::ENCODED_BYTES {
            return Err(TileError { bytes: bytes.len() });
        }
        Ok(Self { bytes: bytes.into(), low: OnceLock::new() })
    }

    /// Returns whether the nodes are those over the 256 hashes: recomputes all of them.
    pub fn check(&self) -> bool {
        let hashes: Vec<TreeHash> = (0..TILE_WIDTH).map(|index| self.stored(0, index)).collect();
        let hashes = hashes.as_array().expect("a tile holds 256 hashes");
        Self::new(hashes).bytes == self.bytes
    }

    /// Returns the 256 hashes as they are served, 8,192 bytes.
    pub fn hashes_bytes(&self) -> &[u8] {
        let hashes = self.bytes.split_at_checked(TILE_WIDTH * HASH_BYTES);
        hashes.expect("a tile holds 256 hashes").0
    }

    /// Returns the node of this height at position `index` inside the tile.
    ///
    /// # Panics
    ///
    /// If no tile has such a node: heights go from 0 to 8, and height `h` has `256 >> h` nodes.
    pub fn node(&self, height: u8, index: usize) -> TreeHash {
        assert!(height <= TILE_HEIGHT && index < TILE_WIDTH >> height, "the node is in the tile");
        if height == 0 || height >= STORED_HEIGHT_MIN {
            return self.stored(height, index);
        }
        match self.low.get() {
            Some(low) => *low.get(low_offset(height) + index).expect("three heights are expanded"),
            None => self.hash_low(height, index),
        }
    }

    /// Returns the root of the tile: the one node of height 8.
    pub fn root(&self) -> TreeHash {
        self.stored(TILE_HEIGHT, 0)
    }

    /// Computes the 224 nodes of heights 1 to 3 unless that has been done; costs 7 KiB.
    pub fn expand(&self) {
        self.low.get_or_init(|| {
            let mut row: Vec<TreeHash> = (0..TILE_WIDTH).map(|i| self.stored(0, i)).collect();
            let mut low = Vec::with_capacity(low_offset(STORED_HEIGHT_MIN));
            for _ in 1..STORED_HEIGHT_MIN {
                row = parents(&row);
                low.extend_from_slice(&row);
            }
            low.into_boxed_slice()
        });
    }

    /// Reads a node that the encoding holds.
    fn stored(&self, height: u8, index: usize) -> TreeHash {
        let offset = match height {
            0 => index,
            // The heights from 4 on have 16, 8, 4, 2, 1 nodes: 32 - (512 >> height) of them lie
            // below this one.
            _ => TILE_WIDTH + 32 - (512 >> height) + index,
        };
        let from = offset * HASH_BYTES;
        let bytes = self.bytes.get(from..from + HASH_BYTES);
        bytes.and_then(TreeHash::from_slice).expect("the encoding holds height 0 and 4 to 8")
    }

    /// Hashes a node of heights 1 to 3 from the entries below it.
    fn hash_low(&self, height: u8, index: usize) -> TreeHash {
        match height {
            0 => self.stored(0, index),
            _ => TreeHash::node(
                &self.hash_low(height - 1, 2 * index),
                &self.hash_low(height - 1, 2 * index + 1),
            ),
        }
    }
}

impl PartialEq for Tile {
    fn eq(&self, other: &Self) -> bool {
        // What has been expanded follows from the bytes.
        self.bytes == other.bytes
    }
}

impl Eq for Tile {}

/// Returns how many expanded nodes lie below this height: 0, 128, 192 for heights 1, 2, 3.
const fn low_offset(height: u8) -> usize {
    TILE_WIDTH - ((2 * TILE_WIDTH) >> height)
}

/// Returns the parents of a row of hashes of even length.
fn parents(row: &[TreeHash]) -> Vec<TreeHash> {
    let (pairs, rest) = row.as_chunks::<2>();
    debug_assert!(rest.is_empty(), "a perfect row has an even length");
    pairs.iter().map(|[left, right]| TreeHash::node(left, right)).collect()
}
