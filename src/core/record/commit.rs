//! Commitments: what stands in a record in the place of a value that may have to be disclosed, or destroyed.
//!
//! ```text
//! C = SHA-256(0x02 || 0x01 || u16 length of path || path || salt || u32 length of value || value)
//! {"$c":"kJ3uXy4hVvJ4tHDbHLzYp7QFKyf0BvW4mPGrQTyTHlA"}
//! ```
//!
//! # Invariants
//!
//! - 0x02 keeps commitments apart from leaves (0x00) and nodes (0x01), and the lengths keep path, salt and
//!   value apart: no two openings hash the same bytes.
//! - A salt is 32 random bytes and used once. Without it, a commitment says nothing about its value.

use core::fmt;

use zeroize::{Zeroize as _, Zeroizing};

use super::json::{Object, Value};
use super::path::Path;
use super::text::{format_bytes, long_length, parse_array, short_length};
use crate::core::hash::{HASH_BYTES, TreeHash};

/// Name of the one member of a commitment.
pub const COMMITMENT_NAME: &str = "$c";

/// Domain of commitments among everything that is hashed.
const COMMITMENT_DOMAIN: u8 = 0x02;

/// Version of the form above.
const COMMITMENT_VERSION: u8 = 1;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;

/// The random bytes that hide a committed value.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt([u8; SALT_BYTES]);

/// What a record shows of a committed value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Commitment([u8; HASH_BYTES]);

/// What opens a commitment: a field that was disclosed, or is kept to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    /// Where the commitment stands.
    pub path: Path,
    /// The salt.
    pub salt: Salt,
    /// The canonical text of the value; of a quarantined event, what was submitted.
    pub value: Zeroizing<Vec<u8>>,
}

impl Salt {
    /// Takes bytes from a good source of randomness, which must never be used for another salt.
    pub const fn new(bytes: [u8; SALT_BYTES]) -> Self {
        Self(bytes)
    }

    /// Parses the text with which a field is disclosed.
    pub fn parse(text: &str) -> Option<Self> {
        parse_array(text).map(Self)
    }

    /// Returns the text with which a field is disclosed, base64url as in records.
    pub fn format(&self) -> String {
        format_bytes(&self.0)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; SALT_BYTES] {
        &self.0
    }
}

impl Commitment {
    /// Commits to a value at a place.
    pub fn new(path: &Path, salt: &Salt, value: &[u8]) -> Self {
        let path = path.as_str().as_bytes();
        let hash = TreeHash::digest_parts(&[
            &[COMMITMENT_DOMAIN, COMMITMENT_VERSION],
            &short_length(path),
            path,
            &salt.0,
            &long_length(value),
            value,
        ]);
        Self(*hash.as_bytes())
    }

    /// Returns what stands in the record.
    pub fn to_value(self) -> Value<'static> {
        Object::from([(COMMITMENT_NAME, Value::from(format_bytes(&self.0)))]).into()
    }

    /// Takes what stands in a record, if it is a commitment.
    pub fn from_value(value: &Value<'_>) -> Option<Self> {
        match value.as_object()?.members() {
            [(name, Value::String(text))] if name == COMMITMENT_NAME => parse_array(text).map(Self),
            _ => None,
        }
    }

    /// Returns the hash.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl Opening {
    /// Returns the commitment that this opens.
    pub fn commitment(&self) -> Commitment {
        Commitment::new(&self.path, &self.salt, &self.value)
    }
}

impl Drop for Salt {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(***)")
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_bytes(&self.0))
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("path", &self.path)
            .field("value", &"***")
            .finish_non_exhaustive()
    }
}
