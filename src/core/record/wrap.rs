//! How keys are kept: wrapped under a key-encryption key (KEK), and found by names that say nothing.
//!
//! ```text
//! wrapped = 01 || nonce (12 random bytes) || AES-256-GCM(KEK, nonce, key, what the key is for)
//! tag     = HMAC-SHA-256(HKDF(name secret, "attestree/name-tag/v1"), place || name)
//! sealed  = nonce (12 random bytes) || AES-256-GCM(HKDF(name secret, "attestree/name-seal/v1"), nonce, name, place)
//! ```
//!
//! Subjects are people, and paths may hold their names. So a row of a key is found by a tag, and the name in
//! it is sealed: a medium with the rows alone tells neither, and cannot be searched for either.
//!
//! # Invariants
//!
//! - Nothing here draws randomness. A random nonce of 96 bits is safe for 2^32 keys under one KEK.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::seal::{SECRET_BYTES, SealError, Secret};
use super::text::{format_bytes, parse_array, push_short};
use crate::core::hash::TreeHash;
use crate::core::number::LogNumber;
use crate::core::origin::Origin;

/// Version of a wrapped key.
const VERSION: u8 = 1;

/// Bytes of a nonce of wrapping.
pub const WRAP_NONCE_BYTES: usize = NONCE_LEN;

/// Bytes of a wrapped key: version, nonce, key and tag.
pub const WRAPPED_BYTES: usize = 1 + NONCE_LEN + SECRET_BYTES + 16;

/// Bytes of what stands for a name in a key of a row.
pub const NAME_TAG_BYTES: usize = 32;

/// What subject keys are wrapped for.
const SUBJECT_KEY_DOMAIN: &[u8] = b"attestree/subject-key/v1";

/// What keys of tokens are wrapped for.
const TOKEN_KEY_DOMAIN: &[u8] = b"attestree/token-key/v1";

/// What secrets of identity are wrapped for.
const IDENTITY_DOMAIN: &[u8] = b"attestree/identity-secret/v1";

/// What the secret is wrapped for that hides names.
const NAME_SECRET_DOMAIN: &[u8] = b"attestree/name-secret/v1";

/// What the key of tags is derived for.
const NAME_TAG_DOMAIN: &[u8] = b"attestree/name-tag/v1";

/// What the key of sealed names is derived for.
const NAME_SEAL_DOMAIN: &[u8] = b"attestree/name-seal/v1";

/// What the text of a KEK begins with.
const TEXT_START: &str = "attestree-kek-v1:";

/// What a kept key is for: authenticated with it, so that none can be put in another's place.
#[derive(Clone, Copy, Debug)]
pub enum KeyPurpose<'a> {
    /// It seals disclosures about a subject.
    Subject {
        /// The log.
        origin: &'a Origin,
        /// The subject.
        subject: &'a str,
    },
    /// It makes the tokens of a path in an epoch.
    Token {
        /// The log.
        log: LogNumber,
        /// The epoch.
        epoch: u32,
        /// The path.
        path: &'a str,
    },
    /// It tells whether what is submitted again under one idempotency key is the same.
    Identity {
        /// The log.
        log: LogNumber,
    },
    /// It hides the names of the other keys.
    Names,
}

/// A text is not that of a KEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key-encryption key is one line: {TEXT_START} and 43 characters of base64url")]
pub struct SecretTextError;

impl KeyPurpose<'_> {
    /// Returns what is authenticated with the key.
    fn associated(&self) -> Vec<u8> {
        match self {
            Self::Subject { origin, subject } => {
                let mut data = SUBJECT_KEY_DOMAIN.to_vec();
                push_short(&mut data, origin.as_str().as_bytes());
                push_short(&mut data, subject.as_bytes());
                data
            }
            Self::Token { log, epoch, path } => {
                let mut data = TOKEN_KEY_DOMAIN.to_vec();
                data.extend_from_slice(&log.0.to_be_bytes());
                data.extend_from_slice(&epoch.to_be_bytes());
                push_short(&mut data, path.as_bytes());
                data
            }
            Self::Identity { log } => [IDENTITY_DOMAIN, &log.0.to_be_bytes()].concat(),
            Self::Names => NAME_SECRET_DOMAIN.to_vec(),
        }
    }
}

