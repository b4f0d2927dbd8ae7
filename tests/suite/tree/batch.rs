//! Multi-proofs: the order of `rs_merkle`, and its unsound cases behind the strict wrapper.

use attestree::core::hash::TreeHash;
use attestree::core::number::{LeafIndex, TreeSize};
use attestree::core::tree::{
    PROOF_BATCH_MAX, ProofError, ProveError, TreeHead, prove_batch, verify_batch,
};

use super::world::*;

/// Takes positions as leaf indices.
fn indices(positions: &[usize]) -> Vec<LeafIndex> {
    positions.iter().map(|position| leaf_index(*position as u64)).collect()
}

/// Returns the leaf hashes at some positions, each with its index.
fn claims(leaves: &[TreeHash], positions: &[usize]) -> Vec<(LeafIndex, TreeHash)> {
    let leaf = |position: &usize| (leaf_index(*position as u64), leaves[*position]);
    positions.iter().map(leaf).collect()
}

/// Proves `positions` from tiles, compares with `rs_merkle`, verifies.
fn prove_and_verify(
    tiled: &Tiled,
    rs: &rs_merkle::MerkleTree<RsHasher>,
    leaves: &[TreeHash],
    head: &TreeHead,
    positions: &[usize],
) {
    let proof = prove_batch(tiled, &indices(positions), head.size).unwrap();
    assert_eq!(proof, from_rs(rs.proof(positions).proof_hashes()), "{positions:?}");
    verify_batch(&claims(leaves, positions), head, &proof).unwrap();
}

#[test]
fn every_subset_of_tiny_trees_equals_rs_merkle() {
    let all = leaves(9);
    let whole = Tiled::grow(&all, 4);
    for size in 1..=9 {
        let (rs, head) = (rs_tree(size), head(&all[..size]));
        for subset in 1_usize..1 << size {
            let positions: Vec<_> = (0..size).filter(|at| subset >> at & 1 == 1).collect();
            prove_and_verify(&whole, &rs, &all[..size], &head, &positions);
        }
    }
}

#[test]
fn every_pair_and_run_of_small_trees_equals_rs_merkle() {
    let all = leaves(40);
    let whole = Tiled::grow(&all, 9);
    for size in 1..=40 {
        let (rs, head) = (rs_tree(size), head(&all[..size]));
        for first in 0..size {
            prove_and_verify(&whole, &rs, &all[..size], &head, &[first]);
            for second in first + 1..size {
                prove_and_verify(&whole, &rs, &all[..size], &head, &[first, second]);
                let run: Vec<_> = (first..=second).collect();
                prove_and_verify(&whole, &rs, &all[..size], &head, &run);
            }
        }
    }
}

#[test]
fn random_subsets_of_trees_to_130_equal_rs_merkle() {
    let all = leaves(130);
    for size in 1..=130 {
        let (tiled, rs, head) = (Tiled::grow(&all[..size], 60), rs_tree(size), head(&all[..size]));
        for density in 1..8 {
            let chosen = |at: &usize| {
                let noise = TreeHash::digest(format!("{size} {density} {at}").as_bytes());
                noise.as_bytes()[0] % 8 < density
            };
            let positions: Vec<_> = (0..size).filter(chosen).collect();
            if !positions.is_empty() {
                prove_and_verify(&tiled, &rs, &all[..size], &head, &positions);
            }
        }
    }
}

#[test]
fn batches_at_the_edges_of_tiles_verify() {
    let all = leaves(65_537);
    let whole = Tiled::grow(&all, 4_096);
    for size in [257, 65_535, 65_536, 65_537] {
        let head = head(&all[..size]);
        let edges: Vec<_> = EDGE_SIZES.into_iter().filter(|edge| *edge < size).collect();
        let spread: Vec<_> = (0..size).step_by(size.div_ceil(PROOF_BATCH_MAX)).collect();
        let last: Vec<_> = (size.saturating_sub(PROOF_BATCH_MAX)..size).collect();
        for positions in [edges, spread, last] {
            let proof = prove_batch(&whole, &indices(&positions), head.size).unwrap();
            verify_batch(&claims(&all, &positions), &head, &proof).unwrap();
        }
    }
}

#[test]
fn a_changed_proof_or_claim_fails() {
    let all = leaves(21);
    for size in [1, 2, 3, 7, 8, 13, 21] {
        let (tiled, head) = (Tiled::grow(&all[..size], 4), head(&all[..size]));
        for subset in (1_usize..1 << size).step_by(if size > 8 { 997 } else { 1 }) {
            let positions: Vec<_> = (0..size).filter(|at| subset >> at & 1 == 1).collect();
            let proof = prove_batch(&tiled, &indices(&positions), head.size).unwrap();
            let claims = claims(&all, &positions);
            verify_batch(&claims, &head, &proof).unwrap();

            for (name, mutated) in mutations(&proof) {
                let verdict = verify_batch(&claims, &head, &mutated);
                assert_eq!(verdict, Err(ProofError), "{positions:?} of {size}: {name}");
            }
            for at in 0..claims.len() {
                let mut changed = claims.clone();
                changed[at].1 = flip(&changed[at].1, at);
                assert_eq!(verify_batch(&changed, &head, &proof), Err(ProofError));
                // To a free place, onto a neighbour, and out of the tree.
                for moved in (0..size + 3).filter(|moved| *moved != positions[at]) {
                    let mut changed = claims.clone();
                    changed[at].0 = leaf_index(moved as u64);
                    assert_eq!(verify_batch(&changed, &head, &proof), Err(ProofError));
                }
                let mut changed = claims.clone();
                changed.remove(at);
                assert_eq!(verify_batch(&changed, &head, &proof), Err(ProofError));
            }
            let root = flip(&head.root, 200);
            assert_eq!(verify_batch(&claims, &TreeHead { root, ..head }, &proof), Err(ProofError));
        }
    }
}

