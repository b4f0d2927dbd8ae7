//! Policies: the files they are made of, and what binds a log to them.
//!
//! The bytes are described in [`crate::manual::records`].

mod bundle;

pub use bundle::{Bundle, BundleError, FILE_BYTES_MAX, FILES_MAX};
