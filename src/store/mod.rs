//! The store: every entry, tile, head and identity of every log of one server, in RocksDB.
//!
//! # Invariants
//!
//! - One synced write holds everything of one batch: segments, tiles, identities and heads, so that
//!   a crash leaves all of it or nothing.
//! - Each written head follows the head before it. [`Durable`], the proof of a synced head, is made
//!   by [`Store::commit`] and [`Store::recover`] alone.
//! - After a failed or uncertain write nothing is written any more: the store is poisoned, and a
//!   sync is never tried again. Only opening it afresh tells what the disk holds.
//! - Only full tiles are stored. The right edge is rebuilt from at most 255 entries and 255 tiles
//!   a tile level, so that [`Store::recover`] costs the same for every tree size.
//! - A segment holds entries of one batch and lies inside one entry bundle, `[256 n, 256 (n + 1))`.
//!
//! # Formats
//!
//! Keys and rows are described where they are encoded: `key` and `row` for keys and log
//! rows, [`crate::core::bundle`] for segments, [`crate::core::tree::Tile`] for tiles, `identity`
//! for identities, `watermark` for the file outside the database.
//!
//! # Out of scope
//!
//! - What to write, and when: `crate::pipeline`.
//! - Signing: nothing in here knows a key.

mod bare;
mod checkpoint;
mod commit;
mod disclosure;
mod encode;
mod engine;
mod error;
mod identity;
mod key;
pub mod keys;
mod lock;
mod options;
mod read;
mod reader;
mod recover;
mod row;
mod source;
mod space;
mod tail;
mod unsigned;
mod watermark;

pub use bare::Bare;
pub use checkpoint::{KeptNote, NotePlace};
pub use commit::Durable;
pub use disclosure::Disclosures;
pub use encode::{Extra, LogRows};
pub use error::{
    Damage, EngineError, Fault, ForeignFormat, Inconsistency, OpenError, RecoverError, RowName,
    StoreError,
};
pub use identity::{IdentityKey, IdentityRow};
pub use lock::Lock;
pub use options::StoreConfig;
pub use read::{Entry, Identities, Segments, Tiles};
pub use reader::{LogReader, TileReader};
pub use recover::Recovered;
pub use row::{HeadRow, LogIdentity, LogKind, LogRow, LogState};
pub use source::SourceKey;
pub use space::free_space;
pub use unsigned::{DropError, Dropped};
pub use watermark::{Mark, Watermark, WatermarkError};

use core::fmt;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use rocksdb::WriteBatch;

use crate::core::number::LogNumber;

use commit::Writer;
use engine::{Access, Engine, FORMAT_VERSION};
use options::Family;

/// Most bytes that one step of a scan holds in memory.
const SCAN_BYTES_MAX: usize = 1 << 20;

/// What is appended to a store's name while it is made.
const UNFINISHED_ENDING: &str = ".new";

/// The open store. A clone is another handle on the same one.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What the handles share.
struct Shared {
    engine: Engine,
    writer: Writer,
    dir: PathBuf,
}

/// Sizes of what the store holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Files of sorted rows, over all column families.
    pub table_bytes: u64,
    /// Rows that are not flushed yet, over all column families.
    pub memtable_bytes: u64,
    /// Blocks, indexes and filters in memory.
    pub block_cache_bytes: u64,
    /// Files at the first level of all families, which wait to be moved or merged.
    pub level_zero_files: u64,
}

