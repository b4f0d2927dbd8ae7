//! Evidence: two checkpoints under one log's key that can't both be true.
//!
//! ```text
//! attestree-evidence@v1
//! kind prefix
//! root <base64 of R'>            the root that the newer tree has at the older tree's size
//! proof <base64 of a hash>       consistency proof from there to the newer root, none to 63 lines
//! note 178
//! <178 bytes: the older checkpoint, verbatim>
//! note 178
//! <178 bytes: the newer one, to the end of the file>
//! ```
//!
//! The other kind is `same-size`: two roots for one size, which need neither `root` nor `proof`.
//!
//! A log that only appends has one root for each size. Its key, under both checkpoints, has signed
//! two: outright, or, in the kind `prefix`, one itself and another through a newer tree that
//! provably begins with it. Nobody without the key can make such a pair, and an honest log never
//! does, so whoever holds the log's vkey is convinced offline. What a checkpoint's witnesses say
//! is not needed for that; one that cosigned both has broken its own promise too.
//!
//! # Invariants
//!
//! - What is read has at most [`EVIDENCE_BYTES_MAX`] bytes; formatting it gives the same bytes.
//! - What [`Evidence::same_size`] and [`Evidence::prefix`] make is guilty under the key that signed.
//! - [`Evidence::judge`] finds guilty only where no honest log could have signed both.
//!
//! # Out of scope
//!
//! - Failing to answer, tiles that don't fit, and roots without a signature convict nobody.
//! - Where the other root and its proof come from: [`crate::client::compare()`].

mod format;
mod judge;

pub use format::{EvidenceFormatError, EvidenceProblem};
pub use judge::{Contradiction, Doubt, Flaw, Judgement, Which};

use bytes::Bytes;

use crate::core::{
    checkpoint::{CheckpointError, CheckpointText, SignedCheckpoint},
    hash::TreeHash,
    note::{NOTE_BYTES_MAX, SignedNote},
    number::TreeSize,
    origin::Origin,
    receipt::PROOF_HASHES_MAX,
    tree::{TreeHead, verify_consistency},
};

/// Most bytes of a piece of evidence.
///
/// Header and the longer kind, a root, 63 hashes, and two notes with the lines that give their
/// lengths: 22 + 15 + 50 + 63 * 51 + 2 * (11 + 65,536) = 134,394.
pub const EVIDENCE_BYTES_MAX: usize = format::HEADER.len()
    + 1
    + "kind same-size\n".len()
    + ("root \n".len() + 44)
    + PROOF_HASHES_MAX * ("proof \n".len() + 44)
    + 2 * ("note 65536\n".len() + NOTE_BYTES_MAX);

const _: () = assert!(EVIDENCE_BYTES_MAX == 134_394);

/// Two signed checkpoints, and why they are said to contradict each other.
///
/// Nothing is known about its truth where it was parsed: see [`Evidence::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The checkpoint of the smaller tree, or the one that was seen first.
    older: Statement,
    newer: Statement,
    claim: Claim,
}

/// Why two checkpoints are said to contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// They give one size two roots.
    SameSize,
    /// The newer tree has another root at the size of the older one.
    Prefix { other_root: TreeHash, proof: Vec<TreeHash> },
}

/// A checkpoint as it stands in the evidence, with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    note: Bytes,
    signed: SignedNote,
    text: CheckpointText,
}

impl Evidence {
    /// Takes two signed checkpoints of one log that have one size and different roots; `None` if
    /// they are no such pair.
    pub fn same_size(first: &SignedCheckpoint, second: &SignedCheckpoint) -> Option<Self> {
        let (one, other) = (first.head(), second.head());
        let contradicts = first.origin() == second.origin()
            && one.size == other.size
            && one.size > TreeSize::ZERO
            && one.root != other.root;
        contradicts.then(|| Self {
            older: Statement::of(first),
            newer: Statement::of(second),
            claim: Claim::SameSize,
        })
    }

    /// Takes two signed checkpoints of one log and the proof that the newer tree does not begin with
    /// the older one; `None` if that is not proved.
    ///
    /// `proof` is a consistency proof from `other_root` at the size of the older tree to the head of
    /// the newer one, where `other_root` is not the older root and the older tree is not empty.
    pub fn prefix(
        older: &SignedCheckpoint,
        newer: &SignedCheckpoint,
        other_root: TreeHash,
        proof: Vec<TreeHash>,
    ) -> Option<Self> {
        let other = TreeHead { size: older.head().size, root: other_root };
        let contradicts = older.origin() == newer.origin()
            && older.head().size < newer.head().size
            && older.head().root != other_root
            && verify_consistency(&other, &newer.head(), &proof).is_ok();
        contradicts.then(|| Self {
            older: Statement::of(older),
            newer: Statement::of(newer),
            claim: Claim::Prefix { other_root, proof },
        })
    }

    /// Returns the log that the first checkpoint is of.
    pub const fn origin(&self) -> &Origin {
        &self.older.text.origin
    }

    /// Returns the heads that the two checkpoints state, the older one first.
    pub const fn heads(&self) -> [TreeHead; 2] {
        [self.older.text.head, self.newer.text.head]
    }

    /// Returns the two notes, verbatim, the older one first.
    pub const fn notes(&self) -> [&Bytes; 2] {
        [&self.older.note, &self.newer.note]
    }
}

impl Statement {
    /// Takes a checkpoint that was verified under some key.
    fn of(checkpoint: &SignedCheckpoint) -> Self {
        Self::parse(checkpoint.note()).expect("a signed checkpoint is a note with its text")
    }

    /// Parses a note as a checkpoint; its signatures are not looked at.
    fn parse(note: &[u8]) -> Result<Self, CheckpointError> {
        let signed = SignedNote::parse(note)?;
        let text = CheckpointText::parse(signed.text())?;
        Ok(Self { note: Bytes::copy_from_slice(note), signed, text })
    }
}
