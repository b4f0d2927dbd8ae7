//! Receipts: the proof, kept by its owner, that an entry is in a log (c2sp.org/tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                 optional, not authenticated
//! index 2
//! <base64 of a hash>             the inclusion proof, from the leaf's sibling upwards
//!
//! <the signed checkpoint, verbatim>
//! ```
//!
//! A receipt does not hold the entry. Whoever verifies it brings the entry's bytes and a trust
//! policy, and needs neither the log nor a network.
//!
//! # Invariants
//!
//! - What is read has at most [`PROOF_HASHES_MAX`] hashes and [`RECEIPT_BYTES_MAX`] bytes.
//! - Formatting what was parsed gives the same bytes.

use core::str;

use bytes::Bytes;

use crate::core::{
    entry::{self, EntryError},
    hash::TreeHash,
    note::{
        NOTE_BYTES_MAX,
        text::{format_base64, parse_base64, parse_decimal},
    },
    number::{LeafIndex, TreeSize},
    origin::Origin,
    tree::{TreeHead, verify_inclusion},
    trust::{TrustError, TrustPolicy, Verified},
};

/// The first line of every receipt.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes of an inclusion proof that is read: the height of a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;

/// Most bytes of a line before the checkpoint, without its line feed.
///
/// The reference implementation (transparency-dev/formats) reads lines through a buffer of 64 KiB
/// that must hold the line feed as well.
const LINE_BYTES_MAX: usize = 65_535;

/// Most bytes of extra data: what fits into one line after `extra `, as base64.
pub const EXTRA_BYTES_MAX: usize = (LINE_BYTES_MAX - "extra ".len()) / 4 * 3;

/// Most bytes of a receipt.
///
/// Header, extra line and index line, 63 hashes of 45 bytes, an empty line and the checkpoint:
/// 23 + 65,536 + 27 + 2,835 + 1 + 65,536 = 133,958.
pub const RECEIPT_BYTES_MAX: usize = HEADER.len()
    + 1
    + LINE_BYTES_MAX
    + 1
    + "index 18446744073709551615\n".len()
    + PROOF_HASHES_MAX * 45
    + 1
    + NOTE_BYTES_MAX;

const _: () = assert!(RECEIPT_BYTES_MAX == 133_958);

/// A proof that an entry has an index in a log. Nothing is known about its truth: see
/// [`Receipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Data of the application, which nothing authenticates; at most [`EXTRA_BYTES_MAX`] bytes.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry.
    pub index: LeafIndex,
    /// Inclusion proof, from the leaf's sibling to the root's child; at most [`PROOF_HASHES_MAX`].
    pub proof: Vec<TreeHash>,
    /// The signed checkpoint, at most [`NOTE_BYTES_MAX`] bytes.
    pub note: Bytes,
}

/// What a receipt has proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// Index of the entry.
    pub index: LeafIndex,
    /// Hash of the entry's leaf.
    pub leaf: TreeHash,
    /// The checkpoint that covers the entry, with the key of its log and its witnesses.
    pub trusted: Verified,
}

/// Why bytes are no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the receipt: {problem}")]
pub struct ReceiptFormatError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: ReceiptProblem,
}

/// What is wrong with a line of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptProblem {
    /// The first line is not that of a receipt.
    #[error("a receipt begins with {HEADER:?}")]
    Header,
    /// The receipt ends too early.
    #[error("the receipt ends before its checkpoint: a part of the file is missing")]
    Truncated,
    /// The line is too long, or not ASCII.
    #[error("the line is longer than {LINE_BYTES_MAX} bytes or not ASCII")]
    Line,
    /// The extra data is not base64.
    #[error("\"extra\" must be followed by a space and base64")]
    Extra,
    /// The index is missing or no number.
    #[error("expected \"index\", a space and a decimal below 2^62 without leading zeros")]
    Index,
    /// A hash of the proof is not the base64 of 32 bytes.
    #[error("expected a hash as base64 of 32 bytes, or an empty line before the checkpoint")]
    Hash,
    /// The proof is longer than that of any tree.
    #[error("an inclusion proof has at most {PROOF_HASHES_MAX} hashes")]
    ProofLength,
    /// The checkpoint is too long.
    #[error("the checkpoint has more than {NOTE_BYTES_MAX} bytes")]
    NoteLength,
}

