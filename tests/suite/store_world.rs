//! A log that a test grows straight in a store, without a write path, and ways to damage it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attestree::{
    core::{
        hash::TreeHash,
        note::{KeyName, SigningKey},
        number::{LogNumber, TreeSize, UnixMillis},
        origin::Origin,
        tree::{Edge, TreeHead},
    },
    store::{
        Durable, IdentityKey, IdentityRow, LogIdentity, LogKind, LogRow, LogRows, LogState, Store,
        StoreConfig,
    },
};
use rocksdb::{ColumnFamilyDescriptor, DB, Options, WriteOptions};
use tempfile::TempDir;

use crate::held;

/// The column families of a database.
pub const FAMILIES: [&str; 7] =
    ["meta", "head", "entry", "tile", "identity", "disclosure", "source"];

/// A store with one log, and the edge of that log as it grew in memory.
pub struct Shelf {
    root: TempDir,
    store: Option<Store>,
    pub log: LogNumber,
    pub edge: Edge,
    at: u64,
}

impl Shelf {
    /// Makes a store with one log without entries.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store =
            held::open(|| Store::init(&root.path().join("db"), &StoreConfig::default())).unwrap();
        let log = LogNumber(0);
        store.create_log(&log_row(log)).unwrap();
        Self { root, store: Some(store), log, edge: Edge::empty(), at: 1_000 }
    }

    /// Makes a store whose log was grown to `size` in batches of at most `batch` entries.
    pub fn grown(size: u64, batch: u64) -> Self {
        let mut shelf = Self::new();
        shelf.grow(size, batch);
        shelf
    }

    /// The open store.
    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// The database's directory.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("db")
    }

    /// A path beside the database.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Grows the log to `size` in batches of at most `batch` entries.
    pub fn grow(&mut self, size: u64, batch: u64) {
        while self.size() < size {
            let to = size.min(self.size() + batch);
            self.append(&(self.size()..to).map(entry).collect::<Vec<_>>());
        }
    }

    /// Commits one batch.
    pub fn append(&mut self, entries: &[Vec<u8>]) -> Durable {
        let (rows, edge) = self.rows(entries);
        let durable = self.store().commit(&[&rows]).unwrap();
        self.edge = edge;
        durable[0]
    }

    /// Encodes one batch, with an identity for each entry; returns the edge after it too.
    pub fn rows(&mut self, entries: &[Vec<u8>]) -> (LogRows, Edge) {
        self.at += 1;
        let leaves: Vec<_> = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
        let previous = self.edge.head();
        let identities = leaves.iter().enumerate().map(|(offset, leaf)| {
            let index = previous.size.get() + offset as u64;
            let index = attestree::core::number::LeafIndex::new(index).unwrap();
            (IdentityKey::entry_hash(self.log, leaf), IdentityRow { index, tag: *leaf })
        });
        let identities = identities.collect();
        let integration = self.edge.append(&leaves);
        let bytes = entries.iter().map(Vec::as_slice);
        let at = UnixMillis(self.at);
        let rows = LogRows::encode(self.log, at, previous, bytes, &integration, identities);
        (rows, integration.edge)
    }

    /// The size of the log in memory.
    pub fn size(&self) -> u64 {
        self.edge.size().get()
    }

    /// The head of the log in memory.
    pub fn head(&self) -> TreeHead {
        self.edge.head()
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store = None;
        self.store =
            Some(held::open(|| Store::open(&self.dir(), &StoreConfig::default())).unwrap());
    }

    /// Closes the store, changes its rows through RocksDB itself, with valid checksums, and opens it
    /// again if that is possible.
    pub fn tamper(&mut self, change: impl FnOnce(&DB)) -> Result<(), attestree::store::OpenError> {
        self.store = None;
        let db = raw(&self.dir());
        change(&db);
        drop(db);
        self.store = Some(Store::open(&self.dir(), &StoreConfig::default())?);
        Ok(())
    }

    /// Copies the files of the open store, as a crash of the process at this moment leaves them.
    pub fn crashed(&self, name: &str) -> PathBuf {
        let copy = self.beside(name);
        copy_files(&self.dir(), &copy);
        copy
    }

    /// Takes the database apart: closes the store and returns its directory with the files' owner.
    pub fn close(mut self) -> (PathBuf, TempDir) {
        self.store = None;
        (self.dir(), self.root)
    }
}

/// The entry at an index: of any length from 1 to 96 bytes, and unlike its neighbours.
pub fn entry(index: u64) -> Vec<u8> {
    let mut bytes = index.to_be_bytes().to_vec();
    bytes.resize(8 + usize::try_from(index * 31 % 88).unwrap(), bytes[7]);
    if index % 97 == 5 { vec![bytes[7]] } else { bytes }
}

/// The row of a test log.
pub fn log_row(number: LogNumber) -> LogRow {
    let origin = format!("log.example/{number}");
    let key = SigningKey::from_seed(KeyName::parse(&origin).unwrap(), &[7; 32]);
    LogRow {
        number,
        origin: Origin::parse(&origin).unwrap(),
        kind: LogKind::Opaque,
        state: LogState::Open,
        identity: LogIdentity::None,
        vkeys: vec![key.verifier_key().clone()],
        created: UnixMillis(1_780_000_000_000),
    }
}

/// Opens a database past the store.
pub fn raw(dir: &Path) -> DB {
    let families =
        FAMILIES.iter().map(|name| ColumnFamilyDescriptor::new(*name, Options::default()));
    DB::open_cf_descriptors(&Options::default(), dir, families).unwrap()
}

/// Puts a row past the store.
pub fn put(db: &DB, family: &str, key: &[u8], row: &[u8]) {
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.put_cf_opt(db.cf_handle(family).unwrap(), key, row, &synced).unwrap();
}

/// Reads all rows of a family past the store.
pub fn rows(db: &DB, family: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = db.iterator_cf(db.cf_handle(family).unwrap(), rocksdb::IteratorMode::Start);
    all.map(Result::unwrap).map(|(key, row)| (key.into(), row.into())).collect()
}

/// Copies the files of a directory without subdirectories.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The files of a directory with this ending, oldest first.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

/// A size from a number.
pub fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}
