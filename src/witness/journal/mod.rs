//! What the witness must never forget, in one file.
//!
//! Every checkpoint that is cosigned stands here, durably, before its cosignature leaves; so does
//! every act of an operator. At start the file is read whole and gives the newest head of each log.
//!
//! A file of its own and no RocksDB: the state is one small record a log, all of it is in memory, and
//! nothing is ever looked up on disk. What is needed is one synced append for many requests at once, and
//! the certainty that what was read is what was written. An appended file with a chain of sums gives
//! both in a few hundred lines that can be read, and the witness needs no database's memory or threads.
//!
//! # Invariants
//!
//! - One process has the journal open: it holds the lock of the directory.
//! - The watermark, a file outside the directory, is raised to the last record of each write after it
//!   is durable and before anyone is told. A journal that ends before it, or differs from it there, is a
//!   restored copy, and is refused. Sequence numbers never fall, so it is a counter of generations.
//! - After a sync that failed nothing is known about the file any more. The process must end.
//!
//! # Format
//!
//! See `frame` and `record`. A file that has grown to a multiple of what it has to say is written
//! anew beside the old one, synced, and renamed; its first records repeat what counts.

mod frame;
mod record;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

pub use record::{Act, ActKind, Cosigned, REASON_BYTES_MAX, Record};

use self::frame::{Contents, Fault, Tip};
use crate::{
    core::{
        hash::TreeHash,
        number::{LogNumber, TreeSize},
        tree::TreeHead,
    },
    store::{Lock, Watermark, WatermarkError},
};

/// The name of the file in the witness's directory.
const NAME: &str = "journal";

/// A journal is written anew when it is longer than this, and than [`COMPACT_FACTOR`] times what it had
/// to say when it was last written or read. 16 MiB hold some 30,000 records: a witness of a few logs
/// writes anew about once a day.
const COMPACT_BYTES_MIN: u64 = 16 << 20;

/// See [`COMPACT_BYTES_MIN`]. Of all that is written, a quarter at most is written for this.
const COMPACT_FACTOR: u64 = 4;

/// The only mark in the watermark file.
const MARK: LogNumber = LogNumber(0);

/// Why the journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("{} is in use by another witness process; stop that one first", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{} is there already; it is never replaced", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error(
        "there is no {}; put it back, or make a new witness under another name with `attestree witness init`",
        .path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a witness's journal of version 1; put the right file back", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is another witness's.
    #[error("{} belongs to another key; put the key back that it was made with", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// Records before the last write are damaged.
    #[error(
        "{} is damaged at byte {offset}, before records that were written later; put a newer copy back, or make \
         a new witness under another name: this key may have cosigned what is lost", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: usize,
    },
    /// It ends before what was cosigned.
    #[error(
        "{} ends at record {found}, but this witness has written record {marked}: it is an older copy, or its end \
         was lost. Put the newest one back, or make a new witness under another name: with this one the key \
         could cosign a second history", .path.display()
    )]
    Behind {
        /// The file.
        path: PathBuf,
        /// Its last record.
        found: u64,
        /// The last record that was ever written.
        marked: u64,
    },
    /// It tells another story than the one that the watermark remembers.
    #[error(
        "record {sequence} of {} is not the one that this witness has written; put the right file back",
        .path.display()
    )]
    Another {
        /// The file.
        path: PathBuf,
        /// The record that differs.
        sequence: u64,
    },
    /// The watermark can't be used.
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
    /// A file could not be read or written.
    #[error("use {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was reported.
        #[source]
        error: io::Error,
    },
}

