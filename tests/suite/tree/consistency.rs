//! Consistency proofs: all pairs of small sizes, the edges of tiles, and what must be refused.

use attestree::core::tree::{
    ProofError, ProveError, TreeHead, prove_consistency, verify_consistency,
};
use ct_merkle::ConsistencyProof;

use super::world::*;

#[test]
fn every_pair_of_small_sizes_equals_two_oracles() {
    let all = leaves(130);
    let whole = Tiled::grow(&all, 50);
    let heads: Vec<TreeHead> = (0..=130).map(|size| head(&all[..size])).collect();
    let cts: Vec<CtTree> = (0..=130).map(ct_tree).collect();
    for new in 1..=130 {
        let (leaves, tiled) = (&all[..new], Tiled::grow(&all[..new], 33));
        let naive = Naive::new(leaves);
        for old in 1..=new {
            let (old_size, new_size) = (tree_size(old as u64), tree_size(new as u64));
            let proof = prove_consistency(&naive, old_size, new_size).unwrap();
            assert_eq!(proof, subproof(old, leaves, true), "{old} to {new}");
            assert_eq!(proof, prove_consistency(&tiled, old_size, new_size).unwrap());
            assert_eq!(proof, prove_consistency(&whole, old_size, new_size).unwrap());
            verify_consistency(&heads[old], &heads[new], &proof).unwrap();

            // ct-merkle proves additions only, and none is no addition.
            if old < new {
                let theirs = cts[new].prove_consistency(new - old);
                assert_eq!(proof, from_ct(theirs.as_bytes()), "{old} to {new}");
                let ours = ConsistencyProof::try_from_bytes(to_bytes(&proof)).unwrap();
                cts[new].root().verify_consistency(&cts[old].root(), &ours).unwrap();
            }
        }
    }
}

#[test]
fn proofs_between_the_edges_of_tiles_verify() {
    let all = leaves(65_537);
    let whole = Tiled::grow(&all, 4_096);
    for new in EDGE_SIZES {
        let new_head = head(&all[..new]);
        for old in EDGE_SIZES.into_iter().filter(|old| *old <= new) {
            let old_head = head(&all[..old]);
            let proof = prove_consistency(&whole, old_head.size, new_head.size).unwrap();
            assert_eq!(proof, subproof(old, &all[..new], true), "{old} to {new}");
            verify_consistency(&old_head, &new_head, &proof).unwrap();
        }
    }
}

#[test]
fn a_changed_proof_or_root_fails() {
    let all = leaves(36);
    let heads: Vec<TreeHead> = (0..=36).map(|size| head(&all[..size])).collect();
    for new in 1..=36 {
        for old in 1..=new {
            let proof = subproof(old, &all[..new], true);
            for (name, mutated) in mutations(&proof) {
                let verdict = verify_consistency(&heads[old], &heads[new], &mutated);
                assert_eq!(verdict, Err(ProofError), "{old} to {new}: {name}");
            }
            for bit in [0, 99, 255] {
                let old_head = TreeHead { root: flip(&heads[old].root, bit), ..heads[old] };
                let new_head = TreeHead { root: flip(&heads[new].root, bit), ..heads[new] };
                let verdicts = [
                    verify_consistency(&old_head, &heads[new], &proof),
                    verify_consistency(&heads[old], &new_head, &proof),
                    verify_consistency(&heads[new], &heads[old], &proof),
                ];
                let swapped_is_true = if old == new { Ok(()) } else { Err(ProofError) };
                assert_eq!(verdicts, [Err(ProofError), Err(ProofError), swapped_is_true]);
            }
        }
    }
}

/// Returns whether the seed is left out, and on which side of it each hash of a proof stands.
fn shape(old: usize, new: usize) -> (bool, Vec<bool>) {
    fn sides(old: usize, new: usize) -> Vec<bool> {
        if old == new {
            return Vec::new();
        }
        let split = new.next_power_of_two() / 2;
        let (mut sides, right) = if old <= split {
            (sides(old, split), true)
        } else {
            (sides(old - split, new - split), false)
        };
        sides.push(right);
        sides
    }
    (old.is_power_of_two(), sides(old, new))
}

#[test]
fn false_sizes_fail_unless_the_proof_has_the_same_shape() {
    let all = leaves(14);
    for new in 1..=14 {
        for old in 1..new {
            let proof = subproof(old, &all[..new], true);
            let (old_head, new_head) = (head(&all[..old]), head(&all[..new]));
            for other_new in 0..=20 {
                for other_old in 0..=20 {
                    let old_claim = TreeHead { size: tree_size(other_old as u64), ..old_head };
                    let new_claim = TreeHead { size: tree_size(other_new as u64), ..new_head };
                    let verdict = verify_consistency(&old_claim, &new_claim, &proof);
                    let same = (1..other_new).contains(&other_old)
                        && shape(other_old, other_new) == shape(old, new);
                    assert_eq!(verdict.is_ok(), same, "{old}-{new} as {other_old}-{other_new}");
                }
            }
        }
    }
}

#[test]
fn equal_sizes_need_equal_roots_and_no_proof() {
    let all = leaves(9);
    for size in 1..=9 {
        let head = head(&all[..size]);
        assert_eq!(verify_consistency(&head, &head, &[]), Ok(()));
        assert_eq!(verify_consistency(&head, &head, &[head.root]), Err(ProofError));
        let other = TreeHead { root: all[0], ..head };
        let verdict = verify_consistency(&head, &other, &[]);
        assert_eq!(verdict.is_ok(), size == 1, "the root of one leaf is its hash");
    }
}

#[test]
fn the_empty_tree_is_neither_proved_from_nor_verified() {
    let all = leaves(9);
    let (tiled, empty, head) = (Tiled::grow(&all, 4), TreeHead::empty(), head(&all));
    for new in [TreeHead::empty(), head] {
        let (old, new_size) = (empty.size, new.size);
        let verdict = prove_consistency(&tiled, old, new_size);
        assert_eq!(verdict, Err(ProveError::Sizes { old, new: new_size }));
        assert_eq!(verify_consistency(&empty, &new, &[]), Err(ProofError));
        assert_eq!(verify_consistency(&empty, &new, &[head.root]), Err(ProofError));
    }
    let (old, new) = (tree_size(9), tree_size(8));
    assert_eq!(prove_consistency(&tiled, old, new), Err(ProveError::Sizes { old, new }));
}
