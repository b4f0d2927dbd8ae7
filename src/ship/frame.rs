//! The bytes of a spool: segments, each a header and frames.
//!
//! | header | |
//! |---|---|
//! | 0..16 | `attestree-spool\n` |
//! | 16..20 | u32 version, 2; version 1 did not say when a line was read |
//! | 20..24 | 0 |
//! | 24..40 | the segment's id, random |
//! | 40..48 | u64 number of its first frame |
//! | 48..80 | SHA-256 of bytes 0..48 |
//!
//! | frame | |
//! |---|---|
//! | 0..4 | `rec\n` |
//! | 4..8 | u32 length of the content |
//! | 8..16 | u64 number, one more than that of the frame before it |
//! | 16..24 | u64 number of the first frame that was written together with this one |
//! | 24.. | the content |
//! | last 32 | SHA-256 of the segment's id and of everything before it in the frame |
//!
//! | content | |
//! |---|---|
//! | 0 | 1 a place alone, 2 a line |
//! | 1..17 | u64 device, u64 inode of the file |
//! | 17..51 | u16 number of the file's first bytes that are known, SHA-256 of these |
//! | 51..63 | u64 offset in the file behind the line, u32 parts of an unfinished line before it |
//! | 63.. | u16 length of the path, path |
//! | of a line | u8 form (0 text, 1 JSON, 2 event), u8 (0 whole, 1 a part, 2 the last part), u32 number of the part, u64 microseconds from 1970 to when it was read, the line |
//!
//! Numbers are big-endian. As in a witness's journal a frame that is missing is tolerated if every whole frame
//! behind it was written together with it, because the blocks of one write reach the disk in any order;
//! otherwise the segment is damaged.

use bytes::Bytes;

use super::line::{Cursor, FileId, Form, Head, Line, Part};
use crate::core::{
    hash::{HASH_BYTES, TreeHash},
    record::Timestamp,
};

/// First bytes of a segment.
const MAGIC: &[u8; 16] = b"attestree-spool\n";

/// Version of the format.
const VERSION: u32 = 2;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 48 + HASH_BYTES;

/// First bytes of a frame.
const FRAME_MAGIC: &[u8; 4] = b"rec\n";

/// Bytes of a frame before its content.
const FRAME_HEAD_BYTES: usize = 4 + 4 + 8 + 8;

/// Most bytes of a content: the longest line and path, and what stands beside them.
const CONTENT_BYTES_MAX: usize = 63 + 2 + u16::MAX as usize + 14 + super::line::LINE_BYTES_MAX;

/// The random name of a segment.
pub type SegmentId = [u8; 16];

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// How far a file has been read: what stands at the beginning of a segment.
    Place(Cursor),
    /// A line.
    Line(Line),
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number in the spool.
    pub number: u64,
    /// Number of the first frame that was written together with it.
    pub group: u64,
    /// What it holds.
    pub content: Content,
}

/// Why bytes are no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They don't begin as one, or are of another version.
    Foreign,
    /// Something in the middle is damaged.
    Damaged {
        /// Where.
        offset: usize,
    },
}

/// A segment that was read.
#[derive(Debug)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// Number of its first frame.
    pub first: u64,
    /// Its frames.
    pub frames: Vec<Frame>,
    /// Length of what is whole; what follows was never acknowledged.
    pub length: usize,
}

impl Segment {
    /// Returns the number of the next frame.
    pub fn next(&self) -> u64 {
        self.frames.last().map_or(self.first, |frame| frame.number + 1)
    }
}

/// Returns the header of a segment.
pub fn header(id: &SegmentId, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(id);
    bytes.extend(first.to_be_bytes());
    let sum = TreeHash::digest(&bytes);
    bytes.extend(sum.as_bytes());
    bytes
}

/// Adds a frame.
pub fn encode(bytes: &mut Vec<u8>, id: &SegmentId, frame: &Frame) {
    // The id is summed and not written, so that a frame of another segment is none.
    let mut summed = Vec::with_capacity(id.len() + FRAME_HEAD_BYTES + 256);
    summed.extend(id);
    summed.extend(FRAME_MAGIC);
    let content = content(&frame.content);
    let length = u32::try_from(content.len()).expect("a content is bounded");
    summed.extend(length.to_be_bytes());
    summed.extend(frame.number.to_be_bytes());
    summed.extend(frame.group.to_be_bytes());
    summed.extend(content);
    let sum = TreeHash::digest(&summed);
    bytes.extend(summed.get(id.len()..).unwrap_or_default());
    bytes.extend(sum.as_bytes());
}

/// Reads a segment.
pub fn decode(bytes: &[u8]) -> Result<Segment, Fault> {
    let (id, first) = decode_header(bytes).ok_or(Fault::Foreign)?;
    let mut segment = Segment { id, first, frames: Vec::new(), length: HEADER_BYTES };
    loop {
        let rest = bytes.get(segment.length..).unwrap_or_default();
        let next = segment.next();
        match decode_frame(rest, &id).filter(|(frame, _)| frame.number == next) {
            Some((frame, length)) => {
                segment.length += length;
                segment.frames.push(frame);
            }
            None => {
                let is_torn = !frames(rest, &id).any(|frame| frame.group > next);
                let damaged = Fault::Damaged { offset: segment.length };
                return if is_torn { Ok(segment) } else { Err(damaged) };
            }
        }
    }
}

