//! Properties over random sizes, splits and bytes.

use attestree::core::bundle::{StoredEntry, decode, encode_entry, parse_bundle};
use attestree::core::hash::TreeHash;
use attestree::core::number::LeafIndex;
use attestree::core::tree::{
    Edge, Frontier, SecondRoot, TreeHead, prove_batch, prove_consistency, prove_inclusion,
    prove_range, root_at, verify_batch, verify_consistency, verify_inclusion, verify_range,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::world::*;

/// Most leaves of a random tree: more than two full tiles of level 0.
const SIZE_MAX: usize = 700;

/// Returns the settings of all properties: no files are written on a failure, its input is printed.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() }
}

/// Makes any hash.
fn any_hash() -> impl Strategy<Value = TreeHash> {
    any::<[u8; 32]>().prop_map(TreeHash::from_bytes)
}

/// Makes any index that some tree can hold, small ones often.
fn any_index() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..2_000_u64, 0..1_u64 << 62, Just((1 << 62) - 1)]
}

/// Makes any proof, true ones hardly ever.
fn any_proof() -> impl Strategy<Value = Vec<TreeHash>> {
    vec(any_hash(), 0..130)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn however_leaves_are_split_the_tree_is_the_same(
        cuts in btree_set(0..SIZE_MAX, 0..20),
        size in 1..SIZE_MAX,
    ) {
        let all = leaves(size);
        let (mut edge, mut second) = (Edge::empty(), SecondRoot::empty());
        let mut from = 0;
        for to in cuts.into_iter().filter(|cut| *cut < size).chain([size]) {
            let integration = edge.append(&all[from..to]);
            integration.edge.check();
            let tiles: Vec<_> =
                integration.tiles.iter().map(|(id, tile)| (*id, tile.encode())).collect();
            let tiles = tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
            let bytes = segment(from..to);
            let claimed = integration.edge.head();
            second = second.check([bytes.as_slice()], tiles, claimed).unwrap().1;
            edge = integration.edge;
            from = to;
        }
        prop_assert_eq!(edge.head(), head(&all));
        prop_assert_eq!(frontier(&all).root(), edge.head().root);
    }

    #[test]
    fn what_is_proved_verifies(
        size in 1..SIZE_MAX,
        first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
        chosen in vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let all = leaves(size);
        let (tiled, naive, head) = (Tiled::grow(&all, 97), Naive::new(&all), head(&all));
        let at = |position: usize| leaf_index(position as u64);

        let index = first.index(size);
        let proof = prove_inclusion(&tiled, at(index), head.size).unwrap();
        prop_assert_eq!(&proof, &prove_inclusion(&naive, at(index), head.size).unwrap());
        verify_inclusion(&all[index], at(index), &head, &proof).unwrap();

        let old = super::world::head(&all[..=old.index(size)]);
        let proof = prove_consistency(&tiled, old.size, head.size).unwrap();
        verify_consistency(&old, &head, &proof).unwrap();
        prop_assert_eq!(root_at(&tiled, old.size).unwrap(), old.root);

        let (from, to) = (index.min(second.index(size)), index.max(second.index(size)) + 1);
        let proof = prove_range(&tiled, at(from), at(to), head.size).unwrap();
        verify_range(&all[from..to], at(from), &head, &proof).unwrap();

        let mut positions: Vec<_> = chosen.iter().map(|chosen| chosen.index(size)).collect();
        positions.sort_unstable();
        positions.dedup();
        let indices: Vec<LeafIndex> = positions.iter().map(|position| at(*position)).collect();
        let proof = prove_batch(&tiled, &indices, head.size).unwrap();
        let claim = |position: &usize| (at(*position), all[*position]);
        let claims: Vec<_> = positions.iter().map(claim).collect();
        verify_batch(&claims, &head, &proof).unwrap();
    }

    #[test]
    fn no_bytes_make_a_verifier_panic(
        leaf in any_hash(),
        root in any_hash(),
        index in any_index(),
        sizes in (any_index(), any_index()),
        indices in vec(any_index(), 0..12),
        proof in any_proof(),
    ) {
        let head = |size| TreeHead { size: tree_size(size), root };
        let (old, new) = (head(sizes.0), head(sizes.1));
        // A tree of one leaf is its hash, and a tree extends itself; nothing else can be true.
        let inclusion = verify_inclusion(&leaf, leaf_index(index), &new, &proof);
        prop_assert!(inclusion.is_err() || leaf == root);
        let consistency = verify_consistency(&old, &new, &proof);
        prop_assert!(consistency.is_err() || old == new);
        prop_assert!(verify_range(&proof, leaf_index(index), &new, &[leaf]).is_err());
        prop_assert!(verify_range(&[leaf, root], leaf_index(index), &new, &proof).is_err());
        let claims: Vec<_> = indices.iter().map(|index| (leaf_index(*index), leaf)).collect();
        prop_assert!(verify_batch(&claims, &new, &proof).is_err());
    }

    #[test]
    fn the_number_of_frontier_hashes_follows_from_the_size(
        size in any_index(),
        nodes in vec(any_hash(), 0..65),
    ) {
        let fits = nodes.len() == size.count_ones() as usize;
        prop_assert_eq!(Frontier::from_parts(tree_size(size), nodes).is_ok(), fits);
    }

    #[test]
    fn bundles_are_canonical(entries in vec(vec(any::<u8>(), 1..40), 0..20)) {
        let mut bytes = Vec::new();
        for entry in &entries {
            encode_entry(&mut bytes, entry);
        }
        prop_assert_eq!(parse_bundle(&bytes, entries.len()).unwrap(), entries);
    }

    #[test]
    fn what_is_taken_as_a_bundle_encodes_to_the_same_bytes(
        // Small lengths, so that random bytes are entries now and then.
        bytes in vec(prop_oneof![3 => Just(0_u8), 2 => 1..4_u8, 1 => any::<u8>()], 0..60),
        count in 0..10_usize,
    ) {
        let mut again = Vec::new();
        if let Ok(entries) = parse_bundle(&bytes, count) {
            prop_assert_eq!(entries.len(), count);
            for entry in entries {
                encode_entry(&mut again, entry);
            }
            prop_assert_eq!(&again, &bytes);
        }
        again.clear();
        let mut whole = true;
        for entry in decode(&bytes) {
            match entry {
                Ok(StoredEntry::Bytes(entry)) => encode_entry(&mut again, entry),
                Ok(StoredEntry::Erased(hash)) => {
                    again.extend([0, 0]);
                    again.extend(hash.as_bytes());
                }
                Err(_) => whole = false,
            }
        }
        prop_assert_eq!(whole, again == bytes);
    }
}
