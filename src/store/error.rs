//! What can go wrong with the store, sorted by what the caller must do next.

use core::fmt;
use std::path::PathBuf;

use crate::core::{
    number::{LeafIndex, LogNumber, TreeSize},
    tree::{TileId, TreeHead},
};

/// What RocksDB or the file system below it reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError(rocksdb::Error);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for EngineError {}

impl From<rocksdb::Error> for EngineError {
    fn from(error: rocksdb::Error) -> Self {
        Self(error)
    }
}

/// Why the store could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An earlier write failed, so nothing is written any more.
    #[error(
        "an earlier write failed and what it left is unknown; restart the server, which reads it from disk"
    )]
    Poisoned,
    /// The write may or may not have happened. The store is poisoned.
    #[error("a write failed and may or may not be on disk: {0}")]
    Write(#[source] EngineError),
    /// A row could not be read.
    #[error("a read failed: {0}")]
    Read(#[source] EngineError),
    /// A row does not hold what it must. Nothing was changed.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// No such log. Nothing was changed.
    #[error("there is no log {log} in this store")]
    LogUnknown {
        /// The number that was asked for.
        log: LogNumber,
    },
    /// A log with this number exists already. Nothing was changed.
    #[error("there is a log {log} in this store already")]
    LogExists {
        /// The number that was to be created.
        log: LogNumber,
    },
    /// The log carries a halt marker. Nothing was changed.
    #[error("log {log} is halted; see `attestree drop-unsigned`")]
    LogHalted {
        /// The log.
        log: LogNumber,
    },
    /// The rows do not follow the head that is stored. Nothing was changed.
    #[error("the rows of log {log} follow size {}, but its head has size {}", .previous.size, .stored.size)]
    HeadStale {
        /// The log.
        log: LogNumber,
        /// The head that the rows follow.
        previous: TreeHead,
        /// The head that is stored.
        stored: TreeHead,
    },
    /// The store was opened for reading only. Nothing was changed.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// The copy's directory exists already. Nothing was changed.
    #[error("{} exists already; name a directory that does not exist yet", .dest.display())]
    DestinationExists {
        /// Where the copy should go.
        dest: PathBuf,
    },
    /// The copy could not be made.
    #[error("copy the database to {}: {error}", .dest.display())]
    Backup {
        /// Where the copy should go.
        dest: PathBuf,
        /// What was reported.
        #[source]
        error: EngineError,
    },
}

/// A stored row, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowName {
    /// The format version.
    Format,
    /// A log's description.
    Log(LogNumber),
    /// A log's halt marker.
    Halt(LogNumber),
    /// A log's head.
    Head(LogNumber),
    /// A signed checkpoint of a log, or what its operator signed without witnesses.
    Checkpoint(LogNumber),
    /// The segment with or from this entry.
    Segment(LogNumber, LeafIndex),
    /// A tile.
    Tile(LogNumber, TileId),
    /// One of a log's identities.
    Identity(LogNumber),
    /// Something that is remembered of a log's sources.
    Source(LogNumber),
    /// A row of the key store.
    Key,
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("the format version"),
            Self::Log(log) => write!(f, "the row of log {log}"),
            Self::Halt(log) => write!(f, "the halt marker of log {log}"),
            Self::Head(log) => write!(f, "the head of log {log}"),
            Self::Checkpoint(log) => write!(f, "a kept checkpoint of log {log}"),
            Self::Segment(log, index) => write!(f, "the segment of log {log} at entry {index}"),
            Self::Tile(log, id) => {
                write!(f, "tile {} of level {} of log {log}", id.index, id.level)
            }
            Self::Identity(log) => write!(f, "an identity of log {log}"),
            Self::Source(log) => write!(f, "what is remembered of the sources of log {log}"),
            Self::Key => f.write_str("a row of the key store"),
        }
    }
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// Its encoding has a version that this program does not know.
    #[error("its version {version} is unknown to this program")]
    Version {
        /// The version found.
        version: u8,
    },
    /// It is too long or too short.
    #[error("its length is wrong: {bytes} bytes are left where they should not be, or are too few")]
    Length {
        /// The bytes that are left.
        bytes: usize,
    },
    /// Its bytes are not those that were summed up when it was made.
    #[error("its sum is wrong")]
    Sum,
    /// A field has a value that is never written.
    #[error("it holds a value that is never written")]
    Content,
}

