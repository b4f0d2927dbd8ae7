//! The suite: everything that is tested through the crate's public face, in one binary so that
//! RocksDB is linked once.

#![allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::default_trait_access,
    clippy::disallowed_methods,
    clippy::duration_suboptimal_units,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::items_after_statements,
    clippy::large_stack_arrays,
    clippy::type_complexity,
    clippy::unused_self,
    clippy::unwrap_used,
    reason = "what is shared by tests is public among them, and a broken law is a failed test"
)]

#[cfg(feature = "server")]
mod alert;
#[cfg(feature = "server")]
mod audit;
mod chain;
mod checkpoint;
mod cli_transcript;
#[cfg(feature = "server")]
mod client;
mod client_batch;
#[cfg(feature = "server")]
mod compare;
#[cfg(feature = "server")]
mod config;
mod cosignature;
#[cfg(feature = "server")]
mod cosigning;
#[cfg(feature = "server")]
mod crash;
#[cfg(feature = "server")]
mod demo;
mod descriptors;
#[cfg(feature = "server")]
mod dev;
#[cfg(feature = "server")]
mod disclosure;
#[cfg(feature = "server")]
mod events;
mod evidence;
#[cfg(feature = "server")]
mod evidence_cli;
#[cfg(feature = "server")]
mod fsck;
mod fuzz;
#[cfg(feature = "server")]
mod grpc_admin;
#[cfg(feature = "server")]
mod grpc_append;
#[cfg(feature = "server")]
mod grpc_read;
#[cfg(feature = "server")]
mod grpc_stream;
#[cfg(feature = "server")]
#[path = "../support/held.rs"]
mod held;
#[cfg(feature = "server")]
mod hostile;
#[cfg(feature = "server")]
mod http_add;
#[cfg(feature = "server")]
mod http_tiles;
mod infra;
#[cfg(feature = "server")]
mod interop;
mod key;
#[cfg(feature = "server")]
mod keys;
#[cfg(feature = "server")]
mod liar;
#[cfg(feature = "server")]
mod lies;
#[cfg(feature = "server")]
mod load;
#[cfg(feature = "server")]
mod monitor;
mod needs;
mod note;
mod origin;
#[cfg(feature = "server")]
mod outage;
#[cfg(feature = "server")]
mod pipeline;
mod policy;
mod probes;
mod published;
mod python;
#[path = "../support/random.rs"]
mod random;
mod receipt;
mod record;
#[cfg(feature = "server")]
mod recovery;
#[cfg(feature = "server")]
#[path = "../support/served.rs"]
mod served;
mod ship;
mod simulation;
#[cfg(feature = "sources")]
mod source;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod store_damage;
#[cfg(feature = "server")]
mod store_rows;
#[cfg(feature = "server")]
mod store_world;
mod tile_path;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
#[path = "../support/told.rs"]
mod told;
mod tree;
mod trust;
mod vector;
#[cfg(feature = "server")]
mod watermark;
#[cfg(feature = "server")]
mod witness;
mod witness_rules;
#[cfg(feature = "server")]
mod world;
