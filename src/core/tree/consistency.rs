//! Consistency proofs: one tree is a prefix of another (RFC 6962, section 2.1.2).

use crate::core::hash::TreeHash;
use crate::core::number::TreeSize;

use super::inclusion::{Climb, Side};
use super::node::{NodeId, NodeReader, narrow_level};
use super::plan::{Plan, path_capacity};
use super::{ProofError, ProveError, TreeHead};

/// Proves that the first `old` leaves of the tree of size `new` are the tree of size `old`.
///
/// An old size of 0 is refused: every tree extends the empty one, so there is nothing to prove.
pub fn prove_consistency<R: NodeReader>(
    reader: &R,
    old: TreeSize,
    new: TreeSize,
) -> Result<Vec<TreeHash>, ProveError<R::Error>> {
    if old == TreeSize::ZERO || old > new {
        return Err(ProveError::Sizes { old, new });
    }
    if old == new {
        return Ok(Vec::new());
    }

    let mut plan = Plan::with_capacity(2 * path_capacity(new) + 1);
    let seed = seed_node(old);
    // A seed that is the whole old tree needs no hash: the verifier holds that root.
    if !old.get().is_power_of_two() {
        plan.push(seed);
    }
    plan.push_path(reader, seed, new);
    plan.fetch(reader)
}

/// Verifies that the tree with the head `new` extends the tree with the head `old`.
///
/// The algorithm is that of RFC 9162, section 2.1.4.2: one walk folds both roots.
pub fn verify_consistency(
    old: &TreeHead,
    new: &TreeHead,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if old.size == TreeSize::ZERO || old.size > new.size {
        return Err(ProofError);
    }
    if old.size == new.size {
        let same = proof.is_empty() && old.root == new.root;
        return if same { Ok(()) } else { Err(ProofError) };
    }

    let seed = seed_node(old.size);
    let (seed_hash, path) = if old.size.get().is_power_of_two() {
        (old.root, proof)
    } else {
        let (first, path) = proof.split_first().ok_or(ProofError)?;
        (*first, path)
    };

    let mut climb = Climb::new(seed.index(), (new.size.get() - 1) >> seed.level());
    let (mut old_root, mut new_root) = (seed_hash, seed_hash);
    for hash in path {
        match climb.step().ok_or(ProofError)? {
            // Left of the seed is what both trees hold, right of it what only the new one does.
            Side::Left => {
                old_root = TreeHash::node(hash, &old_root);
                new_root = TreeHash::node(hash, &new_root);
            }
            Side::Right => new_root = TreeHash::node(&new_root, hash),
        }
    }
    if climb.is_done() && old_root == old.root && new_root == new.root {
        Ok(())
    } else {
        Err(ProofError)
    }
}

/// Returns the last maximal perfect subtree of the old tree: where the two trees part.
fn seed_node(old: TreeSize) -> NodeId {
    let level = old.get().trailing_zeros();
    NodeId::derived(narrow_level(level), (old.get() >> level) - 1)
}
