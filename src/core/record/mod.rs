//! Audit records: their canonical text, what in it is committed, and how what was committed is kept.
//!
//! The bytes are described in [`crate::manual::records`].

pub mod json;
