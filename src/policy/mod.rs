//! Policies as code: from the files of a bundle to what the core decides with.
//!
//! ```text
//! Bundle -> Document -> Statements -> core::policy::Policy
//! Bundle -> rego::Rules                                       what documents can't say
//! ```

mod article;
mod compiled;
mod diagnostic;
pub mod document;
mod field;
mod finding;
mod flatten;
mod imply;
mod kubernetes;
mod load;
pub mod node;
mod period;
mod read;
pub mod rego;
pub mod replay;
mod state;
pub mod test;
mod tighten;
mod watch;

pub use self::compiled::{Compiled, compile};
pub use self::diagnostic::{Diagnostic, Severity};
pub use self::document::{Date, Document, Period};
pub use self::field::{format_field, parse_field};
pub use self::load::{environment, environments, read as read_document};
pub use self::read::{API_VERSION, VOCABULARY};

/// The JSON Schema of documents of the native form, for editors and other tools.
pub const SCHEMA: &str = include_str!("schema.json");
