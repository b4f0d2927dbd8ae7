//! The checks of a server's answers, without I/O.
//!
//! Each function takes what the client knows by itself (what it sent, and a tree head that was
//! signed) and the answer, and returns what the answer proves.

use bytes::Bytes;

use super::{BatchPlace, Untrue};
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::core::tree::{
    TreeHead, verify_batch, verify_consistency, verify_inclusion, verify_range,
};
use crate::proto;

/// What the answer to a batch proves.
#[derive(Clone, Debug)]
pub struct ProvedBatch {
    /// Where each entry of the request is, in the order of the request.
    pub places: Vec<BatchPlace>,
    /// First new leaf.
    pub from: LeafIndex,
    /// Leaf hashes of the new entries, from `from` on.
    pub new: Vec<TreeHash>,
    /// The range proof of the new entries.
    pub range_proof: Vec<TreeHash>,
}

/// Takes a field as hashes of 32 bytes.
pub fn hashes(field: &'static str, bytes: &[Bytes]) -> Result<Vec<TreeHash>, Untrue> {
    let hash = |bytes: &Bytes| {
        let problem = "holds a hash that is not 32 bytes long";
        TreeHash::from_slice(bytes).ok_or(Untrue::Malformed { field, problem })
    };
    bytes.iter().map(hash).collect()
}

/// Takes a field as a leaf index.
pub fn index(field: &'static str, number: u64) -> Result<LeafIndex, Untrue> {
    let problem = "is beyond the largest tree";
    LeafIndex::new(number).ok_or(Untrue::Malformed { field, problem })
}

/// Checks that one leaf is in the signed tree, by a proof for exactly that tree.
pub fn inclusion(
    leaf: &TreeHash,
    proof: &proto::InclusionProof,
    head: &TreeHead,
) -> Result<(LeafIndex, Vec<TreeHash>), Untrue> {
    let index = index("proof.leaf_index", proof.leaf_index)?;
    if proof.tree_size != head.size.get() {
        let problem = "is not the size of the checkpoint";
        return Err(Untrue::Malformed { field: "proof.tree_size", problem });
    }
    let hashes = hashes("proof.hashes", &proof.hashes)?;
    verify_inclusion(leaf, index, head, &hashes)
        .map_err(Untrue::proof("inclusion proof", *head))?;
    Ok((index, hashes))
}

/// Checks that the tree `old` is a prefix of the tree `new`.
pub fn consistency(old: &TreeHead, new: &TreeHead, proof: &[TreeHash]) -> Result<(), Untrue> {
    verify_consistency(old, new, proof).map_err(Untrue::proof("consistency proof", *new))
}

/// Checks that every leaf of a multi-proof is in the signed tree.
pub fn multi(
    leaves: &[(LeafIndex, TreeHash)],
    proof: &[TreeHash],
    head: &TreeHead,
) -> Result<(), Untrue> {
    verify_batch(leaves, head, proof).map_err(Untrue::proof("multi-proof", *head))
}

/// Checks the answer to a batch whose entries have these leaf hashes.
///
/// The new entries have to hold the range `[from, to)` in the order of the request; every duplicate
/// has to be the same leaf, inside that range or proved by the multi-proof.
pub fn batch(
    leaves: &[TreeHash],
    answer: &proto::AppendBatchResponse,
    head: &TreeHead,
) -> Result<ProvedBatch, Untrue> {
    let places = places(leaves.len(), answer)?;
    let from = index("from", answer.from)?;
    let new: Vec<TreeHash> = places
        .iter()
        .zip(leaves)
        .filter_map(|(place, leaf)| (!place.duplicate).then_some(*leaf))
        .collect();

    let range_proof = hashes("range_proof", &answer.range_proof)?;
    if new.is_empty() {
        if !range_proof.is_empty() {
            let problem = "is there without a new entry";
            return Err(Untrue::Malformed { field: "range_proof", problem });
        }
    } else {
        verify_range(&new, from, head, &range_proof)
            .map_err(Untrue::proof("range proof", *head))?;
    }
    duplicates(leaves, &places, from, &new, answer, head)?;
    Ok(ProvedBatch { places, from, new, range_proof })
}

/// Maps the positions of a request to leaf indices as the answer says.
fn places(count: usize, answer: &proto::AppendBatchResponse) -> Result<Vec<BatchPlace>, Untrue> {
    let malformed = |field, problem| Untrue::Malformed { field, problem };
    let mut duplicates = answer.duplicates.iter().peekable();
    let mut next = answer.from;
    let mut places = Vec::with_capacity(count);
    for position in 0..count {
        let duplicate = duplicates.next_if(|duplicate| {
            usize::try_from(duplicate.position).is_ok_and(|at| at == position)
        });
        let number = duplicate.map_or(next, |duplicate| duplicate.leaf_index);
        if duplicate.is_none() {
            next = next.checked_add(1).ok_or(malformed("from", "is out of range"))?;
        }
        let index = index("leaf_index", number)?;
        places.push(BatchPlace { index, duplicate: duplicate.is_some() });
    }
    if duplicates.next().is_some() {
        return Err(malformed("duplicates", "are not in the order of their positions"));
    }
    if next != answer.to {
        return Err(malformed("to", "does not match the number of new entries"));
    }
    Ok(places)
}

/// Checks that each duplicate is the leaf that it repeats.
fn duplicates(
    leaves: &[TreeHash],
    places: &[BatchPlace],
    from: LeafIndex,
    new: &[TreeHash],
    answer: &proto::AppendBatchResponse,
    head: &TreeHead,
) -> Result<(), Untrue> {
    let mut outside: Vec<(LeafIndex, TreeHash)> = Vec::new();
    for (place, leaf) in places.iter().zip(leaves).filter(|(place, _)| place.duplicate) {
        let offset = place.index.get().checked_sub(from.get());
        let offset = offset.and_then(|offset| usize::try_from(offset).ok());
        match offset.and_then(|offset| new.get(offset)) {
            Some(first) if first == leaf => {}
            Some(_) => return Err(Untrue::Entry { index: place.index }),
            None => outside.push((place.index, *leaf)),
        }
    }
    outside.sort_unstable();
    // Two entries of the request may repeat the same leaf; different leaves at one index stay two
    // and make the multi-proof fail.
    outside.dedup();
    let proof = hashes("duplicates_proof", &answer.duplicates_proof)?;
    match (outside.is_empty(), proof.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => {
            let problem = "is there without a duplicate outside the range";
            Err(Untrue::Malformed { field: "duplicates_proof", problem })
        }
        (false, _) => multi(&outside, &proof, head),
    }
}
