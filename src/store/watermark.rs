//! The highest head of each log that was ever signed, in a file outside the database.
//!
//! A database that is restored from an older copy is whole and consistent, and would sign a second
//! history. This file is not part of such a copy, so the log finds itself behind it and refuses.
//!
//! # Format
//!
//! A header of 128 bytes, then 256 bytes for each log by number: two slots of 128 bytes, which are
//! written in turn, so that a torn write leaves the other one. Numbers are big-endian.
//!
//! | header | |
//! |---|---|
//! | 0..16 | `attestree-marks\n` |
//! | 16..20 | u32 version, 1 |
//! | 20..128 | 0 |
//!
//! | slot | |
//! |---|---|
//! | 0..4 | u32 log number |
//! | 4..12 | u64 sequence number of the write; the slot with the larger one holds |
//! | 12..20 | u64 size |
//! | 20..52 | root |
//! | 52..84 | hash of the key that signs |
//! | 84..96 | 0 |
//! | 96..128 | SHA-256 of bytes 0..96 |
//!
//! A slot of zeros was never written. The first write of a log fills both of its slots, so that a
//! log with one slot of zeros and one that is damaged is known to be damaged. Before that write the file is
//! made to end behind both slots, durably, so that a file that ends elsewhere is known to be cut off.
//!
//! # Out of scope
//!
//! - Power loss: [`Watermark::raise`] does not sync. The database holds what was acknowledged; the
//!   file only has to be newer than any copy that someone could restore.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::io::Errno;

use super::lock::Lock;
use crate::core::{
    hash::{HASH_BYTES, TreeHash},
    number::{LogNumber, TreeSize},
    tree::TreeHead,
};

/// First bytes of the file.
const MAGIC: &[u8; 16] = b"attestree-marks\n";

/// Version of the format.
const VERSION: u32 = 1;

/// Bytes of the header.
const HEADER_BYTES: usize = 128;

/// Bytes of one slot: a quarter of the smallest sector, so that none lies across two.
const SLOT_BYTES: usize = 128;

/// Bytes of a slot that its checksum covers.
const SLOT_SUMMED_BYTES: usize = SLOT_BYTES - HASH_BYTES;

/// The highest head of a log that was signed, and by which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The head.
    pub head: TreeHead,
    /// Hash of the key.
    pub key_hash: TreeHash,
}

/// Why the watermark can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WatermarkError {
    /// There is no such file.
    #[error(
        "there is no watermark file {}; put it back. Without it a database restored from an old copy \
         could sign a second history", .path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is such a file already.
    #[error("there is a file {} already; it is never replaced", .path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// Another process holds it.
    #[error("the watermark file {} is in use by another process; stop that one first", .path.display())]
    InUse {
        /// Where it is.
        path: PathBuf,
    },
    /// It is no watermark file, or one of another version.
    #[error("{} is not a watermark file of version {VERSION}; put the right one back", .path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
    /// Neither slot of a log can be believed.
    #[error(
        "the watermark of log {log} in {} is damaged; put a newer copy of the file back, or close the log \
         and open another origin", .path.display()
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// The log.
        log: LogNumber,
    },
    /// A head below the one that was signed, or another one of the same size.
    #[error("log {log}: the watermark has size {}, which size {} can't follow", .signed.size, .head.size)]
    Lower {
        /// The log.
        log: LogNumber,
        /// The watermark.
        signed: TreeHead,
        /// The head that it was to be raised to.
        head: TreeHead,
    },
    /// An earlier write or sync failed, so that what the file holds is not known.
    #[error(
        "an earlier write to the watermark file {} failed and what it left is unknown; restart the server, \
         which reads it from disk", .path.display()
    )]
    Poisoned {
        /// Where it is.
        path: PathBuf,
    },
    /// The file could not be read or written.
    #[error("use the watermark file {}: {error}", .path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What was reported.
        #[source]
        error: io::Error,
    },
}

/// The open watermark file, locked against every other process.
#[derive(Debug)]
pub struct Watermark {
    path: PathBuf,
    file: Lock,
    slots: Mutex<BTreeMap<LogNumber, Slot>>,
    /// Set by a failed write or sync, for ever: a sync that is tried again may report success for pages
    /// that the kernel has dropped.
    poisoned: AtomicBool,
}

