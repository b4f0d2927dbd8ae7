//! What is wrong with a text that is no acceptable JSON, and where.

use core::fmt;

/// What is wrong with a text. No message holds a part of the text, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// The text is longer than its reader takes.
    #[error("the text has {bytes} bytes; send at most {max}")]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// Most bytes that are read.
        max: usize,
    },
    /// Bytes are no UTF-8.
    #[error("this byte is not UTF-8; send the text in UTF-8")]
    Utf8,
    /// The text ends inside a value.
    #[error("the text ends before its value does")]
    End,
    /// Something else stands where one thing is due.
    #[error("expected {expected}")]
    Unexpected {
        /// What would be right.
        expected: &'static str,
    },
    /// Text follows the value.
    #[error("text follows the value; send one value")]
    Trailing,
    /// Arrays and objects stand too deep in one another.
    #[error("this is nested more than {max} levels deep; flatten it")]
    Depth {
        /// Most levels that are read.
        max: usize,
    },
    /// There are too many values.
    #[error("the text holds more than {max} values; send less")]
    Values {
        /// Most values that are read.
        max: usize,
    },
    /// A name occurs twice in one object.
    #[error("this name occurs twice in its object; readers would differ about which one holds")]
    Duplicate,
    /// A string holds a bare control character.
    #[error("a control character stands in a string; write it as an escape")]
    Control,
    /// An escape is none of RFC 8259.
    #[error("this escape is unknown; JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX")]
    Escape,
    /// An escape is one half of a surrogate pair.
    #[error("this escape is one half of a surrogate pair; it stands for no character")]
    Surrogate,
    /// Digits are not written as a JSON number.
    #[error("this is not written as a JSON number")]
    Number,
    /// A number is beyond what every reader holds exactly.
    #[error("this number is beyond 2^53-1, where readers round differently; send it as a string")]
    Unsafe,
    /// A number has more digits than a double can keep.
    #[error("a double does not hold this number exactly; send fewer digits, or a string")]
    Inexact,
    /// The text is right, but not the canonical one of its value.
    #[error("this is not the canonical form of RFC 8785")]
    Form,
}

/// A fault and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub fault: JsonFault,
    /// Offset in bytes, from 0.
    pub byte: usize,
    /// Line, from 1.
    pub line: usize,
    /// Character within the line, from 1.
    pub column: usize,
}

impl JsonError {
    /// Finds line and column of an offset.
    pub(super) fn new(fault: JsonFault, text: &[u8], byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.split(|&byte| byte == b'\n').count();
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        // Bytes that continue a character of UTF-8 are no column of their own.
        let characters = before.iter().skip(start).filter(|&&byte| byte & 0xC0 != 0x80).count();
        Self { fault, byte, line, column: 1 + characters }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, byte, line, column } = self;
        write!(f, "line {line}, column {column} (byte {byte}): {fault}")
    }
}

impl core::error::Error for JsonError {}
