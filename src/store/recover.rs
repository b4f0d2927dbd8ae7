//! Taking a log up again: its right edge, its last batch computed both ways, its watermark.
//!
//! The cost does not depend on the size of the tree: at most 255 entries, 255 tiles a tile level,
//! and the entries of one batch are read.

use bytes::Bytes;

use crate::core::{
    bundle,
    hash::TreeHash,
    number::{LeafIndex, LogNumber, TreeSize},
    tree::{
        Edge, ProveError, SecondHead, SecondRoot, TILE_HEIGHT, TILE_WIDTH, Tile, TileId, TreeHead,
        root_at,
    },
};

use super::{
    Damage, Fault, Inconsistency, RecoverError, RowName, Store, StoreError,
    commit::Durable,
    key,
    options::Family,
    reader::StoredNodes,
    row::{HeadRow, LogRow, decode_halt},
};

/// Most tile levels of a tree of [`TreeSize::MAX`] leaves: 62 levels, 8 a tile level.
const TILE_LEVELS_MAX: u8 = 8;

/// A log that was found to hold together, with all that is needed to go on.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What the log is.
    pub row: LogRow,
    /// Proof that its head is durable. A log without entries has the head of the empty tree.
    pub durable: Durable,
    /// Proof that its root was computed twice.
    pub second: SecondHead,
    /// Its right edge, which the next batch is appended to.
    pub edge: Edge,
    /// The state of the second computation.
    pub second_root: SecondRoot,
}

/// The last batch, computed again both ways.
struct LastBatch {
    second: SecondHead,
    edge: Edge,
    second_root: SecondRoot,
}

/// Why a log does not hold together, before its origin is put to it.
pub(super) enum Broken {
    /// A row can't be read or does not hold what it must.
    Store(StoreError),
    /// Rows contradict each other.
    Rows(Inconsistency),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Inconsistency> for Broken {
    fn from(fault: Inconsistency) -> Self {
        Self::Rows(fault)
    }
}

impl Broken {
    /// Names the log.
    pub(super) fn of(self, row: &LogRow) -> RecoverError {
        match self {
            Self::Store(error) => RecoverError::Store(error),
            Self::Rows(fault) => {
                RecoverError::Inconsistent { origin: row.origin.to_string(), fault }
            }
        }
    }
}

impl Store {
    /// Takes up a log: loads the right edge before its last batch, computes that batch again both
    /// ways from the stored bytes, and compares the tree with the watermark.
    ///
    /// Whether the clock is behind [`HeadRow::at`] is the caller's to check.
    pub fn recover(
        &self,
        log: LogNumber,
        watermark: Option<TreeHead>,
    ) -> Result<Recovered, RecoverError> {
        let row = self.log(log)?.ok_or(StoreError::LogUnknown { log })?;
        if let Some(reason) = self.halted(log)? {
            return Err(RecoverError::Halted { origin: row.origin.to_string(), reason });
        }
        let head = self.head(log)?.ok_or_else(|| missing(RowName::Head(log)))?;
        if let Some(signed) = watermark.filter(|signed| signed.size > head.head.size) {
            return Err(RecoverError::RollbackDetected {
                origin: row.origin.to_string(),
                stored: head.head.size,
                signed: signed.size,
            });
        }
        let last = self.last_batch(log, &head).map_err(|broken| broken.of(&row))?;
        if let Some(signed) = watermark {
            self.check_watermark(&row, &last.edge, signed)?;
        }
        let LastBatch { second, edge, second_root } = last;
        Ok(Recovered { row, durable: Durable::new(log, head), second, edge, second_root })
    }

    /// Returns the right edge that a log had at a head, if its tree has that head.
    pub fn edge(&self, row: &LogRow, head: TreeHead) -> Result<Edge, RecoverError> {
        let levels = self.edge_levels(row.number, head.size).map_err(|broken| broken.of(row))?;
        edge_at(head, levels).map_err(|fault| Broken::from(fault).of(row))
    }

    /// Computes the last batch again: once as it was integrated, once as it was checked.
    fn last_batch(&self, log: LogNumber, head: &HeadRow) -> Result<LastBatch, Broken> {
        self.check_nothing_beyond(log, head.head.size)?;
        let levels = self.edge_levels(log, head.previous.size)?;
        let edge = edge_at(head.previous, levels.clone())?;
        let segments = self.segments_between(log, head.previous.size, head.head.size)?;
        let leaves = leaf_hashes(log, &segments)?;

        let integration = edge.append(&leaves);
        let computed = integration.edge.head();
        if computed != head.head {
            return Err(Inconsistency::Batch { stored: head.head, computed }.into());
        }
        let mut tiles = Vec::with_capacity(integration.tiles.len());
        for (id, computed) in &integration.tiles {
            let stored = self.stored_tile(log, *id)?;
            if stored != *computed {
                return Err(Inconsistency::Tile(*id).into());
            }
            tiles.push((*id, stored));
        }

        let second_root = SecondRoot::from_levels(head.previous.size, levels);
        let second_root = second_root.expect("the levels were read by the size");
        let segments = segments.iter().map(|(_, bytes)| bytes.as_ref());
        let tiles = tiles.iter().map(|(id, tile)| (*id, tile.encoded()));
        let (second, second_root) =
            second_root.check(segments, tiles, head.head).map_err(Inconsistency::Second)?;
        Ok(LastBatch { second, edge: integration.edge, second_root })
    }

