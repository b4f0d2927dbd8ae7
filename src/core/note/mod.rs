//! Signed notes: a text, an empty line, and signatures over the text (c2sp.org/signed-note).
//!
//! ```text
//! This is an example message.
//!
//! \u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
//! ```
//!
//! (`\u{2014}` stands for the em dash itself.) The text may hold empty lines: it ends at the last one.
//! A key is known by its name and the 4-byte key id together, and signatures of other keys are passed
//! over.
//!
//! # Invariants
//!
//! - The text ends with a line feed and holds no other control character below U+0020.
//! - A note has 1 to [`SIGNATURES_MAX`] signatures and at most [`NOTE_BYTES_MAX`] bytes.
//! - Formatting what was parsed gives the same bytes.

use core::fmt;
use std::{collections::HashMap, str};

mod cosignature;
mod key;
mod signature;
pub(crate) mod text;

pub use cosignature::{CosignatureTime, CosigningKey};
pub use key::{Algorithm, KeyError, KeyId, KeyName, KeyNameError, SigningKey, VerifierKey};
pub use signature::{NoteSignature, parse_signature_lines};

/// Most bytes of a note that is read or made.
///
/// A checkpoint with the 100 signatures of [`SIGNATURES_MAX`] under names of 255 bytes has
/// 100 * (4 + 255 + 1 + 104 + 1) = 36,500 bytes, so that 64 KiB leave room for a long text.
pub const NOTE_BYTES_MAX: usize = 65_536;

/// Most signatures of one note.
///
/// The specification wants at least 16; 100 is what the reference implementation (golang.org/x/mod)
/// takes. It bounds the work that a stranger's note can cause.
pub const SIGNATURES_MAX: usize = 100;

/// A signed note in its parts. Nothing about its signatures is known yet: see [`SignedNote::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Why bytes are no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is too long.
    #[error("the note has {bytes} bytes, more than {NOTE_BYTES_MAX}")]
    TooLong {
        /// Length of the note.
        bytes: usize,
    },
    /// The note is not UTF-8.
    #[error("byte {position} of the note is not UTF-8")]
    Encoding {
        /// Position of the first wrong byte, from 0.
        position: usize,
    },
    /// The note holds a control character other than a line feed.
    #[error("byte {position} of the note is a control character")]
    Control {
        /// Position of the first such character, from 0.
        position: usize,
    },
    /// No empty line separates text and signatures.
    #[error("the note has no empty line between text and signatures")]
    NoSignatures,
    /// The text or the last signature does not end with a line feed.
    #[error("the note does not end with a line feed")]
    Unterminated,
    /// The note has too many signatures.
    #[error("the note has {signatures} signatures, more than {SIGNATURES_MAX}")]
    TooManySignatures {
        /// Number of signature lines.
        signatures: usize,
    },
    /// A line after the last empty line is no signature.
    #[error("signature line {line} of the note is malformed")]
    Signature {
        /// Number of the line after the empty line, from 1.
        line: usize,
    },
}

/// Why the signatures of a note don't hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// None of the keys has signed.
    #[error("none of the known keys has signed the note")]
    Unsigned,
    /// A signature that claims to be of a known key is not.
    #[error("the signature of {name} does not verify")]
    Forged {
        /// Name of the key.
        name: KeyName,
    },
    /// Two of the keys can't be told apart.
    #[error("two different keys have the name {name} and the same key id: remove one")]
    Ambiguous {
        /// Name of both keys.
        name: KeyName,
    },
}

/// The text of a note whose signatures by known keys all hold.
#[derive(Clone, Debug)]
pub struct VerifiedNote<'n, 'k> {
    text: &'n str,
    signatures: Vec<VerifiedSignature<'k>>,
}

/// A signature of a known key that holds.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedSignature<'k> {
    /// The key that signed.
    pub key: &'k VerifierKey,
    /// When a cosigner says it has signed; none for other keys.
    pub time: Option<CosignatureTime>,
}

