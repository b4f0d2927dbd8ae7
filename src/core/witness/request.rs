//! The body of `add-checkpoint` (c2sp.org/tlog-witness).
//!
//! ```text
//! old 20852014
//! <base64 of a hash>             the consistency proof, 0 to 63 of them
//!
//! <the signed checkpoint, verbatim>
//! ```

use core::str;

use bytes::Bytes;

use crate::core::{
    checkpoint::{CheckpointError, CheckpointText},
    hash::TreeHash,
    note::{NOTE_BYTES_MAX, SignedNote, text::parse_decimal},
    number::TreeSize,
};

/// Most hashes of the proof: the specification's number, and more than a tree of 2^62 leaves needs.
pub const PROOF_HASHES_MAX: usize = 63;

/// What the first line begins with.
const OLD: &str = "old ";

/// Most bytes of the first line, without its line feed: 2^62 has 19 digits.
const OLD_LINE_BYTES_MAX: usize = OLD.len() + 19;

/// Bytes of a hash in base64.
const HASH_TEXT_BYTES: usize = 44;

/// Most bytes of a body.
///
/// The first line, 63 hashes of 45 bytes, an empty line and the note:
/// 24 + 2,835 + 1 + 65,536 = 68,396.
pub const ADD_CHECKPOINT_BYTES_MAX: usize =
    OLD_LINE_BYTES_MAX + 1 + PROOF_HASHES_MAX * (HASH_TEXT_BYTES + 1) + 1 + NOTE_BYTES_MAX;

const _: () = assert!(ADD_CHECKPOINT_BYTES_MAX == 68_396);

/// A checkpoint for a witness to cosign. Nothing is known about its truth: see
/// [`judge`](super::judge()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the tree that the witness has cosigned last, as far as the sender knows; 0 if none.
    pub old_size: TreeSize,
    /// Consistency proof from that tree to the checkpoint's; at most [`PROOF_HASHES_MAX`] hashes.
    pub proof: Vec<TreeHash>,
    /// The signed checkpoint, at most [`NOTE_BYTES_MAX`] bytes.
    pub note: Bytes,
}

/// Why bytes are no such request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddCheckpointError {
    /// The body is too long.
    #[error("the body has {bytes} bytes, more than {ADD_CHECKPOINT_BYTES_MAX}")]
    TooLong {
        /// Length of the body.
        bytes: usize,
    },
    /// The first line is not that of the old size.
    #[error(
        "line 1 must be \"old\", a space and a decimal up to 2^62 without leading zeros: the size that \
         this witness has cosigned last"
    )]
    Old,
    /// The body ends before the checkpoint.
    #[error("the body ends before its checkpoint: an empty line and the note are missing")]
    Truncated,
    /// A line of the proof is no hash.
    #[error("line {line} must be a hash as base64 of 32 bytes, or the empty line before the note")]
    Hash {
        /// Number of the line, from 1.
        line: usize,
    },
    /// The proof is longer than that of any tree.
    #[error("the proof has more than {PROOF_HASHES_MAX} hashes")]
    ProofLength,
    /// The checkpoint is too long.
    #[error("the checkpoint has {bytes} bytes, more than {NOTE_BYTES_MAX}")]
    NoteLength {
        /// Length of the checkpoint.
        bytes: usize,
    },
}

impl AddCheckpoint {
    /// Parses a body. The note is taken as it is; [`AddCheckpoint::checkpoint`] reads it.
    pub fn parse(bytes: &[u8]) -> Result<Self, AddCheckpointError> {
        if bytes.len() > ADD_CHECKPOINT_BYTES_MAX {
            return Err(AddCheckpointError::TooLong { bytes: bytes.len() });
        }
        let (line, mut rest) =
            split_line(bytes, OLD_LINE_BYTES_MAX).ok_or(AddCheckpointError::Old)?;
        let old_size = line
            .strip_prefix(OLD)
            .and_then(parse_decimal)
            .and_then(TreeSize::new)
            .ok_or(AddCheckpointError::Old)?;
        let mut proof = Vec::new();
        for number in 2.. {
            if rest.is_empty() {
                return Err(AddCheckpointError::Truncated);
            }
            let fault = AddCheckpointError::Hash { line: number };
            let (line, after) = split_line(rest, HASH_TEXT_BYTES).ok_or(fault)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == PROOF_HASHES_MAX {
                return Err(AddCheckpointError::ProofLength);
            }
            proof.push(TreeHash::parse_base64(line).ok_or(fault)?);
        }
        match rest.len() {
            0 => Err(AddCheckpointError::Truncated),
            1..=NOTE_BYTES_MAX => Ok(Self { old_size, proof, note: Bytes::copy_from_slice(rest) }),
            bytes => Err(AddCheckpointError::NoteLength { bytes }),
        }
    }

    /// Returns the body.
    pub fn format(&self) -> Vec<u8> {
        let proof: String = self.proof.iter().map(|hash| hash.to_base64() + "\n").collect();
        let head = format!("{OLD}{}\n{proof}\n", self.old_size);
        [head.as_bytes(), &self.note].concat()
    }

    /// Reads the note: its parts, and the origin and head that it states.
    ///
    /// No signature is checked, and an empty tree may have an impossible root: what that means for the
    /// answer depends on whether the log is known.
    pub fn checkpoint(&self) -> Result<(SignedNote, CheckpointText), CheckpointError> {
        let note = SignedNote::parse(&self.note)?;
        let text = CheckpointText::parse_lines(note.text())?;
        Ok((note, text))
    }
}

/// Splits off a line of at most so many bytes, without its line feed.
fn split_line(bytes: &[u8], max: usize) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(max + 1).position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    Some((str::from_utf8(line).ok()?, rest.get(1..)?))
}
