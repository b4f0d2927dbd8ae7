//! JSON as foreign protocols bring it.

use crate::core::hash::TreeHash;
use crate::core::record::json::{JsonError, Limits, Value, parse_foreign};

/// Reads one value as strictly as a record's: no name twice in an object, no bytes that are no UTF-8.
///
/// Producers count in 64 bits, and no event is lost over a number: one that a double would change becomes
/// its own text, a string.
pub fn read<'a>(text: &'a [u8], limits: &Limits) -> Result<Value<'a>, JsonError> {
    parse_foreign(text, limits)
}

/// Returns the key of a body of which nothing else is known: `body:` and the base64 of its SHA-256.
pub fn key_of(body: &[u8]) -> Vec<u8> {
    format!("body:{}", TreeHash::digest(body)).into_bytes()
}
