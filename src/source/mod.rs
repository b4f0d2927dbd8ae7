//! Foreign protocols: what their senders send, made events of an audit log.
//!
//! Pure functions from bytes to [`Item`]s, one module a protocol. An item of which no event can be made is
//! kept as it came, to be recorded as `unparsed`; nothing that was sent is dropped here.
//!
//! # Out of scope
//!
//! - Who may send, and what is answered: `crate::service`.
//! - What a policy says of the events: `crate::core::policy`.

pub mod cloudevents;
mod cut;
mod foreign;
pub mod hec;
mod item;
pub mod json;
mod key;
pub mod kubernetes;
pub mod opa;
pub mod otlp;
mod percent;
pub mod ship;
pub mod syslog;

pub use item::{EventDraft, Item};
