//! The text of a piece of evidence, read line by line and written again.

use core::str;

use super::{Claim, Evidence, Statement};
use crate::core::{
    checkpoint::CheckpointError,
    hash::TreeHash,
    note::{NOTE_BYTES_MAX, text::parse_decimal},
    receipt::PROOF_HASHES_MAX,
};

/// The first line of all evidence.
pub(super) const HEADER: &str = "attestree-evidence@v1";

/// Most bytes of a line outside the notes, without its line feed: that of a hash.
const LINE_BYTES_MAX: usize = "proof ".len() + 44;

/// Why bytes are no evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the evidence: {problem}")]
pub struct EvidenceFormatError {
    /// Number of the line, from 1; of a note its first.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub problem: EvidenceProblem,
}

/// What is wrong with a line of evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceProblem {
    /// The first line is not that of evidence.
    #[error("evidence begins with {HEADER:?}")]
    Header,
    /// The evidence ends too early.
    #[error("the evidence ends before its second checkpoint does: a part of the file is missing")]
    Truncated,
    /// The line is too long, or not ASCII.
    #[error("the line is longer than {LINE_BYTES_MAX} bytes or not ASCII")]
    Line,
    /// The kind is not known.
    #[error("expected \"kind same-size\" or \"kind prefix\"")]
    Kind,
    /// The other root is missing.
    #[error("expected \"root\", a space and a hash as base64 of 32 bytes")]
    Root,
    /// A hash of the proof is not the base64 of 32 bytes.
    #[error("\"proof\" must be followed by a space and a hash as base64 of 32 bytes")]
    Hash,
    /// The proof is longer than that of any two trees.
    #[error("a consistency proof has at most {PROOF_HASHES_MAX} hashes")]
    ProofLength,
    /// The length of a note is missing.
    #[error("expected \"note\", a space and its length in bytes, 1 to {NOTE_BYTES_MAX}")]
    Note,
    /// What stands there is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Something follows the second note.
    #[error("{bytes} bytes follow the second checkpoint, where the evidence ends")]
    Trailing {
        /// How many bytes.
        bytes: usize,
    },
}

impl Evidence {
    /// Parses evidence.
    ///
    /// The two notes have to be checkpoints by their form; whether they convict anybody is for
    /// [`Evidence::judge`] to say.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceFormatError> {
        let mut reader = Reader { rest: bytes, line: 0 };
        if reader.line()? != HEADER {
            return Err(reader.fault(EvidenceProblem::Header));
        }
        let (claim, length) = match reader.line()? {
            "kind same-size" => (Claim::SameSize, reader.line()?),
            "kind prefix" => reader.prefix()?,
            _ => return Err(reader.fault(EvidenceProblem::Kind)),
        };
        let older = reader.note(length)?;
        let length = reader.line()?;
        let newer = reader.note(length)?;
        match reader.rest.len() {
            0 => Ok(Self { older, newer, claim }),
            bytes => {
                reader.line += 1;
                Err(reader.fault(EvidenceProblem::Trailing { bytes }))
            }
        }
    }

    /// Returns the bytes of the evidence.
    pub fn format(&self) -> Vec<u8> {
        let claim = match &self.claim {
            Claim::SameSize => "kind same-size\n".to_owned(),
            Claim::Prefix { other_root, proof } => {
                let proof = proof.iter().map(|hash| format!("proof {hash}\n"));
                format!("kind prefix\nroot {other_root}\n{}", proof.collect::<String>())
            }
        };
        let mut bytes = format!("{HEADER}\n{claim}").into_bytes();
        for note in self.notes() {
            bytes.extend_from_slice(format!("note {}\n", note.len()).as_bytes());
            bytes.extend_from_slice(note);
        }
        bytes
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
    /// Number of the line that was read last, from 1.
    line: usize,
}

impl<'a> Reader<'a> {
    /// Takes a line off the front and returns it without its line feed.
    fn line(&mut self) -> Result<&'a str, EvidenceFormatError> {
        self.line += 1;
        let window = self.rest.get(..=LINE_BYTES_MAX).unwrap_or(self.rest);
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            let is_whole = window.len() == self.rest.len();
            return Err(self.fault(if is_whole {
                EvidenceProblem::Truncated
            } else {
                EvidenceProblem::Line
            }));
        };
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        let line = str::from_utf8(line).ok().filter(|line| line.is_ascii());
        line.ok_or_else(|| self.fault(EvidenceProblem::Line))
    }

    /// Reads the root and the proof of the kind `prefix`, and the line behind them.
    fn prefix(&mut self) -> Result<(Claim, &'a str), EvidenceFormatError> {
        let root = self.line()?.strip_prefix("root ").and_then(TreeHash::parse_base64);
        let other_root = root.ok_or_else(|| self.fault(EvidenceProblem::Root))?;
        let mut proof = Vec::new();
        loop {
            let line = self.line()?;
            let Some(hash) = line.strip_prefix("proof ") else {
                return Ok((Claim::Prefix { other_root, proof }, line));
            };
            if proof.len() == PROOF_HASHES_MAX {
                return Err(self.fault(EvidenceProblem::ProofLength));
            }
            let hash = TreeHash::parse_base64(hash);
            proof.push(hash.ok_or_else(|| self.fault(EvidenceProblem::Hash))?);
        }
    }

    /// Reads a note whose length the last line gives.
    fn note(&mut self, length: &str) -> Result<Statement, EvidenceFormatError> {
        let length = length
            .strip_prefix("note ")
            .and_then(parse_decimal)
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| (1..=NOTE_BYTES_MAX).contains(length))
            .ok_or_else(|| self.fault(EvidenceProblem::Note))?;
        self.line += 1;
        let Some((note, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.fault(EvidenceProblem::Truncated));
        };
        let statement = Statement::parse(note).map_err(|error| self.fault(error.into()))?;
        self.rest = rest;
        // A note that parsed ends with a line feed, behind which one more part begins; its first line
        // is counted already.
        self.line += note.split(|&byte| byte == b'\n').count() - 2;
        Ok(statement)
    }

    fn fault(&self, problem: EvidenceProblem) -> EvidenceFormatError {
        EvidenceFormatError { line: self.line, problem }
    }
}
