//! Inclusion proofs: all of small trees, the edges of tiles, and what a verifier must refuse.

use attestree::core::hash::TreeHash;
use attestree::core::number::{LeafIndex, TreeSize};
use attestree::core::tree::{ProofError, ProveError, TreeHead, prove_inclusion, verify_inclusion};
use ct_merkle::InclusionProof;

use super::world::*;

#[test]
fn every_proof_of_small_trees_equals_three_oracles() {
    let all = leaves(130);
    let whole = Tiled::grow(&all, 50);
    for size in 1..=130 {
        let leaves = &all[..size];
        let head = head(leaves);
        let (rs, ct, naive) = (rs_tree(size), ct_tree(size), Naive::new(leaves));
        let tiled = Tiled::grow(leaves, 33);
        assert_eq!(rs.root().map(TreeHash::from_bytes), Some(head.root));
        assert_eq!(ct.root().as_bytes().as_slice(), head.root.as_bytes());

        for index in 0..size {
            let at = leaf_index(index as u64);
            let proof = prove_inclusion(&naive, at, head.size).unwrap();
            assert_eq!(proof, path(index, leaves), "leaf {index} of {size}");
            assert_eq!(proof, from_rs(rs.proof(&[index]).proof_hashes()));
            assert_eq!(proof, from_ct(ct.prove_inclusion(index).as_bytes()));
            // From tiles and edge, at the newest size and at one that has been overtaken.
            assert_eq!(proof, prove_inclusion(&tiled, at, head.size).unwrap());
            assert_eq!(proof, prove_inclusion(&whole, at, head.size).unwrap());

            verify_inclusion(&leaves[index], at, &head, &proof).unwrap();
            let theirs = InclusionProof::try_from_bytes(to_bytes(&proof)).unwrap();
            ct.root().verify_inclusion(&entry(index), index as u64, &theirs).unwrap();
        }
    }
}

#[test]
fn a_proof_is_made_with_one_read() {
    let all = leaves(100);
    let naive = Naive::new(&all);
    prove_inclusion(&naive, leaf_index(0), tree_size(100)).unwrap();
    assert_eq!(naive.reads.get(), 1);
}

#[test]
fn proofs_at_the_edges_of_tiles_verify() {
    let all = leaves(65_537);
    let whole = Tiled::grow(&all, 4_096);
    for size in EDGE_SIZES {
        let leaves = &all[..size];
        let head = head(leaves);
        let tiled = Tiled::grow(leaves, 1_000);
        assert_eq!(tiled.edge.head(), head);
        for index in EDGE_SIZES.iter().flat_map(|edge| [edge - 1, *edge]).filter(|i| *i < size) {
            let at = leaf_index(index as u64);
            let proof = prove_inclusion(&tiled, at, head.size).unwrap();
            assert_eq!(proof, path(index, leaves), "leaf {index} of {size}");
            assert_eq!(proof, prove_inclusion(&whole, at, head.size).unwrap());
            verify_inclusion(&leaves[index], at, &head, &proof).unwrap();
        }
    }
}

#[test]
fn a_changed_proof_fails() {
    let all = leaves(40);
    for size in 1..=40 {
        let (leaves, head) = (&all[..size], head(&all[..size]));
        for index in 0..size {
            let at = leaf_index(index as u64);
            let proof = path(index, leaves);
            for (name, mutated) in mutations(&proof) {
                let verdict = verify_inclusion(&leaves[index], at, &head, &mutated);
                assert_eq!(verdict, Err(ProofError), "leaf {index} of {size}: {name}");
            }
        }
    }
}

