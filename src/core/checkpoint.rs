//! Checkpoints: a log's signed statement of its size and root (c2sp.org/tlog-checkpoint).
//!
//! ```text
//! example.com/vector-log
//! 5
//! NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=
//!
//! \u{2014} example.com/vector-log WFOomFAIYi2lPazqV8OYkS8BA3STBwbv2Ciw9nSLI/fu+c1n2lBE3tTsqbzMFpxXBt46135DGvbwENefRFTtFeWtdgc=
//! ```
//!
//! (`\u{2014}` stands for the em dash itself.) The text holds no time and Ed25519 is deterministic, so
//! a log's own checkpoint is a pure function of its head: after a crash the same head gets the same
//! bytes again.
//!
//! # Out of scope
//!
//! - Extension lines. We never make them, and refuse to read them: monitors can't audit them, and
//!   not all cosignatures cover them.

use core::fmt;

use bytes::Bytes;

use crate::core::{
    hash::TreeHash,
    note::{
        Algorithm, KeyName, NoteError, SignedNote, VerifierKey, VerifyError, text::parse_decimal,
    },
    number::TreeSize,
    origin::{Origin, OriginError},
    tree::TreeHead,
};

/// The text that a log signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointText {
    /// The log.
    pub origin: Origin,
    /// Its size and root.
    pub head: TreeHead,
}

/// A checkpoint that carries the signature of its log.
///
/// Made only by verifying a note, or by signing the head of a durable commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Bytes,
    origin: Origin,
    head: TreeHead,
}

/// Why a note is not the checkpoint of a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The bytes are no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not have three lines.
    #[error("the text of a checkpoint has three lines, this one has {lines}")]
    Lines {
        /// Number of lines.
        lines: usize,
    },
    /// The first line is no origin.
    #[error("the first line of the checkpoint is no origin: {0}")]
    Origin(#[from] OriginError),
    /// The second line is no tree size.
    #[error(
        "the second line of the checkpoint is no tree size: it must be a decimal up to 2^62 without leading zeros"
    )]
    Size,
    /// The third line is no root hash.
    #[error("the third line of the checkpoint is no root: it must be the base64 of 32 bytes")]
    Root,
    /// An empty tree has the root of another.
    #[error("the checkpoint gives an empty tree a root other than that of the empty tree")]
    EmptyRoot,
    /// The key is not one that signs checkpoints of this log.
    #[error(
        "{name} can't sign for {origin}: a log signs with an Ed25519 key (0x01) that has its origin as name"
    )]
    Key {
        /// Name of the key.
        name: KeyName,
        /// Origin of the checkpoint.
        origin: Origin,
    },
    /// The signature of the log is missing or does not hold.
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

impl CheckpointText {
    /// Parses the text of a checkpoint, with its final line feed.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_lines(text)?;
        if checkpoint.is_impossible() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(checkpoint)
    }

    /// Returns whether this gives an empty tree a root other than that of the empty tree.
    pub(in crate::core) fn is_impossible(&self) -> bool {
        self.head.size == TreeSize::ZERO && self.head.root != TreeHash::empty_root()
    }

    /// Parses the text of a checkpoint, which may be an impossible one.
    pub(in crate::core) fn parse_lines(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> =
            text.split_inclusive('\n').map(|line| line.trim_end_matches('\n')).collect();
        let &[origin, size, root] = lines.as_slice() else {
            return Err(CheckpointError::Lines { lines: lines.len() });
        };
        // What `split_inclusive` leaves at the end may lack its line feed.
        if !text.ends_with('\n') {
            return Err(NoteError::Unterminated.into());
        }
        let origin = Origin::parse(origin)?;
        let size = parse_decimal(size).and_then(TreeSize::new).ok_or(CheckpointError::Size)?;
        let root = TreeHash::parse_base64(root).ok_or(CheckpointError::Root)?;
        Ok(Self { origin, head: TreeHead { size, root } })
    }
}

impl fmt::Display for CheckpointText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, head: TreeHead { size, root } } = self;
        write!(f, "{origin}\n{size}\n{root}\n")
    }
}

