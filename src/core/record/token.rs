//! Tokens: values that are recognised without being known, for as long as their key lives.
//!
//! ```text
//! T = HMAC-SHA-256(key, 0x08 || 0x01 || u32 epoch || lp16(path) || lp32(value)), its first 16 bytes
//! ```
//!
//! A key belongs to one log, path and epoch and never leaves the key store. Within it, equal values have
//! equal tokens; beyond it, nothing links them.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::name::{TOKEN_BYTES, Token};
use super::path::Path;
use super::seal::Secret;
use super::text::{push_long, push_short};
use super::time::Timestamp;
use crate::core::hash::TreeHash;

/// Domain of tokens among everything that is hashed.
const TOKEN_DOMAIN: u8 = 0x08;

/// Version of the form above.
const TOKEN_VERSION: u8 = 1;

/// Domain of the tags of submissions.
const TAG_DOMAIN: u8 = 0x09;

/// Days of an epoch, unless the policy says otherwise.
pub const EPOCH_DAYS: u32 = 30;

/// Returns the epoch of so many days that a time lies in.
pub fn epoch(at: Timestamp, days: u32) -> u32 {
    let period = u64::from(days.max(1)) * 86_400_000_000;
    u32::try_from(at.micros() / period).expect("the days up to the year 9999 fit in 32 bits")
}

/// Returns what tells two submissions under one idempotency key apart, to who has the log's secret alone: a
/// plain hash would let anyone with the database confirm a guess of what was committed or left out.
///
/// It is `HMAC-SHA-256(secret, 0x09 || 0x01 || lp32(submitted bytes))`.
pub fn submission_tag(secret: &Secret, submitted: &[u8]) -> TreeHash {
    let mut tag = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    let length = u32::try_from(submitted.len()).expect("submissions are bounded");
    tag.update(&[TAG_DOMAIN, TOKEN_VERSION]);
    tag.update(&length.to_be_bytes());
    tag.update(submitted);
    TreeHash::from_slice(tag.sign().as_ref()).expect("HMAC-SHA-256 has the length of a hash")
}

impl Token {
    /// Makes the token of a value, whose canonical text this is.
    pub fn new(key: &Secret, epoch: u32, path: &Path, value: &[u8]) -> Self {
        let mut input = Zeroizing::new(vec![TOKEN_DOMAIN, TOKEN_VERSION]);
        input.extend_from_slice(&epoch.to_be_bytes());
        push_short(&mut input, path.as_str().as_bytes());
        push_long(&mut input, value);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), &input);
        let bytes: &[u8; TOKEN_BYTES] =
            tag.as_ref().first_chunk().expect("a hash has more than 16 bytes");
        Self { epoch, bytes: *bytes }
    }
}
