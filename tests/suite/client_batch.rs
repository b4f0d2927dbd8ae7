//! From one range proof follow the inclusion proofs of all its leaves.

use core::convert::Infallible;

use attestree::{
    client::BatchTree,
    core::{
        hash::TreeHash,
        number::{LeafIndex, TreeSize},
        tree::{
            NodeId, NodeReader, TreeHead, prove_inclusion, prove_range, root_at, verify_inclusion,
        },
    },
};

/// A tree that is computed anew for each node.
struct Naive(Vec<TreeHash>);

impl Naive {
    fn node(&self, level: u8, index: u64) -> TreeHash {
        match level.checked_sub(1) {
            None => self.0[usize::try_from(index).unwrap()],
            Some(below) => {
                TreeHash::node(&self.node(below, 2 * index), &self.node(below, 2 * index + 1))
            }
        }
    }
}

impl NodeReader for Naive {
    type Error = Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Infallible> {
        Ok(nodes.iter().map(|node| self.node(node.level(), node.index())).collect())
    }
}

#[test]
fn every_leaf_of_every_range_is_proved_as_the_log_would() {
    for count in 1..=40_u64 {
        let leaves: Vec<TreeHash> = (0..count).map(|n| TreeHash::leaf(&n.to_be_bytes())).collect();
        let tree = Naive(leaves.clone());
        let size = TreeSize::new(count).unwrap();
        let head = TreeHead { size, root: root_at(&tree, size).unwrap() };
        for from in 0..count {
            for to in from + 1..=count {
                let (first, end) = (LeafIndex::new(from).unwrap(), LeafIndex::new(to).unwrap());
                let proof = prove_range(&tree, first, end, size).unwrap();
                let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
                let batch = BatchTree::new(first, leaves[range].to_vec(), size, &proof);
                for index in from..to {
                    let leaf = &leaves[usize::try_from(index).unwrap()];
                    let index = LeafIndex::new(index).unwrap();
                    let proof = batch.prove(index).unwrap();
                    assert_eq!(proof, prove_inclusion(&tree, index, size).unwrap());
                    verify_inclusion(leaf, index, &head, &proof).unwrap();
                }
                let outside = [from.checked_sub(1), Some(to)].into_iter().flatten();
                for index in outside.filter_map(LeafIndex::new) {
                    assert_eq!(batch.prove(index), None, "leaf {index} is not of the batch");
                }
            }
        }
    }
}