/// Why records were not appended, sorted by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written, and the journal is as it was.
    #[error("nothing was written: {0}")]
    NotWritten(#[source] io::Error),
    /// Nobody knows what was written. The process must end, and read the file again.
    #[error("it is not known what was written: {0}")]
    Unknown(#[source] JournalError),
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    /// Length when the file was last written anew, or read and found to say as much.
    compact: u64,
    tip: Tip,
    key_hash: TreeHash,
    watermark: Watermark,
    /// Holds the lock.
    _directory: Lock,
}

impl Journal {
    /// Makes an empty journal and its watermark; durable when it returns.
    pub fn create(dir: &Path, watermark: &Path, key_hash: TreeHash) -> Result<(), JournalError> {
        let _lock = lock(dir)?;
        let path = dir.join(NAME);
        if path.exists() {
            return Err(JournalError::Exists { path });
        }
        let base = Tip { sequence: 0, sum: TreeHash::empty_root() };
        let failed = |error| JournalError::File { path: path.clone(), error };
        let mark = match Watermark::create(watermark) {
            // Left from an attempt that was interrupted; one that was ever used says so below.
            Err(WatermarkError::Exists { .. }) => Watermark::open(watermark)?,
            created => created?,
        };
        mark.raise(MARK, base.head(), key_hash)?;
        mark.sync()?;
        replace(dir, &path, &frame::header(base, &key_hash)).map_err(failed)?;
        Ok(())
    }

    /// Opens the journal and returns what it says, oldest first.
    pub fn open(
        dir: &Path,
        watermark: &Path,
        key_hash: TreeHash,
    ) -> Result<(Self, Vec<Record>), JournalError> {
        let directory = lock(dir)?;
        let path = dir.join(NAME);
        let failed = |error| JournalError::File { path: path.clone(), error };
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => JournalError::Missing { path: path.clone() },
            _ => failed(error),
        })?;
        let bytes = fs::read(&path).map_err(failed)?;
        let contents = frame::decode(&bytes, &key_hash).map_err(|fault| match fault {
            Fault::Foreign => JournalError::Foreign { path: path.clone() },
            Fault::Key => JournalError::Key { path: path.clone() },
            Fault::Damaged { offset } => JournalError::Damaged { path: path.clone(), offset },
        })?;
        let watermark = Watermark::open(watermark)?;
        check_mark(&watermark, &contents, &path, key_hash)?;
        let (length, tip) = (bytes_u64(contents.length), contents.tip());
        if contents.length < bytes.len() {
            // What follows was never acknowledged. It must not stand behind what is written next.
            file.set_len(length).map_err(failed)?;
        }
        // What was read may never have been synced: its writer may have died before.
        file.sync_all().map_err(failed)?;
        watermark.raise(MARK, tip.head(), key_hash)?;
        let records: Vec<Record> = contents.records.into_iter().map(|(_, record)| record).collect();
        let compact = 0;
        let journal =
            Self { path, file, length, compact, tip, key_hash, watermark, _directory: directory };
        Ok((journal, records))
    }

    /// Appends records with one sync for all of them; durable when it returns.
    pub fn append(&mut self, records: &[Record]) -> Result<(), AppendError> {
        let mut bytes = Vec::new();
        let tip = frame::encode(&mut bytes, self.tip, records);
        if let Err(error) = self.file.write_all_at(&bytes, self.length) {
            // No sync was tried, so that what the file holds is what was written to it: without the
            // part of a write it is what it was.
            return match self.file.set_len(self.length) {
                Ok(()) => Err(AppendError::NotWritten(error)),
                Err(error) => Err(AppendError::Unknown(self.failed(error))),
            };
        }
        self.file.sync_data().map_err(|error| AppendError::Unknown(self.failed(error)))?;
        self.length += bytes_u64(bytes.len());
        self.tip = tip;
        self.raise().map_err(AppendError::Unknown)
    }

    /// Returns whether the file is so long that it should be written anew.
    pub fn is_long(&self) -> bool {
        self.length > COMPACT_BYTES_MIN && self.length / COMPACT_FACTOR > self.compact
    }

    /// Writes the file anew, with these records alone.
    pub fn compact(&mut self, records: &[Record]) -> Result<(), AppendError> {
        let mut bytes = frame::header(self.tip, &self.key_hash);
        let tip = frame::encode(&mut bytes, self.tip, records);
        let dir = self.path.parent().expect("the journal lies in a directory").to_owned();
        let fresh = aside(&self.path);
        let written = write_synced(&fresh, &bytes);
        let file = written.map_err(AppendError::NotWritten)?;
        // From here on either file may be what a restart finds. Both say the same.
        fs::rename(&fresh, &self.path)
            .and_then(|()| File::open(&dir)?.sync_all())
            .map_err(|error| AppendError::Unknown(self.failed(error)))?;
        self.file = file;
        self.length = bytes_u64(bytes.len());
        self.compact = self.length;
        self.tip = tip;
        self.raise().and_then(|()| self.sync_mark()).map_err(AppendError::Unknown)
    }

    /// Returns the length of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns how many records were ever written.
    pub fn sequence(&self) -> u64 {
        self.tip.sequence
    }

    /// Makes the watermark durable: at the end, and when the file was written anew.
    pub fn sync_mark(&self) -> Result<(), JournalError> {
        Ok(self.watermark.sync()?)
    }

    fn raise(&self) -> Result<(), JournalError> {
        Ok(self.watermark.raise(MARK, self.tip.head(), self.key_hash)?)
    }

    fn failed(&self, error: io::Error) -> JournalError {
        JournalError::File { path: self.path.clone(), error }
    }
}

impl Tip {
    /// Returns the tip as the watermark keeps it.
    fn head(self) -> TreeHead {
        let size = TreeSize::new(self.sequence);
        TreeHead { size: size.expect("a journal never gets 2^62 records"), root: self.sum }
    }
}

/// Compares what was read with the watermark.
fn check_mark(
    watermark: &Watermark,
    contents: &Contents,
    path: &Path,
    key_hash: TreeHash,
) -> Result<(), JournalError> {
    let path = || path.to_owned();
    let mark = watermark.get(MARK)?.filter(|mark| mark.key_hash == key_hash);
    // A watermark of nothing is another one's: ours is raised before there is a journal.
    let mark = mark.ok_or_else(|| JournalError::Key { path: path() })?;
    let (marked, tip) = (mark.head.size.get(), contents.tip());
    if marked > tip.sequence {
        return Err(JournalError::Behind { path: path(), found: tip.sequence, marked });
    }
    let tips = contents.records.iter().map(|(tip, _)| tip).chain([&contents.base]);
    let same = tips.into_iter().find(|tip| tip.sequence == marked);
    match same {
        Some(same) if same.sum != mark.head.root => {
            Err(JournalError::Another { path: path(), sequence: marked })
        }
        // Below the base the file says nothing: it was written anew after the mark.
        _ => Ok(()),
    }
}

/// Locks a directory against every other process.
fn lock(dir: &Path) -> Result<Lock, JournalError> {
    let path = || dir.to_owned();
    let directory = File::open(dir).map_err(|error| JournalError::File { path: path(), error })?;
    Lock::take(directory).map_err(|error| match error {
        Errno::WOULDBLOCK => JournalError::InUse { path: path() },
        other => JournalError::File { path: path(), error: other.into() },
    })
}

/// Returns the name under which a file is written before it takes its place.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Writes a file, readable by its owner alone, and syncs it.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Puts a file in its place, durably, whole or not at all.
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = aside(path);
    write_synced(&fresh, bytes)?;
    fs::rename(&fresh, path)?;
    File::open(dir)?.sync_all()
}

/// Widens a length.
fn bytes_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a usize fits in 64 bits")
}
