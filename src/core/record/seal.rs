//! How what opens a commitment is kept beside the log, and destroyed.
//!
//! Path, salt and value of a committed field are sealed under a key that is derived from the key of their
//! subject, and subject keys are wrapped under a key-encryption key; see [`super::wrap`]. Destroying a
//! subject's key ends every disclosure about it, also those in copies.
//!
//! ```text
//! DK  = HKDF-SHA-256(subject key, "attestree/disclosure/v1" || lp16(origin) || lp16(id))
//! row = 01 || id of the subject key || u16 length of path || path
//!       || AES-256-GCM(DK, u96 field, salt || value, lp16(origin) || lp16(id) || lp16(path))
//! ```
//!
//! # Invariants
//!
//! - No nonce is used twice under one key: an id belongs to one record, a field number to one of its
//!   fields, and what is admitted again gets another id.
//! - Nothing here draws randomness: subject keys and salts come from the caller.

use core::fmt;
use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use zeroize::{Zeroize as _, Zeroizing};

use super::commit::{Opening, SALT_BYTES, Salt};
use super::name::RecordId;
use super::path::Path;
use super::text::push_short;
use crate::core::number::{LeafIndex, LogNumber};
use crate::core::origin::Origin;

/// Version of the row of a disclosure.
const VERSION: u8 = 1;

/// Bytes of a key of AES-256, and of a subject's.
pub const SECRET_BYTES: usize = 32;

/// Bytes of the id of a key: half a hash, as of a token.
pub const KEY_ID_BYTES: usize = 16;

/// What the keys of disclosures are derived for.
const DISCLOSURE_DOMAIN: &[u8] = b"attestree/disclosure/v1";

/// What the ids of keys are derived for.
const KEY_ID_DOMAIN: &[u8] = b"attestree/key-id/v1";

/// Bytes of an origin as it mostly is, and of an id, with their lengths.
const PLACE_BYTES: usize = 128;

/// 32 secret bytes: the key of a subject, of tokens, or one that wraps others.
#[derive(Clone)]
pub struct Secret {
    bytes: [u8; SECRET_BYTES],
    /// The id, once it was asked for: who seals under a key of a cache need not derive it each time.
    id: OnceLock<KeyId>,
}

/// The name of a key: half an HMAC under it, which links what one key seals and tells nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

/// Bytes were changed, or belong to another key, record or place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: they were changed, or belong elsewhere")]
pub struct SealError;

impl Secret {
    /// Takes bytes from a good source of randomness.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self { bytes, id: OnceLock::new() }
    }

    /// Returns the bytes.
    pub(super) const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.bytes
    }

    /// Returns the cipher of this key.
    pub(super) fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, &self.bytes).expect("a secret has the length of a key"),
        )
    }

    /// Returns what names the key and says nothing about it. It is derived once, and copies have it.
    pub fn id(&self) -> KeyId {
        *self.id.get_or_init(|| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes), KEY_ID_DOMAIN);
            KeyId(*tag.as_ref().first_chunk().expect("a hash has more than 16 bytes"))
        })
    }

    /// Returns a key that is derived from this one for a purpose.
    pub(super) fn derive(&self, info: &[&[u8]]) -> Self {
        let extracted = hkdf::Salt::none(hkdf::HKDF_SHA256).extract(&self.bytes);
        let mut key = Self::new([0; SECRET_BYTES]);
        let expanded = extracted
            .expand(info, hkdf::HKDF_SHA256)
            .and_then(|key_material| key_material.fill(&mut key.bytes));
        expanded.expect("HKDF gives up to 255 hashes");
        key
    }
}

impl KeyId {
    /// Takes the bytes.
    pub const fn from_bytes(bytes: [u8; KEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }

    /// Returns the id of the subject key that a disclosure row is sealed under.
    pub fn of_row(row: &[u8]) -> Option<Self> {
        let (version, rest) = row.split_first()?;
        rest.first_chunk().filter(|_| *version == VERSION).copied().map(Self)
    }
}

/// Where a disclosure belongs: what it is sealed for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The log.
    pub origin: &'a Origin,
    /// The record.
    pub id: RecordId,
    /// The position of the commitment among those of the record, in the order of their paths' bytes.
    pub field: u16,
}

