//! Tokens by which senders show who they are, and what is kept of them.
//!
//! ```text
//! att_Zm9v...                             a token: `att_` and base64url of 32 random bytes
//! sha256:2c26b46b68ffc68ff99b453c1d...    what is kept of it: its SHA-256, in hexadecimal digits
//! ```
//!
//! A token has 256 random bits, so that its hash needs no salt and no slow function: there is nothing to guess.
//! Senders bring it as their protocols have it, in the header `authorization`.

use core::fmt;
use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::hash::{HASH_BYTES, TreeHash};
use super::record::{FINGERPRINT_PREFIX, format_bytes};

/// Random bytes of a token.
pub const TOKEN_SEED_BYTES: usize = 32;

/// What a token begins with, so that programs that look for leaked secrets find it.
const TOKEN_PREFIX: &str = "att_";

/// Returns the token of random bytes.
pub fn token(seed: &[u8; TOKEN_SEED_BYTES]) -> String {
    format!("{TOKEN_PREFIX}{}", format_bytes(seed))
}

/// The SHA-256 of a token, or of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(TreeHash);

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write `sha256:` and 64 hexadecimal digits, as `attestree token` does")]
pub struct FingerprintError;

impl Fingerprint {
    /// Returns that of a token or a certificate.
    pub fn of(bytes: &[u8]) -> Self {
        Self(TreeHash::digest(bytes))
    }

    /// Takes 32 bytes as a fingerprint.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        TreeHash::from_slice(bytes).map(Self)
    }

    /// Parses `sha256:` and hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix(FINGERPRINT_PREFIX).ok_or(FingerprintError)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let mut bytes = [0; HASH_BYTES];
        if pairs.len() != HASH_BYTES || !rest.is_empty() {
            return Err(FingerprintError);
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let [high, low] = *pair;
            let value = digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low);
            *byte = value.and_then(|value| u8::try_from(value).ok()).ok_or(FingerprintError)?;
        }
        Ok(Self(TreeHash::from_bytes(bytes)))
    }

    /// Compares two fingerprints in a time that does not depend on where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FINGERPRINT_PREFIX)?;
        self.0.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Finds the token in the value of a header `authorization`: behind `Bearer` or `Splunk`, or as the password of
/// `Basic`, whose user is not looked at.
pub fn of_header(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer") || scheme.eq_ignore_ascii_case(b"Splunk") {
        return Some(rest).filter(|token| !token.is_empty()).map(Cow::Borrowed);
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let token = pair.get(colon + 1..)?;
    Some(token).filter(|token| !token.is_empty()).map(|token| Cow::Owned(token.to_vec()))
}

/// Reads a file of fingerprints, one a line; empty lines and those that begin with `#` say nothing.
///
/// An error names the line, from 1, and nothing of what it holds: it may be a token that was put there by mistake.
pub fn parse_fingerprints(text: &str) -> Result<Vec<Fingerprint>, (usize, FingerprintError)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(number, line)| Fingerprint::parse(line).map_err(|error| (number, error))).collect()
}
