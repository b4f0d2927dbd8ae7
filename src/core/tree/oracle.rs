//! `rs_merkle` with the hashing of RFC 6962, for whatever is computed a second time.
//!
//! The crate's own SHA-256 hasher has no domain separation, so it is never used. Its verification
//! takes proofs that claim nothing true, so only [`super::verify_batch`] reaches it, behind checks.

use rs_merkle::{Hasher, PartialTree};

use crate::core::hash::{HASH_BYTES, TreeHash};

/// RFC 6962 hashing for `rs_merkle`.
#[derive(Clone, Debug)]
pub(super) struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; HASH_BYTES];

    fn hash(data: &[u8]) -> Self::Hash {
        *TreeHash::leaf(data).as_bytes()
    }

    fn concat_and_hash(left: &Self::Hash, right: Option<&Self::Hash>) -> Self::Hash {
        match right {
            Some(right) => {
                let (left, right) = (TreeHash::from_bytes(*left), TreeHash::from_bytes(*right));
                *TreeHash::node(&left, &right).as_bytes()
            }
            // The odd last node of a level is promoted unchanged; that makes it RFC 6962.
            None => *left,
        }
    }
}

/// Builds the tree over `hashes`, which must be few: all its levels stay in memory.
pub(super) fn tree(hashes: &[[u8; HASH_BYTES]]) -> PartialTree<Rfc6962> {
    PartialTree::from_leaves(hashes).expect("a tree without gaps lacks no node")
}
