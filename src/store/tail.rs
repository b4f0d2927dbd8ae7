//! The last write in the WAL, which a power loss may have left with pages missing.
//!
//! A commit is one record of the WAL, and the next one begins after its sync has returned. So at
//! most the last record of the newest WAL is not wholly on disk. RocksDB drops it by itself where it
//! ends too early. But the file system may have written some of its pages and not others, in any
//! order; those read as zeros, and RocksDB refuses them like damage in the middle. This module tells
//! the two apart: if no write begins behind the damaged one, that one was never acknowledged.
//!
//! What it can't tell apart is the loss of pages of the very last write before and after its sync:
//! a disk that loses what it has synced. The watermark does, where that write was signed.
//!
//! # Format
//!
//! The WAL is RocksDB's: blocks of 32 KiB with records, or fragments of records, of a 7-byte header
//! (masked CRC-32C over type and bytes, u16 length, u8 type; little-endian) and their bytes; a block
//! ends in zeros where no header fits. Types are 1 full, 2 first, 3 middle, 4 last. See
//! <https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format>.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// Bytes of a block.
const BLOCK_BYTES: usize = 32 << 10;

/// Bytes before each fragment.
const HEADER_BYTES: usize = 7;

/// Type of a record that is whole.
const FULL: u8 = 1;

/// Type of the first fragment of a record.
const FIRST: u8 = 2;

/// Type of a fragment between the first and the last.
const MIDDLE: u8 = 3;

/// Type of the last fragment of a record.
const LAST: u8 = 4;

/// What is wrong with a file of records, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Every record is whole, or the file is not ours to judge.
    Whole,
    /// The last record is not whole; it begins at this offset.
    Torn(usize),
    /// A record that others follow is not whole.
    Damaged,
}

/// What was found at the end of the WAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is wrong.
    Whole,
    /// The last write was not whole; so many bytes were cut off.
    Cut(usize),
    /// A write that others follow is not whole.
    Damaged(PathBuf),
}

/// Cuts the last write off the WAL in `dir` if it is not whole. The caller holds the store's lock.
///
/// The WAL may have several files. The last write need not be in the newest: a start that was cut
/// short leaves an empty file behind it. Without `sums` only lengths are looked at, as long as they
/// are right: that costs one pass over what RocksDB reads anyway, and finds the record that it would
/// skip in silence.
pub(super) fn drop_torn(dir: &Path, sums: bool) -> io::Result<Found> {
    let found = survey(dir, sums)?;
    // What is cut off must be the only thing that is wrong.
    let found = if sums || found == Survey::Whole { found } else { survey(dir, true)? };
    match found {
        Survey::Whole => Ok(Found::Whole),
        Survey::Torn { path, at, length } => cut(&path, at, length),
        Survey::Damaged(path) => Ok(Found::Damaged(path)),
    }
}

/// What the files of the WAL hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Survey {
    /// Every record is whole.
    Whole,
    /// The last record is not; it begins at an offset of a file of some length.
    Torn { path: PathBuf, at: usize, length: usize },
    /// A record that others follow is not.
    Damaged(PathBuf),
}

/// Walks through the files of the WAL.
fn survey(dir: &Path, sums: bool) -> io::Result<Survey> {
    let mut found = Survey::Whole;
    for path in wals(dir)? {
        let wal = fs::read(&path)?;
        if let Survey::Torn { path, .. } = &found
            && wal.iter().any(|byte| *byte != 0)
        {
            return Ok(Survey::Damaged(path.clone()));
        }
        match judge(&wal, sums) {
            Tail::Whole => {}
            Tail::Torn(at) => found = Survey::Torn { path, at, length: wal.len() },
            Tail::Damaged => return Ok(Survey::Damaged(path)),
        }
    }
    Ok(found)
}

/// Cuts the last record off the list of tables in `dir` if it is not whole.
///
/// RocksDB syncs each change of the list before it rests on it: before it deletes a WAL whose rows
/// are in a new table. What a torn change would have said is still where it was before.
pub(super) fn drop_torn_manifest(dir: &Path) -> io::Result<Found> {
    let name = fs::read_to_string(dir.join("CURRENT"))?;
    let path = dir.join(name.trim_end());
    let manifest = fs::read(&path)?;
    match judge(&manifest, true) {
        // A list without its first record says nothing at all.
        Tail::Torn(at) if at > 0 => cut(&path, at, manifest.len()),
        Tail::Torn(_) | Tail::Damaged => Ok(Found::Damaged(path)),
        Tail::Whole => Ok(Found::Whole),
    }
}

