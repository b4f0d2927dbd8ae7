//! Signed checkpoints of logs that have witnesses, and what an operator signed without them.
//!
//! Nothing of this is needed to recover a tree: heads are signed again from what was committed. The
//! rows are written in synced writes of their own, never with entries. What a power loss takes is the
//! newest of them, and an older one in its place is as good: each says what was signed at least.

use bytes::Bytes;
use rocksdb::WriteBatch;

use crate::core::number::{LeafIndex, LogNumber, TreeSize, UnixMillis};

use super::{
    Damage, RowName, Store, StoreError, key,
    options::Family,
    row::{decode_text, encode_text},
};

/// A signed checkpoint to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptNote {
    /// The log.
    pub log: LogNumber,
    /// The place that it takes.
    pub place: NotePlace,
    /// When it was put there.
    pub at: UnixMillis,
    /// The signed note.
    pub note: Bytes,
}

/// Where a signed checkpoint is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotePlace {
    /// As the newest one that witnesses were shown, instead of the one before it.
    Candidate,
    /// As the newest one with a quorum, instead of the one before it.
    Cosigned,
    /// For ever, under its size.
    ForEver(TreeSize),
}

impl Store {
    /// Writes signed checkpoints in one synced write.
    pub fn keep_notes(&self, notes: &[KeptNote]) -> Result<(), StoreError> {
        let engine = self.engine();
        let mut batch = WriteBatch::default();
        for KeptNote { log, place, at, note } in notes {
            let row = encode_text(*at, note);
            let meta = engine.family(Family::Meta);
            match place {
                NotePlace::Candidate => batch.put_cf(meta, key::candidate(*log), row),
                NotePlace::Cosigned => batch.put_cf(meta, key::cosigned(*log), row),
                NotePlace::ForEver(size) => batch.put_cf(meta, key::kept(*log, size.get()), row),
            }
        }
        self.shared.writer.write(engine, batch)
    }

    /// Returns the newest signed checkpoint that witnesses were shown.
    pub fn candidate_note(&self, log: LogNumber) -> Result<Option<Bytes>, StoreError> {
        self.note(log, &key::candidate(log))
    }

    /// Returns the newest signed checkpoint with a quorum.
    pub fn cosigned_note(&self, log: LogNumber) -> Result<Option<Bytes>, StoreError> {
        self.note(log, &key::cosigned(log))
    }

    fn note(&self, log: LogNumber, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let Some(row) = self.engine().get(Family::Meta, key)? else { return Ok(None) };
        Ok(Some(decode(log, &row)?.1))
    }

    /// Returns the first checkpoint that is kept for ever and covers an index.
    pub fn note_covering(
        &self,
        log: LogNumber,
        index: LeafIndex,
    ) -> Result<Option<Bytes>, StoreError> {
        let (from, to) = (key::kept(log, index.get() + 1), key::kept_end(log));
        let rows = self.engine().scan(Family::Meta, &from, &to, 0)?;
        let Some((_, row)) = rows.first() else { return Ok(None) };
        Ok(Some(decode(log, row)?.1))
    }

    /// Returns when the newest checkpoint that is kept for ever was kept, and its size.
    pub fn newest_kept(
        &self,
        log: LogNumber,
    ) -> Result<Option<(TreeSize, UnixMillis)>, StoreError> {
        let found = self.engine().last_up_to(Family::Meta, &key::kept(log, u64::MAX))?;
        let Some((stored, row)) = found else { return Ok(None) };
        let Some(size) = key::parse_kept(log, &stored).and_then(TreeSize::new) else {
            return Ok(None);
        };
        Ok(Some((size, decode(log, &row)?.0)))
    }

    /// Writes down, synced, that an operator lets a log sign though its witnesses were not heard.
    pub fn record_override(
        &self,
        log: LogNumber,
        at: UnixMillis,
        reason: &str,
    ) -> Result<(), StoreError> {
        let engine = self.engine();
        let mut batch = WriteBatch::default();
        let row = encode_text(at, reason.as_bytes());
        batch.put_cf(engine.family(Family::Meta), key::overridden(log, at.0), row);
        self.shared.writer.write(engine, batch)
    }

    /// Returns each time that an operator let a log sign though its witnesses were not heard.
    pub fn overrides(&self, log: LogNumber) -> Result<Vec<(UnixMillis, String)>, StoreError> {
        let (from, to) = (key::overridden(log, 0), key::overridden_end(log));
        let rows = self.engine().scan(Family::Meta, &from, &to, usize::MAX)?;
        let text = |row: &Bytes| {
            let (at, reason) = decode(log, row)?;
            Ok((at, String::from_utf8_lossy(&reason).into_owned()))
        };
        rows.iter().map(|(_, row)| text(row)).collect()
    }
}

/// Takes a stored row.
fn decode(log: LogNumber, row: &[u8]) -> Result<(UnixMillis, Bytes), StoreError> {
    let name = RowName::Checkpoint(log);
    let (at, bytes) = decode_text(row).map_err(|fault| Damage { row: name, fault })?;
    Ok((at, Bytes::copy_from_slice(bytes)))
}
