//! One question to one address, and what came of it.

use core::time::Duration;

use bytes::Bytes;

use super::{Shared, endpoint::Endpoint};
use crate::{
    client::{AddCheckpointAnswer, ClientError},
    core::{
        hash::TreeHash, number::TreeSize, origin::Origin, tree::prove_consistency,
        witness::AddCheckpoint,
    },
    pipeline::{Clock, Log, Published},
};

/// What an address said.
#[derive(Debug)]
pub(super) struct Said {
    /// Its answer to the checkpoint.
    pub(super) answer: Result<AddCheckpointAnswer, ClientError>,
    /// The newest checkpoint that it remembers, unverified, where it was asked for that too.
    pub(super) remembered: Option<Bytes>,
    /// How long the answer took.
    pub(super) took: Duration,
}

/// When an address is asked as well for what it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Whatever it answers.
    Always,
    /// If the answer does not fit a tree of this size, which is the newest that the log has signed.
    IfOdd(TreeSize),
}

/// Sends a checkpoint to an address, and reads what it remembers of the log where that matters.
pub(super) async fn ask(
    endpoint: Endpoint,
    origin: Origin,
    request: AddCheckpoint,
    look: Look,
    clock: std::sync::Arc<dyn Clock>,
) -> Said {
    let started = clock.monotonic();
    let answer = endpoint.client().add_checkpoint(&request).await;
    let took = clock.monotonic().saturating_sub(started);
    let looks = match look {
        Look::Always => true,
        Look::IfOdd(signed) => is_odd(&answer, &request, signed),
    };
    let remembered = if looks { recall(&endpoint, &origin).await } else { None };
    Said { answer, remembered, took }
}

/// Reads what an address remembers, unverified. What can't be read says nothing.
pub(super) async fn recall(endpoint: &Endpoint, origin: &Origin) -> Option<Bytes> {
    endpoint.client().latest(origin).await.ok().flatten()
}

/// Proves that a head extends the tree of a smaller size; `None` where a tile can't be read.
pub(super) fn prove(
    shared: &Shared,
    log: &Log,
    head: &Published,
    from: TreeSize,
) -> Option<Vec<TreeHash>> {
    if from == TreeSize::ZERO {
        return Some(Vec::new());
    }
    let nodes = shared.pipeline.reader().nodes(log.number(), &head.edge);
    match prove_consistency(&nodes, from, head.head().size) {
        Ok(proof) => Some(proof),
        Err(error) => {
            tracing::error!(origin = log.origin(), error = %error, "a consistency proof failed");
            None
        }
    }
}

/// Returns whether an answer may mean that the address knows another history of the log.
fn is_odd(
    answer: &Result<AddCheckpointAnswer, ClientError>,
    request: &AddCheckpoint,
    signed: TreeSize,
) -> bool {
    match answer {
        // Some witnesses answer so to another tree of the very size that they were told to start from.
        Ok(AddCheckpointAnswer::Conflict { size }) => *size > signed || *size == request.old_size,
        Ok(AddCheckpointAnswer::Refused { status, .. }) => *status == 422,
        Ok(AddCheckpointAnswer::Cosigned(_)) | Err(_) => false,
    }
}