/// The slot of a log that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    sequence: u64,
    mark: Mark,
}

impl Watermark {
    /// Makes a file without marks, readable by its owner alone, and opens it.
    ///
    /// When this returns the file and its directory entry are durable.
    pub fn create(path: &Path) -> Result<Self, WatermarkError> {
        let failed = |error| WatermarkError::File { path: path.to_owned(), error };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let made = Path::new(&name);

        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(made)
            .map_err(failed)?;
        file.write_all(&header()).and_then(|()| file.sync_all()).map_err(failed)?;
        // A link, unlike a rename, never replaces what is there.
        let linked = std::fs::hard_link(made, path);
        let removed = std::fs::remove_file(made);
        linked.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => WatermarkError::Exists { path: path.to_owned() },
            _ => failed(error),
        })?;
        removed.map_err(failed)?;
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        Self::open(path)
    }

    /// Opens and locks the file and reads all marks.
    pub fn open(path: &Path) -> Result<Self, WatermarkError> {
        let failed = |error| WatermarkError::File { path: path.to_owned(), error };
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WatermarkError::Missing { path: path.to_owned() },
            _ => failed(error),
        })?;
        let file = Lock::take(file).map_err(|error| match error {
            Errno::WOULDBLOCK => WatermarkError::InUse { path: path.to_owned() },
            other => failed(other.into()),
        })?;
        let mut bytes = Vec::new();
        file.file().read_to_end(&mut bytes).map_err(failed)?;
        let slots = bytes.strip_prefix(header().as_slice());
        let slots = slots.ok_or_else(|| WatermarkError::Foreign { path: path.to_owned() })?;
        let slots = parse_slots(slots)
            .map_err(|log| WatermarkError::Damaged { path: path.to_owned(), log })?;
        let (path, slots) = (path.to_owned(), Mutex::new(slots));
        Ok(Self { path, file, slots, poisoned: AtomicBool::new(false) })
    }

    /// Returns the highest head of a log that was signed; nothing if none ever was.
    ///
    /// The one error is that of a lock whose holder panicked between two writes.
    pub fn get(&self, log: LogNumber) -> Result<Option<Mark>, WatermarkError> {
        let slots = self.slots.lock().map_err(|_poisoned| self.damaged(log))?;
        Ok(slots.get(&log).map(|slot| slot.mark))
    }

    /// Raises the mark of a log: one positioned write of 128 bytes, not synced.
    ///
    /// The same head again is written again. A mark never goes down, and no option makes it.
    pub fn raise(
        &self,
        log: LogNumber,
        head: TreeHead,
        key_hash: TreeHash,
    ) -> Result<(), WatermarkError> {
        self.check_poisoned()?;
        let mut slots = self.slots.lock().map_err(|_poisoned| self.damaged(log))?;
        let old = slots.get(&log).copied();
        if let Some(Slot { mark: Mark { head: signed, .. }, .. }) = old
            && (head.size < signed.size || (head.size == signed.size && head.root != signed.root))
        {
            return Err(WatermarkError::Lower { log, signed, head });
        }
        if old.is_none() {
            self.make_room(log)?;
        }
        let sequence = old.map_or(0, |slot| slot.sequence) + 1;
        let mut slot = Slot { sequence, mark: Mark { head, key_hash } };
        self.write(log, slot)?;
        if old.is_none() {
            // Both slots are in use from the first mark on. See the format.
            slot.sequence += 1;
            self.write(log, slot)?;
        }
        slots.insert(log, slot);
        Ok(())
    }

    /// Makes all marks durable. An error leaves it unknown which are, must end the process, and is
    /// returned by every later call as well.
    pub fn sync(&self) -> Result<(), WatermarkError> {
        self.check_poisoned()?;
        self.file.file().sync_data().map_err(|error| self.poison(error))
    }

    /// Refuses to go on after a failure.
    fn check_poisoned(&self) -> Result<(), WatermarkError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(WatermarkError::Poisoned { path: self.path.clone() });
        }
        Ok(())
    }

    /// Makes the file end behind both slots of a log, durably.
    ///
    /// A power loss keeps any of the writes that were not synced. A file that ended between the slots would
    /// pass for one that was cut off, and the log would be refused although nothing of it was signed.
    fn make_room(&self, log: LogNumber) -> Result<(), WatermarkError> {
        let end = slots_offset(u64::from(log.0) + 1);
        let length = self.file.file().metadata().map_err(|error| self.poison(error))?.len();
        if length >= end {
            return Ok(());
        }
        let made = self.file.file().set_len(end).and_then(|()| self.file.file().sync_all());
        made.map_err(|error| self.poison(error))
    }

    /// Writes one slot.
    fn write(&self, log: LogNumber, slot: Slot) -> Result<(), WatermarkError> {
        let offset = slots_offset(u64::from(log.0)) + slot.sequence % 2 * bytes_u64(SLOT_BYTES);
        self.file.file().write_all_at(&slot.encode(log), offset).map_err(|error| self.poison(error))
    }

    /// Takes note of a failed write or sync.
    fn poison(&self, error: io::Error) -> WatermarkError {
        self.poisoned.store(true, Ordering::Release);
        WatermarkError::File { path: self.path.clone(), error }
    }

    /// Says that the mark of a log can't be believed.
    fn damaged(&self, log: LogNumber) -> WatermarkError {
        WatermarkError::Damaged { path: self.path.clone(), log }
    }
}

