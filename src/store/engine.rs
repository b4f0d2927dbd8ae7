//! RocksDB as the store uses it: a few reads, and one kind of write.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use bytes::Bytes;
use rocksdb::{
    ColumnFamily, DB, DBPinnableSlice, ErrorKind, Options, ReadOptions, WriteBatch, WriteOptions,
};
use rustix::io::Errno;

use super::{
    error::{EngineError, ForeignFormat, OpenError, StoreError},
    lock::Lock,
    options::{self, FAMILY_UNUSED, Family, StoreConfig},
    tail,
};

/// Version of everything in the database that is not versioned by row.
pub(super) const FORMAT_VERSION: u32 = 1;

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Made, where there is none.
    Create,
    /// For reading and writing.
    Write,
    /// For reading; nothing in the directory changes.
    Read,
}

/// An open database.
pub(super) struct Engine {
    db: DB,
    /// The families that there are: all, unless an older store is only read.
    families: Vec<Family>,
    /// Held as long as the database is open for writing.
    _lock: Option<Lock>,
    write_options: WriteOptions,
    access: Access,
}

/// A row as it is stored.
pub(super) type Row = (Box<[u8]>, Bytes);

impl Engine {
    /// Opens the database in `dir`, or makes it.
    pub(super) fn open(
        dir: &Path,
        config: &StoreConfig,
        access: Access,
    ) -> Result<Self, OpenError> {
        let families = match access {
            Access::Create => {
                fs::create_dir_all(dir).map_err(|error| directory_error(dir, error))?;
                Family::ALL.to_vec()
            }
            Access::Write => {
                check_families(dir)?;
                Family::ALL.to_vec()
            }
            Access::Read => check_families(dir)?,
        };
        let open = || open_db(dir, config, &families, access);
        let (db, lock) = open_locked(dir, access, open)?;
        Ok(Self { db, families, _lock: lock, write_options: options::write(), access })
    }

    /// Returns whether rows can be written.
    pub(super) fn is_read_only(&self) -> bool {
        self.access == Access::Read
    }

    /// Returns the families that there are.
    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }

    /// Returns RocksDB's name for a family, which is there wherever something is written.
    pub(super) fn family(&self, family: Family) -> &ColumnFamily {
        self.find(family).expect("every family was opened")
    }

    /// Returns RocksDB's name for a family, if it is there.
    fn find(&self, family: Family) -> Option<&ColumnFamily> {
        self.db.cf_handle(family.name())
    }

    /// Returns the row of a key, without copying it out of RocksDB's memory.
    pub(super) fn get(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        let Some(family) = self.find(family) else { return Ok(None) };
        self.db.get_pinned_cf(family, key).map_err(read_error)
    }

    /// Returns the rows of several keys, in their order.
    pub(super) fn get_many<'k>(
        &self,
        family: Family,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Vec<Option<DBPinnableSlice<'_>>>, StoreError> {
        let rows = self.db.batched_multi_get_cf(self.family(family), keys, false);
        rows.into_iter().map(|row| row.map_err(read_error)).collect()
    }

    /// Returns the last row whose key is at or before `key`.
    pub(super) fn last_up_to(&self, family: Family, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let mut rows = self.db.raw_iterator_cf(self.family(family));
        rows.seek_for_prev(key);
        let found = rows.item().map(|(key, row)| (key.into(), Bytes::copy_from_slice(row)));
        rows.status().map_err(read_error)?;
        Ok(found)
    }

    /// Returns rows with keys in `[from, to)`, in order: all of them, or those that make
    /// `bytes_max`, and at least one.
    pub(super) fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut read = ReadOptions::default();
        read.set_iterate_upper_bound(to);
        // What is scanned is not read again soon and would push out indexes and filters.
        read.fill_cache(false);
        let Some(family) = self.find(family) else { return Ok(Vec::new()) };
        let mut rows = self.db.raw_iterator_cf_opt(family, read);
        let mut found = Vec::new();
        let mut bytes = 0;
        rows.seek(from);
        while let Some((key, row)) = rows.item() {
            found.push((key.into(), Bytes::copy_from_slice(row)));
            bytes += key.len() + row.len();
            if bytes >= bytes_max {
                break;
            }
            rows.next();
        }
        rows.status().map_err(read_error)?;
        Ok(found)
    }

    /// Writes a batch and syncs the WAL. An error means that it may or may not be there.
    ///
    /// Called by [`super::commit::Writer`] alone, which never calls it again after an error.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), EngineError> {
        Ok(self.db.write_opt(batch, &self.write_options)?)
    }

    /// Flushes the memtables of all families into synced files.
    pub(super) fn flush(&self) -> Result<(), EngineError> {
        let families = Family::ALL.map(|family| self.family(family));
        Ok(self.db.flush_cfs_opt(&families, &rocksdb::FlushOptions::default())?)
    }

    /// Returns the database, for what only one caller needs.
    pub(super) fn db(&self) -> &DB {
        &self.db
    }
}

