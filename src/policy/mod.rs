//! Policies as code: from the files of a bundle to what the core decides with.
//!
//! ```text
//! Bundle -> Document -> Statements -> core::policy::Policy
//! ```

mod compiled;
mod diagnostic;
pub mod diff;
pub mod document;
mod finding;
pub mod format;
pub mod node;

pub use self::compiled::Compiled;
pub use self::diagnostic::{Diagnostic, Severity};
pub use self::document::Document;
