//! Multi-proofs: several leaves are in the tree, for fewer hashes than a path each.
//!
//! The proof holds what can't be computed from the leaves: layer by layer from the leaves up, and
//! within a layer from left to right, each sibling that exists and is not known. That is the order
//! of `rs_merkle`, whose verification runs beside our own and must agree with it. Alone it would be
//! unsound (it takes surplus hashes, repeated indices and indices beyond the tree), so everything
//! that leaves it a choice is checked before.

use rs_merkle::MerkleProof;

use crate::core::hash::{HASH_BYTES, TreeHash};
use crate::core::number::{LeafIndex, TreeSize};

use super::node::NodeReader;
use super::oracle::Rfc6962;
use super::plan::{Plan, path_capacity};
use super::{ProofError, ProveError, TreeHead};

/// Most leaves of one multi-proof.
///
/// As many as one commit holds, so that any batch can be proved at once. At 10^9 leaves such a
/// proof has at most 4,096 * 18 hashes, 2.4 MB: paths from 4,096 leaves meet 12 levels below the
/// root at the latest, which leaves 18 of 30.
pub const PROOF_BATCH_MAX: usize = 4_096;

/// Proves that the leaves at `indices`, which must strictly rise, are in the tree of `size`.
pub fn prove_batch<R: NodeReader>(
    reader: &R,
    indices: &[LeafIndex],
    size: TreeSize,
) -> Result<Vec<TreeHash>, ProveError<R::Error>> {
    if indices.is_empty() || indices.len() > PROOF_BATCH_MAX {
        return Err(ProveError::BatchCount { count: indices.len() });
    }
    let mut last = None;
    for (position, index) in indices.iter().enumerate() {
        if Some(*index) <= last {
            return Err(ProveError::BatchOrder { position, index: *index });
        }
        if !size.contains(*index) {
            return Err(ProveError::Index { index: *index, size });
        }
        last = Some(*index);
    }

    let mut plan = Plan::with_capacity(path_capacity(size) + indices.len());
    each_sibling(indices.iter().map(|index| index.get()).collect(), size, |level, index| {
        plan.push_cut(reader, level, index, size);
    });
    plan.fetch(reader)
}

/// Verifies that `leaves`, whose indices must strictly rise, are in the tree with this head.
pub fn verify_batch(
    leaves: &[(LeafIndex, TreeHash)],
    head: &TreeHead,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if leaves.is_empty() || leaves.len() > PROOF_BATCH_MAX {
        return Err(ProofError);
    }
    let rises = leaves.iter().zip(leaves.iter().skip(1)).all(|(left, right)| left.0 < right.0);
    if !rises || !leaves.last().is_some_and(|(index, _)| head.size.contains(*index)) {
        return Err(ProofError);
    }
    let mut expected = 0;
    let indices = leaves.iter().map(|(index, _)| index.get()).collect();
    each_sibling(indices, head.size, |_, _| expected += 1);
    if proof.len() != expected {
        return Err(ProofError);
    }

    // Both always run, and neither alone decides.
    let own = fold(leaves, head.size, proof) == Some(head.root);
    let other = verify_rs_merkle(leaves, head, proof)?;
    if own && other { Ok(()) } else { Err(ProofError) }
}

/// Visits each sibling that has to be in the proof, in its order, as (level, index).
///
/// `nodes` are the positions of the known nodes of one level, starting with the leaves; they
/// strictly rise and lie in the tree.
fn each_sibling(mut nodes: Vec<u64>, size: TreeSize, mut visit: impl FnMut(u8, u64)) {
    let mut last = size.get() - 1;
    let mut level = 0;
    while last > 0 {
        let mut previous = None;
        let mut rest = nodes.iter().copied().peekable();
        while let Some(index) = rest.next() {
            let sibling = index ^ 1;
            // The last node of an odd level has no sibling. A known one is a neighbour here too.
            let known = previous == Some(sibling) || rest.peek() == Some(&sibling);
            if sibling <= last && !known {
                visit(level, sibling);
            }
            previous = Some(index);
        }
        for index in &mut nodes {
            *index /= 2;
        }
        nodes.dedup();
        last /= 2;
        level += 1;
    }
}

/// Folds leaves and proof into the root, level by level; none if hashes are missing or left over.
fn fold(leaves: &[(LeafIndex, TreeHash)], size: TreeSize, proof: &[TreeHash]) -> Option<TreeHash> {
    let mut nodes: Vec<_> = leaves.iter().map(|(index, hash)| (index.get(), *hash)).collect();
    let mut proof = proof.iter();
    let mut last = size.get().checked_sub(1)?;
    while last > 0 {
        let mut parents = Vec::with_capacity(nodes.len());
        let mut rest = nodes.into_iter().peekable();
        while let Some((index, hash)) = rest.next() {
            let parent = if index % 2 == 1 {
                // A known left sibling would have taken this node with it.
                TreeHash::node(proof.next()?, &hash)
            } else if index == last {
                hash
            } else {
                let right = rest.next_if(|(next, _)| *next == index + 1).map(|(_, right)| right);
                match right {
                    Some(right) => TreeHash::node(&hash, &right),
                    None => TreeHash::node(&hash, proof.next()?),
                }
            };
            parents.push((index / 2, parent));
        }
        nodes = parents;
        last /= 2;
    }
    match (nodes.as_slice(), proof.next()) {
        ([(0, root)], None) => Some(*root),
        _ => None,
    }
}

/// Runs the verification of `rs_merkle`, behind the checks of [`verify_batch`].
fn verify_rs_merkle(
    leaves: &[(LeafIndex, TreeHash)],
    head: &TreeHead,
    proof: &[TreeHash],
) -> Result<bool, ProofError> {
    // Where a usize has 32 bits, larger trees can't be verified.
    let narrow = |number: u64| usize::try_from(number).map_err(|_| ProofError);
    let indices: Vec<usize> =
        leaves.iter().map(|(index, _)| narrow(index.get())).collect::<Result<_, _>>()?;
    let hashes: Vec<[u8; HASH_BYTES]> = leaves.iter().map(|(_, hash)| *hash.as_bytes()).collect();
    let proof = proof.iter().map(|hash| *hash.as_bytes()).collect();
    let root = *head.root.as_bytes();
    Ok(MerkleProof::<Rfc6962>::new(proof).verify(root, &indices, &hashes, narrow(head.size.get())?))
}
