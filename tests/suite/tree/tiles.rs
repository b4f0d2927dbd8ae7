//! Tiles, right edge and frontier hold the nodes that the recursion says, whatever the batches.

use attestree::core::hash::TreeHash;
use attestree::core::number::TreeSize;
use attestree::core::tree::{
    Edge, Frontier, NodeId, SecondRoot, TILE_WIDTH, Tile, TileError, TileId, TreeHead,
    prove_consistency, prove_inclusion, root_at, verify_consistency, verify_inclusion,
};

use super::world::*;

/// Returns all perfect nodes over the leaves, level by level.
fn perfect_levels(leaves: &[TreeHash]) -> Vec<Vec<TreeHash>> {
    let mut levels = vec![leaves.to_vec()];
    while levels[levels.len() - 1].len() > 1 {
        let below = &levels[levels.len() - 1];
        levels.push(below.chunks_exact(2).map(|pair| TreeHash::node(&pair[0], &pair[1])).collect());
    }
    levels
}

/// Asserts that the tree has exactly the tiles and the edge that its size calls for.
fn check_tree(tiled: &Tiled, leaves: &[TreeHash]) {
    let size = leaves.len() as u64;
    assert_eq!(tiled.edge.head(), head(leaves));
    let levels = perfect_levels(leaves);
    for (level, nodes) in (0_u8..).zip(&levels) {
        for (index, hash) in (0_u64..).zip(nodes) {
            let node = NodeId::new(level, index).unwrap();
            assert_eq!(tiled.node(node), *hash, "node {index} of level {level} of {size}");
        }
        // The next node of the level is not complete, so the edge must not have it.
        let next = NodeId::new(level, nodes.len() as u64).unwrap();
        assert_eq!(tiled.edge.node(next), None);
    }
    for level in 0..8_u8 {
        let width = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let full = width / 256;
        let hashes = levels.get(usize::from(level) * 8).map_or(&[][..], Vec::as_slice);
        assert_eq!(tiled.edge.partial(level), &hashes[position(full * 256)..]);
        assert_eq!(tiled.edge.partial_bytes(level), to_bytes(tiled.edge.partial(level)));
        let of_level = tiled.tiles.keys().filter(|id| id.level == level);
        assert_eq!(of_level.count() as u64, full, "full tiles of level {level} of {size}");
    }
}

#[test]
fn tiles_and_edge_hold_every_node_at_every_small_size() {
    let all = leaves(600);
    let mut tiled = Tiled::grow(&[], 1);
    check_tree(&tiled, &[]);
    for (index, leaf) in all.iter().enumerate() {
        tiled.append(&[*leaf]);
        if index < 130 || (254..260).contains(&index) || index > 595 {
            check_tree(&tiled, &all[..=index]);
        }
    }
}

#[test]
fn batches_do_not_change_what_is_built() {
    let all = leaves(65_537);
    for size in EDGE_SIZES {
        let reference = Tiled::grow(&all[..size], 4_096);
        check_tree(&reference, &all[..size]);
        for batch in [100, 255, 256, 257, 65_537] {
            let tiled = Tiled::grow(&all[..size], batch);
            assert_eq!(tiled.tiles, reference.tiles);
            assert_eq!(tiled.edge.head(), reference.edge.head());
            for level in 0..3 {
                assert_eq!(tiled.edge.partial(level), reference.edge.partial(level));
            }
        }
    }
}

#[test]
fn appending_nothing_changes_nothing() {
    let tiled = Tiled::grow(&leaves(300), 100);
    for edge in [Edge::empty(), tiled.edge] {
        let integration = edge.append(&[]);
        assert!(integration.tiles.is_empty());
        assert_eq!(integration.edge.head(), edge.head());
    }
}

#[test]
fn an_edge_is_not_changed_by_what_is_appended_to_it() {
    let all = leaves(600);
    let tiled = Tiled::grow(&all[..250], 250);
    let before = tiled.edge.clone();
    for count in [1, 6, 300] {
        let grown = tiled.edge.append(&all[250..250 + count]).edge;
        assert_eq!(grown.head(), head(&all[..250 + count]));
        assert_eq!(tiled.edge.head(), before.head());
        assert_eq!(tiled.edge.partial(0), &all[..250]);
    }
}

