//! The lexical rules that all text formats of the transparency-log world share.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Parses an ASCII decimal without sign and without leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let is_canonical = match text.as_bytes() {
        [] => false,
        [b'0', rest @ ..] => rest.is_empty(),
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    // Only a number beyond 64 bits fails here.
    if is_canonical { text.parse().ok() } else { None }
}

/// Parses standard base64 with padding (RFC 4648, section 4) in its canonical form.
///
/// The engine refuses white space, missing padding and trailing bits that are not zero, so that
/// equal bytes have one text.
pub(crate) fn parse_base64(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Returns standard base64 with padding.
pub(crate) fn format_base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}
