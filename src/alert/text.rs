//! Words of others, made fit for a line: names of rules and sources may come from producers.

use core::fmt::Write as _;

/// Most characters of a name in a message. A source has 512 bytes at most; what is longer is no record's.
const NAME_CHARS_MAX: usize = 512;

/// What stands in the place of a character that is not shown.
const PLACEHOLDER: char = '?';

/// Returns a name without anything that could end a line, hide or turn round what follows, and not too long.
pub(super) fn line(text: &str) -> String {
    cut(text, NAME_CHARS_MAX)
}

/// Returns at most so many characters of a text, each of them visible or a space.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let shown = |c: char| if c.is_control() || is_formatting(c) { PLACEHOLDER } else { c };
    let mut line: String = text.chars().take(chars_max).map(shown).collect();
    if text.chars().nth(chars_max).is_some() {
        line.push_str("...");
    }
    line
}

/// Writes bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

/// Reads bytes in hexadecimal.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

/// Returns whether a character has no shape of its own: it separates lines, joins nothing, or changes the
/// direction of writing. Unicode's general categories Zl, Zp and, of Cf, what occurs in names only to deceive.
fn is_formatting(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_shows_is_one_line_in_one_direction() {
        assert_eq!(line("CN=payments, O=M\u{fc}ller"), "CN=payments, O=M\u{fc}ller");
        assert_eq!(line("a\r\nb\0c\u{1b}[31m\u{85}"), "a??b?c?[31m?");
        assert_eq!(line("a\u{202e}b\u{2028}c\u{200b}d\u{feff}"), "a?b?c?d?");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcdef...");
    }
}