/// Why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The entry's bytes can't be those of any leaf.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The checkpoint is not one that the policy trusts.
    #[error("the receipt's checkpoint is not trusted: {0}")]
    Trust(#[from] TrustError),
    /// The index is not in the tree of the checkpoint.
    #[error("the receipt is for entry {index}, but its checkpoint covers {size} entries")]
    Index {
        /// Index of the entry.
        index: LeafIndex,
        /// Size of the tree.
        size: TreeSize,
    },
    /// The proof does not lead from the entry to the root.
    #[error(
        "the proof does not lead from this entry to the checkpoint's root: either these are not the \
         bytes that were logged at index {index}, or the receipt was changed"
    )]
    Inclusion {
        /// Index of the entry.
        index: LeafIndex,
    },
}

impl Receipt {
    /// Parses a receipt.
    ///
    /// The checkpoint is taken as it is; [`Receipt::verify`] reads it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptFormatError> {
        let mut lines = Lines { rest: bytes, number: 0 };
        if lines.next()? != HEADER {
            return Err(lines.fault(ReceiptProblem::Header));
        }
        let mut line = lines.next()?;
        let mut extra = None;
        if let Some(base64) = line.strip_prefix("extra ") {
            extra = Some(parse_base64(base64).ok_or(lines.fault(ReceiptProblem::Extra))?);
            line = lines.next()?;
        }
        let index = line
            .strip_prefix("index ")
            .and_then(parse_decimal)
            .and_then(LeafIndex::new)
            .ok_or(lines.fault(ReceiptProblem::Index))?;
        let mut proof = Vec::new();
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_HASHES_MAX {
                return Err(lines.fault(ReceiptProblem::ProofLength));
            }
            proof.push(TreeHash::parse_base64(line).ok_or(lines.fault(ReceiptProblem::Hash))?);
        }
        lines.number += 1;
        match lines.rest.len() {
            0 => Err(lines.fault(ReceiptProblem::Truncated)),
            1..=NOTE_BYTES_MAX => {
                Ok(Self { extra, index, proof, note: Bytes::copy_from_slice(lines.rest) })
            }
            _ => Err(lines.fault(ReceiptProblem::NoteLength)),
        }
    }

    /// Returns the bytes of the receipt.
    pub fn format(&self) -> Vec<u8> {
        let extra = self.extra.as_ref().map(|extra| format!("extra {}\n", format_base64(extra)));
        let extra = extra.unwrap_or_default();
        let proof: String = self.proof.iter().map(|hash| hash.to_base64() + "\n").collect();
        let head = format!("{HEADER}\n{extra}index {}\n{proof}\n", self.index);
        [head.as_bytes(), &self.note].concat()
    }

    /// Verifies that `entry` is in the log, and that the policy trusts the checkpoint that says so.
    ///
    /// The extra data proves nothing and is passed over.
    pub fn verify(
        &self,
        entry: &[u8],
        trust: &TrustPolicy,
    ) -> Result<VerifiedReceipt, ReceiptError> {
        entry::check(entry)?;
        let leaf = TreeHash::leaf(entry);
        let trusted = trust.verify_checkpoint(&self.note)?;
        let (index, head) = (self.index, trusted.checkpoint.head());
        if !head.size.contains(index) {
            return Err(ReceiptError::Index { index, size: head.size });
        }
        verify_inclusion(&leaf, index, &head, &self.proof)
            .map_err(|_opaque| ReceiptError::Inclusion { index })?;
        Ok(VerifiedReceipt { index, leaf, trusted })
    }
}

impl VerifiedReceipt {
    /// Returns size and root of the tree that holds the entry.
    pub fn head(&self) -> TreeHead {
        self.trusted.checkpoint.head()
    }

    /// Returns the log that holds the entry.
    pub fn origin(&self) -> &Origin {
        self.trusted.checkpoint.origin()
    }
}

/// The lines before the checkpoint, read one by one.
struct Lines<'a> {
    rest: &'a [u8],
    /// Number of the line that was read last, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    /// Takes a line off the front and returns it without its line feed.
    fn next(&mut self) -> Result<&'a str, ReceiptFormatError> {
        self.number += 1;
        let window = self.rest.get(..=LINE_BYTES_MAX).unwrap_or(self.rest);
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            let is_whole = window.len() == self.rest.len();
            return Err(self.fault(if is_whole {
                ReceiptProblem::Truncated
            } else {
                ReceiptProblem::Line
            }));
        };
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        str::from_utf8(line)
            .ok()
            .filter(|line| line.is_ascii())
            .ok_or(self.fault(ReceiptProblem::Line))
    }

    fn fault(&self, problem: ReceiptProblem) -> ReceiptFormatError {
        ReceiptFormatError { line: self.number, problem }
    }
}
