//! `ProveInclusion`, `ProveInclusionBatch` and `ProveConsistency`.
//!
//! Each takes one snapshot of the published head and proves against it only.

use std::sync::Arc;

use tonic::Response;

use super::{
    Answered,
    answer::{checkpoint, hash, hashes},
    status::Denial,
};
use crate::{
    core::{
        hash::TreeHash,
        number::LeafIndex,
        tree::{
            NodeId, NodeReader, PROOF_BATCH_MAX, prove_batch, prove_consistency, prove_inclusion,
        },
    },
    pipeline::{Log, Published},
    proto::{self, prove_inclusion_request::Leaf},
    service::{Desk, look},
    store::LogIdentity,
};

/// Proves one leaf.
pub(super) fn inclusion(
    desk: &Desk,
    request: proto::ProveInclusionRequest,
) -> Answered<proto::ProveInclusionResponse> {
    let log = desk.log(&request.log)?;
    let published = log.published();
    let size = look::size(request.tree_size, &published, "tree_size")?;
    let index = match request.leaf {
        Some(Leaf::LeafIndex(index)) => look::index(index, size, "leaf_index")?,
        Some(Leaf::LeafHash(hash)) => {
            let found = find(desk, &log, &published, &hash)?;
            look::index(found.get(), size, "leaf_hash")?
        }
        None => {
            return Err(Denial::field("leaf", "name the entry by leaf_index or leaf_hash").into());
        }
    };
    let prover = desk.prover(&log, &published);
    let proof = prove_inclusion(&prover, index, size).map_err(|error| look::unprovable(&error))?;
    let leaf = leaves(&prover, &[index])?;
    desk.metrics.proved_inclusion(1);
    Ok(Response::new(proto::ProveInclusionResponse {
        proof: Some(proto::InclusionProof {
            leaf_index: index.get(),
            tree_size: size.get(),
            hashes: hashes(&proof),
        }),
        checkpoint: Some(checkpoint(&published)),
        leaf_hash: leaf.first().map(hash).expect("one hash for one node"),
    }))
}

/// Finds the published entry with a leaf hash, where the log keeps that index.
fn find(desk: &Desk, log: &Log, published: &Published, bytes: &[u8]) -> Result<LeafIndex, Denial> {
    let Some(hash) = TreeHash::from_slice(bytes) else {
        return Err(Denial::field(
            "leaf_hash",
            format!("a leaf hash has 32 bytes, not {}", bytes.len()),
        ));
    };
    if log.row().identity != LogIdentity::EntryHash {
        return Err(Denial::no_hash_index());
    }
    desk.find(log, &hash)?
        // The row of an entry is written with its batch, before the head that covers it is published.
        .filter(|index| published.head().size.contains(*index))
        .ok_or_else(Denial::unknown_hash)
}

/// Proves several leaves with one multi-proof.
pub(super) async fn inclusion_batch(
    desk: &Desk,
    request: proto::ProveInclusionBatchRequest,
) -> Answered<proto::ProveInclusionBatchResponse> {
    let log = desk.log(&request.log)?;
    let published = log.published();
    let size = look::size(request.tree_size, &published, "tree_size")?;
    let asked = &request.leaf_indices;
    if !(1..=PROOF_BATCH_MAX).contains(&asked.len()) {
        let message = format!("{} indices; send 1 to {PROOF_BATCH_MAX}", asked.len());
        return Err(Denial::field("leaf_indices", message).into());
    }
    if !asked.is_sorted_by(|left, right| left < right) {
        let message = "the indices do not rise; sort them, each once";
        return Err(Denial::field("leaf_indices", message).into());
    }
    let indices = asked
        .iter()
        .map(|asked| look::index(*asked, size, "leaf_indices"))
        .collect::<Result<Vec<LeafIndex>, Denial>>()?;

    let count = indices.len() as u64;
    let (reading, snapshot) = (desk.clone(), Arc::clone(&published));
    // Thousands of tiles may have to come from the disk.
    let (proof, leaves) = look::blocking(move || {
        let prover = reading.prover(&log, &snapshot);
        let proof =
            prove_batch(&prover, &indices, size).map_err(|error| look::unprovable(&error))?;
        Ok::<_, Denial>((proof, leaves(&prover, &indices)?))
    })
    .await??;
    desk.metrics.proved_inclusion(count);
    Ok(Response::new(proto::ProveInclusionBatchResponse {
        tree_size: size.get(),
        hashes: hashes(&proof),
        checkpoint: Some(checkpoint(&published)),
        leaf_hashes: hashes(&leaves),
    }))
}

/// Reads the leaf hashes at some indices of the tree.
pub(super) fn leaves<R: NodeReader>(
    reader: &R,
    indices: &[LeafIndex],
) -> Result<Vec<TreeHash>, Denial>
where
    R::Error: core::error::Error + 'static,
{
    let nodes: Vec<NodeId> = indices
        .iter()
        .map(|index| NodeId::new(0, index.get()).expect("every leaf is a node of level 0"))
        .collect();
    reader.read_nodes(&nodes).map_err(|error| look::unreadable(&error))
}

/// Proves that one tree is a prefix of another.
pub(super) fn consistency(
    desk: &Desk,
    request: &proto::ProveConsistencyRequest,
) -> Answered<proto::ProveConsistencyResponse> {
    let log = desk.log(&request.log)?;
    let published = log.published();
    let new = look::size(request.new_size, &published, "new_size")?;
    let old = look::size(Some(request.old_size), &published, "old_size")?;
    if request.old_size == 0 {
        let message = "every tree is consistent with the empty one; use an old_size of at least 1";
        return Err(Denial::field("old_size", message).into());
    }
    if old > new {
        let message = format!("old_size {old} is larger than new_size {new}; swap them");
        return Err(Denial::reversed("old_size", message).into());
    }
    let proof = prove_consistency(&desk.prover(&log, &published), old, new)
        .map_err(|error| look::unprovable(&error))?;
    desk.metrics.proved_consistency();
    Ok(Response::new(proto::ProveConsistencyResponse {
        old_size: old.get(),
        new_size: new.get(),
        hashes: hashes(&proof),
        checkpoint: Some(checkpoint(&published)),
    }))
}
