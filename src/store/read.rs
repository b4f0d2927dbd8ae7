//! Reading what is stored, while it is written.
//!
//! Rows are only ever added, so a reader that stays below a head it was given needs no snapshot:
//! scans go in steps, hold nothing open between them and keep at most one step in memory, however
//! slow their consumer is.

use std::vec;

use bytes::Bytes;

use crate::core::{
    bundle::{self, StoredEntry},
    hash::TreeHash,
    number::{LeafIndex, LogNumber, TreeSize},
    tree::{TILE_WIDTH, Tile, TileId},
};

use super::{
    Damage, Fault, RowName, SCAN_BYTES_MAX, Store, StoreError,
    engine::Row,
    identity::{IdentityKey, IdentityRow},
    key,
    options::Family,
};

impl Store {
    /// Returns a full tile. Its nodes are those that were stored; see [`Tile::check`].
    pub fn tile(&self, log: LogNumber, id: TileId) -> Result<Option<Tile>, StoreError> {
        let Some(row) = self.engine().get(Family::Tile, &key::tile(log, id))? else {
            return Ok(None);
        };
        let damaged = |_length| Damage { row: RowName::Tile(log, id), fault: length_fault(&row) };
        Ok(Some(Tile::decode(&row).map_err(damaged)?))
    }

    /// Returns full tiles, in the order of `ids`.
    pub(super) fn tiles_of(
        &self,
        log: LogNumber,
        ids: &[TileId],
    ) -> Result<Vec<Option<Tile>>, StoreError> {
        let keys: Vec<_> = ids.iter().map(|id| key::tile(log, *id)).collect();
        let rows = self.engine().get_many(Family::Tile, keys.iter().map(<[u8; 13]>::as_slice))?;
        let decode = |(row, id): (Option<rocksdb::DBPinnableSlice<'_>>, &TileId)| {
            let Some(row) = row else { return Ok(None) };
            let name = RowName::Tile(log, *id);
            let damaged = |_length| Damage { row: name, fault: length_fault(&row) };
            Ok(Some(Tile::decode(&row).map_err(damaged)?))
        };
        rows.into_iter().zip(ids).map(decode).collect()
    }

    /// Returns the bytes of an entry; nothing where the log has no such entry.
    pub fn entry(&self, log: LogNumber, index: LeafIndex) -> Result<Option<Entry>, StoreError> {
        let Some((first, segment)) = self.segment_with(log, index)? else { return Ok(None) };
        let skipped = usize::try_from(index.get() - first.get());
        let skipped = skipped.expect("a segment lies inside one bundle");
        let damaged = Damage { row: RowName::Segment(log, first), fault: Fault::Content };
        let mut entries = bundle::decode(&segment);
        let Some(entry) = entries.nth(skipped) else { return Ok(None) };
        Ok(Some(match entry.map_err(|_not_entries| damaged)? {
            StoredEntry::Bytes(bytes) => Entry::Bytes(segment.slice_ref(bytes)),
            StoredEntry::Erased(hash) => Entry::Erased(hash),
        }))
    }

    /// Returns the segment that could hold an entry: the last one that begins at or before it, in
    /// the same bundle.
    fn segment_with(
        &self,
        log: LogNumber,
        index: LeafIndex,
    ) -> Result<Option<(LeafIndex, Bytes)>, StoreError> {
        let found = self.engine().last_up_to(Family::Entry, &key::segment(log, index))?;
        let Some((stored, segment)) = found else { return Ok(None) };
        let first = key::parse_segment(log, &stored);
        let first = first.filter(|first| first.get() >= bundle_start(index));
        Ok(first.map(|first| (first, segment)))
    }

    /// Returns the segments that hold the entries `[from, to)`, in order.
    ///
    /// The first may begin before `from` and the last end behind `to`. The bytes are as stored,
    /// damaged or not; a missing segment shows as a gap.
    pub fn segments(
        &self,
        log: LogNumber,
        from: LeafIndex,
        to: TreeSize,
    ) -> Result<Segments, StoreError> {
        let first = self.segment_with(log, from)?.map_or(from, |(first, _)| first);
        let end = key::segment(log, to.next_index());
        let rows = Scan::new(self, Family::Entry, key::segment(log, first).into(), end.into());
        Ok(Segments { rows, log })
    }

    /// Returns exactly the entries `[from, to)`, encoded as an entry bundle is served.
    ///
    /// Meant for ranges of one bundle: all of it is in memory. An entry that is missing, or erased
    /// and therefore not to be served, is reported as damage of its segment.
    pub fn entries(
        &self,
        log: LogNumber,
        from: LeafIndex,
        to: TreeSize,
    ) -> Result<Bytes, StoreError> {
        let mut wanted = from.get()..to.get();
        let mut served = Vec::new();
        for segment in self.segments(log, from, to)? {
            let (first, segment) = segment?;
            let name = RowName::Segment(log, first);
            let damaged = |fault| StoreError::from(Damage { row: name, fault });
            // All of a segment is wanted most of the time; then nothing is decoded twice.
            for (index, entry) in (first.get()..).zip(bundle::decode(&segment)) {
                let entry = entry.map_err(|_not_entries| damaged(Fault::Content))?;
                if index < wanted.start || index >= wanted.end {
                    continue;
                }
                let StoredEntry::Bytes(bytes) = entry else {
                    return Err(damaged(Fault::Content));
                };
                if index > wanted.start {
                    return Err(damaged(Fault::Missing));
                }
                bundle::encode_entry(&mut served, bytes);
                wanted.start += 1;
            }
        }
        match LeafIndex::new(wanted.start) {
            Some(missing) if !wanted.is_empty() => {
                Err(Damage { row: RowName::Segment(log, missing), fault: Fault::Missing }.into())
            }
            _ => Ok(served.into()),
        }
    }

