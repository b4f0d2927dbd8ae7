//! The second root: it agrees with the edge on what is true and with nothing else.

use attestree::core::bundle::BundleError;
use attestree::core::hash::TreeHash;
use attestree::core::number::TreeSize;
use attestree::core::tree::{Edge, SecondMismatch, SecondRoot, TileId, TreeHead};

use super::world::*;

/// Encoded tiles, in the order of their completion.
type Tiles = Vec<(TileId, Vec<u8>)>;

/// What the pipeline hands to the second root for one batch.
#[derive(Clone)]
struct Batch {
    segments: Vec<Vec<u8>>,
    tiles: Tiles,
    head: TreeHead,
}

impl Batch {
    /// Appends the test entries `[from, to)` to an edge of `from` leaves.
    fn append(edge: &mut Edge, from: usize, to: usize) -> Self {
        let leaves: Vec<_> = (from..to).map(|index| TreeHash::leaf(&entry(index))).collect();
        let integration = edge.append(&leaves);
        *edge = integration.edge.clone();
        // Segments never cross a bundle of 256 entries.
        let mut cuts: Vec<_> = (from..to).filter(|at| at % 256 == 0).collect();
        cuts.extend([from, to]);
        cuts.sort_unstable();
        cuts.dedup();
        let tiles = integration.tiles.iter().map(|(id, tile)| (*id, tile.encode())).collect();
        Self {
            segments: cuts.windows(2).map(|cut| segment(cut[0]..cut[1])).collect(),
            tiles,
            head: edge.head(),
        }
    }

    fn check(&self, second: &SecondRoot) -> Result<SecondRoot, SecondMismatch> {
        let segments = self.segments.iter().map(Vec::as_slice);
        let tiles = self.tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
        let (checked, next) = second.check(segments, tiles, self.head)?;
        assert_eq!(checked.head(), self.head);
        Ok(next)
    }
}

/// Returns edge and second root of the first `size` test entries.
fn grown(size: usize) -> (Edge, SecondRoot) {
    let edge = Tiled::grow(&leaves(size), 4_096).edge;
    let levels = (0..3).map(|level| edge.partial(level).to_vec()).collect();
    let second = SecondRoot::from_levels(tree_size(size as u64), levels).unwrap();
    (edge, second)
}

#[test]
fn it_agrees_with_the_edge_for_every_batch_size() {
    for (batch, size) in [(1, 700), (7, 1_000), (255, 2_000), (256, 66_000), (4_096, 70_000)] {
        let (mut edge, mut second) = (Edge::empty(), SecondRoot::empty());
        let mut from = 0;
        while from < size {
            let to = (from + batch).min(size);
            second = Batch::append(&mut edge, from, to).check(&second).unwrap();
            assert_eq!(second.size(), to as u64);
            from = to;
        }
        assert_eq!(edge.head(), head(&leaves(size)));
    }
}

#[test]
fn it_goes_on_from_stored_levels() {
    for size in EDGE_SIZES {
        for added in [1, 2, 300] {
            let (mut edge, second) = grown(size);
            let batch = Batch::append(&mut edge, size, size + added);
            batch.check(&second).unwrap();
        }
    }
}

#[test]
fn the_empty_log_has_a_second_head() {
    let (checked, next) = SecondRoot::empty().check([], [], TreeHead::empty()).unwrap();
    assert_eq!(checked.head(), TreeHead::empty());
    assert_eq!(next.size(), 0);
    let claimed = TreeHead { root: TreeHash::leaf(b""), ..TreeHead::empty() };
    let verdict = SecondRoot::empty().check([], [], claimed).map(|_| ());
    let computed = TreeHash::empty_root();
    assert_eq!(verdict, Err(SecondMismatch::Root { computed, claimed }));
}

#[test]
fn a_flipped_bit_in_a_segment_is_caught() {
    let (mut edge, second) = grown(250);
    let batch = Batch::append(&mut edge, 250, 260);
    batch.check(&second).unwrap();
    assert_eq!((batch.segments.len(), batch.tiles.len()), (2, 1));
    for segment in 0..2 {
        for bit in 0..batch.segments[segment].len() * 8 {
            let mut damaged = batch.clone();
            damaged.segments[segment][bit / 8] ^= 1 << (bit % 8);
            assert!(damaged.check(&second).is_err(), "bit {bit} of segment {segment}");
        }
    }
}

#[test]
fn a_flipped_bit_in_a_tile_is_caught_and_named() {
    let (mut edge, second) = grown(65_534);
    let batch = Batch::append(&mut edge, 65_534, 65_537);
    batch.check(&second).unwrap();
    assert_eq!(batch.tiles.len(), 2, "a tile of level 0 and one of level 1");
    for tile in 0..2 {
        let id = batch.tiles[tile].0;
        for at in 0..batch.tiles[tile].1.len() {
            let mut damaged = batch.clone();
            damaged.tiles[tile].1[at] ^= 1 << (at % 8);
            let verdict = damaged.check(&second).map(|_| ());
            assert_eq!(verdict, Err(SecondMismatch::Tile { id, at }));
        }
    }
}

#[test]
fn a_flipped_bit_in_the_head_is_caught() {
    let (mut edge, second) = grown(300);
    let batch = Batch::append(&mut edge, 300, 303);
    for bit in 0..256 {
        let mut damaged = batch.clone();
        damaged.head.root = flip(&batch.head.root, bit);
        let (computed, claimed) = (batch.head.root, damaged.head);
        let verdict = damaged.check(&second).map(|_| ());
        assert_eq!(verdict, Err(SecondMismatch::Root { computed, claimed }));
    }
    for bit in 0..62 {
        let mut damaged = batch.clone();
        damaged.head.size = tree_size(batch.head.size.get() ^ 1 << bit);
        let verdict = damaged.check(&second).map(|_| ());
        let claimed = damaged.head.size;
        assert_eq!(verdict, Err(SecondMismatch::Size { counted: 303, claimed }));
    }
}