/// Reads the header; returns the segment's id and the number of its first frame.
pub(super) fn decode_header(bytes: &[u8]) -> Option<(SegmentId, u64)> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let (summed, sum) = header.split_at(HEADER_BYTES - HASH_BYTES);
    let start = [MAGIC.as_slice(), &VERSION.to_be_bytes(), &[0; 4]].concat();
    let fields = summed.strip_prefix(start.as_slice())?;
    let (id, first) = fields.split_first_chunk()?;
    let first = u64::from_be_bytes(*first.first_chunk()?);
    (TreeHash::digest(summed).as_bytes() == sum).then_some((*id, first))
}

/// Takes the frame that begins here, if there is one; returns its length as well.
pub(super) fn decode_frame(bytes: &[u8], id: &SegmentId) -> Option<(Frame, usize)> {
    let (length, _) = bytes.strip_prefix(FRAME_MAGIC)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let length = Some(length).filter(|length| *length <= CONTENT_BYTES_MAX)?;
    let (head, rest) = bytes.split_at_checked(FRAME_HEAD_BYTES + length)?;
    let sum = rest.first_chunk::<HASH_BYTES>()?;
    if TreeHash::digest(&[id, head].concat()).as_bytes() != sum {
        return None;
    }
    let (number, rest) = head.get(8..)?.split_first_chunk()?;
    let (group, content) = rest.split_first_chunk()?;
    let frame = Frame {
        number: u64::from_be_bytes(*number),
        group: u64::from_be_bytes(*group),
        content: decode_content(content)?,
    };
    Some((frame, head.len() + HASH_BYTES))
}

/// Returns every whole frame in some bytes, wherever it begins.
fn frames<'b>(bytes: &'b [u8], id: &'b SegmentId) -> impl Iterator<Item = Frame> + 'b {
    let starts = bytes.windows(FRAME_MAGIC.len()).enumerate();
    starts
        .filter(|(_, window)| window == FRAME_MAGIC)
        .filter_map(|(at, _)| Some(decode_frame(bytes.get(at..)?, id)?.0))
}

/// Returns the bytes of a content.
fn content(content: &Content) -> Vec<u8> {
    let (kind, cursor) = match content {
        Content::Place(cursor) => (1, cursor),
        Content::Line(line) => (2, &line.cursor),
    };
    let mut bytes = vec![kind];
    bytes.extend(cursor.file.device.to_be_bytes());
    bytes.extend(cursor.file.inode.to_be_bytes());
    bytes.extend(cursor.file.head.length.to_be_bytes());
    bytes.extend(cursor.file.head.sum.as_bytes());
    bytes.extend(cursor.offset.to_be_bytes());
    bytes.extend(cursor.parts.to_be_bytes());
    let length = u16::try_from(cursor.path.len()).expect("a path has at most 4,096 bytes");
    bytes.extend(length.to_be_bytes());
    bytes.extend(&cursor.path);
    if let Content::Line(line) = content {
        let (cut, part) = match line.part {
            None => (0, 0),
            Some(Part { number, more: true }) => (1, number),
            Some(Part { number, more: false }) => (2, number),
        };
        bytes.extend([line.form.byte(), cut]);
        bytes.extend(u32::to_be_bytes(part));
        bytes.extend(line.read.micros().to_be_bytes());
        bytes.extend(&line.bytes);
    }
    bytes
}

/// Takes the bytes of a content.
fn decode_content(bytes: &[u8]) -> Option<Content> {
    let (kind, rest) = bytes.split_first()?;
    let (device, rest) = rest.split_first_chunk()?;
    let (inode, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (parts, rest) = rest.split_first_chunk()?;
    let (path_length, rest) = rest.split_first_chunk()?;
    let (path, rest) = rest.split_at_checked(u16::from_be_bytes(*path_length).into())?;
    let head = Head { length: u16::from_be_bytes(*length), sum: TreeHash::from_bytes(*sum) };
    let (device, inode) = (u64::from_be_bytes(*device), u64::from_be_bytes(*inode));
    let cursor = Cursor {
        file: FileId { device, inode, head },
        path: path.to_vec(),
        offset: u64::from_be_bytes(*offset),
        parts: u32::from_be_bytes(*parts),
    };
    match (kind, rest) {
        (1, []) => Some(Content::Place(cursor)),
        (2, [form, cut, rest @ ..]) => {
            let (number, rest) = rest.split_first_chunk()?;
            let (read, line) = rest.split_first_chunk()?;
            let number = u32::from_be_bytes(*number);
            let read = Timestamp::from_micros(u64::from_be_bytes(*read))?;
            let part = match (cut, number) {
                (0, 0) => None,
                (1 | 2, number) => Some(Part { number, more: *cut == 1 }),
                _ => return None,
            };
            let bytes = Bytes::copy_from_slice(line);
            let form = Form::from_byte(*form)?;
            Some(Content::Line(Line { cursor, form, read, part, bytes }))
        }
        _ => None,
    }
}