impl Secret {
    /// Wraps a key under this one. The nonce must be random.
    pub fn wrap(
        &self,
        purpose: &KeyPurpose<'_>,
        key: &Self,
        nonce: [u8; NONCE_LEN],
    ) -> [u8; WRAPPED_BYTES] {
        let mut wrapped = vec![VERSION];
        wrapped.extend(seal(&self.cipher(), nonce, key.as_bytes(), &purpose.associated()));
        wrapped.try_into().expect("the lengths of the parts are fixed")
    }

    /// Unwraps a key that this one wraps.
    pub fn unwrap_key(&self, purpose: &KeyPurpose<'_>, wrapped: &[u8]) -> Result<Self, SealError> {
        let (version, sealed) = wrapped.split_first().ok_or(SealError)?;
        if *version != VERSION {
            return Err(SealError);
        }
        let opened = open(&self.cipher(), sealed, &purpose.associated())?;
        opened.as_slice().try_into().map(Self::new).map_err(|_length| SealError)
    }

    /// Returns the text of a KEK: what its file holds.
    pub fn format(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{TEXT_START}{}", *Zeroizing::new(format_bytes(self.as_bytes()))))
    }

    /// Parses the text of a KEK.
    pub fn parse(text: &str) -> Result<Self, SecretTextError> {
        let encoded = text.strip_prefix(TEXT_START).ok_or(SecretTextError)?;
        parse_array(encoded).map(Self::new).ok_or(SecretTextError)
    }
}

/// What hides the names of keys. A place is the beginning of a row's key, which is shown.
pub struct Names {
    tags: hmac::Key,
    cipher: LessSafeKey,
}

impl Names {
    /// Makes ready what hides names under a secret.
    pub fn new(secret: &Secret) -> Self {
        let tags = secret.derive(&[NAME_TAG_DOMAIN]);
        let cipher = secret.derive(&[NAME_SEAL_DOMAIN]).cipher();
        Self { tags: hmac::Key::new(hmac::HMAC_SHA256, tags.as_bytes()), cipher }
    }

    /// Returns what stands for a name at a place. Places are as long as each other, or differ before they end.
    pub fn tag(&self, place: &[u8], name: &str) -> [u8; NAME_TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.tags);
        context.update(place);
        context.update(name.as_bytes());
        context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Seals a name for a place. The nonce must be random.
    pub fn seal(&self, place: &[u8], name: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        seal(&self.cipher, nonce, name, place)
    }

    /// Opens a name that was sealed for a place.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        open(&self.cipher, sealed, place)
    }
}

impl core::fmt::Debug for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Names(***)")
    }
}

/// Returns what stands for a name that is too long for a row: its hash.
pub fn long_name(name: &str) -> String {
    format!("long/{}", format_bytes(TreeHash::digest(name.as_bytes()).as_bytes()))
}

/// Returns the nonce and what was encrypted with it.
fn seal(cipher: &LessSafeKey, nonce: [u8; NONCE_LEN], clear: &[u8], associated: &[u8]) -> Vec<u8> {
    let mut sealed = Zeroizing::new(clear.to_vec());
    let unique = Nonce::assume_unique_for_key(nonce);
    let tag = cipher.seal_in_place_separate_tag(unique, Aad::from(associated), &mut sealed);
    let tag = tag.expect("keys and names are not too long for AES-GCM");
    [&nonce, sealed.as_slice(), tag.as_ref()].concat()
}

/// Decrypts what follows a nonce.
fn open(
    cipher: &LessSafeKey,
    sealed: &[u8],
    associated: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, sealed) = sealed.split_first_chunk().ok_or(SealError)?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = cipher.open_in_place(nonce, Aad::from(associated), &mut bytes);
    let length = opened.map_err(|_opaque| SealError)?.len();
    bytes.truncate(length);
    Ok(bytes)
}
