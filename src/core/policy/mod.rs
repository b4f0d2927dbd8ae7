//! Policies: the files they are made of, what they state, and how a submission is judged by them.
//!
//! ```text
//! files -> Bundle -> digest                what binds a log to a policy
//! Statements -> Policy                     what it states, made ready
//! Policy, submitted bytes -> Admission     a record with its verdict, or a refusal
//! ```
//!
//! The bytes are described in [`crate::manual::records`].

mod admit;
mod bundle;
mod compile;
mod condition;
mod custom;
mod detect;
mod enrich;
mod group;
mod redact;
mod roll;
mod slots;
mod statement;
mod watch;
mod watched_row;
mod watching;
mod window;

pub use admit::{Admission, Admitted, Arrival, Judgement, Outcome, admit, admit_watched, judge};
pub use bundle::{Bundle, BundleError, FILE_BYTES_MAX, FILES_MAX};
pub use compile::{Policy, PolicyError, STATEMENTS_MAX};
pub use condition::{Condition, Glob, Pattern, PatternError, Test};
pub use custom::{Custom, CustomError, Disclosed, NoCustom};
pub use detect::Detector;
pub use group::Group;
pub use redact::{Kept, Materials};
pub use statement::{
    Action, Class, Enforcement, Enrichment, FieldType, Lookup, Requirement, Rule, Statements,
    Target, Treatment, Trim,
};
pub use watch::{Alert, Seen, Selector, Suppression, Trigger, Watch, WatchedSource};
pub use watched_row::WatchRow;
pub use watching::Watching;
