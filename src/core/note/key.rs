//! Keys of signed notes and their texts.
//!
//! ```text
//! vkey   example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
//! skey   PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the seed>
//! ```
//!
//! A vkey is the key's name, its id in hexadecimal, and the base64 of the algorithm's byte and the
//! public key. Base64 may hold a `+` itself: only the first two are separators. The skey form is a
//! convention of golang.org/x/mod, not of C2SP; it has only ever been written for algorithm 0x01.
//!
//! # Invariants
//!
//! - The id is `SHA-256(name || "\n" || algorithm || public key)[..4]`; parsing checks it.
//! - Signatures are verified strictly: canonical encodings only, no keys or points of small order.
//! - Secret bytes are zeroed when dropped, and neither `Debug` nor `Display` shows them.

use core::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    NoteSignature,
    cosignature::{self, CosignatureTime},
    text::{format_base64, parse_base64},
};
use crate::core::origin::ORIGIN_BYTES_MAX;

/// What every skey begins with.
const SKEY_PREFIX: &str = "PRIVATE+KEY+";

/// Length of an Ed25519 public key, and of a seed.
pub(super) const KEY_BYTES: usize = 32;

/// The first four bytes of the key's hash. With the name it says which key a signature is of.
pub type KeyId = [u8; 4];

/// The name of a key: for a log's key its origin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Arc<str>);

/// Why a text can't be the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyNameError {
    /// The name is empty or too long.
    #[error("a key name has 1 to {ORIGIN_BYTES_MAX} bytes, this one has {bytes}")]
    Length {
        /// Length of the name.
        bytes: usize,
    },
    /// The name holds a space, a control character or a `+`.
    #[error("{character:?} is not allowed in a key name")]
    Character {
        /// The first such character.
        character: char,
    },
}

/// What a key signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 over the note's text, 0x01: the key of a log.
    Ed25519,
    /// Timestamped Ed25519 cosignatures of checkpoints, 0x04: the key of a witness.
    CosignatureV1,
}

/// A key that verifies signatures of notes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    algorithm: Algorithm,
    public: VerifyingKey,
}

/// The secret key of a log.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    vkey: VerifierKey,
}

/// Why a text is no key.
///
/// The messages never hold a part of the text, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text doesn't have the parts of a key.
    #[error(
        "not a key: a vkey is <name>+<8 hexadecimal digits>+<base64>, a skey begins with {SKEY_PREFIX}"
    )]
    Form,
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The algorithm is not known, or can't be used here.
    #[error(
        "the key's algorithm is 0x{byte:02x}; Ed25519 keys of logs (0x01) and of witnesses (0x04) are known"
    )]
    Algorithm {
        /// The byte that names the algorithm.
        byte: u8,
    },
    /// The key does not have the length that its algorithm asks for.
    #[error("the key has {bytes} bytes instead of {KEY_BYTES}")]
    Length {
        /// Length of the key.
        bytes: usize,
    },
    /// The public key is no point of the curve, or one that makes forgeries easy.
    #[error("the key's bytes are no usable Ed25519 public key")]
    Point,
    /// The key id is not the hash of name and key.
    #[error("the key id does not match the key: a character was changed or lost")]
    Id,
}

/// A signature does not hold.
pub(super) struct Forged;

impl KeyName {
    /// Parses a key name.
    pub fn parse(text: &str) -> Result<Self, KeyNameError> {
        if text.is_empty() || text.len() > ORIGIN_BYTES_MAX {
            return Err(KeyNameError::Length { bytes: text.len() });
        }
        match text.chars().find(|&c| c.is_whitespace() || c < ' ' || c == '+') {
            Some(character) => Err(KeyNameError::Character { character }),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Algorithm {
    /// Returns the byte that names the algorithm.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, KeyError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            byte => Err(KeyError::Algorithm { byte }),
        }
    }
}

impl VerifierKey {
    /// Takes the bytes of an Ed25519 public key.
    pub fn new(
        name: KeyName,
        algorithm: Algorithm,
        public: &[u8; KEY_BYTES],
    ) -> Result<Self, KeyError> {
        let public = VerifyingKey::from_bytes(public).map_err(|_opaque| KeyError::Point)?;
        if public.is_weak() {
            return Err(KeyError::Point);
        }
        Ok(Self::from_point(name, algorithm, public))
    }

    /// Parses a vkey.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, key) = parse_parts(text)?;
        let (&byte, public) = key.split_first().ok_or(KeyError::Form)?;
        let algorithm = Algorithm::from_byte(byte)?;
        let public =
            public.try_into().map_err(|_wrong_length| KeyError::Length { bytes: public.len() })?;
        let key = Self::new(name, algorithm, public)?;
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// Returns the name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Returns the id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns what the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the public key.
    pub fn public_bytes(&self) -> &[u8; KEY_BYTES] {
        self.public.as_bytes()
    }

