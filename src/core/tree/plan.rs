//! What a proof reads, in one go, and how the hashes that were read become the proof.

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};

use super::ProveError;
use super::node::{NodeId, NodeReader, narrow, perfect_nodes};

/// The nodes of a proof, in its order.
///
/// All of them are perfect subtrees and stand for themselves, but for at most one group: the
/// incomplete subtree at the right edge of the tree, which is folded from its perfect parts. No
/// proof holds two of those, because whatever has the right edge as its sibling once has it as a
/// descendant from there up.
#[derive(Debug, Default)]
pub(super) struct Plan {
    nodes: Vec<NodeId>,
    tail: Option<Tail>,
}

/// The incomplete subtree at the right edge of a tree.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// Where it stands in the proof.
    position: usize,
    /// Number of its perfect parts, which stand in `nodes` from `position`.
    parts: usize,
    /// Its hash, if the reader held it; then `parts` is 0.
    hash: Option<TreeHash>,
}

impl Plan {
    /// Makes a plan with room for `nodes` nodes.
    pub(super) fn with_capacity(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes), tail: None }
    }

    /// Adds a perfect node.
    pub(super) fn push(&mut self, node: NodeId) {
        self.nodes.push(node);
    }

    /// Adds the subtree at position `index` of `level`, cut at the end of the tree.
    pub(super) fn push_cut<R: NodeReader>(
        &mut self,
        reader: &R,
        level: u8,
        index: u64,
        size: TreeSize,
    ) {
        let node = NodeId::derived(level, index);
        if node.end() <= size.get() {
            return self.push(node);
        }
        let from = index << level;
        let position = self.nodes.len();
        debug_assert!(self.tail.is_none(), "a proof holds the right edge once");

        let hash = LeafIndex::new(from).and_then(|from| reader.tail(from, size));
        if hash.is_none() {
            self.nodes.extend(perfect_nodes(from, size.get()));
        }
        let parts = self.nodes.len() - position;
        self.tail = Some(Tail { position, parts, hash });
    }

    /// Adds what stands beside the path from the node (`level`, `index`) up to the root of `size`.
    ///
    /// This is PATH of RFC 6962, section 2.1.1, read from the leaf up: `index` and `last` are the
    /// positions of the node and of the last node of the same level.
    pub(super) fn push_path<R: NodeReader>(&mut self, reader: &R, node: NodeId, size: TreeSize) {
        let (mut level, mut index) = (node.level(), node.index());
        let mut last = (size.get() - 1) >> level;
        while last > 0 {
            if index % 2 == 1 {
                self.push(NodeId::derived(level, index - 1));
            } else if index < last {
                self.push_cut(reader, level, index + 1, size);
            }
            // An even last node has no sibling: it is promoted to the next level unchanged.
            index /= 2;
            last /= 2;
            level += 1;
        }
    }

    /// Reads all nodes at once and folds the tail into one hash.
    pub(super) fn fetch<R: NodeReader>(
        self,
        reader: &R,
    ) -> Result<Vec<TreeHash>, ProveError<R::Error>> {
        let requested = self.nodes.len();
        let mut hashes = match requested {
            0 => Vec::with_capacity(1),
            _ => reader.read_nodes(&self.nodes).map_err(ProveError::Read)?,
        };
        if hashes.len() != requested {
            return Err(ProveError::NodeCount { requested, returned: hashes.len() });
        }

        if let Some(tail) = self.tail {
            let parts = tail.position..tail.position + tail.parts;
            let hash = match tail.hash {
                Some(hash) => hash,
                None => fold_right(hashes.get(parts.clone()).unwrap_or_default()),
            };
            hashes.splice(parts, [hash]);
        }
        Ok(hashes)
    }
}

/// Returns the root of neighbouring subtrees whose levels fall from left to right.
///
/// A tree splits at the largest power of two below its size, so the largest subtree stays on the
/// left until everything right of it is one hash: the fold goes from the right. No subtrees make
/// the empty tree.
pub(super) fn fold_right(subtrees: &[TreeHash]) -> TreeHash {
    subtrees
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| TreeHash::node(&left, &right))
        .unwrap_or_else(TreeHash::empty_root)
}

/// Returns how many levels lie between a leaf and the root: the most hashes of one path.
pub(super) fn path_capacity(size: TreeSize) -> usize {
    narrow(u64::from(u64::BITS - size.get().leading_zeros()))
}
