//! The Merkle tree of RFC 6962, without a place to keep it.
//!
//! A tree is the list of its leaves; everything else follows from them. The root of size `n` splits
//! at the largest power of two below `n`, so a subtree of `2^k` leaves never changes once it is
//! full. Append-only storage, tiles and consistency proofs all rest on that one property.
//!
//! Every proof is made in three steps: a plan names the perfect nodes that are needed, one read
//! fetches them, and a fold turns each group of them into one hash of the proof.
//!
//! # Invariants
//!
//! - A node that has been written is never written again with another hash.
//! - [`Frontier`] holds one hash for each set bit of the tree size, largest subtree first.
//! - Two trees of equal size have equal roots exactly if all leaves are equal.
//! - A verifier accepts exactly one proof for one claim: each extra, missing or changed hash fails.
//!
//! # Out of scope
//!
//! - Storage: callers implement [`NodeReader`].
//! - Which bytes make a leaf: [`crate::core::bundle`] and [`crate::core::entry`].
//! - Signatures: [`crate::core::note`].

mod batch;
mod consistency;
mod edge;
mod frontier;
mod inclusion;
mod node;
mod oracle;
mod plan;
mod range;
mod second;
mod tile;

pub use batch::{PROOF_BATCH_MAX, prove_batch, verify_batch};
pub use consistency::{prove_consistency, verify_consistency};
pub use edge::{Edge, Integration, LevelsError};
pub use frontier::{Frontier, FrontierError, root_at};
pub use inclusion::{prove_inclusion, verify_inclusion};
pub use node::{NodeId, NodeReader};
pub use range::{prove_range, verify_range};
pub use second::{SecondHead, SecondMismatch, SecondRoot};
pub use tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileError, TileId};

use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};

/// What a tree is: how many leaves it has, and their root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeHead {
    /// Number of leaves.
    pub size: TreeSize,
    /// RFC 6962 root over all of them.
    pub root: TreeHash,
}

impl TreeHead {
    /// Returns the head of the tree without leaves.
    pub fn empty() -> Self {
        Self { size: TreeSize::ZERO, root: TreeHash::empty_root() }
    }
}

/// A proof that does not show what it was given for.
///
/// Opaque on purpose: which step failed says nothing that a caller could act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not verify")]
pub struct ProofError;

/// Why a proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The reader failed.
    #[error(transparent)]
    Read(E),
    /// The reader did not answer with one hash for each node.
    #[error("the reader returned {returned} nodes of {requested}")]
    NodeCount {
        /// How many nodes were asked for.
        requested: usize,
        /// How many hashes came back.
        returned: usize,
    },
    /// The leaf is not in the tree.
    #[error("leaf {index} is not in a tree of size {size}; use an index below the size")]
    Index {
        /// The leaf that was asked for.
        index: LeafIndex,
        /// Size of the tree.
        size: TreeSize,
    },
    /// No consistency proof exists between the two sizes.
    #[error("no proof leads from size {old} to size {new}; the old size is from 1 to the new size")]
    Sizes {
        /// Size of the older tree.
        old: TreeSize,
        /// Size of the newer tree.
        new: TreeSize,
    },
    /// The range is empty, reversed or not in the tree.
    #[error("no leaves [{from}, {to}) in a tree of size {size}; use from < to <= size")]
    Range {
        /// First leaf of the range.
        from: LeafIndex,
        /// One past the last leaf of the range.
        to: LeafIndex,
        /// Size of the tree.
        size: TreeSize,
    },
    /// A batch without leaves or with too many.
    #[error("{count} leaf indices; send 1 to {PROOF_BATCH_MAX}")]
    BatchCount {
        /// How many indices there were.
        count: usize,
    },
    /// The indices of a batch do not rise.
    #[error("leaf index {index} at position {position} does not rise; sort them, each once")]
    BatchOrder {
        /// Position in the batch, from 0.
        position: usize,
        /// The index that is not above the one before it.
        index: LeafIndex,
    },
}
