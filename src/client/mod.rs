//! Remote reads and appends that verify what they return.
//!
//! Whatever a server says is a claim. [`Client`] speaks gRPC and [`TileClient`] reads the static
//! tiles of any C2SP log; both hand out a value only after it was proved against a checkpoint that
//! the caller's trust policy accepts. An answer that does not prove itself is an [`Untrue`], which
//! is another thing than a request that the server refused or a network that failed.
//!
//! # In scope
//!
//! - [`server`](mod@server): where a server is and how to reach it (TLS, mutual TLS).
//! - [`verify`]: the pure checks of the answers, without I/O.
//! - [`compare()`]: two checkpoints, and the evidence if they can't both be true.
//! - [`audit`]: the whole log, re-derived from its entries over HTTP.
//!
//! # Out of scope
//!
//! - Which keys and witnesses to believe: [`crate::core::trust`].
//! - Terminals and retries of whole files: [`crate::cli`].

pub mod audit;
mod compare;
mod courier;
mod disk;
mod error;
mod event;
mod governing;
mod log;
#[cfg(unix)]
pub mod operator;
mod post;
mod prove;
mod range;
mod read;
pub mod retry;
pub mod server;
mod tile;
mod tree;
mod trust;
pub mod verify;
mod witness;

pub use compare::{Comparison, compare};
pub use courier::{Courier, Hook};
pub use disk::{keep_evidence, replace};
pub use error::{ClientError, Refused, Untrue};
pub use event::{AppendedEvent, Became, PlacedEvents, Recorded, event_batch};
pub use governing::{Governing, LoggedPolicy};
pub use log::{Appended, BatchPlace, Client, NewEntry, Placed, batch_request, list as list_logs};
pub use post::{Posted, Poster};
pub use prove::Watch;
pub use range::BatchTree;
pub use read::Entry;
pub use server::Server;
pub use tile::TileClient;
pub use tree::TileTree;
pub use trust::{Trust, trust_listed};
pub use witness::{AddCheckpointAnswer, WitnessClient};
