//! How far the server has acknowledged, in one small file.
//!
//! Two slots of 40 bytes, 512 apart, are written in turn: a u64 number, big-endian, and its SHA-256. The larger
//! number whose sum holds counts, so that a write that was cut off leaves the one before it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::core::hash::{HASH_BYTES, TreeHash};

/// Where the slots begin: in two sectors.
const SLOTS: [u64; 2] = [0, 512];

/// The open file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    number: u64,
    /// The slot that is written next: the one that does not hold the number.
    slot: usize,
}

impl Mark {
    /// Opens the file; one that is not there says 0.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut mark = Self { file, number: 0, slot: 0 };
        for (at, place) in SLOTS.into_iter().enumerate() {
            if let Some(number) = read(&mark.file, place)?.filter(|number| *number > mark.number) {
                mark.number = number;
                mark.slot = 1 - at;
            }
        }
        Ok(mark)
    }

    /// Returns the number.
    pub(super) const fn get(&self) -> u64 {
        self.number
    }

    /// Raises the number, durably.
    pub(super) fn set(&mut self, number: u64) -> io::Result<()> {
        if number <= self.number {
            return Ok(());
        }
        let bytes = number.to_be_bytes();
        let slot = [&bytes, TreeHash::digest(&bytes).as_bytes().as_slice()].concat();
        let place = SLOTS.get(self.slot).copied().expect("there are two slots");
        self.file.write_all_at(&slot, place)?;
        self.file.sync_data()?;
        self.number = number;
        self.slot = 1 - self.slot;
        Ok(())
    }
}

/// Reads a slot.
fn read(file: &File, place: u64) -> io::Result<Option<u64>> {
    let mut bytes = [0; 8 + HASH_BYTES];
    match file.read_exact_at(&mut bytes, place) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (number, sum) = bytes.split_at(8);
    let sum_holds = TreeHash::digest(number).as_bytes() == sum;
    let number = number.first_chunk().map(|number| u64::from_be_bytes(*number));
    Ok(number.filter(|_| sum_holds))
}
