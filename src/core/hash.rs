//! SHA-256 as RFC 6962 uses it: leaves and nodes in separate domains.

use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// Length of a hash in bytes.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash of a leaf, a node or a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash([u8; HASH_BYTES]);

impl TreeHash {
    /// Returns the root of the tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
    pub fn empty_root() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Returns the hash of a leaf, `SHA-256(0x00 || entry)` (RFC 6962, section 2.1).
    pub fn leaf(entry: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0x00]);
        hasher.update(entry);
        Self(hasher.finalize().into())
    }

    /// Returns the hash of an inner node, `SHA-256(0x01 || left || right)` (RFC 6962, section 2.1).
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0x01]);
        hasher.update(left.0);
        hasher.update(right.0);
        Self(hasher.finalize().into())
    }

    /// Returns the plain SHA-256 of `bytes`, for names and keys that are no part of a tree.
    pub fn digest(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the plain SHA-256 of parts as they follow one another.
    pub fn digest_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// Takes 32 bytes as a hash.
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Takes a slice as a hash if it is 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Compares two hashes in a time that does not depend on where they differ.
    pub fn is_same(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let differing = pairs.fold(0, |differing, (one, other)| differing | (one ^ other));
        // Opaque to the compiler, which could leave the loop early otherwise.
        core::hint::black_box(differing) == 0
    }

    /// Parses standard base64 with padding (RFC 4648, section 4) of exactly 32 bytes.
    ///
    /// Only the canonical form is taken: 44 characters whose unused bits are zero.
    pub fn parse_base64(text: &str) -> Option<Self> {
        // The engine refuses missing padding and non-zero trailing bits, so one hash has one form.
        Self::from_slice(&STANDARD.decode(text).ok()?)
    }

    /// Returns standard base64 with padding, 44 characters.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
