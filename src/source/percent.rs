//! Percent-encoded text (RFC 3986, section 2.1).

/// Decodes one round of percent-encoding; what follows a sign without two hexadecimal digits stays as it is.
/// `None` if the result is no UTF-8.
pub(super) fn decode(text: &[u8]) -> Option<String> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let pair = digit(at + 1).zip(digit(at + 2));
        match pair.map(|(high, low)| u8::try_from(high << 4 | low)) {
            Some(Ok(decoded)) if byte == b'%' => {
                bytes.push(decoded);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_is_decoded_and_only_utf8_comes_out() {
        for (text, decoded) in [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro \u{20ac} \u{1f600}")),
            ("%e2%82%AC", Some("\u{20ac}")),
            ("%2541", Some("%41")),
            ("%41%", Some("A%")),
            ("%4%zz", Some("%4%zz")),
            ("%C0%A0", None),
            ("%ED%A0%80", None),
            ("", Some("")),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), decoded, "{text}");
        }
        assert_eq!(decode(b"\xe2\x82\xac").as_deref(), Some("\u{20ac}"));
        assert_eq!(decode(b"\xff"), None);
    }
}
