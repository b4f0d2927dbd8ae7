//! RocksDB as the key store uses it: one family, random keys, and synced writes.

use std::{
    fs::{self, File},
    path::Path,
};

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, WriteBatch, WriteOptions};

use super::{
    error::KeyError,
    row::{FORMAT, FORMAT_VERSION},
};
use crate::store::{
    EngineError, ForeignFormat, OpenError, StoreError, UNFINISHED_ENDING,
    engine::{self, Access},
    lock::Lock,
    options,
};

/// An open database of keys.
pub(super) struct KeyEngine {
    db: DB,
    /// Held as long as the database is open for writing.
    _lock: Option<Lock>,
    write_options: WriteOptions,
}

impl KeyEngine {
    /// Makes a database in a directory that must not exist, with the rows that it is filled with.
    pub(super) fn create(
        dir: &Path,
        fill: impl FnOnce(&Self) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let failed = |error| OpenError::Directory { dir: dir.to_owned(), error };
        if dir.exists() {
            return Err(OpenError::Exists { dir: dir.to_owned() }.into());
        }
        let mut made = dir.as_os_str().to_owned();
        made.push(UNFINISHED_ENDING);
        let made = Path::new(&made);
        if made.exists() {
            fs::remove_dir_all(made).map_err(failed)?;
        }
        engine::create_private(made)?;
        let engine = Self::open(made, Access::Create)?;
        fill(&engine)?;
        drop(engine);
        fs::rename(made, dir).map_err(failed)?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        Ok(File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?)
    }

    /// Opens the database, and checks its format version unless it is made.
    pub(super) fn open(dir: &Path, access: Access) -> Result<Self, OpenError> {
        let (db, lock) = engine::open_locked(dir, access, || {
            let mut options = options::keys();
            match access {
                Access::Create => {
                    options.create_if_missing(true);
                    options.set_error_if_exists(true);
                    DB::open(&options, dir)
                }
                Access::Write => DB::open(&options, dir),
                Access::Read => DB::open_for_read_only(&options, dir, false),
            }
        })?;
        let engine = Self { db, _lock: lock, write_options: options::write() };
        if access != Access::Create {
            engine.check_format(dir)?;
        }
        Ok(engine)
    }

    fn check_format(&self, dir: &Path) -> Result<(), OpenError> {
        let foreign = |version| OpenError::Foreign {
            dir: dir.to_owned(),
            found: ForeignFormat::Version(version),
            supported: FORMAT_VERSION,
        };
        let stored = self.get(&FORMAT)?.and_then(|row| row.try_into().ok());
        let version = stored.map_or(0, u32::from_be_bytes);
        if version == FORMAT_VERSION { Ok(()) } else { Err(foreign(version)) }
    }

    /// Returns the row of a key.
    pub(super) fn get(&self, stored: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(stored).map_err(engine::read_error)
    }

    /// Calls back with each row whose key begins with `start`, in the order of the keys.
    pub(super) fn each(
        &self,
        start: &[u8],
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let mut rows = self.db.raw_iterator();
        rows.seek(start);
        while let Some((stored, bytes)) = rows.item().filter(|(key, _)| key.starts_with(start)) {
            row(stored, bytes)?;
            rows.next();
        }
        Ok(rows.status().map_err(engine::read_error)?)
    }

    /// Writes a batch and syncs the WAL. An error means that it may or may not be there.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), EngineError> {
        Ok(self.db.write_opt(batch, &self.write_options)?)
    }

    /// Flushes what is in memory into synced files.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| StoreError::Write(error.into()))
    }

    /// Writes all files anew, so that none holds a row that was deleted or replaced; returns whether that
    /// was done.
    pub(super) fn purge(&self) -> Result<bool, StoreError> {
        let failed = |error: rocksdb::Error| StoreError::Write(error.into());
        self.flush()?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
        // Replaced files and WALs wait to be removed in the background; this does not return before they are.
        self.db.disable_file_deletions().map_err(failed)?;
        self.db.enable_file_deletions().map_err(failed)?;
        let files = self.db.live_files().map_err(failed)?;
        Ok(files.iter().all(|file| file.num_deletions == 0 && file.level > 0))
    }
}
