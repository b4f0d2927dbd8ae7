//! Bytes in the text of a record: base64url without padding, in one form only.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Returns the text of bytes.
pub(crate) fn format_bytes(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Parses the text of any number of bytes. The engine refuses padding and bits that are left over.
pub(crate) fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Parses the text of exactly `N` bytes.
pub(crate) fn parse_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    parse_bytes(text)?.try_into().ok()
}

/// Returns the length of bytes as a u16.
pub(crate) fn short_length(bytes: &[u8]) -> [u8; 2] {
    let length = u16::try_from(bytes.len()).expect("names, paths and origins are bounded");
    length.to_be_bytes()
}

/// Returns the length of bytes as a u32.
pub(crate) fn long_length(bytes: &[u8]) -> [u8; 4] {
    let length = u32::try_from(bytes.len()).expect("submissions and files are bounded");
    length.to_be_bytes()
}

/// Appends the length of bytes as a u16, and the bytes.
pub(crate) fn push_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&short_length(bytes));
    out.extend_from_slice(bytes);
}

/// Appends the length of bytes as a u32, and the bytes.
pub(crate) fn push_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&long_length(bytes));
    out.extend_from_slice(bytes);
}
