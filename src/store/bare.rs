//! Synced writes of entries and nothing else: the raw limit that a log is measured against.

use std::path::Path;

use bytes::Bytes;
use rocksdb::WriteBatch;

use crate::core::{
    bundle,
    number::{LeafIndex, LogNumber},
    tree::TILE_WIDTH,
};

use super::{
    OpenError, StoreConfig, StoreError,
    engine::{Access, Engine},
    key,
    options::Family,
};

/// A database that holds segments without a log around them. No [`super::Store`] opens it.
pub struct Bare {
    engine: Engine,
    next: u64,
}

impl Bare {
    /// Makes a database with the options of a store.
    pub fn create(dir: &Path) -> Result<Self, OpenError> {
        let engine = Engine::open(dir, &StoreConfig::default(), Access::Create)?;
        Ok(Self { engine, next: 0 })
    }

    /// Writes entries in one synced batch, cut into segments as a log's commits are.
    pub fn write(&mut self, entries: &[Bytes]) -> Result<(), StoreError> {
        let wide = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
        let mut batch = WriteBatch::default();
        let mut rest = entries;
        while !rest.is_empty() {
            let room = usize::try_from(wide - self.next % wide).expect("at most 256");
            let (part, after) = rest.split_at(room.min(rest.len()));
            let bytes = part.iter().map(|entry| bundle::encoded_bytes(entry.len()));
            let mut segment = Vec::with_capacity(bytes.sum());
            for entry in part {
                bundle::encode_entry(&mut segment, entry);
            }
            let first = LeafIndex::new(self.next).expect("a measurement ends before 2^62 entries");
            let row = key::segment(LogNumber(0), first);
            batch.put_cf(self.engine.family(Family::Entry), row, segment);
            self.next += u64::try_from(part.len()).expect("at most 256");
            rest = after;
        }
        self.engine.write(batch).map_err(StoreError::Write)
    }
}