impl Slot {
    /// Returns the bytes of the slot.
    fn encode(&self, log: LogNumber) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend(log.0.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.mark.head.size.get().to_be_bytes());
        bytes.extend(self.mark.head.root.as_bytes());
        bytes.extend(self.mark.key_hash.as_bytes());
        bytes.resize(SLOT_SUMMED_BYTES, 0);
        let sum = TreeHash::digest(&bytes);
        bytes.extend(sum.as_bytes());
        bytes
    }

    /// Takes the bytes of a slot of this log, if they are whole.
    fn decode(log: LogNumber, bytes: &[u8]) -> Option<Self> {
        let (summed, sum) = bytes.split_at_checked(SLOT_SUMMED_BYTES)?;
        if TreeHash::digest(summed).as_bytes() != sum {
            return None;
        }
        let (number, rest) = summed.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (root, rest) = rest.split_first_chunk()?;
        let (key_hash, _) = rest.split_first_chunk()?;
        let head = TreeHead {
            size: TreeSize::new(u64::from_be_bytes(*size))?,
            root: TreeHash::from_bytes(*root),
        };
        let mark = Mark { head, key_hash: TreeHash::from_bytes(*key_hash) };
        let ours = u32::from_be_bytes(*number) == log.0;
        ours.then_some(Self { sequence: u64::from_be_bytes(*sequence), mark })
    }
}

/// Returns the header of the file.
fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let fields = MAGIC.iter().copied().chain(VERSION.to_be_bytes());
    header.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    header
}

/// Reads the slots of all logs; an error names the first log whose slots can't be believed.
fn parse_slots(bytes: &[u8]) -> Result<BTreeMap<LogNumber, Slot>, LogNumber> {
    let mut slots = BTreeMap::new();
    for (number, pair) in (0..).zip(bytes.chunks(2 * SLOT_BYTES)) {
        let log = LogNumber(number);
        // A file only ever grows by whole pairs of slots.
        if pair.len() < 2 * SLOT_BYTES {
            return Err(log);
        }
        if pair.iter().all(|byte| *byte == 0) {
            continue;
        }
        let whole = pair.chunks(SLOT_BYTES).filter_map(|bytes| Slot::decode(log, bytes));
        let newest = whole.max_by_key(|slot| slot.sequence).ok_or(log)?;
        slots.insert(log, newest);
    }
    Ok(slots)
}

/// Returns where the slots of so many logs end, and those of the next one begin.
fn slots_offset(logs: u64) -> u64 {
    bytes_u64(HEADER_BYTES) + logs * 2 * bytes_u64(SLOT_BYTES)
}

/// Widens a length.
fn bytes_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a usize fits in 64 bits")
}