impl Store {
    /// Makes an empty store in `dir`, which must not exist or be empty; its parent must exist.
    ///
    /// When this returns the store and its directory entry are durable. It is made under another
    /// name, so that `dir` holds a whole store or none whenever this is interrupted, and what an
    /// interrupted call left is made anew.
    pub fn init(dir: &Path, config: &StoreConfig) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Directory { dir: dir.to_owned(), error };
        if dir.join("CURRENT").exists() {
            return Err(OpenError::Exists { dir: dir.to_owned() });
        }
        let mut made = dir.as_os_str().to_owned();
        made.push(UNFINISHED_ENDING);
        let made = Path::new(&made);
        if made.exists() {
            fs::remove_dir_all(made).map_err(failed)?;
        }
        let store = Self::assemble(Engine::open(made, config, Access::Create)?, made)?;
        let mut batch = WriteBatch::default();
        let meta = store.engine().family(Family::Meta);
        batch.put_cf(&meta, key::FORMAT, FORMAT_VERSION.to_be_bytes());
        store.shared.writer.write(store.engine(), batch)?;
        drop(store);
        // RocksDB syncs its files and its directory; that the directory itself survives is ours.
        fs::rename(made, dir).map_err(failed)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        Self::open(dir, config)
    }

    /// Opens the store in `dir` for reading and writing.
    ///
    /// Rows that were only in the WAL are in new, synced files when this returns: what a crashed
    /// process left in the page cache is durable before anything that rests on it is signed.
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<Self, OpenError> {
        let store = Self::open_checked(dir, config, Access::Write)?;
        store.flush()?;
        Ok(store)
    }

    /// Opens the store in `dir` for reading: for the check of a copy. Nothing in `dir` changes.
    pub fn open_read_only(dir: &Path, config: &StoreConfig) -> Result<Self, OpenError> {
        Self::open_checked(dir, config, Access::Read)
    }

    /// Opens the store and checks its format version.
    fn open_checked(dir: &Path, config: &StoreConfig, access: Access) -> Result<Self, OpenError> {
        let engine = Engine::open(dir, config, access)?;
        let version = format_version(&engine)?;
        if version != FORMAT_VERSION {
            return Err(OpenError::Foreign {
                dir: dir.to_owned(),
                found: ForeignFormat::Version(version),
                supported: FORMAT_VERSION,
            });
        }
        Self::assemble(engine, dir)
    }

    /// Puts the store together around an open database.
    fn assemble(engine: Engine, dir: &Path) -> Result<Self, OpenError> {
        let writer = Writer::load(&engine)?;
        Ok(Self { shared: Arc::new(Shared { engine, writer, dir: dir.to_owned() }) })
    }

    /// Returns the database.
    fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Returns the directory of the database.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Returns the rows of all logs, by number.
    pub fn logs(&self) -> Result<Vec<LogRow>, StoreError> {
        let (from, to) = ([key::LOG_KIND], [key::LOG_KIND + 1]);
        let rows = self.engine().scan(Family::Meta, &from, &to, usize::MAX)?;
        let decode = |(stored, row): (Box<[u8]>, bytes::Bytes)| {
            let number = key::parse_log(key::LOG_KIND, &stored);
            let number = number.ok_or(Damage { row: RowName::Format, fault: Fault::Content })?;
            let name = RowName::Log(number);
            Ok(LogRow::decode(number, &row).map_err(|fault| Damage { row: name, fault })?)
        };
        rows.into_iter().map(decode).collect()
    }

    /// Returns the row of one log.
    pub fn log(&self, log: LogNumber) -> Result<Option<LogRow>, StoreError> {
        let Some(row) = self.engine().get(Family::Meta, &key::log(log))? else { return Ok(None) };
        let decoded = LogRow::decode(log, &row);
        Ok(Some(decoded.map_err(|fault| Damage { row: RowName::Log(log), fault })?))
    }

    /// Returns the head row of a log. A log that exists has one, also without entries.
    pub fn head(&self, log: LogNumber) -> Result<Option<HeadRow>, StoreError> {
        let Some(row) = self.engine().get(Family::Head, &key::head(log))? else { return Ok(None) };
        let decoded = HeadRow::decode(&row);
        Ok(Some(decoded.map_err(|fault| Damage { row: RowName::Head(log), fault })?))
    }

    /// Copies the store as it is at one moment to `dest`, while it is read and written.
    ///
    /// On the same file system files of sorted rows are linked, not copied. Watermark and keys lie
    /// elsewhere and are no part of it.
    pub fn backup(&self, dest: &Path) -> Result<(), StoreError> {
        if dest.exists() {
            return Err(StoreError::DestinationExists { dest: dest.to_owned() });
        }
        rocksdb::checkpoint::Checkpoint::new(self.engine().db())
            .and_then(|checkpoint| checkpoint.create_checkpoint(dest))
            .map_err(|error| StoreError::Backup { dest: dest.to_owned(), error: error.into() })
    }

    /// Flushes what is in memory into synced files, so that the next open has no WAL to read.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.writer.flush(self.engine())
    }

    /// Returns sizes, for metrics. Costs a few microseconds.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let engine = self.engine();
        let sum = |property: &str| {
            let values = engine.families().iter().map(|family| {
                let value = engine.db().property_int_value_cf(engine.family(*family), property);
                value.map(Option::unwrap_or_default).map_err(engine::read_error)
            });
            values.sum::<Result<u64, _>>()
        };
        let level_zero_files = engine.families().iter().map(|family| {
            let property = "rocksdb.num-files-at-level0";
            let value = engine.db().property_value_cf(engine.family(*family), property);
            let value = value.map_err(engine::read_error)?;
            Ok::<u64, StoreError>(value.and_then(|files| files.parse().ok()).unwrap_or_default())
        });
        let cache = engine
            .db()
            .property_int_value_cf(engine.family(Family::Entry), "rocksdb.block-cache-usage");
        Ok(StoreStats {
            table_bytes: sum("rocksdb.total-sst-files-size")?,
            memtable_bytes: sum("rocksdb.cur-size-all-mem-tables")?,
            block_cache_bytes: cache.map_err(engine::read_error)?.unwrap_or_default(),
            level_zero_files: level_zero_files.sum::<Result<u64, _>>()?,
        })
    }
}

/// Reads the format version.
fn format_version(engine: &Engine) -> Result<u32, StoreError> {
    let damaged = |fault| StoreError::from(Damage { row: RowName::Format, fault });
    let row = engine.get(Family::Meta, &key::FORMAT)?.ok_or_else(|| damaged(Fault::Missing))?;
    let version = row.as_ref().try_into();
    Ok(u32::from_be_bytes(version.map_err(|_wrong_length| damaged(Fault::Content))?))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}
