//! Inclusion proofs of a batch's own entries, made from its range proof.

use core::cell::RefCell;
use std::collections::HashMap;

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};
use crate::core::tree::{NodeId, NodeReader, prove_inclusion};

/// What a client knows of a tree after one verified batch: its own leaves, and the roots of the
/// maximal subtrees on either side of them.
///
/// That is enough for the inclusion proof of each of these leaves. A sibling on the way from such a
/// leaf to the root lies beside the batch and then is one of those subtrees (its parent is not,
/// because it holds the leaf), or it overlaps the batch and splits into parts of which the same
/// holds. So a receipt for each of a thousand entries costs no request.
#[derive(Debug)]
pub struct BatchTree {
    from: u64,
    size: TreeSize,
    leaves: Vec<TreeHash>,
    /// The subtrees beside the batch and, as they are computed, those inside it.
    known: RefCell<HashMap<NodeId, TreeHash>>,
}

/// A node that does not follow from the batch; a verified range proof leaves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range proof does not hold node {} of level {}", .0.index(), .0.level())]
pub struct UnknownNode(NodeId);

impl BatchTree {
    /// Takes the leaves from `from` on and their range proof, which was verified for this size.
    pub fn new(
        from: LeafIndex,
        leaves: Vec<TreeHash>,
        size: TreeSize,
        range_proof: &[TreeHash],
    ) -> Self {
        let from = from.get();
        let count = u64::try_from(leaves.len()).expect("a slice is shorter than 2^64");
        let beside = subtrees(0, from).chain(subtrees(from + count, size.get()));
        let known = beside.zip(range_proof.iter().copied()).collect();
        Self { from, size, leaves, known: RefCell::new(known) }
    }

    /// Returns the inclusion proof of one of the leaves; `None` if the leaf is not of the batch.
    pub fn prove(&self, index: LeafIndex) -> Option<Vec<TreeHash>> {
        self.leaf(index.get())?;
        prove_inclusion(self, index, self.size).ok()
    }

    fn leaf(&self, index: u64) -> Option<TreeHash> {
        let offset = usize::try_from(index.checked_sub(self.from)?).ok()?;
        self.leaves.get(offset).copied()
    }

    /// Returns a node, from its children if it overlaps the batch. Depth is the node's level.
    fn node(&self, node: NodeId) -> Result<TreeHash, UnknownNode> {
        if let Some(hash) = self.known.borrow().get(&node) {
            return Ok(*hash);
        }
        let Some(level) = node.level().checked_sub(1) else {
            return self.leaf(node.index()).ok_or(UnknownNode(node));
        };
        let child = |index| self.node(NodeId::new(level, index).ok_or(UnknownNode(node))?);
        // A subtree that does not meet the batch would be split down to its leaves in vain.
        let begins = node.index() << node.level();
        let after = self.from + u64::try_from(self.leaves.len()).expect("a slice is shorter");
        if node.end() <= self.from || begins >= after {
            return Err(UnknownNode(node));
        }
        let hash = TreeHash::node(&child(2 * node.index())?, &child(2 * node.index() + 1)?);
        self.known.borrow_mut().insert(node, hash);
        Ok(hash)
    }
}

impl NodeReader for BatchTree {
    type Error = UnknownNode;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, UnknownNode> {
        nodes.iter().map(|node| self.node(*node)).collect()
    }
}

/// Returns the maximal perfect subtrees of `[from, to)`, left to right: the order of a range proof.
fn subtrees(mut from: u64, to: u64) -> impl Iterator<Item = NodeId> {
    core::iter::from_fn(move || {
        let left = to.checked_sub(from).filter(|left| *left > 0)?;
        let level = from.trailing_zeros().min(left.ilog2());
        let node = NodeId::new(u8::try_from(level).ok()?, from >> level)?;
        from = node.end();
        Some(node)
    })
}
