//! Inclusion proofs: one leaf is in the tree (RFC 6962, section 2.1.1).

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};

use super::node::{NodeId, NodeReader};
use super::plan::{Plan, path_capacity};
use super::{ProofError, ProveError, TreeHead};

/// Proves that the leaf `index` is in the tree of `size`: its siblings from the leaf up.
pub fn prove_inclusion<R: NodeReader>(
    reader: &R,
    index: LeafIndex,
    size: TreeSize,
) -> Result<Vec<TreeHash>, ProveError<R::Error>> {
    if !size.contains(index) {
        return Err(ProveError::Index { index, size });
    }
    // The tail stands for one hash of the path but may need one node for each level.
    let mut plan = Plan::with_capacity(2 * path_capacity(size));
    plan.push_path(reader, NodeId::derived(0, index.get()), size);
    plan.fetch(reader)
}

/// Verifies that `leaf` is the leaf hash at `index` of the tree with this head.
///
/// The algorithm is that of RFC 9162, section 2.1.3.2. The path decides at each step whether a hash
/// stands left or right, so exactly one proof passes.
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: LeafIndex,
    head: &TreeHead,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    if !head.size.contains(index) {
        return Err(ProofError);
    }
    let mut climb = Climb::new(index.get(), head.size.get() - 1);
    let mut root = *leaf;
    for hash in proof {
        root = match climb.step().ok_or(ProofError)? {
            Side::Left => TreeHash::node(hash, &root),
            Side::Right => TreeHash::node(&root, hash),
        };
    }
    if climb.is_done() && root == head.root { Ok(()) } else { Err(ProofError) }
}

/// Where the next hash of a path stands.
pub(super) enum Side {
    /// Left of what has been folded so far.
    Left,
    /// Right of what has been folded so far.
    Right,
}

/// A walk from a node to the root of its tree, as a verifier without the tree takes it.
///
/// `index` and `last` are the positions of the node and of the last node of one level.
pub(super) struct Climb {
    index: u64,
    last: u64,
}

impl Climb {
    /// Starts at position `index` of a level whose last position is `last`.
    pub(super) const fn new(index: u64, last: u64) -> Self {
        Self { index, last }
    }

    /// Goes up to the next level with a sibling; says where it stands, or nothing at the root.
    pub(super) const fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.index % 2 == 1 || self.index == self.last {
            // The last node of an odd level is promoted until it is a right child.
            while self.index.is_multiple_of(2) && self.index != 0 {
                self.index /= 2;
                self.last /= 2;
            }
            Side::Left
        } else {
            Side::Right
        };
        self.index /= 2;
        self.last /= 2;
        Some(side)
    }

    /// Returns whether the root is reached.
    pub(super) const fn is_done(&self) -> bool {
        self.last == 0
    }
}