    /// Takes a point that is known to be a usable key.
    pub(super) fn from_point(name: KeyName, algorithm: Algorithm, public: VerifyingKey) -> Self {
        let id = key_id(&name, algorithm, public.as_bytes());
        Self { name, id, algorithm, public }
    }

    /// Verifies the bytes that follow the key id in a signature line.
    ///
    /// Returns the time that a cosigner states; none for other keys.
    pub(super) fn verify(
        &self,
        text: &str,
        bytes: &[u8],
    ) -> Result<Option<CosignatureTime>, Forged> {
        match self.algorithm {
            Algorithm::Ed25519 => self.verify_message(text.as_bytes(), bytes).map(|()| None),
            Algorithm::CosignatureV1 => cosignature::verify(self, text, bytes).map(Some),
        }
    }

    /// Verifies an Ed25519 signature by this key over exactly these bytes.
    pub(super) fn verify_message(&self, message: &[u8], signature: &[u8]) -> Result<(), Forged> {
        let signature = Signature::from_slice(signature).map_err(|_opaque| Forged)?;
        self.public.verify_strict(message, &signature).map_err(|_opaque| Forged)
    }
}

impl SigningKey {
    /// Makes the key that belongs to a seed, which must come from a good source of randomness.
    pub fn from_seed(name: KeyName, seed: &[u8; KEY_BYTES]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let vkey = VerifierKey::from_point(name, Algorithm::Ed25519, secret.verifying_key());
        Self { secret, vkey }
    }

    /// Parses a skey.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, key) = parse_parts(text.strip_prefix(SKEY_PREFIX).ok_or(KeyError::Form)?)?;
        let (&byte, seed) = key.split_first().ok_or(KeyError::Form)?;
        if byte != Algorithm::Ed25519.byte() {
            return Err(KeyError::Algorithm { byte });
        }
        let seed =
            seed.try_into().map_err(|_wrong_length| KeyError::Length { bytes: seed.len() })?;
        let key = Self::from_seed(name, seed);
        if key.vkey.id == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// Returns the skey, which whoever reads can sign with.
    pub fn format(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new(vec![Algorithm::Ed25519.byte()]);
        key.extend_from_slice(self.secret.as_bytes());
        let key = Zeroizing::new(format_base64(&*key));
        let VerifierKey { name, id, .. } = &self.vkey;
        let public = format!("{SKEY_PREFIX}{name}+{:08x}+", u32::from_be_bytes(*id));
        // Reserved at once: a string that grows leaves copies of the secret behind.
        let mut skey = Zeroizing::new(String::with_capacity(public.len() + key.len()));
        skey.push_str(&public);
        skey.push_str(&key);
        skey
    }

    /// Returns the key that verifies what this one signs.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Returns the seed, which whoever has can sign with.
    pub(super) fn seed(&self) -> &[u8; KEY_BYTES] {
        self.secret.as_bytes()
    }

    /// Signs bytes that are no note: they begin with a domain of their own, which no note does.
    pub(in crate::core) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }

    /// Signs the text of a note. The same text always gives the same signature.
    pub fn sign(&self, text: &str) -> NoteSignature {
        let signature = self.secret.sign(text.as_bytes());
        NoteSignature::new(self.vkey.name.clone(), self.vkey.id, signature.to_vec())
            .expect("an Ed25519 signature has 64 bytes")
    }
}

/// Splits `<name>+<hex id>+<base64>` at the first two `+`.
fn parse_parts(text: &str) -> Result<(KeyName, KeyId, Zeroizing<Vec<u8>>), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
    let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
    let is_hex = id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = u32::from_str_radix(id, 16).ok().filter(|_| is_hex).ok_or(KeyError::Form)?;
    let key = Zeroizing::new(parse_base64(key).ok_or(KeyError::Form)?);
    Ok((KeyName::parse(name)?, id.to_be_bytes(), key))
}

/// Returns `SHA-256(name || "\n" || algorithm || public key)[..4]` (c2sp.org/signed-note, "Signatures").
fn key_id(name: &KeyName, algorithm: Algorithm, public: &[u8; KEY_BYTES]) -> KeyId {
    let mut hasher = Sha256::new();
    hasher.update(name.as_str());
    hasher.update([b'\n', algorithm.byte()]);
    hasher.update(public);
    let hash: [u8; 32] = hasher.finalize().into();
    *hash.first_chunk().expect("a hash has more than 4 bytes")
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for VerifierKey {
    /// Writes the vkey.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.algorithm.byte()];
        key.extend_from_slice(self.public.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), format_base64(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("vkey", &self.vkey).field("secret", &"***").finish()
    }
}