impl SignedNote {
    /// Puts a note together.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_characters(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Unterminated);
        }
        check_count(signatures.len())?;
        let note = Self { text, signatures };
        check_length(note.to_string().len())?;
        Ok(note)
    }

    /// Parses a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        check_length(bytes.len())?;
        let note = str::from_utf8(bytes)
            .map_err(|error| NoteError::Encoding { position: error.valid_up_to() })?;
        check_characters(note)?;
        let separator = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        // Both halves of the separator are one byte long: the first ends the text.
        let (text, rest) = note.split_at(separator + 1);
        let lines = rest.strip_prefix('\n').unwrap_or(rest);
        if lines.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        Ok(Self { text: text.to_owned(), signatures: signature::parse_lines(lines)? })
    }

    /// Adds signatures, as far as the note's limits allow; they are not verified here.
    ///
    /// A key has one line in the result, at its first place: of two cosignatures the one that states the
    /// later time, of other signatures the first.
    pub fn with_signatures(&self, extra: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let mut signatures: Vec<NoteSignature> = Vec::with_capacity(self.signatures.len());
        for added in self.signatures.iter().cloned().chain(extra) {
            match signatures.iter_mut().find(|line| line.is_of_same_key(&added)) {
                Some(line) if added.stated_time() > line.stated_time() => *line = added,
                Some(_) => {}
                None => signatures.push(added),
            }
        }
        Self::new(self.text.clone(), signatures)
    }

    /// Returns the note with those signatures alone that claim to be of one of the keys; none if
    /// there is no such signature.
    #[must_use]
    pub fn reduced<'k>(&self, keys: impl IntoIterator<Item = &'k VerifierKey>) -> Option<Self> {
        let keys: Vec<&VerifierKey> = keys.into_iter().collect();
        let ours = |line: &&NoteSignature| keys.iter().any(|key| line.claims(key));
        let signatures: Vec<_> = self.signatures.iter().filter(ours).cloned().collect();
        let text = self.text.clone();
        (!signatures.is_empty()).then_some(Self { text, signatures })
    }

    /// Returns the signed text, with its final line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signatures in the order of the note.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Verifies every signature that claims to be of one of the keys.
    ///
    /// One that does not hold rejects the note, and so does a note that none of the keys has
    /// signed. Signatures of unknown keys are passed over, also where only the name or only the id
    /// is known. Several signatures of one key count once, with the latest time.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<VerifiedNote<'_, 'k>, VerifyError> {
        let mut known: HashMap<(&str, KeyId), &'k VerifierKey> = HashMap::new();
        for key in keys {
            let other = known.insert((key.name().as_str(), key.id()), key);
            if other.is_some_and(|other| other != key) {
                return Err(VerifyError::Ambiguous { name: key.name().clone() });
            }
        }
        let mut signatures: Vec<VerifiedSignature<'k>> = Vec::new();
        for signature in &self.signatures {
            let Some(&key) = known.get(&(signature.name().as_str(), signature.id())) else {
                continue;
            };
            let time = key
                .verify(&self.text, signature.bytes())
                .map_err(|_forged| VerifyError::Forged { name: key.name().clone() })?;
            match signatures.iter_mut().find(|earlier| earlier.key == key) {
                Some(earlier) => earlier.time = earlier.time.max(time),
                None => signatures.push(VerifiedSignature { key, time }),
            }
        }
        if signatures.is_empty() {
            return Err(VerifyError::Unsigned);
        }
        Ok(VerifiedNote { text: &self.text, signatures })
    }
}

impl<'n, 'k> VerifiedNote<'n, 'k> {
    /// Returns the signed text, with its final line feed.
    pub fn text(&self) -> &'n str {
        self.text
    }

    /// Returns one signature for each key that has signed, in the order of the note.
    pub fn signatures(&self) -> &[VerifiedSignature<'k>] {
        &self.signatures
    }

    /// Returns the signature of `key` if it has signed.
    pub fn signature(&self, key: &VerifierKey) -> Option<&VerifiedSignature<'k>> {
        self.signatures.iter().find(|signature| signature.key == key)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str("\n")?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn check_length(bytes: usize) -> Result<(), NoteError> {
    if bytes <= NOTE_BYTES_MAX { Ok(()) } else { Err(NoteError::TooLong { bytes }) }
}

fn check_count(signatures: usize) -> Result<(), NoteError> {
    match signatures {
        0 => Err(NoteError::NoSignatures),
        1..=SIGNATURES_MAX => Ok(()),
        signatures => Err(NoteError::TooManySignatures { signatures }),
    }
}

fn check_characters(note: &str) -> Result<(), NoteError> {
    match note.bytes().position(|byte| byte < 0x20 && byte != b'\n') {
        Some(position) => Err(NoteError::Control { position }),
        None => Ok(()),
    }
}
