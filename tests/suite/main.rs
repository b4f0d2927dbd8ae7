//! The suite: everything that is tested through the crate's public face, in one binary so that
//! RocksDB is linked once.

#![allow(
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what is shared by tests is public among them, and a broken law is a failed test"
)]

#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod crash;
mod descriptors;
#[cfg(feature = "server")]
mod grpc_append;
#[cfg(feature = "server")]
mod pipeline;
#[cfg(feature = "server")]
#[path = "../support/served.rs"]
mod served;
#[cfg(feature = "server")]
mod world;