    /// Returns all tiles of a log as stored, in the order in which they became full.
    pub fn tiles(&self, log: LogNumber) -> Tiles {
        let rows = Scan::new(self, Family::Tile, key::head(log).into(), key::after(log));
        Tiles { rows, log }
    }

    /// Returns the rows of identities, in the order of `keys`.
    pub fn identities(&self, keys: &[IdentityKey]) -> Result<Vec<Option<IdentityRow>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows =
            self.engine().get_many(Family::Identity, keys.iter().map(IdentityKey::as_bytes))?;
        let decode = |(row, key): (Option<rocksdb::DBPinnableSlice<'_>>, &IdentityKey)| {
            row.map(|row| decode_identity(key, &row)).transpose()
        };
        rows.into_iter().zip(keys).map(decode).collect()
    }

    /// Returns all identities of a log, in the order of their keys.
    pub fn identity_rows(&self, log: LogNumber) -> Identities {
        let rows = Scan::new(self, Family::Identity, key::head(log).into(), key::after(log));
        Identities { rows }
    }
}

/// An entry, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Its bytes.
    Bytes(Bytes),
    /// The leaf hash of an entry that was erased.
    Erased(TreeHash),
}

/// Returns the index of the first entry in the bundle of `index`.
fn bundle_start(index: LeafIndex) -> u64 {
    let width = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
    index.get() - index.get() % width
}

/// Says that a row has the wrong length.
fn length_fault(row: &[u8]) -> Fault {
    Fault::Length { bytes: row.len() }
}

/// Takes the stored row of an identity.
fn decode_identity(key: &IdentityKey, row: &[u8]) -> Result<IdentityRow, StoreError> {
    let log = key.log().unwrap_or_default();
    let damaged = Damage { row: RowName::Identity(log), fault: Fault::Content };
    Ok(IdentityRow::decode(row).ok_or(damaged)?)
}

/// Rows with keys in `[next, end)`, read in steps. After an error there are no more.
#[derive(Debug)]
pub(super) struct Scan {
    store: Store,
    family: Family,
    next: Vec<u8>,
    end: Vec<u8>,
    step: vec::IntoIter<Row>,
    done: bool,
}

impl Scan {
    /// Starts a scan.
    pub(super) fn new(store: &Store, family: Family, next: Vec<u8>, end: Vec<u8>) -> Self {
        let (store, step) = (store.clone(), Vec::new().into_iter());
        Self { store, family, next, end, step, done: false }
    }

    /// Reads the next step.
    fn advance(&mut self) -> Result<(), StoreError> {
        let engine = self.store.engine();
        let rows = engine.scan(self.family, &self.next, &self.end, SCAN_BYTES_MAX)?;
        match rows.last() {
            // The least key behind a key is the key with a zero byte more.
            Some((last, _)) => self.next = [last, [0].as_slice()].concat(),
            None => self.done = true,
        }
        self.step = rows.into_iter();
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.step.as_slice().is_empty()
            && !self.done
            && let Err(error) = self.advance()
        {
            self.done = true;
            return Some(Err(error));
        }
        self.step.next().map(Ok)
    }
}

/// Segments of a log, with the index of their first entries. See [`Store::segments`].
#[derive(Debug)]
pub struct Segments {
    rows: Scan,
    log: LogNumber,
}

impl Iterator for Segments {
    type Item = Result<(LeafIndex, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let parse = |(stored, row): Row| {
            let damaged = Damage { row: RowName::Log(self.log), fault: Fault::Content };
            Ok((key::parse_segment(self.log, &stored).ok_or(damaged)?, row))
        };
        Some(self.rows.next()?.and_then(parse))
    }
}

/// Full tiles of a log, as stored. See [`Store::tiles`].
#[derive(Debug)]
pub struct Tiles {
    rows: Scan,
    log: LogNumber,
}

impl Iterator for Tiles {
    type Item = Result<(TileId, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let parse = |(stored, row): Row| {
            let damaged = Damage { row: RowName::Log(self.log), fault: Fault::Content };
            Ok((key::parse_tile(self.log, &stored).ok_or(damaged)?, row))
        };
        Some(self.rows.next()?.and_then(parse))
    }
}

/// Identities of a log. See [`Store::identity_rows`].
#[derive(Debug)]
pub struct Identities {
    rows: Scan,
}

impl Iterator for Identities {
    type Item = Result<(IdentityKey, IdentityRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decode = |(stored, row): Row| {
            let key = IdentityKey::from_stored(&stored);
            let row = decode_identity(&key, &row)?;
            Ok((key, row))
        };
        Some(self.rows.next()?.and_then(decode))
    }
}
