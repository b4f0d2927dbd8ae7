//! Range proofs: neighbouring leaves are in the tree, for O(log n) hashes whatever their number.
//!
//! The proof holds the roots of the maximal perfect subtrees of `[0, from)`, left to right, then of
//! `[to, size)`, left to right. The leaves fill the gap, so the verifier rebuilds the root from
//! left to right; how many hashes there must be follows from the three numbers.

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};

use super::frontier::Frontier;
use super::node::{NodeReader, perfect_count, perfect_nodes};
use super::plan::Plan;
use super::{ProofError, ProveError, TreeHead};

/// Proves that the leaves `[from, to)` are in the tree of `size`.
pub fn prove_range<R: NodeReader>(
    reader: &R,
    from: LeafIndex,
    to: LeafIndex,
    size: TreeSize,
) -> Result<Vec<TreeHash>, ProveError<R::Error>> {
    if from >= to || to.get() > size.get() {
        return Err(ProveError::Range { from, to, size });
    }
    // At most 62 subtrees on the left and 124 on the right, so counting first is not worth it.
    let mut plan = Plan::default();
    perfect_nodes(0, from.get()).for_each(|node| plan.push(node));
    perfect_nodes(to.get(), size.get()).for_each(|node| plan.push(node));
    plan.fetch(reader)
}

/// Verifies that `leaves` are the leaf hashes from `from` on of the tree with this head.
pub fn verify_range(
    leaves: &[TreeHash],
    from: LeafIndex,
    head: &TreeHead,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    let count = u64::try_from(leaves.len()).map_err(|_| ProofError)?;
    let to = from.get().checked_add(count).ok_or(ProofError)?;
    let size = head.size.get();
    if leaves.is_empty() || to > size {
        return Err(ProofError);
    }
    let (left, right) = proof.split_at_checked(perfect_count(0, from.get())).ok_or(ProofError)?;
    if right.len() != perfect_count(to, size) {
        return Err(ProofError);
    }

    let from = TreeSize::new(from.get()).ok_or(ProofError)?;
    let mut frontier = Frontier::from_parts(from, left.to_vec()).map_err(|_| ProofError)?;
    for leaf in leaves {
        frontier.push_leaf(*leaf);
    }
    for (node, hash) in perfect_nodes(to, size).zip(right) {
        frontier.push_subtree(node.level(), *hash);
    }
    if frontier.root() == head.root { Ok(()) } else { Err(ProofError) }
}