/// Cuts a file off, durably.
fn cut(path: &Path, at: usize, length: usize) -> io::Result<Found> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(u64::try_from(at).map_err(io::Error::other)?)?;
    file.sync_all()?;
    Ok(Found::Cut(length - at))
}

/// Returns the files of the WAL, oldest first.
fn wals(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut wals = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if path.extension().is_some_and(|ending| ending == "log") {
            wals.extend(number.map(|number| (number, path)));
        }
    }
    wals.sort();
    Ok(wals.into_iter().map(|(_, path)| path).collect())
}

/// Walks through a WAL, fragment by fragment.
fn judge(wal: &[u8], sums: bool) -> Tail {
    let mut at = 0;
    // Where the record begins that the next fragment belongs to, and the first one that is damaged.
    let mut open: Option<usize> = None;
    let mut damaged: Option<usize> = None;
    while at < wal.len() {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        if left < HEADER_BYTES {
            at += left;
            continue;
        }
        let block = wal.get(at..wal.len().min(at + left)).unwrap_or_default();
        let Some(fragment) = Fragment::parse(block, sums) else {
            // No header is here, so nothing says where the next one is, but for the next block. Zeros
            // are a page that was not written. Anything else is a damaged header, behind which
            // the block may hold other records.
            let zeros = block.iter().take(HEADER_BYTES).all(|byte| *byte == 0);
            if !zeros && has_start(block) {
                return Tail::Damaged;
            }
            damaged = damaged.or(open).or(Some(at));
            at += left;
            continue;
        };
        if !fragment.whole {
            if !fragment.is_followed(block, left) && has_start(block) {
                return Tail::Damaged;
            }
            damaged = damaged.or(open).or(Some(at));
            at += fragment.bytes;
            continue;
        }
        match fragment.kind {
            // A write begins, so the one before it had been synced.
            FULL | FIRST if damaged.is_some() || open.is_some() => return Tail::Damaged,
            MIDDLE | LAST if damaged.is_none() && open.is_none() => return Tail::Damaged,
            FULL | MIDDLE => {}
            FIRST => open = Some(at),
            LAST => open = None,
            _ => return Tail::Whole,
        }
        at += fragment.bytes;
    }
    damaged.or(open).map_or(Tail::Whole, Tail::Torn)
}

/// A fragment of a record.
struct Fragment {
    kind: u8,
    /// Length with its header.
    bytes: usize,
    /// Whether all of it is there, and its sum is right where that was looked at.
    whole: bool,
}

impl Fragment {
    /// Takes the fragment at the front of the rest of a block, if its header can be one.
    ///
    /// Types above 4 are RocksDB's for options that are off; their sums are always looked at.
    fn parse(block: &[u8], sums: bool) -> Option<Self> {
        let (header, rest) = block.split_first_chunk::<HEADER_BYTES>()?;
        let [a, b, c, d, low, high, kind] = *header;
        let length = usize::from(high) << 8 | usize::from(low);
        if length > BLOCK_BYTES - HEADER_BYTES || kind == 0 {
            return None;
        }
        let stored = u32::from(d) << 24 | u32::from(c) << 16 | u32::from(b) << 8 | u32::from(a);
        let bytes = rest.get(..length);
        let summed = |bytes: &[u8]| masked(crc32c(&[&[kind], bytes])) == stored;
        // Where a header just fits into a block, a first fragment without bytes fills it. Any other
        // is a page that was cut off behind the type.
        let trusted = !sums && kind <= LAST && length > 0;
        let whole = bytes.is_some_and(|bytes| trusted || summed(bytes));
        (whole || kind <= LAST).then_some(Self { kind, bytes: HEADER_BYTES + length, whole })
    }

    /// Returns whether the length of a fragment with a wrong sum is confirmed by what follows: the
    /// end of its block, the end of the file, or a good fragment.
    fn is_followed(&self, block: &[u8], left: usize) -> bool {
        let ends_block = self.bytes <= left && left - self.bytes < HEADER_BYTES;
        let follows = || Self::parse(block.get(self.bytes..)?, true).filter(|next| next.whole);
        ends_block || self.bytes == block.len() || follows().is_some()
    }
}

