//! The bytes of the journal: a header, then frames, each of which names the one before it.
//!
//! | header | |
//! |---|---|
//! | 0..16 | `attestree-notes\n` |
//! | 16..20 | u32 version, 1 |
//! | 20..24 | 0 |
//! | 24..32 | u64 sequence number of the last record before this file |
//! | 32..64 | sum of that record's frame; of nothing in a first file |
//! | 64..96 | SHA-256 of the witness's vkey |
//! | 96..128 | SHA-256 of bytes 0..96 |
//!
//! | frame | |
//! |---|---|
//! | 0..4 | `rec\n` |
//! | 4..8 | u32 length of the record |
//! | 8..16 | u64 sequence number, one more than that of the frame before it |
//! | 16..24 | u64 sequence number of the first frame that was written together with this one |
//! | 24..56 | sum of the frame before it |
//! | 56.. | the record |
//! | last 32 | SHA-256 of everything before it in the frame |
//!
//! Numbers are big-endian. A file that was cut off in the middle of its last write is whole up to there.
//! The blocks of that write may have reached the disk in any order, so a frame that is missing is
//! tolerated if every whole frame behind it was written together with it; otherwise the file is damaged.

use crate::core::hash::{HASH_BYTES, TreeHash};

use super::record::{RECORD_BYTES_MAX, Record};

/// First bytes of the file.
const MAGIC: &[u8; 16] = b"attestree-notes\n";

/// Version of the format.
const VERSION: u32 = 1;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 128;

/// First bytes of a frame.
const FRAME_MAGIC: &[u8; 4] = b"rec\n";

/// Bytes of a frame before its record.
const FRAME_HEAD_BYTES: usize = 4 + 4 + 8 + 8 + HASH_BYTES;

/// Bytes of a frame besides its record.
pub(super) const FRAME_BYTES: usize = FRAME_HEAD_BYTES + HASH_BYTES;

/// The end of the journal: how many records there were, and a sum over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) sequence: u64,
    pub(super) sum: TreeHash,
}

/// Why bytes are no journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// They don't begin as one, or are of another version.
    Foreign,
    /// The journal is another witness's.
    Key,
    /// Something in the middle is damaged.
    Damaged { offset: usize },
}

/// A journal that was read.
#[derive(Debug)]
pub(super) struct Contents {
    /// What was before this file.
    pub(super) base: Tip,
    /// Each record with the tip that it made.
    pub(super) records: Vec<(Tip, Record)>,
    /// Length of what is whole; what follows was never acknowledged.
    pub(super) length: usize,
}

impl Contents {
    /// Returns the end of the journal.
    pub(super) fn tip(&self) -> Tip {
        self.records.last().map_or(self.base, |(tip, _)| *tip)
    }
}

/// Returns the header of a file that follows after `base`.
pub(super) fn header(base: Tip, key_hash: &TreeHash) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(base.sequence.to_be_bytes());
    bytes.extend(base.sum.as_bytes());
    bytes.extend(key_hash.as_bytes());
    let sum = TreeHash::digest(&bytes);
    bytes.extend(sum.as_bytes());
    bytes
}

/// Adds the frames of records that are written together; returns the tip after them.
pub(super) fn encode<'r>(
    bytes: &mut Vec<u8>,
    mut tip: Tip,
    records: impl IntoIterator<Item = &'r Record>,
) -> Tip {
    let group = tip.sequence + 1;
    for record in records {
        let record = record.encode();
        let length = u32::try_from(record.len()).expect("a record is shorter than 4 GiB");
        let start = bytes.len();
        bytes.extend(FRAME_MAGIC);
        bytes.extend(length.to_be_bytes());
        bytes.extend((tip.sequence + 1).to_be_bytes());
        bytes.extend(group.to_be_bytes());
        bytes.extend(tip.sum.as_bytes());
        bytes.extend(&record);
        let sum = TreeHash::digest(bytes.get(start..).expect("the frame starts there"));
        bytes.extend(sum.as_bytes());
        tip = Tip { sequence: tip.sequence + 1, sum };
    }
    tip
}

/// Reads a journal.
pub(super) fn decode(bytes: &[u8], key_hash: &TreeHash) -> Result<Contents, Fault> {
    let base = decode_header(bytes, key_hash)?;
    let mut contents = Contents { base, records: Vec::new(), length: HEADER_BYTES };
    loop {
        let rest = bytes.get(contents.length..).unwrap_or_default();
        let (tip, damaged) = (contents.tip(), Fault::Damaged { offset: contents.length });
        let next = Frame::decode(rest)
            .filter(|frame| frame.sequence == tip.sequence + 1 && frame.previous == tip.sum);
        let Some(frame) = next else {
            let later = |frame: &Frame<'_>| frame.group > tip.sequence + 1;
            let is_torn = !frames(rest).any(|frame| later(&frame));
            return if is_torn { Ok(contents) } else { Err(damaged) };
        };
        // Its sum holds, so these bytes were written: by another version, or not by us.
        let record = Record::decode(frame.record).ok_or(damaged)?;
        let tip = Tip { sequence: frame.sequence, sum: frame.sum };
        contents.length += FRAME_BYTES + frame.record.len();
        contents.records.push((tip, record));
    }
}

/// Reads the header; returns what was before the file.
fn decode_header(bytes: &[u8], key_hash: &TreeHash) -> Result<Tip, Fault> {
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(Fault::Foreign)?;
    let (summed, sum) = header.split_at(HEADER_BYTES - HASH_BYTES);
    let start = [MAGIC.as_slice(), &VERSION.to_be_bytes(), &[0; 4]].concat();
    let fields = summed.strip_prefix(start.as_slice());
    let fields = fields.filter(|_| TreeHash::digest(summed).as_bytes() == sum);
    let (sequence, rest) = fields.and_then(<[u8]>::split_first_chunk).ok_or(Fault::Foreign)?;
    let (sum, key) = rest.split_first_chunk().ok_or(Fault::Foreign)?;
    if key != key_hash.as_bytes() {
        return Err(Fault::Key);
    }
    Ok(Tip { sequence: u64::from_be_bytes(*sequence), sum: TreeHash::from_bytes(*sum) })
}

/// One frame whose sum holds.
struct Frame<'b> {
    sequence: u64,
    group: u64,
    previous: TreeHash,
    record: &'b [u8],
    sum: TreeHash,
}

impl<'b> Frame<'b> {
    /// Takes the frame that begins here, if there is one.
    fn decode(bytes: &'b [u8]) -> Option<Self> {
        let (length, _) = bytes.strip_prefix(FRAME_MAGIC)?.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let length = Some(length).filter(|length| *length <= RECORD_BYTES_MAX)?;
        let (summed, rest) = bytes.split_at_checked(FRAME_HEAD_BYTES + length)?;
        let sum = TreeHash::from_bytes(*rest.first_chunk()?);
        if TreeHash::digest(summed) != sum {
            return None;
        }
        let (sequence, rest) = summed.get(8..)?.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        let (previous, record) = rest.split_first_chunk()?;
        Some(Self {
            sequence: u64::from_be_bytes(*sequence),
            group: u64::from_be_bytes(*group),
            previous: TreeHash::from_bytes(*previous),
            record,
            sum,
        })
    }
}

/// Returns every whole frame in some bytes, wherever it begins.
fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let starts = bytes.windows(FRAME_MAGIC.len()).enumerate();
    starts
        .filter(|(_, window)| window == FRAME_MAGIC)
        .filter_map(|(at, _)| Frame::decode(bytes.get(at..)?))
}
