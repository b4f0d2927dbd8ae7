//! Attestree: an audit log that proves itself.
//!
//! A transparency log service: entries are appended over gRPC, integrated into the Merkle tree of
//! RFC 6962, made durable, and covered by a signed checkpoint before the submitter is answered.
//! Anyone can check receipts, tiles and checkpoints without trusting the operator.
//!
//! The layers, from the pure core to the command line, are described in [`manual`].

#[cfg(feature = "server")]
pub mod alert;
pub mod cli;
pub mod client;
pub mod core;
#[cfg(feature = "server")]
pub mod cosign;
pub mod manual;
pub mod monitor;
#[cfg(feature = "server")]
pub mod openmetrics;
#[cfg(feature = "server")]
pub mod pipeline;
pub mod policy;
pub mod proto;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod service;
pub mod ship;
#[cfg(feature = "sources")]
pub mod source;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod witness;