impl SignedCheckpoint {
    /// Verifies a note as a checkpoint of the log whose key is given.
    ///
    /// Signatures of other keys may be there and are kept, but not checked.
    pub fn verify(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let parsed = SignedNote::parse(note)?;
        let CheckpointText { origin, head } = CheckpointText::parse(parsed.text())?;
        if !signs_for(key, &origin) {
            return Err(CheckpointError::Key { name: key.name().clone(), origin });
        }
        parsed.verify([key])?;
        Ok(Self { note: Bytes::copy_from_slice(note), origin, head })
    }

    /// Returns the checkpoint with more signatures, which are not verified here.
    pub fn with_signatures(
        &self,
        extra: Vec<crate::core::note::NoteSignature>,
    ) -> Result<Self, NoteError> {
        let note = SignedNote::parse(&self.note)?.with_signatures(extra)?.to_string();
        Ok(Self { note: note.into(), origin: self.origin.clone(), head: self.head })
    }

    /// Returns the note, with every signature it came with.
    pub fn note(&self) -> &Bytes {
        &self.note
    }

    /// Returns the log.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns size and root of the log.
    pub fn head(&self) -> TreeHead {
        self.head
    }
}

impl SignedCheckpoint {
    /// Keeps a note whose signature by a key of the log has been verified.
    pub(in crate::core) fn from_verified(note: &[u8], origin: Origin, head: TreeHead) -> Self {
        Self { note: Bytes::copy_from_slice(note), origin, head }
    }
}

/// Returns whether a key is one that signs checkpoints of the log.
pub(in crate::core) fn signs_for(key: &VerifierKey, origin: &Origin) -> bool {
    key.algorithm() == Algorithm::Ed25519 && key.name().as_str() == origin.as_str()
}

/// Signs a head of the log: the same head always gives the same bytes.
///
/// The caller vouches that the head is durable and extends every head that the log has signed.
/// Panics if the key is not that of the log, which the caller has compared when it loaded the key.
#[cfg(any(feature = "server", test))]
pub(crate) fn sign_checkpoint(
    key: &crate::core::note::SigningKey,
    origin: &Origin,
    head: TreeHead,
) -> SignedCheckpoint {
    assert!(signs_for(key.verifier_key(), origin), "a log signs with its own key");
    let text = CheckpointText { origin: origin.clone(), head }.to_string();
    let signature = key.sign(&text);
    let note = SignedNote::new(text, vec![signature])
        .expect("the text of a checkpoint is short and has no control characters")
        .to_string();
    SignedCheckpoint { note: note.into(), origin: origin.clone(), head }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::note::{KeyName, SigningKey};

    /// A log's own checkpoint is a format: the same head must give these bytes for ever.
    #[test]
    fn signing_a_head_gives_the_published_bytes() {
        let seed = TreeHash::digest(b"tlog vector log key");
        let name = KeyName::parse("example.com/vector-log").unwrap();
        let key = SigningKey::from_seed(name, seed.as_bytes());
        let origin = Origin::parse("example.com/vector-log").unwrap();
        let root = TreeHash::parse_base64("NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=").unwrap();
        let head = TreeHead { size: TreeSize::new(5).unwrap(), root };
        let checkpoint = sign_checkpoint(&key, &origin, head);
        let note = "example.com/vector-log\n5\nNBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=\n\n\
                    \u{2014} example.com/vector-log WFOomFAIYi2lPazqV8OYkS8BA3STBwbv2Ciw9nSLI/fu+c1n\
                    2lBE3tTsqbzMFpxXBt46135DGvbwENefRFTtFeWtdgc=\n";
        assert_eq!(checkpoint.note(), note.as_bytes());
        let verified = SignedCheckpoint::verify(note.as_bytes(), key.verifier_key());
        assert_eq!(verified, Ok(checkpoint));
    }

    #[test]
    #[should_panic(expected = "a log signs with its own key")]
    fn another_logs_key_never_signs() {
        let key = SigningKey::from_seed(KeyName::parse("a.example").unwrap(), &[1; 32]);
        sign_checkpoint(&key, &Origin::parse("b.example").unwrap(), TreeHead::empty());
    }
}
