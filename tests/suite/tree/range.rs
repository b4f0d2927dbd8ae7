//! Range proofs: all ranges of small trees, the edges of tiles, and what must be refused.

use attestree::core::hash::TreeHash;
use attestree::core::number::TreeSize;
use attestree::core::tree::{ProofError, ProveError, TreeHead, prove_range, verify_range};

use super::world::*;

/// Returns the roots of the maximal perfect subtrees inside `[from, to)`, found from the top.
fn cover(leaves: &[TreeHash], from: usize, to: usize) -> Vec<TreeHash> {
    fn visit(
        leaves: &[TreeHash],
        at: usize,
        width: usize,
        from: usize,
        to: usize,
    ) -> Vec<TreeHash> {
        if from <= at && at + width <= to {
            return vec![mth(&leaves[at..at + width])];
        }
        if width == 1 || to <= at || at + width <= from {
            return Vec::new();
        }
        let mut nodes = visit(leaves, at, width / 2, from, to);
        nodes.extend(visit(leaves, at + width / 2, width / 2, from, to));
        nodes
    }
    visit(leaves, 0, leaves.len().next_power_of_two(), from, to)
}

/// Returns the proof by its definition.
fn by_definition(leaves: &[TreeHash], from: usize, to: usize) -> Vec<TreeHash> {
    let mut proof = cover(leaves, 0, from);
    proof.extend(cover(leaves, to, leaves.len()));
    proof
}

#[test]
fn every_range_of_small_trees_equals_the_definition() {
    let all = leaves(40);
    let whole = Tiled::grow(&all, 7);
    for size in 1..=40 {
        let (leaves, head) = (&all[..size], head(&all[..size]));
        for from in 0..size {
            for to in from + 1..=size {
                let (first, last) = (leaf_index(from as u64), leaf_index(to as u64));
                let proof = prove_range(&whole, first, last, head.size).unwrap();
                assert_eq!(proof, by_definition(leaves, from, to), "[{from}, {to}) of {size}");
                verify_range(&leaves[from..to], first, &head, &proof).unwrap();
            }
        }
    }
}

#[test]
fn ranges_at_the_edges_of_tiles_verify() {
    let all = leaves(65_537);
    let whole = Tiled::grow(&all, 4_096);
    for size in EDGE_SIZES {
        let head = head(&all[..size]);
        let edges = || EDGE_SIZES.into_iter().chain([0, 65_000]).filter(|edge| *edge <= size);
        for from in edges() {
            for to in edges().filter(|to| from < *to) {
                let (first, last) = (leaf_index(from as u64), leaf_index(to as u64));
                let proof = prove_range(&whole, first, last, head.size).unwrap();
                verify_range(&all[from..to], first, &head, &proof).unwrap();
                let short = &all[from..to - 1];
                assert_eq!(verify_range(short, first, &head, &proof), Err(ProofError));
            }
        }
    }
}

#[test]
fn a_changed_proof_or_range_fails() {
    let all = leaves(24);
    for size in 1..=24 {
        let (leaves, head) = (&all[..size], head(&all[..size]));
        for from in 0..size {
            for to in from + 1..=size {
                let first = leaf_index(from as u64);
                let (range, proof) = (&leaves[from..to], by_definition(leaves, from, to));
                for (name, mutated) in mutations(&proof) {
                    let verdict = verify_range(range, first, &head, &mutated);
                    assert_eq!(verdict, Err(ProofError), "[{from}, {to}) of {size}: {name}");
                }
                let mut changed = range.to_vec();
                for at in 0..range.len() {
                    changed[at] = flip(&range[at], 77);
                    assert_eq!(verify_range(&changed, first, &head, &proof), Err(ProofError));
                    changed[at] = range[at];
                }
                for other in (0..size + 2).filter(|other| *other != from) {
                    let verdict = verify_range(range, leaf_index(other as u64), &head, &proof);
                    assert_eq!(verdict, Err(ProofError), "[{from}, {to}) of {size} at {other}");
                }
                let root = flip(&head.root, 3);
                let verdict = verify_range(range, first, &TreeHead { root, ..head }, &proof);
                assert_eq!(verdict, Err(ProofError));
            }
        }
    }
}

#[test]
fn a_leaf_may_not_be_cut_off_or_added() {
    let all = leaves(24);
    let head = head(&all);
    for from in 0..24 {
        for to in from + 1..=24 {
            let proof = by_definition(&all, from, to);
            for other in (from..=24).filter(|other| *other != to) {
                let first = leaf_index(from as u64);
                let verdict = verify_range(&all[from..other], first, &head, &proof);
                assert_eq!(verdict, Err(ProofError), "[{from}, {to}) as [{from}, {other})");
            }
        }
    }
}

#[test]
fn empty_reversed_and_foreign_ranges_are_refused() {
    let all = leaves(10);
    let (tiled, head) = (Tiled::grow(&all, 3), head(&all));
    for (from, to, size) in [(0, 0, 0), (0, 0, 10), (4, 4, 10), (5, 4, 10), (9, 11, 10), (0, 1, 0)]
    {
        let (from, to, size) = (leaf_index(from), leaf_index(to), tree_size(size));
        let verdict = prove_range(&tiled, from, to, size);
        assert_eq!(verdict, Err(ProveError::Range { from, to, size }));
    }
    for from in [0, 4, 10, (1 << 62) - 1] {
        assert_eq!(verify_range(&[], leaf_index(from), &head, &[]), Err(ProofError));
    }
    let beyond = TreeSize::MAX.next_index();
    assert_eq!(verify_range(&all, beyond, &head, &[]), Err(ProofError));
    assert_eq!(verify_range(&all[..1], leaf_index(10), &head, &[]), Err(ProofError));
}