/// Opens a database of this process alone, without what a crash left of a write that was never synced.
pub(super) fn open_locked(
    dir: &Path,
    access: Access,
    open: impl Fn() -> Result<DB, rocksdb::Error>,
) -> Result<(DB, Option<Lock>), OpenError> {
    let lock = if access == Access::Read { None } else { Some(lock(dir)?) };
    if access == Access::Write {
        drop_torn(dir, tail::drop_torn(dir, false))?;
    }
    let db = match open() {
        // What RocksDB takes for damage may be pages that a power loss left unwritten.
        Err(error) if access == Access::Write && error.kind() == ErrorKind::Corruption => {
            let wal = drop_torn(dir, tail::drop_torn(dir, true))?;
            let list = drop_torn(dir, tail::drop_torn_manifest(dir))?;
            if wal || list { open() } else { Err(error) }
        }
        opened => opened,
    };
    Ok((db.map_err(|error| open_error(dir, error))?, lock))
}

/// Makes a directory that only its owner can look into.
pub(super) fn create_private(dir: &Path) -> Result<(), OpenError> {
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(|error| directory_error(dir, error))
}

/// Locks the store against every other opening for writing, in this process too.
///
/// RocksDB has a lock of its own, which is this process's as a whole; it is not held yet when the
/// end of the WAL may have to be cut off.
fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(dir.join("store.lock"));
    let file = file.map_err(|error| directory_error(dir, error))?;
    Lock::take(file).map_err(|error| match error {
        Errno::WOULDBLOCK => OpenError::InUse { dir: dir.to_owned() },
        other => directory_error(dir, other.into()),
    })
}

/// Says what became of the last write; returns whether it was cut off.
fn drop_torn(dir: &Path, found: io::Result<tail::Found>) -> Result<bool, OpenError> {
    match found.map_err(|error| directory_error(dir, error))? {
        tail::Found::Whole => Ok(false),
        tail::Found::Cut(bytes) => {
            tracing::warn!(bytes, "a write that was never synced was cut off");
            Ok(true)
        }
        tail::Found::Damaged(file) => Err(OpenError::RecordDamaged { file }),
    }
}

/// Opens RocksDB.
fn open_db(
    dir: &Path,
    config: &StoreConfig,
    families: &[Family],
    access: Access,
) -> Result<DB, rocksdb::Error> {
    // A reader leaves no trace in the directory, and flushes nothing.
    let direct_io = access != Access::Read && options::takes_direct_io(dir);
    let (mut database, families) = options::open(config, families, direct_io);
    // A store that was made before there were records gets their families when it is first written.
    database.create_missing_column_families(access != Access::Read);
    match access {
        Access::Create => {
            database.create_if_missing(true);
            database.set_error_if_exists(true);
            DB::open_cf_descriptors(&database, dir, families)
        }
        Access::Write => DB::open_cf_descriptors(&database, dir, families),
        Access::Read => DB::open_cf_descriptors_read_only(&database, dir, families, false),
    }
}

/// Wraps the error of a read.
pub(super) fn read_error(error: rocksdb::Error) -> StoreError {
    StoreError::Read(error.into())
}

/// Checks that there is a database of our families in `dir`; returns those that it has.
fn check_families(dir: &Path) -> Result<Vec<Family>, OpenError> {
    // RocksDB reports a directory without a database as an I/O error, like a failing disk.
    if !dir.join("CURRENT").is_file() {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    let mut found =
        DB::list_cf(&Options::default(), dir).map_err(|error| open_error(dir, error))?;
    found.retain(|name| name != FAMILY_UNUSED);
    let is_there = |family: &Family| found.iter().any(|name| name == family.name());
    let families: Vec<Family> = Family::ALL.into_iter().filter(is_there).collect();
    let required = Family::ALL.iter().filter(|family| family.is_in_every_store());
    let lacks = required.into_iter().any(|family| !families.contains(family));
    if lacks || families.len() != found.len() {
        return Err(OpenError::Foreign {
            dir: dir.to_owned(),
            found: ForeignFormat::Families(found),
            supported: FORMAT_VERSION,
        });
    }
    Ok(families)
}

/// Wraps an error of the directory.
fn directory_error(dir: &Path, error: io::Error) -> OpenError {
    OpenError::Directory { dir: dir.to_owned(), error }
}

/// Sorts RocksDB's errors on open by what the operator must do.
fn open_error(dir: &Path, error: rocksdb::Error) -> OpenError {
    let dir = dir.to_owned();
    let message: &str = error.as_ref();
    // The lock file is the only one whose name ends so.
    let lock = message.contains("/LOCK");
    match error.kind() {
        ErrorKind::IOError if lock => OpenError::InUse { dir },
        ErrorKind::Corruption => OpenError::Damaged { dir, error: error.into() },
        ErrorKind::InvalidArgument if message.contains("error_if_exists") => {
            OpenError::Exists { dir }
        }
        _ => OpenError::Engine { dir, error: error.into() },
    }
}
