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
mod descriptors;
#[cfg(feature = "server")]
mod grpc_admin;
#[cfg(feature = "server")]
mod grpc_append;
#[cfg(feature = "server")]
mod grpc_read;
#[cfg(feature = "server")]
mod grpc_stream;
#[cfg(feature = "server")]
mod http_add;
#[cfg(feature = "server")]
mod http_tiles;
mod hostile;
#[cfg(feature = "server")]
mod interop;
#[cfg(feature = "server")]
mod pipeline;
#[cfg(feature = "server")]
#[path = "../support/served.rs"]
mod served;
mod tree;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
#[path = "../support/told.rs"]
mod told;
#[cfg(feature = "server")]
mod world;
