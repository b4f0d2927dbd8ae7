//! Policies as code: from the files of a bundle to what the core decides with.
//!
//! ```text
//! Bundle -> Document -> Statements -> core::policy::Policy
//! Bundle -> rego::Rules                                       what documents can't say
//! ```

mod article;
mod compiled;
pub mod describe;
mod diagnostic;
pub mod diff;
pub mod document;
pub mod explain;
mod field;
mod finding;
mod flatten;
pub mod format;
pub mod framework;
mod imply;
pub mod infer;
pub mod infra;
mod kubernetes;
pub mod lint;
mod load;
pub mod minimum;
pub mod node;
mod period;
mod read;
pub mod rego;
pub mod replay;
mod state;
pub mod test;
mod tighten;
mod watch;
pub mod write;

pub use self::compiled::{Compiled, compile};
pub use self::diagnostic::{Diagnostic, Severity};
pub use self::document::{Date, Document, Period};
pub use self::field::{format_field, parse_field};
pub use self::load::{environment, environments, read as read_document};
pub use self::read::{API_VERSION, VOCABULARY};

/// The JSON Schema of documents of the native form, for editors and other tools.
pub const SCHEMA: &str = include_str!("schema.json");
