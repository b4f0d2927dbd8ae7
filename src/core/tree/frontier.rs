//! The right-edge perfect subtrees of a tree, which are all that appending needs.

use crate::core::hash::TreeHash;
use crate::core::number::TreeSize;

use super::ProveError;
use super::node::{NodeReader, narrow_level, perfect_count, perfect_nodes};
use super::plan::{Plan, fold_right};

/// The maximal perfect subtrees of the leaves `[0, size)`, also known as a compact range.
///
/// # Invariants
///
/// - `nodes` holds one hash for each set bit of `size`, largest subtree first.
/// - `size` is at most [`TreeSize::MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<TreeHash>,
}

/// Hashes that can't be the frontier of a tree of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree of size {size} has {expected} right-edge subtrees, not {nodes}")]
pub struct FrontierError {
    /// Size of the tree.
    pub size: TreeSize,
    /// How many hashes it needs.
    pub expected: usize,
    /// How many hashes there were.
    pub nodes: usize,
}

impl Frontier {
    /// Returns the frontier of the tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// Takes the roots of the maximal perfect subtrees of `[0, size)`, left to right.
    pub fn from_parts(size: TreeSize, nodes: Vec<TreeHash>) -> Result<Self, FrontierError> {
        let expected = perfect_count(0, size.get());
        if nodes.len() != expected {
            return Err(FrontierError { size, expected, nodes: nodes.len() });
        }
        Ok(Self { size: size.get(), nodes })
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.size).expect("push_subtree keeps the size in bounds")
    }

    /// Returns the hashes, largest subtree first.
    pub fn nodes(&self) -> &[TreeHash] {
        &self.nodes
    }

    /// Appends one leaf.
    ///
    /// # Panics
    ///
    /// If the tree has [`TreeSize::MAX`] leaves.
    pub fn push_leaf(&mut self, leaf: TreeHash) {
        self.push_subtree(0, leaf);
    }

    /// Appends a perfect subtree of `2^level` leaves.
    ///
    /// # Panics
    ///
    /// If the size is not a multiple of `2^level`, for then the subtree is none of this tree, or if
    /// the tree would have more than [`TreeSize::MAX`] leaves.
    pub fn push_subtree(&mut self, level: u8, hash: TreeHash) {
        let added = 1_u64.checked_shl(level.into()).unwrap_or(u64::MAX);
        assert!(self.size.is_multiple_of(added), "a subtree starts at a multiple of its width");
        assert!(
            added <= TreeSize::MAX.get() - self.size,
            "a tree has at most TreeSize::MAX leaves"
        );

        // Like a carry: each set bit from `level` up is a subtree that the new one completes.
        let mut hash = hash;
        let mut carry = self.size >> level;
        while carry % 2 == 1 {
            let left = self.nodes.pop().expect("one hash for each set bit of the size");
            hash = TreeHash::node(&left, &hash);
            carry /= 2;
        }
        self.nodes.push(hash);
        self.size += added;
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> TreeHash {
        fold_right(&self.nodes)
    }

    /// Asserts the invariants of the type.
    pub fn check(&self) {
        assert_eq!(self.nodes.len(), perfect_count(0, self.size), "one hash for each set bit");
        assert!(self.size <= TreeSize::MAX.get(), "a tree has at most TreeSize::MAX leaves");
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the root of the first `size` leaves.
pub fn root_at<R: NodeReader>(
    reader: &R,
    size: TreeSize,
) -> Result<TreeHash, ProveError<R::Error>> {
    let mut plan = Plan::with_capacity(usize::from(narrow_level(size.get().count_ones())));
    perfect_nodes(0, size.get()).for_each(|node| plan.push(node));
    Ok(fold_right(&plan.fetch(reader)?))
}