#[test]
fn what_rs_merkle_alone_would_accept_is_refused() {
    let all = leaves(6);
    let (head, tiled) = (head(&all), Tiled::grow(&all, 2));
    let proof = prove_batch(&tiled, &indices(&[2]), head.size).unwrap();
    let rs = |proof: &[TreeHash], positions: &[usize], leaves: &[TreeHash], size: usize| {
        let proof = proof.iter().map(|hash| *hash.as_bytes()).collect();
        let leaves: Vec<_> = leaves.iter().map(|leaf| *leaf.as_bytes()).collect();
        let proof = rs_merkle::MerkleProof::<RsHasher>::new(proof);
        proof.verify(*head.root.as_bytes(), positions, &leaves, size)
    };
    verify_batch(&[(leaf_index(2), all[2])], &head, &proof).unwrap();

    // Surplus hashes at the end.
    let surplus = [&proof[..], &all[..2]].concat();
    assert!(rs(&surplus, &[2], &all[2..3], 6), "rs_merkle is stricter than it was");
    let verdict = verify_batch(&[(leaf_index(2), all[2])], &head, &surplus);
    assert_eq!(verdict, Err(ProofError));

    // An index beyond the tree.
    assert!(rs(&proof, &[10], &all[2..3], 6), "rs_merkle is stricter than it was");
    let verdict = verify_batch(&[(leaf_index(10), all[2])], &head, &proof);
    assert_eq!(verdict, Err(ProofError));

    // The same index twice, once with a foreign leaf.
    let foreign = TreeHash::leaf(b"foreign");
    for leaves in [[all[0], foreign], [foreign, all[0]], [all[0], all[0]]] {
        let twice = leaves.map(|leaf| (leaf_index(0), leaf));
        for hashes in 0..6 {
            let proof = prove_batch(&tiled, &indices(&[0]), head.size).unwrap();
            let padded: Vec<_> = proof.into_iter().chain(all.clone()).take(hashes).collect();
            assert_eq!(verify_batch(&twice, &head, &padded), Err(ProofError));
        }
    }

    // Leaves out of order.
    let proof = prove_batch(&tiled, &indices(&[1, 3]), head.size).unwrap();
    verify_batch(&claims(&all, &[1, 3]), &head, &proof).unwrap();
    assert_eq!(verify_batch(&claims(&all, &[3, 1]), &head, &proof), Err(ProofError));
}

#[test]
fn the_prover_refuses_bad_batches() {
    let all = leaves(10);
    let (tiled, size) = (Tiled::grow(&all, 3), tree_size(10));
    let prove = |positions: &[usize]| prove_batch(&tiled, &indices(positions), size);
    let order = |position, index| ProveError::BatchOrder { position, index: leaf_index(index) };
    assert_eq!(prove(&[]), Err(ProveError::BatchCount { count: 0 }));
    assert_eq!(prove(&[3, 3]), Err(order(1, 3)));
    assert_eq!(prove(&[1, 4, 2]), Err(order(2, 2)));
    assert_eq!(prove(&[4, 10]), Err(ProveError::Index { index: leaf_index(10), size }));
    let count = PROOF_BATCH_MAX + 1;
    let many: Vec<_> = (0..count).collect();
    assert_eq!(prove(&many), Err(ProveError::BatchCount { count }));
}

#[test]
fn the_verifier_refuses_empty_and_oversized_batches() {
    let all = leaves(PROOF_BATCH_MAX + 1);
    let head = head(&all);
    let many: Vec<_> = (0..=PROOF_BATCH_MAX).collect();
    assert_eq!(verify_batch(&[], &head, &[]), Err(ProofError));
    assert_eq!(verify_batch(&[], &TreeHead::empty(), &[]), Err(ProofError));
    assert_eq!(verify_batch(&claims(&all, &many), &head, &[]), Err(ProofError));
    let tiled = Tiled::grow(&all, 4_096);
    let proof = prove_batch(&tiled, &indices(&many[1..]), head.size).unwrap();
    verify_batch(&claims(&all, &many[1..]), &head, &proof).unwrap();
}

#[test]
fn the_largest_tree_is_no_trouble() {
    let head = TreeHead { size: TreeSize::MAX, root: TreeHash::leaf(b"") };
    let last = leaf_index((1 << 62) - 1);
    let proof = vec![head.root; 62];
    let claim = [(last, head.root)];
    assert_eq!(verify_batch(&claim, &head, &proof), Err(ProofError));
    let beyond = [(TreeSize::MAX.next_index(), head.root)];
    assert_eq!(verify_batch(&beyond, &head, &proof), Err(ProofError));
}
