//! Policies as code: from the files of a bundle to what the core decides with.
//!
//! ```text
//! Bundle -> Document -> Statements -> core::policy::Policy
//! ```

mod diagnostic;
pub mod format;

pub use self::diagnostic::{Diagnostic, Severity};
