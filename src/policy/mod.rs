//! Policies as code: from the files of a bundle to what the core decides with.
//!
//! ```text
//! Bundle -> Document -> Statements -> core::policy::Policy
//! Bundle -> rego::Rules                                       what documents can't say
//! ```

mod diagnostic;
pub mod rego;

pub use self::diagnostic::{Diagnostic, Severity};
