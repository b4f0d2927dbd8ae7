//! The one writer: what it writes is synced, and after a failure it never writes again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use rocksdb::WriteBatch;

use crate::core::number::LogNumber;

use super::{
    Damage, Fault, RowName, Store, StoreError,
    encode::{Extra, LogRows},
    engine::Engine,
    error::EngineError,
    key,
    options::Family,
    row::{HeadRow, LogRow, LogState, encode_halt},
};

/// Proof that the head of a log, and everything below it, is durable.
///
/// Made by [`Store::commit`] after its synced write and by [`Store::recover`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    log: LogNumber,
    row: HeadRow,
}

impl Durable {
    /// States that a head row was read from, or written to, synced files.
    pub(super) const fn new(log: LogNumber, row: HeadRow) -> Self {
        Self { log, row }
    }

    /// Returns the log.
    pub const fn log(&self) -> LogNumber {
        self.log
    }

    /// Returns its head row.
    pub const fn row(&self) -> &HeadRow {
        &self.row
    }
}

/// What the next write has to follow.
///
/// # Invariants
///
/// - `heads` holds the stored head row of each log, `halted` the logs with a halt marker.
/// - While `poisoned`, nothing is written; it never becomes false again.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) heads: BTreeMap<LogNumber, HeadRow>,
    pub(super) halted: BTreeSet<LogNumber>,
    poisoned: bool,
}

/// Writes, one batch after another.
#[derive(Debug)]
pub(super) struct Writer(Mutex<State>);

impl Writer {
    /// Reads what the next write has to follow.
    pub(super) fn load(engine: &Engine) -> Result<Self, StoreError> {
        let mut state = State::default();
        for (stored, row) in engine.scan(Family::Head, &[], &[0xff; 5], usize::MAX)? {
            let log = key::parse_head(&stored);
            let log = log.ok_or(Damage { row: RowName::Format, fault: Fault::Content })?;
            let row = HeadRow::decode(&row);
            let row = row.map_err(|fault| Damage { row: RowName::Head(log), fault })?;
            state.heads.insert(log, row);
        }
        let (from, to) = ([key::HALT_KIND], [key::HALT_KIND + 1]);
        for (stored, _) in engine.scan(Family::Meta, &from, &to, usize::MAX)? {
            let log = key::parse_log(key::HALT_KIND, &stored);
            let log = log.ok_or(Damage { row: RowName::Format, fault: Fault::Content })?;
            state.halted.insert(log);
        }
        Ok(Self(Mutex::new(state)))
    }

    /// Takes the writer's turn, unless the store is poisoned or read-only.
    ///
    /// A thread that panicked in its turn may have left a write behind, so that poisons as well.
    pub(super) fn turn(&self, engine: &Engine) -> Result<MutexGuard<'_, State>, StoreError> {
        if engine.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        match self.0.lock() {
            Ok(state) if !state.poisoned => Ok(state),
            Ok(_) | Err(_) => Err(StoreError::Poisoned),
        }
    }

    /// Writes a batch of rows that have nothing to follow.
    pub(super) fn write(&self, engine: &Engine, batch: WriteBatch) -> Result<(), StoreError> {
        let mut state = self.turn(engine)?;
        state.write(engine, batch)
    }

    /// Flushes all families.
    pub(super) fn flush(&self, engine: &Engine) -> Result<(), StoreError> {
        let mut state = self.turn(engine)?;
        engine.flush().map_err(|error| state.poison(error))
    }
}

impl State {
    /// Writes a batch and syncs it. A failure poisons the store.
    pub(super) fn write(&mut self, engine: &Engine, batch: WriteBatch) -> Result<(), StoreError> {
        engine.write(batch).map_err(|error| self.poison(error))
    }

    /// Poisons the store: whether the failed write is on disk can't be known, and a sync that is
    /// tried again may report success for pages that the kernel has dropped.
    fn poison(&mut self, error: EngineError) -> StoreError {
        self.poisoned = true;
        StoreError::Write(error)
    }

    /// Checks that rows follow the stored head of a log that may be written.
    fn check_follows(&self, rows: &LogRows) -> Result<(), StoreError> {
        let log = rows.log;
        let stored = self.heads.get(&log).ok_or(StoreError::LogUnknown { log })?.head;
        if self.halted.contains(&log) {
            return Err(StoreError::LogHalted { log });
        }
        let previous = rows.head.previous;
        if previous != stored || rows.from != stored.size.next_index() {
            return Err(StoreError::HeadStale { log, previous, stored });
        }
        Ok(())
    }
}