#[test]
fn an_edge_comes_back_from_its_levels() {
    let all = leaves(66_000);
    for size in EDGE_SIZES.into_iter().chain([0, 66_000]) {
        let tiled = Tiled::grow(&all[..size], 4_096);
        let levels = (0..3).map(|level| tiled.edge.partial(level).to_vec()).collect();
        let edge = Edge::from_levels(tree_size(size as u64), levels).unwrap();
        edge.check();
        assert_eq!(edge.head(), tiled.edge.head());
        let grown = edge.append(&all[..10]);
        assert_eq!(grown.edge.head(), tiled.edge.append(&all[..10]).edge.head());
    }
}

#[test]
fn levels_of_another_size_are_refused() {
    let levels = |widths: &[usize]| widths.iter().map(|width| leaves(*width)).collect::<Vec<_>>();
    let size = tree_size(65_536 + 3 * 256 + 5);
    for good in [levels(&[5, 3, 1]), levels(&[5, 3, 1, 0, 0, 0, 0, 0, 0, 0])] {
        Edge::from_levels(size, good.clone()).unwrap();
        SecondRoot::from_levels(size, good).unwrap();
    }
    let bad: [(usize, &[usize]); 7] = [
        (0, &[]),
        (0, &[4, 3, 1]),
        (1, &[5, 4, 1]),
        (2, &[5, 3]),
        (2, &[5, 3, 2]),
        (3, &[5, 3, 1, 1]),
        (9, &[5, 3, 1, 0, 0, 0, 0, 0, 0, 1]),
    ];
    for (level, widths) in bad {
        let error = Edge::from_levels(size, levels(widths)).unwrap_err();
        assert_eq!((error.level, error.size), (level, size));
        assert_eq!(SecondRoot::from_levels(size, levels(widths)).unwrap_err(), error);
    }
}

#[test]
fn the_tails_of_an_edge_are_roots_of_what_is_right() {
    let all = leaves(700);
    for size in [1, 2, 3, 130, 255, 256, 257, 699, 700] {
        let edge = Tiled::grow(&all[..size], 100).edge;
        let (tree, mut begins) = (tree_size(size as u64), Vec::new());
        let mut begin = 0;
        while begin < size {
            begins.push(begin);
            begin += 1 << (size - begin).ilog2();
        }
        for from in 0..size + 2 {
            let expected = begins.contains(&from).then(|| mth(&all[from..size]));
            assert_eq!(edge.tail(leaf_index(from as u64), tree), expected, "[{from}, {size})");
        }
        assert_eq!(edge.tail(leaf_index(0), tree_size(size as u64 + 1)), None);
        assert_eq!(edge.tail(leaf_index(0), tree_size(size as u64 - 1)), None);
    }
    assert_eq!(Edge::empty().tail(leaf_index(0), TreeSize::ZERO), None);
}

#[test]
fn a_tile_has_the_nodes_over_its_hashes() {
    let hashes = leaves(TILE_WIDTH);
    let levels = perfect_levels(&hashes);
    let tile = Tile::new(hashes.as_array().unwrap());
    let stored = Tile::decode(&tile.encode()).unwrap();
    let expanded = stored.clone();
    expanded.expand();
    for tile in [&tile, &stored, &expanded] {
        assert!(tile.check());
        assert_eq!(tile.root(), mth(&hashes));
        assert_eq!(tile.hashes_bytes(), to_bytes(&hashes));
        for (height, nodes) in (0_u8..).zip(&levels) {
            for (index, node) in nodes.iter().enumerate() {
                assert_eq!(tile.node(height, index), *node, "node {index} of height {height}");
            }
        }
    }
    let upper: Vec<_> = levels[4..].concat();
    assert_eq!(tile.encoded()[8_192..], to_bytes(&upper));
    assert_eq!(Tiled::grow(&hashes, 256).tiles[&TileId { level: 0, index: 0 }], tile);
}

