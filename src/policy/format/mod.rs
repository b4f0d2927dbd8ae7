//! The canonical layout of a policy's files.
//!
//! Only layout changes: indentation, the space after a key, spaces at the ends of lines, empty lines.
//! Every word, comment, quote and the order of keys stay as they are. A YAML file whose values or comments
//! would not be exactly the same afterwards is refused.

mod json;
mod scan;
mod yaml;

/// Why a file's layout stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It can't be read.
    #[error("line {line}: {reason}")]
    Unread {
        /// The line, from 1; 0 if the reader names none.
        line: usize,
        /// What the reader says.
        reason: String,
    },
    /// Another layout might mean something else.
    #[error("it is written in a way that another layout could change; lay it out by hand")]
    Beyond,
}

/// Returns a YAML file in its canonical layout.
pub fn yaml(text: &str) -> Result<String, FormatError> {
    yaml::format(text)
}

/// Returns a JSON file in its canonical layout.
pub fn json(text: &str) -> Result<String, FormatError> {
    json::format(text)
}
