//! What may become a leaf.

/// Most bytes of one entry.
///
/// An entry bundle gives each entry a length of 16 bits (c2sp.org/tlog-tiles, "Log Entries").
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Why bytes can't become an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The entry has no bytes.
    #[error("the entry is empty; send at least 1 byte")]
    Empty,
    /// The entry is too long for an entry bundle.
    #[error("the entry has {bytes} bytes; send at most {ENTRY_BYTES_MAX}, or split it")]
    TooLong {
        /// Length of what was submitted.
        bytes: usize,
    },
}

/// Checks that `bytes` can become an entry: 1 to [`ENTRY_BYTES_MAX`] bytes.
pub fn check(bytes: &[u8]) -> Result<(), EntryError> {
    match bytes.len() {
        0 => Err(EntryError::Empty),
        1..=ENTRY_BYTES_MAX => Ok(()),
        bytes => Err(EntryError::TooLong { bytes }),
    }
}