#[test]
fn a_flipped_bit_in_a_leaf_hash_on_the_way_in_is_caught() {
    let all = leaves(520);
    let (edge, second) = grown(250);
    for (at, bit) in (250..520).flat_map(|at| [(at, 0), (at, 255)]) {
        let mut damaged = all.clone();
        damaged[at] = flip(&all[at], bit);
        let integration = edge.append(&damaged[250..]);
        let tiles: Vec<_> = integration.tiles.iter().map(|(id, t)| (*id, t.encode())).collect();
        let tiles = tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
        let verdict = second.check([&segment(250..520)[..]], tiles, integration.edge.head());
        assert!(verdict.is_err(), "bit {bit} of leaf {at}");
    }
}

#[test]
fn a_flipped_bit_in_either_state_is_caught() {
    let size = 65_536 + 3 * 256 + 40;
    let (edge, second) = grown(size);
    let levels: Vec<Vec<TreeHash>> = (0..3).map(|level| edge.partial(level).to_vec()).collect();
    for level in 0..3 {
        for at in 0..levels[level].len() {
            let mut damaged = levels.clone();
            damaged[level][at] = flip(&levels[level][at], at);
            let tree = tree_size(size as u64);
            let mut damaged_edge = Edge::from_levels(tree, damaged.clone()).unwrap();
            let damaged_second = SecondRoot::from_levels(tree, damaged).unwrap();

            let batch = Batch::append(&mut damaged_edge, size, size + 1);
            assert!(batch.check(&second).is_err(), "edge: hash {at} of level {level}");
            let batch = Batch::append(&mut edge.clone(), size, size + 1);
            assert!(batch.check(&damaged_second).is_err(), "second: hash {at} of level {level}");
        }
    }
}

#[test]
fn tiles_must_be_those_that_the_batch_completes() {
    let (mut edge, second) = grown(65_535);
    let batch = Batch::append(&mut edge, 65_535, 65_800);
    batch.check(&second).unwrap();
    let id = |level, index| TileId { level, index };
    let (first, above, last) = (id(0, 255), id(1, 0), id(0, 256));
    let ids: Vec<_> = batch.tiles.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [first, above, last]);

    let verdict = |change: &dyn Fn(&mut Tiles)| {
        let mut changed = batch.clone();
        change(&mut changed.tiles);
        changed.check(&second).map(|_| ())
    };
    let missing = |id| Err(SecondMismatch::TileMissing { id });
    let misplaced = |id| Err(SecondMismatch::TileMisplaced { id });
    assert_eq!(verdict(&|tiles| tiles.clear()), missing(first));
    assert_eq!(verdict(&|tiles| drop(tiles.pop())), missing(last));
    assert_eq!(verdict(&|tiles| drop(tiles.remove(1))), misplaced(last));
    assert_eq!(verdict(&|tiles| tiles.swap(0, 1)), misplaced(above));
    assert_eq!(verdict(&|tiles| tiles.push(tiles[2].clone())), misplaced(last));
    assert_eq!(verdict(&|tiles| tiles.insert(1, tiles[0].clone())), misplaced(first));
    assert_eq!(verdict(&|tiles| tiles[2].0.index += 1), misplaced(id(0, 257)));
    // A tile whose bytes end early or late.
    let differs = |at| Err(SecondMismatch::Tile { id: first, at });
    assert_eq!(verdict(&|tiles| tiles[0].1.truncate(9_183)), differs(9_183));
    assert_eq!(verdict(&|tiles| tiles[0].1.push(0)), differs(9_184));
    assert_eq!(verdict(&|tiles| tiles[0].1.clear()), differs(0));
}

#[test]
fn segments_must_hold_all_entries_and_nothing_else() {
    let (mut edge, second) = grown(10);
    let batch = Batch::append(&mut edge, 10, 20);
    let claimed = batch.head.size;
    let check = |segments: Vec<Vec<u8>>| Batch { segments, ..batch.clone() }.check(&second);
    let counted = |counted| Err(SecondMismatch::Size { counted, claimed });

    // How the entries are cut into segments says nothing.
    check(vec![segment(10..13), segment(13..14), segment(14..20)]).unwrap();
    assert_eq!(check(Vec::new()).map(|_| ()), counted(10));
    assert_eq!(check(vec![segment(10..19)]).map(|_| ()), counted(19));
    assert_eq!(check(vec![segment(10..20), segment(20..21)]).map(|_| ()), counted(21));
    let exchanged = vec![segment(11..12), segment(10..11), segment(12..20)];
    assert!(matches!(check(exchanged), Err(SecondMismatch::Root { .. })));

    let mut cut = segment(10..20);
    cut.pop();
    let error = BundleError::Truncated { position: 9, missing: 1 };
    let expected = Err(SecondMismatch::Segment { position: 0, error });
    assert_eq!(check(vec![cut]).map(|_| ()), expected);
}

#[test]
fn a_failed_check_leaves_the_state_as_it_was() {
    let (mut edge, second) = grown(300);
    let good = Batch::append(&mut edge, 300, 700);
    let mut bad = good.clone();
    bad.head.root = TreeHash::empty_root();
    assert!(bad.check(&second).is_err());
    let next = good.check(&second).unwrap();
    assert_eq!(next.size(), TreeSize::get(edge.size()));
}
