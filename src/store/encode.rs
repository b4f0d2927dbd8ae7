//! One batch of one log as rows, encoded once.
//!
//! The same bytes go to the write and to the second computation of the root, so that no copy which
//! nobody checks lies between what was hashed and what is stored.

use crate::core::{
    bundle,
    number::{LeafIndex, LogNumber, TreeSize, UnixMillis},
    tree::{Integration, TILE_WIDTH, TileId, TreeHead},
};

use super::{
    identity::{IdentityKey, IdentityRow},
    row::HeadRow,
};

/// Everything that one log contributes to one commit.
#[derive(Clone, Debug)]
pub struct LogRows {
    /// The log.
    pub log: LogNumber,
    /// Index of the first new entry.
    pub from: LeafIndex,
    /// The new entries, cut where an entry bundle ends; each with the index of its first entry.
    pub segments: Vec<(LeafIndex, Vec<u8>)>,
    /// The tiles that became full, in the order in which they did.
    pub tiles: Vec<(TileId, Vec<u8>)>,
    /// The identities of the new entries.
    pub identities: Vec<(IdentityKey, IdentityRow)>,
    /// Rows that lie beside the log, with their families and keys.
    pub extra: Vec<(Extra, Vec<u8>, Vec<u8>)>,
    /// The head after the batch.
    pub head: HeadRow,
}

/// The family of a row that lies beside the log, and that a batch writes with its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// What opens a commitment; key and row as [`crate::core::record::Place`] makes them.
    Disclosure,
    /// What the write path remembers of a source or a rule; the key begins with the log's number.
    Source,
}

impl LogRows {
    /// Encodes a batch: copies each entry once.
    ///
    /// `entries` are the admitted entries whose leaf hashes were appended to the edge with head
    /// `previous`, which made `integration`. They are run through twice.
    ///
    /// # Panics
    ///
    /// If their number is not that of the appended leaves.
    pub fn encode<'a>(
        log: LogNumber,
        at: UnixMillis,
        previous: TreeHead,
        entries: impl Iterator<Item = &'a [u8]> + Clone,
        integration: &Integration,
        identities: Vec<(IdentityKey, IdentityRow)>,
    ) -> Self {
        let head = integration.edge.head();
        let from = previous.size.next_index();
        let segments = encode_segments(previous.size, head.size, entries);
        let tiles = integration.tiles.iter().map(|(id, tile)| (*id, tile.encode())).collect();
        let head = HeadRow { head, previous, at };
        Self { log, from, segments, tiles, identities, extra: Vec::new(), head }
    }

    /// Returns about how many bytes the rows have, for the room of a write.
    pub(super) fn encoded_bytes(&self) -> usize {
        // Each row stands with its key, two lengths and a family in the write.
        const ROW_BYTES: usize = 32;
        let segments = self.segments.iter().map(|(_, bytes)| bytes.len() + ROW_BYTES);
        let tiles = self.tiles.iter().map(|(_, bytes)| bytes.len() + ROW_BYTES);
        let identities = self
            .identities
            .iter()
            .map(|(key, _)| key.as_bytes().len() + IdentityRow::ENCODED_BYTES + ROW_BYTES);
        let extra = self.extra.iter().map(|(_, key, row)| key.len() + row.len() + ROW_BYTES);
        let rows = segments.chain(tiles).chain(identities).chain(extra);
        rows.sum::<usize>() + HeadRow::ENCODED_BYTES + ROW_BYTES
    }
}

/// Encodes the entries `[from, to)`, cut where an entry bundle ends.
fn encode_segments<'a>(
    from: TreeSize,
    to: TreeSize,
    entries: impl Iterator<Item = &'a [u8]> + Clone,
) -> Vec<(LeafIndex, Vec<u8>)> {
    let width = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
    let (mut next, to) = (from.get(), to.get());
    let mut entries = entries;
    let mut segments = Vec::new();
    while next < to {
        let count = (width - next % width).min(to - next);
        let count = usize::try_from(count).expect("a bundle has 256 entries");
        // Each segment gets all its room at once: growing would copy what was copied.
        let bytes = entries.clone().take(count).map(|entry| bundle::encoded_bytes(entry.len()));
        let mut segment = Vec::with_capacity(bytes.sum());
        for _ in 0..count {
            let entry = entries.next().expect("one entry for each appended leaf");
            bundle::encode_entry(&mut segment, entry);
        }
        let first = LeafIndex::new(next).expect("a leaf of a tree is below its size");
        segments.push((first, segment));
        next += u64::try_from(count).expect("a usize fits in 64 bits");
    }
    assert!(entries.next().is_none(), "one appended leaf for each entry");
    segments
}
