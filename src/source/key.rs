//! Keys that name items at their source.

use crate::core::hash::TreeHash;

/// Most bytes of the parts of a key as they are: what is longer is named by its hash. With the word before
/// them, and a number behind them, they stay below the 256 bytes that the write path takes.
const PARTS_BYTES_MAX: usize = 200;

/// Returns the key of what a protocol names by these parts, each with its length before it, so that no other
/// parts make the same key; `word` says what kind of name it is, and has no colon.
pub(super) fn named(word: &str, parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    if let [one] = parts {
        bytes = one.as_bytes().to_vec();
    }
    if bytes.len() > PARTS_BYTES_MAX {
        return format!("{word}#{}", TreeHash::digest(&bytes)).into_bytes();
    }
    [word.as_bytes(), b":", &bytes].concat()
}

/// Returns the key of one item of a body that has this key.
pub(super) fn numbered(whole: &[u8], number: usize) -> Vec<u8> {
    [whole, b"/", number.to_string().as_bytes()].concat()
}
