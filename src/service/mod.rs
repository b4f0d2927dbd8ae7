//! The two protocols of a running server, gRPC and HTTP, over the same logs.
//!
//! Translation only: a handler decodes a request, asks the write path or a snapshot, and encodes
//! the answer. What is admitted, sequenced and published is decided in [`crate::pipeline`].
//!
//! # Out of scope
//!
//! - Sockets, TLS and shutdown: [`crate::server`].

mod frame;
mod front;
pub mod grpc;
pub mod http;
mod look;
mod metrics;
mod principal;
mod ready;
mod receiving;
mod segment;
mod sending;
pub mod source;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::{
    front::{Connection, Front},
    metrics::Metrics,
    principal::Principal,
    ready::{NotReady, Ready},
    receiving::{Receiving, Share},
    sending::Sending,
    source::Sources,
};
use crate::pipeline::Pipeline;

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    /// The write path and the logs.
    pub pipeline: Pipeline,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the server takes submissions.
    pub ready: Ready,
    /// The memory of requests that are being read.
    pub receiving: Receiving,
    /// The memory of answers under way.
    pub sending: Sending,
    /// Who may send in foreign protocols.
    pub sources: Arc<Sources>,
    /// Cancelled when the server begins to stop: streams that would never end then end.
    pub closing: CancellationToken,
}
