//! The resources of a log over HTTP, as c2sp.org/tlog-tiles names them.
//!
//! ```text
//! checkpoint
//! tile/0/x001/x234/067           tile 1,234,067 of level 0
//! tile/1/000.p/17                the first 17 hashes of tile 0 of level 1
//! tile/entries/273.p/112         the last 112 entries of a log of 70,000
//! ```
//!
//! # Invariants
//!
//! - One resource has one path: no leading zeros, no group of digits too many.
//! - Every tile that parses lies below some tree of at most [`TreeSize::MAX`] leaves.

use core::fmt;

use crate::core::{note::text::parse_decimal, number::TreeSize};

/// Hashes of a full tile and entries of a full bundle (c2sp.org/tlog-tiles, "Merkle Tree").
const WIDTH: u16 = 256;

/// Highest level that a path may name (c2sp.org/tlog-tiles, "Merkle Tree").
const LEVEL_MAX: u64 = 63;

/// One thing that a log serves over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The newest signed checkpoint.
    Checkpoint,
    /// Hashes of one level of the tree.
    Tile {
        /// Level of the tile: 0 holds leaf hashes, each other the roots of full tiles one level down.
        level: u8,
        /// Number of the tile within its level, from 0.
        index: u64,
        /// Number of its hashes, 1 to 256.
        width: u16,
    },
    /// The entries below a tile of level 0.
    Entries {
        /// Number of the bundle, from 0.
        index: u64,
        /// Number of its entries, 1 to 256.
        width: u16,
    },
}

/// Why a path names no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path has none of the known forms.
    #[error(
        "no such resource: ask for checkpoint, tile/<level>/<index>[.p/<width>] or tile/entries/<index>[.p/<width>]"
    )]
    Unknown,
    /// The level is no number from 0 to 63.
    #[error("a level is a number from 0 to {LEVEL_MAX} without leading zeros")]
    Level,
    /// The index is not written in groups.
    #[error(
        "write an index in groups of three digits, all but the last with an x: 1234067 is x001/x234/067"
    )]
    Index,
    /// The width of a partial tile is no number from 1 to 255.
    #[error(
        "the width of a partial tile is a number from 1 to 255 without leading zeros; a full one has none"
    )]
    Width,
    /// No tree is large enough.
    #[error("no tree is large enough to have this tile")]
    Beyond,
}

impl Resource {
    /// Parses a path without the log's prefix and without a leading slash.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path == "checkpoint" {
            return Ok(Self::Checkpoint);
        }
        let (kind, rest) = path
            .strip_prefix("tile/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(PathError::Unknown)?;
        if kind == "entries" {
            let (index, width) = parse_index_and_width(rest)?;
            check_extent(0, index, width)?;
            return Ok(Self::Entries { index, width });
        }
        let level =
            parse_decimal(kind).filter(|&level| level <= LEVEL_MAX).ok_or(PathError::Level)?;
        let level = u8::try_from(level).map_err(|_too_large| PathError::Level)?;
        let (index, width) = parse_index_and_width(rest)?;
        check_extent(level, index, width)?;
        Ok(Self::Tile { level, index, width })
    }
}

/// Parses `<N>` or `<N>.p/<W>`.
fn parse_index_and_width(text: &str) -> Result<(u64, u16), PathError> {
    let Some((index, width)) = text.split_once(".p/") else {
        return Ok((parse_index(text)?, WIDTH));
    };
    let width = parse_decimal(width)
        .and_then(|width| u16::try_from(width).ok())
        .filter(|width| (1..WIDTH).contains(width))
        .ok_or(PathError::Width)?;
    Ok((parse_index(index)?, width))
}

/// Parses an index in groups of three digits.
fn parse_index(text: &str) -> Result<u64, PathError> {
    let (first_groups, last_group) = match text.rsplit_once('/') {
        Some((first, last)) => (Some(first), last),
        None => (None, text),
    };
    let mut index: u64 = 0;
    for group in first_groups.into_iter().flat_map(|groups| groups.split('/')) {
        index = push_group(index, group.strip_prefix('x').ok_or(PathError::Index)?)?;
        // A first group of zeros would give an index a second path.
        if index == 0 {
            return Err(PathError::Index);
        }
    }
    push_group(index, last_group)
}

/// Appends three decimal digits to `index`.
fn push_group(index: u64, group: &str) -> Result<u64, PathError> {
    if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PathError::Index);
    }
    let group: u64 = group.parse().map_err(|_too_large| PathError::Index)?;
    index.checked_mul(1_000).and_then(|index| index.checked_add(group)).ok_or(PathError::Beyond)
}

/// Refuses a tile whose last hash covers leaves that no tree can have.
fn check_extent(level: u8, index: u64, width: u16) -> Result<(), PathError> {
    // Below the largest tree there are (2^62 >> 8 * level) hashes on a level. In 128 bits nothing
    // here can overflow: an index has 64 bits, a width 9.
    let hashes = u128::from(TreeSize::MAX.get()).checked_shr(8 * u32::from(level)).unwrap_or(0);
    let end = u128::from(index) * u128::from(WIDTH) + u128::from(width);
    if end <= hashes { Ok(()) } else { Err(PathError::Beyond) }
}

/// Returns how many hashes the last, partial tile of a level has in a tree of `size` leaves.
///
/// 0 if the level ends with a full tile: such a partial tile does not exist and is never served.
pub fn partial_width(level: u8, size: TreeSize) -> u16 {
    let hashes = size.get().checked_shr(8 * u32::from(level)).unwrap_or(0);
    u16::try_from(hashes % u64::from(WIDTH)).expect("a remainder of 256 fits into 16 bits")
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Tile { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        // 1000^6 is the largest power of 1,000 that fits into 64 bits.
        for power in
            (1..=6).rev().map(|exponent| 1_000_u64.pow(exponent)).filter(|&power| index >= power)
        {
            write!(f, "x{:03}/", index / power % 1_000)?;
        }
        write!(f, "{:03}", index % 1_000)?;
        if width == WIDTH { Ok(()) } else { write!(f, ".p/{width}") }
    }
}