#[test]
fn any_flipped_bit_fails() {
    let all = leaves(11);
    let head = head(&all);
    for index in [0, 7, 8, 10] {
        let at = leaf_index(index as u64);
        let proof = path(index, &all);
        for bit in 0..256 {
            let leaf = flip(&all[index], bit);
            assert_eq!(verify_inclusion(&leaf, at, &head, &proof), Err(ProofError));
            let other = TreeHead { root: flip(&head.root, bit), ..head };
            assert_eq!(verify_inclusion(&all[index], at, &other, &proof), Err(ProofError));
            for hash in 0..proof.len() {
                let mut mutated = proof.clone();
                mutated[hash] = flip(&proof[hash], bit);
                assert_eq!(verify_inclusion(&all[index], at, &head, &mutated), Err(ProofError));
            }
        }
    }
}

#[test]
fn another_leaf_or_index_fails() {
    let all = leaves(30);
    for size in 1..=30 {
        let (leaves, head) = (&all[..size], head(&all[..size]));
        for index in 0..size {
            let proof = path(index, leaves);
            for other in (0..35).filter(|other| *other != index) {
                let at = leaf_index(other as u64);
                let verdict = verify_inclusion(&leaves[index], at, &head, &proof);
                assert_eq!(verdict, Err(ProofError), "{index} of {size} as {other}");
            }
            for other in (0..size).filter(|other| *other != index) {
                let at = leaf_index(index as u64);
                assert_eq!(verify_inclusion(&leaves[other], at, &head, &proof), Err(ProofError));
            }
        }
    }
}

/// Returns on which side each hash of a path stands: all that a path says about index and size.
fn sides(index: usize, size: usize) -> Vec<bool> {
    if size <= 1 {
        return Vec::new();
    }
    let split = size.next_power_of_two() / 2;
    let mut path =
        if index < split { sides(index, split) } else { sides(index - split, size - split) };
    path.push(index < split);
    path
}

/// A root does not bind its size, so a false size is refused exactly if it changes the path. That
/// is why a verifier takes both from one signed checkpoint.
#[test]
fn a_false_size_fails_unless_the_path_is_the_same() {
    let all = leaves(24);
    for size in 1..=24 {
        let (leaves, head) = (&all[..size], head(&all[..size]));
        for index in 0..size {
            let (at, proof) = (leaf_index(index as u64), path(index, leaves));
            for other in 0..=40 {
                let claimed = TreeHead { size: tree_size(other as u64), ..head };
                let verdict = verify_inclusion(&leaves[index], at, &claimed, &proof);
                let same = index < other && sides(index, other) == sides(index, size);
                assert_eq!(verdict.is_ok(), same, "{index} of {size} as of {other}");
            }
        }
    }
}

#[test]
fn the_prover_refuses_leaves_beyond_the_tree() {
    let all = leaves(5);
    let naive = Naive::new(&all);
    for (index, size) in [(0, 0), (5, 5), (6, 5), ((1 << 62) - 1, 5)] {
        let (index, size) = (leaf_index(index), tree_size(size));
        let verdict = prove_inclusion(&naive, index, size);
        assert_eq!(verdict, Err(ProveError::Index { index, size }));
    }
}

#[test]
fn the_largest_tree_has_paths_of_62_hashes() {
    let root = (0..62).fold(TreeHash::leaf(b""), |below, _| TreeHash::node(&below, &below));
    let proof: Vec<_> = (0..62)
        .scan(TreeHash::leaf(b""), |below, _| {
            let hash = *below;
            *below = TreeHash::node(&hash, &hash);
            Some(hash)
        })
        .collect();
    let head = TreeHead { size: TreeSize::MAX, root };
    for index in [0, 1, 1 << 40, (1 << 62) - 1] {
        verify_inclusion(&TreeHash::leaf(b""), leaf_index(index), &head, &proof).unwrap();
        let cut = &proof[..61];
        let verdict = verify_inclusion(&TreeHash::leaf(b""), leaf_index(index), &head, cut);
        assert_eq!(verdict, Err(ProofError));
    }
    let beyond: LeafIndex = TreeSize::MAX.next_index();
    assert_eq!(verify_inclusion(&TreeHash::leaf(b""), beyond, &head, &proof), Err(ProofError));
}