/// A row that does not hold what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{row} is damaged: {fault}; restore a good copy of the data")]
pub struct Damage {
    /// The row.
    pub row: RowName,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Why a store is not opened or not made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no database. A lost disk must not become an empty log under an old key.
    #[error("there is no database in {}; create one with `attestree init`, or put the right directory back", .dir.display())]
    Missing {
        /// Where it should be.
        dir: PathBuf,
    },
    /// There is a database already.
    #[error("there is a database in {} already; choose another directory", .dir.display())]
    Exists {
        /// Where it is.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("the database in {} is in use by another process; stop that one first", .dir.display())]
    InUse {
        /// Where it is.
        dir: PathBuf,
    },
    /// Another version of this program made it.
    #[error("the database in {} is not of format {supported}: {found}; use the program that wrote it", .dir.display())]
    Foreign {
        /// Where it is.
        dir: PathBuf,
        /// What was found.
        found: ForeignFormat,
        /// The format that this program reads and writes.
        supported: u32,
    },
    /// RocksDB refuses it.
    #[error("the database in {} is damaged and was not opened: {error}; restore a good copy of the data", .dir.display())]
    Damaged {
        /// Where it is.
        dir: PathBuf,
        /// What was reported.
        #[source]
        error: EngineError,
    },
    /// A write that others follow is not whole.
    #[error("{} is damaged before its end: what was acknowledged is missing; restore a good copy of the data", .file.display())]
    RecordDamaged {
        /// The file.
        file: PathBuf,
    },
    /// The directory or a file in it can't be used.
    #[error("open the database in {}: {error}", .dir.display())]
    Engine {
        /// Where it is.
        dir: PathBuf,
        /// What was reported.
        #[source]
        error: EngineError,
    },
    /// The directory itself can't be used.
    #[error("use the directory {}: {error}", .dir.display())]
    Directory {
        /// Where it is.
        dir: PathBuf,
        /// What was reported.
        #[source]
        error: std::io::Error,
    },
    /// A row can't be read or does not hold what it must.
    #[error("read the database: {0}")]
    Store(#[from] StoreError),
}

/// How a format is known to be another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignFormat {
    /// It says so.
    Version(u32),
    /// It has other column families.
    Families(Vec<String>),
}

impl fmt::Display for ForeignFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "it says format {version}"),
            Self::Families(names) => write!(f, "its column families are {}", names.join(", ")),
        }
    }
}

/// The part of a message on lost entries that says what to do.
const WAY_OUT: &str = "bring back a newer copy of the data, or load the missing tail from a copy of \
    the tiles that reaches exactly that root (`attestree restore-tail`); failing both, close this log and \
    open another origin";

/// Why a log is not taken up again. Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A row can't be read or does not hold what it must.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log carries a halt marker.
    #[error(
        "log {origin} was halted: {reason}. Its last batch was not signed; find out which hardware or \
         software failed, then remove that batch with `attestree drop-unsigned`"
    )]
    Halted {
        /// The log's origin.
        origin: String,
        /// Why it was halted.
        reason: String,
    },
    /// The data is older than what was signed.
    #[error(
        "log {origin} has {stored} entries, but size {signed} was signed: the data is an older copy, \
         and signing it would make a second history; {WAY_OUT}"
    )]
    RollbackDetected {
        /// The log's origin.
        origin: String,
        /// Size of the stored tree.
        stored: TreeSize,
        /// Size of the watermark.
        signed: TreeSize,
    },
    /// The data is another history than what was signed.
    #[error(
        "log {origin} at size {} has root {}, but root {} was signed: the data is another history; {WAY_OUT}",
        .stored.size, .stored.root, .signed.root
    )]
    Diverged {
        /// The log's origin.
        origin: String,
        /// The stored tree at the size of the watermark.
        stored: TreeHead,
        /// The watermark.
        signed: TreeHead,
    },
    /// Stored rows contradict each other.
    #[error(
        "log {origin} does not hold together: {fault}; restore a good copy of the data, and check it with `attestree fsck`"
    )]
    Inconsistent {
        /// The log's origin.
        origin: String,
        /// Where.
        fault: Inconsistency,
    },
}

/// Where stored rows contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// The right edge before the last batch has another root than the head row says.
    #[error("its tiles have root {} at size {}, its head row says {}", .computed.root, .stored.size, .stored.root)]
    Edge {
        /// The head before the last batch, as stored.
        stored: TreeHead,
        /// What the tiles and entries give.
        computed: TreeHead,
    },
    /// The last batch leads to another head than the head row says.
    #[error("its last batch leads to size {} with root {}, its head row says size {} with root {}",
        .computed.size, .computed.root, .stored.size, .stored.root)]
    Batch {
        /// The head after the last batch, as stored.
        stored: TreeHead,
        /// What the stored entries give.
        computed: TreeHead,
    },
    /// The second computation does not agree with what is stored.
    #[error("the second computation of its root differs: {0}")]
    Second(crate::core::tree::SecondMismatch),
    /// A tile of the last batch holds other bytes than its entries give.
    #[error("tile {} of level {} is not the one over its entries", .0.index, .0.level)]
    Tile(TileId),
    /// Segments do not follow one another without gaps.
    #[error("no segment holds entry {index}")]
    Gap {
        /// The first entry that is missing.
        index: LeafIndex,
    },
    /// There are rows behind the head.
    #[error("{row} lies behind its head of size {size}")]
    Beyond {
        /// The first such row.
        row: RowName,
        /// Size of the head.
        size: TreeSize,
    },
}
