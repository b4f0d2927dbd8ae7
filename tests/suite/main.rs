//! The suite: everything that is tested through the crate's public face, in one binary so that
//! RocksDB is linked once.

#![allow(
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what is shared by tests is public among them, and a broken law is a failed test"
)]

mod checkpoint;
#[cfg(feature = "server")]
mod config;
mod cosignature;
mod descriptors;
mod fuzz;
#[cfg(feature = "server")]
mod grpc_append;
#[cfg(feature = "server")]
mod hostile;
#[cfg(feature = "server")]
mod interop;
mod key;
mod note;
mod origin;
#[cfg(feature = "server")]
mod pipeline;
mod probes;
mod published;
mod receipt;
mod tile_path;
mod trust;
#[cfg(feature = "server")]
#[path = "../support/served.rs"]
mod served;
#[cfg(feature = "server")]
mod world;