#[test]
fn a_tile_checks_each_stored_byte() {
    let bytes = Tile::new(leaves(TILE_WIDTH).as_array().unwrap()).encode();
    assert_eq!(bytes.len(), Tile::ENCODED_BYTES);
    for at in (0..bytes.len()).step_by(31).chain(8_180..8_200).chain(9_150..9_184) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(!Tile::decode(&damaged).unwrap().check(), "byte {at}");
    }
    for length in [0, 32, 8_192, 9_183, 9_185] {
        let mut bytes = bytes.clone();
        bytes.resize(length, 0);
        assert_eq!(Tile::decode(&bytes), Err(TileError { bytes: length }));
    }
}

#[test]
fn tiles_are_ordered_by_completion() {
    let mut tiled = Tiled::grow(&[], 1);
    let integration = tiled.append(&leaves(65_536 + 256));
    let ids: Vec<_> = integration.tiles.iter().map(|(id, _)| *id).collect();
    assert!(ids.is_sorted());
    assert_eq!(ids.len(), 258);
    assert_eq!(ids[255], TileId { level: 0, index: 255 });
    assert_eq!(ids[256], TileId { level: 1, index: 0 });
    assert_eq!(ids[257], TileId { level: 0, index: 256 });
    assert_eq!(ids.map_ends(), [65_536, 65_536, 65_792]);

    let end = |level, index| TileId { level, index }.end();
    assert_eq!(end(0, 0), 256);
    assert_eq!(end(1, 2), 3 << 16);
    assert_eq!(end(6, 63), 1 << 62);
    // Coordinates that no tree holds.
    assert_eq!(end(6, 256), u64::MAX);
    assert_eq!(end(7, 0), u64::MAX);
    assert_eq!(end(255, u64::MAX), u64::MAX);
    assert_eq!(end(0, u64::MAX), u64::MAX);
}

/// The last three ends of a list of tiles.
trait Ends {
    fn map_ends(&self) -> [u64; 3];
}

impl Ends for Vec<TileId> {
    fn map_ends(&self) -> [u64; 3] {
        self.last_chunk::<3>().unwrap().map(TileId::end)
    }
}

#[test]
fn nodes_have_bounds_and_places() {
    assert!(NodeId::new(0, (1 << 62) - 1).is_some());
    assert!(NodeId::new(62, 0).is_some());
    for (level, index) in [(0, 1 << 62), (1, 1 << 61), (62, 1), (63, 0), (255, 0), (0, u64::MAX)] {
        assert_eq!(NodeId::new(level, index), None);
    }
    let place = |level, index| {
        let (tile, height, index) = NodeId::new(level, index).unwrap().place();
        (tile.level, tile.index, height, index)
    };
    assert_eq!(place(0, 0), (0, 0, 0, 0));
    assert_eq!(place(0, 257), (0, 1, 0, 1));
    assert_eq!(place(7, 3), (0, 1, 7, 1));
    assert_eq!(place(8, 3), (1, 0, 0, 3));
    assert_eq!(place(9, 128), (1, 1, 1, 0));
    assert_eq!(NodeId::new(9, 128).unwrap().end(), 129 << 9);
}

#[test]
fn the_frontier_has_the_root_of_every_size() {
    let all = leaves(300);
    let mut growing = Frontier::new();
    for size in 0..=300 {
        assert_eq!(growing.root(), mth(&all[..size]));
        assert_eq!(growing.size(), tree_size(size as u64));
        let parts = Frontier::from_parts(growing.size(), growing.nodes().to_vec()).unwrap();
        assert_eq!(parts, growing);
        let mut short = growing.nodes().to_vec();
        short.push(all[0]);
        assert!(Frontier::from_parts(growing.size(), short).is_err());
        if size < 300 {
            growing.push_leaf(all[size]);
            growing.check();
        }
    }
    assert_eq!(frontier(&all), growing);
    // Whole subtrees instead of leaves.
    let mut jumped = Frontier::new();
    for (level, from, to) in [(8, 0, 256), (5, 256, 288), (3, 288, 296), (2, 296, 300)] {
        jumped.push_subtree(level, mth(&all[from..to]));
    }
    assert_eq!(jumped, growing);
}

