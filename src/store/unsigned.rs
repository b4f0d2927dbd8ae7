//! Removing the one batch that a failed check has left unsigned.

use rocksdb::WriteBatch;

use crate::core::{
    number::{LogNumber, TreeSize},
    tree::TreeHead,
};

use super::{
    HeadRow, RecoverError, RowName, Store, StoreError, key,
    options::Family,
    recover::{Broken, edge_at, missing},
};

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The head that the log has again.
    pub head: TreeHead,
    /// The size that it had.
    pub size: TreeSize,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// A row can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tree before the last batch does not hold together, or is not what was signed.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// No check of this log has failed.
    #[error("log {origin} is not halted: no check of it has failed, so there is nothing to remove")]
    NotHalted {
        /// The log's origin.
        origin: String,
    },
    /// The last batch may have been signed.
    #[error(
        "size {signed} of log {origin} was signed, and its last batch begins at {previous}: a signed \
         batch is never removed. Restore a good copy of the data, or close this log and open another \
         origin"
    )]
    Signed {
        /// The log's origin.
        origin: String,
        /// Size of the watermark.
        signed: TreeSize,
        /// Size before the last batch.
        previous: TreeSize,
    },
}

impl Store {
    /// Removes the last batch of a halted log, its marker included, in one synced write.
    ///
    /// Allowed only with a halt marker, only if `watermark` says that nothing of the batch was
    /// signed, and only if the tree before it holds together and is the one that was signed. Its
    /// identities are found by reading all identities of the log: this is the one operation whose
    /// cost grows with the log, and it runs while the log is not served.
    pub fn drop_unsigned(&self, log: LogNumber, watermark: TreeHead) -> Result<Dropped, DropError> {
        let engine = self.engine();
        let mut state = self.shared.writer.turn(engine)?;
        let row = self.log(log)?.ok_or(StoreError::LogUnknown { log })?;
        let origin = || row.origin.to_string();
        if self.halted(log)?.is_none() {
            return Err(DropError::NotHalted { origin: origin() });
        }
        let head = self.head(log)?.ok_or_else(|| missing(RowName::Head(log)))?;
        let previous = head.previous;
        if watermark.size > previous.size {
            let (signed, previous) = (watermark.size, previous.size);
            return Err(DropError::Signed { origin: origin(), signed, previous });
        }
        let levels = self.edge_levels(log, previous.size).map_err(|broken| broken.of(&row))?;
        let edge = edge_at(previous, levels).map_err(|fault| Broken::from(fault).of(&row))?;
        self.check_watermark(&row, &edge, watermark)?;

        // The time stays: a log's heads never go back in time, and that of a batch which nobody saw
        // is at most a moment later than the one before it.
        let kept = HeadRow { head: previous, previous, at: head.at };
        let mut batch = WriteBatch::default();
        self.delete_behind(&mut batch, log, previous.size)?;
        batch.put_cf(&engine.family(Family::Head), key::head(log), kept.encode());
        batch.delete_cf(&engine.family(Family::Meta), key::halt(log));
        state.write(engine, batch)?;
        state.heads.insert(log, kept);
        state.halted.remove(&log);
        Ok(Dropped { head: previous, size: head.head.size })
    }

    /// Adds the removal of all that belongs to entries behind a tree of this size.
    fn delete_behind(
        &self,
        batch: &mut WriteBatch,
        log: LogNumber,
        size: TreeSize,
    ) -> Result<(), StoreError> {
        let (engine, end) = (self.engine(), key::after(log));
        let entry = engine.family(Family::Entry);
        let from = key::segment(log, size.next_index());
        for (stored, _) in engine.scan(Family::Entry, &from, &end, usize::MAX)? {
            batch.delete_cf(&entry, stored);
        }
        let tile = engine.family(Family::Tile);
        let from = key::tiles_above(log, size);
        for (stored, _) in engine.scan(Family::Tile, &from, &end, usize::MAX)? {
            batch.delete_cf(&tile, stored);
        }
        let disclosure = engine.family(Family::Disclosure);
        let from = key::disclosures(log, size.next_index());
        for (stored, _) in engine.scan(Family::Disclosure, &from, &end, usize::MAX)? {
            batch.delete_cf(&disclosure, stored);
        }
        // What is remembered of sources counts events of the batch. It is learned again: a source
        // begins with the next number that it sends. What the log's creation wrote stays.
        let source = engine.family(Family::Source);
        let from = key::source_learned(log);
        for (stored, _) in engine.scan(Family::Source, &from, &end, usize::MAX)? {
            batch.delete_cf(&source, stored);
        }
        let identity = engine.family(Family::Identity);
        for row in self.identity_rows(log) {
            let (id, row) = row?;
            if !size.contains(row.index) {
                batch.delete_cf(&identity, id.as_bytes());
            }
        }
        Ok(())
    }
}
