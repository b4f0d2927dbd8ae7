//! Keys of the stored rows.
//!
//! All numbers are big-endian, so that the order of the bytes is the order of the numbers.
//!
//! | column family | key | row |
//! |---|---|---|
//! | `meta` | `00` | format version |
//! | `meta` | `01`, u32 log | [`super::LogRow`] |
//! | `meta` | `02`, u32 log | halt marker |
//! | `meta` | `03`, u32 log | the newest candidate's signed note |
//! | `meta` | `04`, u32 log | the newest signed note with a quorum |
//! | `meta` | `05`, u32 log, u64 size | a signed note with a quorum that is kept for ever |
//! | `meta` | `06`, u32 log, u64 time | an operator's leave to sign without the witnesses |
//! | `head` | u32 log | [`super::HeadRow`] |
//! | `entry` | u32 log, u64 index of the first entry | segment, see [`crate::core::bundle`] |
//! | `tile` | u32 log, u64 [`TileId::end`], u8 level | [`crate::core::tree::Tile`] |
//! | `identity` | u32 log, rest as [`super::IdentityKey`] | [`super::IdentityRow`] |
//! | `disclosure` | u32 log, u64 index, u16 field | see [`crate::core::record::Place`] |
//! | `source` | u32 log, u8 kind, rest | see [`super::SourceKey`] |
//!
//! Entries and tiles are written in the order of their keys. A tile's key begins with the size at
//! which it became full, not with its level, for the same reason: files of sorted rows that are
//! flushed one after another then never overlap, and compaction moves them instead of rewriting.

use crate::core::{
    number::{LeafIndex, LogNumber, TreeSize},
    tree::{TILE_HEIGHT, TileId},
};

/// Key of the format version in `meta`.
pub(super) const FORMAT: [u8; 1] = [0x00];

/// First byte of the keys of log rows in `meta`.
pub(super) const LOG_KIND: u8 = 0x01;

/// First byte of the keys of halt markers in `meta`.
pub(super) const HALT_KIND: u8 = 0x02;

/// First byte of the keys of newest candidates in `meta`.
const CANDIDATE_KIND: u8 = 0x03;

/// First byte of the keys of newest cosigned notes in `meta`.
const COSIGNED_KIND: u8 = 0x04;

/// First byte of the keys of notes that are kept for ever in `meta`.
const KEPT_KIND: u8 = 0x05;

/// First byte of the keys of overrides in `meta`.
const OVERRIDE_KIND: u8 = 0x06;

/// Bytes of a log number.
const LOG_BYTES: usize = size_of::<u32>();

/// Returns the key of a log's row in `meta`.
pub(super) fn log(log: LogNumber) -> [u8; 5] {
    kind_and_log(LOG_KIND, log)
}

/// Returns the key of a log's halt marker in `meta`.
pub(super) fn halt(log: LogNumber) -> [u8; 5] {
    kind_and_log(HALT_KIND, log)
}

/// Returns the key of a log's newest candidate in `meta`.
pub(super) fn candidate(log: LogNumber) -> [u8; 5] {
    kind_and_log(CANDIDATE_KIND, log)
}

/// Returns the key of a log's newest note with a quorum in `meta`.
pub(super) fn cosigned(log: LogNumber) -> [u8; 5] {
    kind_and_log(COSIGNED_KIND, log)
}

/// Returns the key of a note that is kept for ever in `meta`.
pub(super) fn kept(log: LogNumber, size: u64) -> [u8; 13] {
    kind_log_and_number(KEPT_KIND, log, size)
}

/// Returns a key that is behind all notes of a log that are kept for ever, and behind nothing else.
pub(super) fn kept_end(log: LogNumber) -> [u8; 14] {
    behind(kept(log, u64::MAX))
}

/// Returns the size in the key of a log's note that is kept for ever.
pub(super) fn parse_kept(log: LogNumber, key: &[u8]) -> Option<u64> {
    let size = key.strip_prefix(&kind_and_log(KEPT_KIND, log))?;
    Some(u64::from_be_bytes(size.try_into().ok()?))
}

/// Returns the key of an override in `meta`.
pub(super) fn overridden(log: LogNumber, at: u64) -> [u8; 13] {
    kind_log_and_number(OVERRIDE_KIND, log, at)
}

/// Returns a key that is behind all overrides of a log, and behind nothing else.
pub(super) fn overridden_end(log: LogNumber) -> [u8; 14] {
    behind(overridden(log, u64::MAX))
}

