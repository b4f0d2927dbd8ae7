//! Signature lines: what follows the empty line of a note, and what a witness answers with.

use core::{fmt, str};

use super::{
    NoteError, VerifyError, check_characters, check_count, check_length,
    cosignature::CosignatureTime,
    key::{KeyId, KeyName, VerifierKey},
    text,
};

/// What every signature line begins with: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Length of an Ed25519 cosignature behind the key id: a time and a signature.
const COSIGNATURE_BYTES: usize = 8 + 64;

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// Takes the parts of a signature line; there must be at least one byte of signature.
    pub fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Option<Self> {
        if bytes.is_empty() { None } else { Some(Self { name, id, bytes }) }
    }

    /// Parses a signature line without its line feed.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = text::parse_base64(base64)?;
        let (id, bytes) = bytes.split_first_chunk()?;
        Self::new(KeyName::parse(name).ok()?, *id, bytes.to_vec())
    }

    /// Returns the name of the key that claims to have signed.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns the id of the key that claims to have signed.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns what follows the key id: for Ed25519 the signature alone.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies the line over the text of a note as one of this key; returns the time that a cosigner
    /// states.
    ///
    /// [`VerifyError::Unsigned`] means that the line claims to be of another key.
    pub fn verify(
        &self,
        key: &VerifierKey,
        text: &str,
    ) -> Result<Option<CosignatureTime>, VerifyError> {
        if !self.claims(key) {
            return Err(VerifyError::Unsigned);
        }
        let forged = |_forged| VerifyError::Forged { name: key.name().clone() };
        key.verify(text, &self.bytes).map_err(forged)
    }

    /// Returns whether the line claims to be of a key.
    pub fn claims(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == *key.name()
    }

    /// Returns whether two lines claim to be of the same key.
    pub(super) fn is_of_same_key(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name
    }

    /// Returns the time that the line states if it has the length of an Ed25519 cosignature.
    ///
    /// Nothing tells the algorithm of an unknown key but the length.
    pub(super) fn stated_time(&self) -> Option<CosignatureTime> {
        let (time, _) = self.bytes.split_first_chunk()?;
        let time = CosignatureTime::new(u64::from_be_bytes(*time));
        time.filter(|_| self.bytes.len() == COSIGNATURE_BYTES)
    }
}

/// Parses signature lines alone, each with its line feed: the answer of a witness
/// (c2sp.org/tlog-witness). The limits are those of a note.
pub fn parse_signature_lines(bytes: &[u8]) -> Result<Vec<NoteSignature>, NoteError> {
    check_length(bytes.len())?;
    let lines = str::from_utf8(bytes)
        .map_err(|error| NoteError::Encoding { position: error.valid_up_to() })?;
    check_characters(lines)?;
    if lines.is_empty() {
        return Err(NoteError::NoSignatures);
    }
    parse_lines(lines)
}

/// Parses the lines after the empty line, of which there is at least a part.
pub(super) fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Unterminated)?;
    check_count(lines.split('\n').count())?;
    let line = |(line, text)| NoteSignature::parse(text).ok_or(NoteError::Signature { line });
    (1..).zip(lines.split('\n')).map(line).collect()
}

impl fmt::Display for NoteSignature {
    /// Writes the signature line without its line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base64 = text::format_base64([self.id.as_slice(), &self.bytes].concat());
        write!(f, "{SIGNATURE_PREFIX}{} {base64}", self.name)
    }
}