impl Place<'_> {
    /// Returns the key of the row: u32 log, u64 index, u16 field.
    pub fn row_key(&self, log: LogNumber, index: LeafIndex) -> [u8; 14] {
        let mut key = [0; 14];
        let parts = log
            .0
            .to_be_bytes()
            .into_iter()
            .chain(index.get().to_be_bytes())
            .chain(self.field.to_be_bytes());
        key.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        key
    }

    /// Seals what opens a commitment, under the key of its subject; returns the row.
    pub fn seal(&self, subject: &Secret, opening: &Opening) -> Vec<u8> {
        Sealer::new(self.origin, self.id, subject).seal(self.field, opening)
    }

    /// Opens a row with the key of its subject.
    pub fn open(&self, subject: &Secret, row: &[u8]) -> Result<Opening, SealError> {
        let id = KeyId::of_row(row).filter(|id| *id == subject.id()).ok_or(SealError)?;
        let rest = row.get(1 + id.0.len()..).ok_or(SealError)?;
        let (length, rest) = rest.split_first_chunk().ok_or(SealError)?;
        let (path, sealed) =
            rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(SealError)?;
        let path = str::from_utf8(path).ok().and_then(Path::parse).ok_or(SealError)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let sealer = Sealer::new(self.origin, self.id, subject);
        let associated = Aad::from(sealer.associated(&path));
        let opened = sealer.key.open_in_place(nonce(self.field), associated, &mut bytes);
        let opened: &[u8] = opened.map_err(|_opaque| SealError)?;
        let (salt, value) = opened.split_first_chunk().ok_or(SealError)?;
        Ok(Opening { path, salt: Salt::new(*salt), value: Zeroizing::new(value.to_vec()) })
    }
}

/// Seals the fields of one record that are about one subject: what they have in common is derived once.
pub struct Sealer {
    subject: KeyId,
    key: LessSafeKey,
    /// Origin and id, as they are derived from and authenticated.
    place: Vec<u8>,
}

impl Sealer {
    /// Derives the key of a record's disclosures about a subject.
    pub fn new(origin: &Origin, id: RecordId, subject: &Secret) -> Self {
        let mut place = Vec::with_capacity(PLACE_BYTES);
        push_short(&mut place, origin.as_str().as_bytes());
        push_short(&mut place, id.to_string().as_bytes());
        let key = subject.derive(&[DISCLOSURE_DOMAIN, &place]).cipher();
        Self { subject: subject.id(), key, place }
    }

    /// Seals what opens a commitment; returns the row.
    pub fn seal(&self, field: u16, opening: &Opening) -> Vec<u8> {
        let path = opening.path.as_str().as_bytes();
        let mut sealed = Zeroizing::new(Vec::with_capacity(SALT_BYTES + opening.value.len()));
        sealed.extend_from_slice(opening.salt.as_bytes());
        sealed.extend_from_slice(&opening.value);
        let associated = Aad::from(self.associated(&opening.path));
        let tag = self.key.seal_in_place_separate_tag(nonce(field), associated, &mut sealed);
        let tag = tag.expect("a submission is not too long for AES-GCM");
        let subject = self.subject.as_bytes();
        let mut row = Vec::with_capacity(3 + subject.len() + path.len() + sealed.len() + 16);
        row.push(VERSION);
        row.extend_from_slice(subject);
        push_short(&mut row, path);
        row.extend_from_slice(&sealed);
        row.extend_from_slice(tag.as_ref());
        row
    }

    /// Returns what is authenticated with a field.
    fn associated(&self, path: &Path) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.place.len() + 2 + path.as_str().len());
        data.extend_from_slice(&self.place);
        push_short(&mut data, path.as_str().as_bytes());
        data
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

/// Returns the field number as the nonce.
fn nonce(field: u16) -> Nonce {
    let [high, low] = field.to_be_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low])
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