/// Puts a kind of `meta` row before a log number and another number.
fn kind_log_and_number(kind: u8, log: LogNumber, number: u64) -> [u8; 13] {
    let mut key = [kind; 13];
    if let Some(rest) = key.last_chunk_mut() {
        *rest = log_and_number(log, number);
    }
    key
}

/// Returns the least key behind a key.
fn behind(key: [u8; 13]) -> [u8; 14] {
    let mut next = [0; 14];
    if let Some(front) = next.first_chunk_mut() {
        *front = key;
    }
    next
}

/// Puts a kind of `meta` row before a log number.
fn kind_and_log(kind: u8, log: LogNumber) -> [u8; 5] {
    let [a, b, c, d] = log.0.to_be_bytes();
    [kind, a, b, c, d]
}

/// Returns the log number of a key of `meta` if it has this kind.
pub(super) fn parse_log(kind: u8, key: &[u8]) -> Option<LogNumber> {
    let (first, rest) = key.split_first()?;
    let number = u32::from_be_bytes(rest.try_into().ok()?);
    (*first == kind).then_some(LogNumber(number))
}

/// Returns the key of a log's head row, which also begins all its keys of the other families.
pub(super) fn head(log: LogNumber) -> [u8; LOG_BYTES] {
    log.0.to_be_bytes()
}

/// Returns the log number of a key of `head`.
pub(super) fn parse_head(key: &[u8]) -> Option<LogNumber> {
    Some(LogNumber(u32::from_be_bytes(key.try_into().ok()?)))
}

/// Returns a key that is behind all keys of a log and behind none of the next log's.
pub(super) fn after(log: LogNumber) -> Vec<u8> {
    // Behind the last number there is no next one; no key goes on with 0xff after its log number.
    log.0.checked_add(1).map_or_else(|| vec![0xff; LOG_BYTES + 1], |next| next.to_be_bytes().into())
}

/// Returns the least key of the disclosures of the entries from `from` on.
pub(super) fn disclosures(log: LogNumber, from: LeafIndex) -> [u8; 12] {
    log_and_number(log, from.get())
}

/// Returns the least key of what is remembered of a log and can be learned again: all but kind 0.
pub(super) fn source_learned(log: LogNumber) -> [u8; 5] {
    let [a, b, c, d] = log.0.to_be_bytes();
    [a, b, c, d, 1]
}

/// Returns the index and the field of a disclosure's key.
pub(super) fn parse_disclosure(log: LogNumber, key: &[u8]) -> Option<(LeafIndex, u16)> {
    let (index, field) = key.strip_prefix(&head(log))?.split_first_chunk()?;
    let index = LeafIndex::new(u64::from_be_bytes(*index))?;
    Some((index, u16::from_be_bytes(field.try_into().ok()?)))
}

/// Returns the key of the segment whose first entry is `from`.
pub(super) fn segment(log: LogNumber, from: LeafIndex) -> [u8; 12] {
    log_and_number(log, from.get())
}

/// Returns the first index of a segment's key.
pub(super) fn parse_segment(log: LogNumber, key: &[u8]) -> Option<LeafIndex> {
    let rest = key.strip_prefix(&head(log))?;
    LeafIndex::new(u64::from_be_bytes(rest.try_into().ok()?))
}

/// Returns the key of a tile.
pub(super) fn tile(log: LogNumber, id: TileId) -> [u8; 13] {
    let mut key = [id.level; 13];
    if let Some(front) = key.first_chunk_mut() {
        *front = log_and_number(log, id.end());
    }
    key
}

/// Returns the least key of the tiles that became full at a size above `size`.
pub(super) fn tiles_above(log: LogNumber, size: TreeSize) -> [u8; 12] {
    log_and_number(log, size.get() + 1)
}

/// Returns the coordinates of a tile's key.
pub(super) fn parse_tile(log: LogNumber, key: &[u8]) -> Option<TileId> {
    let (level, rest) = key.strip_prefix(&head(log))?.split_last()?;
    let end = u64::from_be_bytes(rest.try_into().ok()?);
    let shift = u32::from(TILE_HEIGHT).checked_mul(u32::from(*level) + 1)?;
    let index = end.checked_shr(shift)?.checked_sub(1)?;
    let id = TileId { level: *level, index };
    // Low bits that no tile ends at would otherwise give one tile several keys.
    (id.end() == end).then_some(id)
}

/// Puts a log number before another number.
fn log_and_number(log: LogNumber, number: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let bytes = log.0.to_be_bytes().into_iter().chain(number.to_be_bytes());
    key.iter_mut().zip(bytes).for_each(|(byte, value)| *byte = value);
    key
}
