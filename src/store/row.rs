//! The rows that describe a log: what it is, how far it has come, and whether it was halted.
//!
//! No tree covers them, so each ends in a sum over its other bytes: the first 8 of their SHA-256.
//! RocksDB's own checksums begin where it is handed a row; a bit that flips before that shows here.

use crate::core::{
    hash::{HASH_BYTES, TreeHash},
    note::VerifierKey,
    number::{LogNumber, TreeSize, UnixMillis},
    origin::Origin,
    tree::TreeHead,
};

use super::error::Fault;

/// Version of the encodings in this file.
const ROW_VERSION: u8 = 1;

/// Bytes of a row's sum.
const SUM_BYTES: usize = 8;

/// What a log's entries are. Chosen at its creation, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Any bytes.
    Opaque,
    /// Audit records.
    Audit,
}

/// Whether a log takes entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    /// It does.
    Open,
    /// It never will again.
    Closed,
}

/// What makes an entry without an idempotency key a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogIdentity {
    /// Nothing does.
    None,
    /// The same leaf hash.
    EntryHash,
}

/// What the store knows about a log besides its tree.
///
/// # Format
///
/// u8 version (1), u8 kind (1 opaque, 2 audit), u8 state (1 open, 2 closed), u8 identity (1 none, 2
/// entry hash), u64 creation time, u8 length of the origin, the origin, u16 number of verifier keys,
/// for each u16 length and its vkey text, 8 bytes sum.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The log's number, which is in the row's key.
    pub number: LogNumber,
    /// Its unique name.
    pub origin: Origin,
    /// What its entries are.
    pub kind: LogKind,
    /// Whether it takes entries.
    pub state: LogState,
    /// What makes an entry a duplicate.
    pub identity: LogIdentity,
    /// Its keys, oldest first; the last one signs.
    pub vkeys: Vec<VerifierKey>,
    /// When it was created.
    pub created: UnixMillis,
}

/// How far a log has come, and how far it was before its last batch.
///
/// # Format
///
/// u8 version (1), u64 size, 32 bytes root, u64 previous size, 32 bytes previous root, u64 time, 8
/// bytes sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// The tree head after the last batch.
    pub head: TreeHead,
    /// The tree head before it; the same where the last write added no entries.
    pub previous: TreeHead,
    /// When the last batch was sequenced.
    pub at: UnixMillis,
}

impl LogRow {
    /// Returns the stored bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            LogKind::Opaque => 1,
            LogKind::Audit => 2,
        };
        let state = match self.state {
            LogState::Open => 1,
            LogState::Closed => 2,
        };
        let identity = match self.identity {
            LogIdentity::None => 1,
            LogIdentity::EntryHash => 2,
        };
        let origin = self.origin.as_str().as_bytes();
        let mut bytes = vec![ROW_VERSION, kind, state, identity];
        bytes.extend(self.created.0.to_be_bytes());
        bytes.push(u8::try_from(origin.len()).expect("an origin has at most 255 bytes"));
        bytes.extend(origin);
        bytes.extend(length(self.vkeys.len()));
        for vkey in &self.vkeys {
            let text = vkey.to_string();
            bytes.extend(length(text.len()));
            bytes.extend(text.as_bytes());
        }
        with_sum(bytes)
    }

    /// Takes stored bytes.
    pub fn decode(number: LogNumber, bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::versioned(bytes)?;
        let kind = match fields.number::<1>()? {
            1 => LogKind::Opaque,
            2 => LogKind::Audit,
            _ => return Err(Fault::Content),
        };
        let state = match fields.number::<1>()? {
            1 => LogState::Open,
            2 => LogState::Closed,
            _ => return Err(Fault::Content),
        };
        let identity = match fields.number::<1>()? {
            1 => LogIdentity::None,
            2 => LogIdentity::EntryHash,
            _ => return Err(Fault::Content),
        };
        let created = UnixMillis(fields.number::<8>()?);
        let origin = Origin::parse(fields.text::<1>()?).map_err(|_not_an_origin| Fault::Content)?;
        let mut vkeys = Vec::new();
        for _ in 0..fields.number::<2>()? {
            let vkey =
                VerifierKey::parse(fields.text::<2>()?).map_err(|_not_a_key| Fault::Content)?;
            vkeys.push(vkey);
        }
        fields.end()?;
        Ok(Self { number, origin, kind, state, identity, vkeys, created })
    }
}

impl HeadRow {
    /// Length of an encoded row.
    pub const ENCODED_BYTES: usize =
        1 + 2 * (size_of::<u64>() + HASH_BYTES) + size_of::<u64>() + SUM_BYTES;