    /// Checks that no entry and no tile lies behind a tree of this size.
    ///
    /// Such rows would mean that the head row is older than they are, which one write of all of
    /// them rules out.
    fn check_nothing_beyond(&self, log: LogNumber, size: TreeSize) -> Result<(), Broken> {
        let (engine, end) = (self.engine(), key::after(log));
        let from = key::segment(log, size.next_index());
        if let Some((stored, _)) = engine.scan(Family::Entry, &from, &end, 0)?.first() {
            let index = key::parse_segment(log, stored).unwrap_or_default();
            return Err(Inconsistency::Beyond { row: RowName::Segment(log, index), size }.into());
        }
        let from = key::tiles_above(log, size);
        if let Some((stored, _)) = engine.scan(Family::Tile, &from, &end, 0)?.first() {
            let id = key::parse_tile(log, stored);
            let row = id.map_or(RowName::Log(log), |id| RowName::Tile(log, id));
            return Err(Inconsistency::Beyond { row, size }.into());
        }
        Ok(())
    }

    /// Returns the hashes of the incomplete tiles of a tree of this size, from the leaves up.
    ///
    /// Leaf hashes come from the entries, those above from the roots of full tiles. The roots are
    /// taken as stored: a wrong one gives a wrong root of the tree, which the caller compares.
    pub(super) fn edge_levels(
        &self,
        log: LogNumber,
        size: TreeSize,
    ) -> Result<Vec<Vec<TreeHash>>, Broken> {
        let width = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
        let from = TreeSize::new(size.get() - size.get() % width);
        let from = from.expect("a smaller size than one that is in bounds");
        let segments = self.segments_between(log, from, size)?;
        let mut levels = vec![leaf_hashes(log, &segments)?];
        if levels.first().map(Vec::len) != usize::try_from(size.get() % width).ok() {
            return Err(Inconsistency::Gap { index: from.next_index() }.into());
        }
        for level in 1..TILE_LEVELS_MAX {
            // Each hash of a tile level is the root of a full tile of the level below.
            let hashes = size.get() >> (u32::from(TILE_HEIGHT) * u32::from(level));
            let first = hashes - hashes % width;
            let ids: Vec<TileId> =
                (first..hashes).map(|index| TileId { level: level - 1, index }).collect();
            let tiles = self.tiles_of(log, &ids)?.into_iter().zip(&ids);
            let roots = tiles.map(|(tile, id)| {
                let tile = tile.ok_or_else(|| missing(RowName::Tile(log, *id)))?;
                Ok(tile.root())
            });
            levels.push(roots.collect::<Result<_, StoreError>>()?);
        }
        Ok(levels)
    }

    /// Returns the segments that hold exactly the entries from one size to another.
    fn segments_between(
        &self,
        log: LogNumber,
        from: TreeSize,
        to: TreeSize,
    ) -> Result<Vec<(LeafIndex, Bytes)>, Broken> {
        if from == to {
            return Ok(Vec::new());
        }
        let segments = self.segments(log, from.next_index(), to)?.collect::<Result<Vec<_>, _>>()?;
        let mut next = from.next_index();
        for (first, segment) in &segments {
            if *first != next {
                return Err(Inconsistency::Gap { index: next }.into());
            }
            let entries = u64::try_from(bundle::decode(segment).count()).ok();
            let end = entries.and_then(|entries| LeafIndex::new(first.get().checked_add(entries)?));
            next = end.ok_or(Inconsistency::Gap { index: *first })?;
        }
        if next != to.next_index() {
            return Err(Inconsistency::Gap { index: next }.into());
        }
        Ok(segments)
    }

    /// Returns a tile that must be there.
    fn stored_tile(&self, log: LogNumber, id: TileId) -> Result<Tile, StoreError> {
        self.tile(log, id)?.ok_or_else(|| missing(RowName::Tile(log, id)))
    }

    /// Checks that the tree, at the size of the watermark, has the root that was signed.
    pub(super) fn check_watermark(
        &self,
        row: &LogRow,
        edge: &Edge,
        signed: TreeHead,
    ) -> Result<(), RecoverError> {
        let nodes = StoredNodes { store: self, log: row.number, edge };
        let root = root_at(&nodes, signed.size).map_err(|error| match error {
            ProveError::Read(error) => error,
            other => unreachable!("a root of a smaller size is always there: {other:?}"),
        })?;
        if root != signed.root {
            let stored = TreeHead { size: signed.size, root };
            return Err(RecoverError::Diverged { origin: row.origin.to_string(), stored, signed });
        }
        Ok(())
    }

    /// Returns why a log was halted, if it was.
    pub fn halted(&self, log: LogNumber) -> Result<Option<String>, StoreError> {
        let Some(row) = self.engine().get(Family::Meta, &key::halt(log))? else { return Ok(None) };
        let reason = decode_halt(&row);
        Ok(Some(reason.map_err(|fault| Damage { row: RowName::Halt(log), fault })?))
    }
}

/// Makes the right edge of a tree whose head is stored, if its root is the stored one.
pub(super) fn edge_at(head: TreeHead, levels: Vec<Vec<TreeHash>>) -> Result<Edge, Inconsistency> {
    let edge = Edge::from_levels(head.size, levels).expect("the levels were read by the size");
    if edge.head() != head {
        return Err(Inconsistency::Edge { stored: head, computed: edge.head() });
    }
    Ok(edge)
}

/// Returns the leaf hashes of the entries in segments.
fn leaf_hashes(
    log: LogNumber,
    segments: &[(LeafIndex, Bytes)],
) -> Result<Vec<TreeHash>, StoreError> {
    let mut leaves = Vec::new();
    for (first, segment) in segments {
        let damaged = Damage { row: RowName::Segment(log, *first), fault: Fault::Content };
        for entry in bundle::decode(segment) {
            leaves.push(entry.map_err(|_not_entries| damaged)?.leaf_hash());
        }
    }
    Ok(leaves)
}

/// Says that a row is missing.
pub(super) fn missing(row: RowName) -> StoreError {
    Damage { row, fault: Fault::Missing }.into()
}