impl Store {
    /// Writes the rows of several logs in one synced write: all of them or none.
    ///
    /// [`StoreError::Write`] means that they may or may not be there and poisons the store; every
    /// other error means that nothing was written.
    pub fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError> {
        let engine = self.engine();
        let bytes = rows.iter().map(|rows| rows.encoded_bytes()).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        rows.iter().for_each(|rows| put_rows(engine, &mut batch, rows));

        let mut state = self.shared.writer.turn(engine)?;
        for rows in rows {
            state.check_follows(rows)?;
        }
        state.write(engine, batch)?;
        state.heads.extend(rows.iter().map(|rows| (rows.log, rows.head)));
        Ok(rows.iter().map(|rows| Durable::new(rows.log, rows.head)).collect())
    }

    /// Makes a log without entries, synced.
    pub fn create_log(&self, row: &LogRow) -> Result<(), StoreError> {
        self.create_log_with(row, &[])
    }

    /// Makes a log without entries, and rows that lie beside it, in one synced write.
    pub fn create_log_with(
        &self,
        row: &LogRow,
        extra: &[(Extra, Vec<u8>, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let (engine, log) = (self.engine(), row.number);
        let mut state = self.shared.writer.turn(engine)?;
        if state.heads.contains_key(&log) || self.log(log)?.is_some() {
            return Err(StoreError::LogExists { log });
        }
        // The head of the empty tree is written too, so that a head that is lost later can't pass
        // for a log that has no entries yet.
        let head = HeadRow::empty(row.created);
        let mut batch = WriteBatch::default();
        batch.put_cf(&engine.family(Family::Meta), key::log(log), row.encode());
        batch.put_cf(&engine.family(Family::Head), key::head(log), head.encode());
        put_extra(engine, &mut batch, extra);
        state.write(engine, batch)?;
        state.heads.insert(log, head);
        Ok(())
    }

    /// Opens or closes a log, synced. What is stored of it stays.
    pub fn set_log_state(&self, log: LogNumber, log_state: LogState) -> Result<(), StoreError> {
        let engine = self.engine();
        let mut state = self.shared.writer.turn(engine)?;
        let mut row = self.log(log)?.ok_or(StoreError::LogUnknown { log })?;
        row.state = log_state;
        let mut batch = WriteBatch::default();
        batch.put_cf(&engine.family(Family::Meta), key::log(log), row.encode());
        state.write(engine, batch)
    }

    /// Marks a log as halted, synced, so that its last batch is not signed by any later start.
    pub fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError> {
        let engine = self.engine();
        let mut state = self.shared.writer.turn(engine)?;
        if !state.heads.contains_key(&log) {
            return Err(StoreError::LogUnknown { log });
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(&engine.family(Family::Meta), key::halt(log), encode_halt(reason));
        state.write(engine, batch)?;
        state.halted.insert(log);
        Ok(())
    }
}

/// Adds the rows of one log to a write.
fn put_rows(engine: &Engine, batch: &mut WriteBatch, rows: &LogRows) {
    let log = rows.log;
    let entry = engine.family(Family::Entry);
    for (from, segment) in &rows.segments {
        batch.put_cf(&entry, key::segment(log, *from), segment);
    }
    let tile = engine.family(Family::Tile);
    for (id, bytes) in &rows.tiles {
        batch.put_cf(&tile, key::tile(log, *id), bytes);
    }
    let identity = engine.family(Family::Identity);
    for (id, row) in &rows.identities {
        batch.put_cf(&identity, id.as_bytes(), row.encode());
    }
    put_extra(engine, batch, &rows.extra);
    batch.put_cf(&engine.family(Family::Head), key::head(log), rows.head.encode());
}

/// Adds rows that lie beside a log to a write.
fn put_extra(engine: &Engine, batch: &mut WriteBatch, rows: &[(Extra, Vec<u8>, Vec<u8>)]) {
    for (extra, key, row) in rows {
        let family = match extra {
            Extra::Disclosure => Family::Disclosure,
            Extra::Source => Family::Source,
        };
        batch.put_cf(&engine.family(family), key, row);
    }
}