/// Returns whether a write begins anywhere in the rest of a block, behind its first byte.
///
/// Entries could hold such bytes on purpose. All that this brings about is a refusal.
fn has_start(block: &[u8]) -> bool {
    let starts = (1..block.len()).filter(|at| {
        // Without this the sum of nearly every byte of a large entry would be computed.
        matches!(block.get(at + HEADER_BYTES - 1), Some(&FULL | &FIRST))
    });
    let mut found = starts.filter_map(|at| Fragment::parse(block.get(at..)?, true));
    found.any(|fragment| fragment.whole)
}

/// Returns a CRC as it is stored: sums of data that holds sums must not be weak.
const fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Returns the CRC-32C (Castagnoli) of some parts behind one another.
///
/// Bit by bit: it runs only over a WAL that RocksDB has refused.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    };
    !parts.iter().copied().flatten().fold(u32::MAX, step)
}

#[cfg(test)]
#[expect(clippy::large_stack_arrays, reason = "records of many blocks, written down as they are")]
mod tests {
    use super::*;

    /// Writes records as RocksDB does.
    fn wal(records: &[&[u8]]) -> Vec<u8> {
        let mut wal = Vec::new();
        for record in records {
            let mut rest = *record;
            let mut first = true;
            loop {
                let left = BLOCK_BYTES - wal.len() % BLOCK_BYTES;
                if left < HEADER_BYTES {
                    wal.resize(wal.len() + left, 0);
                    continue;
                }
                let (bytes, after) = rest.split_at(rest.len().min(left - HEADER_BYTES));
                let kind = match (first, after.is_empty()) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                wal.extend(masked(crc32c(&[&[kind], bytes])).to_be_bytes().iter().rev());
                wal.extend([bytes.len().to_be_bytes()[7], bytes.len().to_be_bytes()[6], kind]);
                wal.extend(bytes);
                (rest, first) = (after, false);
                if rest.is_empty() {
                    break;
                }
            }
        }
        wal
    }

    #[test]
    fn crc_is_that_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    }

    #[test]
    fn whole_records_are_whole_and_cut_ones_torn() {
        let wal = wal(&[&[1; 100], &[2; 70_000], &[3; 50]]);
        assert_eq!([judge(&wal, true), judge(&wal, false)], [Tail::Whole; 2]);
        let starts = [0, 107, wal.len() - 57];
        for cut in (1..wal.len()).step_by(13) {
            let start = starts.iter().rev().find(|start| **start <= cut).unwrap();
            let expected = if *start == cut { Tail::Whole } else { Tail::Torn(*start) };
            assert_eq!(
                [judge(&wal[..cut], true), judge(&wal[..cut], false)],
                [expected; 2],
                "cut to {cut}"
            );
        }
    }

    #[test]
    fn lost_pages_of_the_last_record_are_a_torn_tail() {
        let good = wal(&[&[1; 100], &[2; 200_000]]);
        for from in (4_096..good.len()).step_by(4_096) {
            for pages in [1, 9] {
                let mut lost = good.clone();
                let to = good.len().min(from + pages * 4_096);
                lost[from..to].fill(0);
                assert_eq!(judge(&lost, true), Tail::Torn(107), "[{from}, {to})");
            }
        }
    }

    #[test]
    fn header_that_just_fits_into_its_block_is_whole() {
        for short in (0..30).step_by(7).chain([13, 15]) {
            let first = vec![1; BLOCK_BYTES - HEADER_BYTES - short];
            let good = wal(&[&first, &[2; 100], &[3; 70_000], &[4; 10]]);
            assert_eq!([judge(&good, true), judge(&good, false)], [Tail::Whole; 2], "{short}");
        }
    }

    #[test]
    fn zeros_before_a_record_are_damage_without_sums_too() {
        let mut wal = wal(&[&[1; 100], &[2; 200], &[3; 40_000], &[4; 50]]);
        wal[107..314].fill(0);
        assert_eq!([judge(&wal, true), judge(&wal, false)], [Tail::Damaged; 2]);
    }

    #[test]
    fn any_flipped_byte_before_the_last_record_is_damage() {
        for sizes in [[300, 400, 200], [70_000, 300, 40], [300, 70_000, 33_000]] {
            let records = sizes.map(|size| vec![5; size]);
            let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            let good = wal(&records);
            let last = wal(&records[..2]).len();
            for at in 0..last {
                let mut bad = good.clone();
                bad[at] ^= 0x11;
                // Checking each byte of long records bit by bit takes too long.
                if sizes[0] + sizes[1] < 10_000 || at % 9_973 < 2 {
                    assert_eq!(judge(&bad, true), Tail::Damaged, "byte {at} of {sizes:?}");
                }
            }
        }
    }
}