    /// Returns the row of a log without entries.
    pub fn empty(at: UnixMillis) -> Self {
        Self { head: TreeHead::empty(), previous: TreeHead::empty(), at }
    }

    /// Returns the stored bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::ENCODED_BYTES);
        bytes.push(ROW_VERSION);
        for head in [self.head, self.previous] {
            bytes.extend(head.size.get().to_be_bytes());
            bytes.extend(head.root.as_bytes());
        }
        bytes.extend(self.at.0.to_be_bytes());
        with_sum(bytes)
    }

    /// Takes stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::versioned(bytes)?;
        let head = fields.head()?;
        let previous = fields.head()?;
        let at = UnixMillis(fields.number::<8>()?);
        fields.end()?;
        if previous.size > head.size || (previous.size == head.size && previous != head) {
            return Err(Fault::Content);
        }
        Ok(Self { head, previous, at })
    }
}

/// Returns the bytes of a halt marker: u8 version (1), the reason as UTF-8, 8 bytes sum.
pub(super) fn encode_halt(reason: &str) -> Vec<u8> {
    with_sum([&[ROW_VERSION], reason.as_bytes()].concat())
}

/// Takes the bytes of a halt marker.
pub(super) fn decode_halt(bytes: &[u8]) -> Result<String, Fault> {
    let fields = Fields::versioned(bytes)?;
    String::from_utf8(fields.0.to_vec()).map_err(|_not_utf8| Fault::Content)
}

/// Returns the bytes of a kept note or of an override: u8 version (1), u64 time, the text, 8 bytes sum.
pub(super) fn encode_text(at: UnixMillis, text: &[u8]) -> Vec<u8> {
    with_sum([&[ROW_VERSION], at.0.to_be_bytes().as_slice(), text].concat())
}

/// Takes the bytes of a kept note or of an override.
pub(super) fn decode_text(bytes: &[u8]) -> Result<(UnixMillis, &[u8]), Fault> {
    let mut fields = Fields::versioned(bytes)?;
    let at = UnixMillis(fields.number::<8>()?);
    Ok((at, fields.0))
}

/// Returns the bytes of a source row: u8 version (1), the content, 8 bytes sum.
pub(super) fn encode_source(content: &[u8]) -> Vec<u8> {
    with_sum([&[ROW_VERSION], content].concat())
}

/// Takes the content of a source row.
pub(super) fn decode_source(bytes: &[u8]) -> Result<&[u8], Fault> {
    Ok(Fields::versioned(bytes)?.0)
}

/// Encodes a length or a count.
fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("a log has fewer than 2^16 keys, and each is short").to_be_bytes()
}

/// Adds the sum to a row.
fn with_sum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(sum(&bytes));
    bytes
}

/// Returns the sum over the other bytes of a row.
fn sum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let hash = TreeHash::digest(bytes);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Reads the fields of a row one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Starts behind the version byte of a row whose sum is right, and ends before its sum.
    fn versioned(bytes: &'a [u8]) -> Result<Self, Fault> {
        let length = Fault::Length { bytes: bytes.len() };
        let (summed, stored) = bytes.split_last_chunk().ok_or(length)?;
        match summed.split_first() {
            Some((&ROW_VERSION, rest)) if sum(summed) == *stored => Ok(Self(rest)),
            Some((&ROW_VERSION, _)) => Err(Fault::Sum),
            // Another version may have its sum elsewhere.
            Some((&version, _)) => Err(Fault::Version { version }),
            None => Err(length),
        }
    }

    /// Takes `count` bytes.
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let length = Fault::Length { bytes: self.0.len() };
        let (taken, rest) = self.0.split_at_checked(count).ok_or(length)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Takes a number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<u64, Fault> {
        Ok(self.bytes(N)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Takes a text with a length of `N` bytes before it.
    fn text<const N: usize>(&mut self) -> Result<&'a str, Fault> {
        let length = usize::try_from(self.number::<N>()?).map_err(|_too_long| Fault::Content)?;
        str::from_utf8(self.bytes(length)?).map_err(|_not_utf8| Fault::Content)
    }

    /// Takes a tree head.
    fn head(&mut self) -> Result<TreeHead, Fault> {
        let size = TreeSize::new(self.number::<8>()?).ok_or(Fault::Content)?;
        let root = TreeHash::from_slice(self.bytes(HASH_BYTES)?).ok_or(Fault::Content)?;
        Ok(TreeHead { size, root })
    }

    /// Checks that nothing is left.
    fn end(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::Length { bytes: self.0.len() }) }
    }
}