#[test]
#[should_panic(expected = "a subtree starts at a multiple of its width")]
fn the_frontier_takes_no_misplaced_subtree() {
    frontier(&leaves(2)).push_subtree(2, TreeHash::empty_root());
}

#[test]
fn old_roots_can_be_read_from_tiles() {
    let all = leaves(66_000);
    let tiled = Tiled::grow(&all, 4_096);
    for size in EDGE_SIZES.into_iter().chain([0, 3, 700, 66_000]) {
        let root = root_at(&tiled, tree_size(size as u64)).unwrap();
        assert_eq!(root, mth(&all[..size]));
    }
}

/// A tree of `2^56 - 1` leaves, as far as its right edge: one more leaf completes a tile on each of
/// seven levels.
#[test]
fn one_leaf_can_complete_a_tile_on_each_level() {
    let size = tree_size((1 << 56) - 1);
    let levels: Vec<_> = (0..7)
        .map(|level| leaves(255 + level).split_off(level).into_iter().collect::<Vec<_>>())
        .collect();
    let edge = Edge::from_levels(size, levels.clone()).unwrap();
    edge.check();
    let mut frontier = Frontier::from_parts(size, frontier_of(&edge)).unwrap();
    assert_eq!(frontier.root(), edge.head().root);

    let leaf = TreeHash::leaf(&entry(9));
    let integration = edge.append(&[leaf]);
    let ids: Vec<_> = integration.tiles.iter().map(|(id, _)| (id.level, id.index)).collect();
    let expected: Vec<_> = (0..7_u8).map(|l| (l, (1 << (48 - 8 * u32::from(l))) - 1)).collect();
    assert_eq!(ids, expected);
    frontier.push_leaf(leaf);
    let grown = integration.edge.head();
    assert_eq!(grown, TreeHead { size: tree_size(1 << 56), root: frontier.root() });

    let tiles: Vec<_> = integration.tiles.iter().map(|(id, tile)| (*id, tile.encode())).collect();
    let tiles = || tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
    let second = SecondRoot::from_levels(size, levels).unwrap();
    let (checked, _) = second.check([&segment(9..10)[..]], tiles(), grown).unwrap();
    assert_eq!(checked.head(), grown);

    // The new leaf is in the tree, and the tree extends the old one.
    let tiled = Tiled { tiles: integration.tiles.into_iter().collect(), edge: integration.edge };
    let at = size.next_index();
    let proof = prove_inclusion(&tiled, at, grown.size).unwrap();
    assert_eq!(proof.len(), 56);
    verify_inclusion(&leaf, at, &grown, &proof).unwrap();
    let proof = prove_consistency(&tiled, size, grown.size).unwrap();
    verify_consistency(&edge.head(), &grown, &proof).unwrap();
}

/// Reads the frontier of a tree from its edge.
fn frontier_of(edge: &Edge) -> Vec<TreeHash> {
    let size = edge.size().get();
    let bits = (0..62_u8).rev().filter(|bit| size >> bit & 1 == 1);
    bits.map(|bit| edge.node(NodeId::new(bit, (size >> bit) - 1).unwrap()).unwrap()).collect()
}

#[test]
fn the_largest_tree_takes_no_more_leaves() {
    // 2^62 leaves: level 7 holds 64 hashes, and all below is full.
    let levels = (0..8).map(|level| if level == 7 { leaves(64) } else { Vec::new() }).collect();
    let edge = Edge::from_levels(TreeSize::MAX, levels).unwrap();
    edge.check();
    assert_eq!(edge.head().root, mth(&leaves(64)));
    assert_eq!(edge.append(&[]).edge.head(), edge.head());
    let grown = std::panic::catch_unwind(|| edge.append(&leaves(1)));
    assert!(grown.is_err());
}
