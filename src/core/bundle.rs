//! Entries behind one another, as they are stored and as entry bundles are served.
//!
//! The encoding is that of entry bundles in c2sp.org/tlog-tiles: for each entry its length as a
//! big-endian 16-bit number, then its bytes. The entries `a` and `bc` make
//!
//! ```text
//! 00 01 61 00 02 62 63
//! ```
//!
//! An entry has at least one byte, which leaves the length 0 for stored segments alone: it is
//! followed by the 32 bytes of the leaf hash of an entry whose bytes were erased. Such a segment is
//! never served.

use crate::core::entry::{self, ENTRY_BYTES_MAX};
use crate::core::hash::{HASH_BYTES, TreeHash};

/// Bytes of an entry's length.
const LENGTH_BYTES: usize = 2;

/// One entry of a stored segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredEntry<'a> {
    /// The entry's bytes.
    Bytes(&'a [u8]),
    /// The leaf hash of an entry that was erased.
    Erased(TreeHash),
}

impl StoredEntry<'_> {
    /// Returns the leaf hash; computes it where the bytes are there.
    pub fn leaf_hash(&self) -> TreeHash {
        match self {
            Self::Bytes(bytes) => TreeHash::leaf(bytes),
            Self::Erased(hash) => *hash,
        }
    }
}

/// Why bytes are not the encoding of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The bytes end inside an entry.
    #[error("entry {position} is cut off: {missing} bytes are missing")]
    Truncated {
        /// Position of the entry, from 0.
        position: usize,
        /// How many more bytes it needs.
        missing: usize,
    },
    /// An entry without bytes in a bundle.
    #[error("entry {position} is empty")]
    Empty {
        /// Position of the entry, from 0.
        position: usize,
    },
    /// The bundle holds fewer entries than it should.
    #[error("the bundle holds {found} entries, not {expected}")]
    Missing {
        /// How many entries it should hold.
        expected: usize,
        /// How many it holds.
        found: usize,
    },
    /// Bytes follow the last entry that the bundle should hold.
    #[error("{bytes} bytes follow the last of {expected} entries")]
    Trailing {
        /// How many entries it should hold.
        expected: usize,
        /// How many bytes are left over.
        bytes: usize,
    },
}

/// Appends the encoding of one entry to a segment.
///
/// # Panics
///
/// If the entry is empty or longer than [`ENTRY_BYTES_MAX`]; admission refuses both.
pub fn encode_entry(out: &mut Vec<u8>, entry: &[u8]) {
    assert!(entry::check(entry).is_ok(), "an admitted entry has 1 to {ENTRY_BYTES_MAX} bytes");
    let length = u16::try_from(entry.len()).expect("ENTRY_BYTES_MAX fits in 16 bits");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(entry);
}

/// Returns the bytes that [`encode_entry`] adds for an entry of this length.
pub const fn encoded_bytes(entry_bytes: usize) -> usize {
    LENGTH_BYTES + entry_bytes
}

/// Reads the entries of a stored segment one after another.
pub const fn decode(segment: &[u8]) -> Entries<'_> {
    Entries { rest: segment, position: 0 }
}

/// The entries of a segment. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    position: usize,
}

impl<'a> Entries<'a> {
    /// Returns the bytes that have not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `count` bytes off the front.
    fn take(&mut self, count: usize) -> Result<&'a [u8], BundleError> {
        if let Some((taken, rest)) = self.rest.split_at_checked(count) {
            self.rest = rest;
            return Ok(taken);
        }
        let missing = count - self.rest.len();
        self.rest = &[];
        Err(BundleError::Truncated { position: self.position, missing })
    }

    /// Takes one entry off the front.
    fn entry(&mut self) -> Result<StoredEntry<'a>, BundleError> {
        let length = self.take(LENGTH_BYTES)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let entry = if length == 0 {
            let hash = TreeHash::from_slice(self.take(HASH_BYTES)?);
            StoredEntry::Erased(hash.expect("32 bytes were taken"))
        } else {
            StoredEntry::Bytes(self.take(length)?)
        };
        self.position += 1;
        Ok(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<StoredEntry<'a>, BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() { None } else { Some(self.entry()) }
    }
}

/// Parses an entry bundle that must hold exactly `count` entries and nothing else.
pub fn parse_bundle(bytes: &[u8], count: usize) -> Result<Vec<&[u8]>, BundleError> {
    let mut rest = decode(bytes);
    // The count is the caller's, but what is reserved must not exceed what the bytes can hold.
    let mut entries = Vec::with_capacity(count.min(bytes.len() / encoded_bytes(1)));
    for position in 0..count {
        // A length of 0 is an error here before its hash would be looked for.
        if rest.rest().starts_with(&[0; LENGTH_BYTES]) {
            return Err(BundleError::Empty { position });
        }
        match rest.next().transpose()? {
            Some(StoredEntry::Bytes(entry)) => entries.push(entry),
            Some(StoredEntry::Erased(_)) => return Err(BundleError::Empty { position }),
            None => return Err(BundleError::Missing { expected: count, found: position }),
        }
    }
    match rest.rest().len() {
        0 => Ok(entries),
        bytes => Err(BundleError::Trailing { expected: count, bytes }),
    }
}
