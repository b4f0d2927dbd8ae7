//! Resource paths: the examples of c2sp.org/tlog-tiles, and every way to write one wrongly.

use attestree::core::{
    number::TreeSize,
    tile::{PathError, Resource, partial_width},
};
use proptest::prelude::*;
use serde_json::json;

use super::probes::{self, Probe};

const UNKNOWN: &str = "no such resource: ask for checkpoint, tile/<level>/<index>[.p/<width>] or \
                       tile/entries/<index>[.p/<width>]";
const LEVEL: &str = "a level is a number from 0 to 63 without leading zeros";
const INDEX: &str = "write an index in groups of three digits, all but the last with an x: 1234067 \
                     is x001/x234/067";
const WIDTH: &str = "the width of a partial tile is a number from 1 to 255 without leading zeros; a \
                     full one has none";
const BEYOND: &str = "no tree is large enough to have this tile";

fn good_probes() -> Vec<Probe> {
    [
        ("good-checkpoint", "the checkpoint", "checkpoint"),
        ("good-zero", "the first tile", "tile/0/000"),
        ("good-one-thousand", "two groups", "tile/0/x001/000"),
        ("good-three-groups", "three groups", "tile/0/x001/x234/067"),
        ("good-partial", "a partial tile", "tile/1/000.p/17"),
        ("good-partial-narrowest", "one hash", "tile/2/000.p/1"),
        ("good-partial-widest", "255 hashes", "tile/0/273.p/255"),
        ("good-entries", "a full bundle", "tile/entries/x019/669"),
        ("good-entries-partial", "a partial bundle", "tile/entries/273.p/112"),
        (
            "good-last-tile",
            "the last tile of the largest tree",
            "tile/0/x018/x014/x398/x509/x481/983",
        ),
        ("good-top", "the top of the largest tree", "tile/7/000.p/64"),
    ]
    .map(|(name, desc, path)| Probe::good(name, desc, json!({ "path": path })))
    .into()
}

fn bad_probes() -> Vec<Probe> {
    [
        ("empty", "nothing at all", "", UNKNOWN),
        ("slash-first", "a leading slash", "/checkpoint", UNKNOWN),
        ("checkpoint-more", "something after the checkpoint", "checkpoint/", UNKNOWN),
        ("checkpoint-case", "upper case", "Checkpoint", UNKNOWN),
        ("tile-alone", "a tile without numbers", "tile", UNKNOWN),
        ("level-alone", "a tile without index", "tile/0", UNKNOWN),
        ("level-slash", "an empty index", "tile/0/", INDEX),
        ("level-leading-zero", "a leading zero", "tile/00/000", LEVEL),
        ("level-too-high", "64", "tile/64/000", LEVEL),
        ("level-256", "a number that does not fit into a byte", "tile/256/000", LEVEL),
        ("level-negative", "a sign", "tile/-1/000", LEVEL),
        ("level-name", "a data tile of Certificate Transparency", "tile/data/000", LEVEL),
        ("level-empty", "no level", "tile//000", LEVEL),
        ("index-short", "two digits", "tile/0/00", INDEX),
        ("index-long", "four digits", "tile/0/0000", INDEX),
        ("index-x-last", "an x before the last group", "tile/0/x000", INDEX),
        ("index-no-x", "no x before the first group", "tile/0/001/000", INDEX),
        ("index-no-x-middle", "no x before the second group", "tile/0/x001/234/067", INDEX),
        ("index-leading-group", "a first group of zeros", "tile/0/x000/001", INDEX),
        ("index-leading-groups", "two groups of zeros", "tile/0/x000/x000/001", INDEX),
        ("index-upper-x", "an upper-case X", "tile/0/X001/000", INDEX),
        ("index-two-x", "two x", "tile/0/xx01/000", INDEX),
        ("index-letters", "letters", "tile/0/abc", INDEX),
        ("index-sign", "a sign", "tile/0/+01", INDEX),
        ("index-space", "a space", "tile/0/ 01", INDEX),
        ("index-slash-last", "a slash at the end", "tile/0/000/", INDEX),
        ("index-slash-twice", "an empty group", "tile/0/x001//000", INDEX),
        ("index-other-digits", "digits of another script", "tile/0/\u{661}\u{662}\u{663}", INDEX),
        ("entries-level", "a bundle has no level", "tile/entries/0/000", INDEX),
        ("width-zero", "no hash at all", "tile/0/000.p/0", WIDTH),
        ("width-full", "a full tile is not partial", "tile/0/000.p/256", WIDTH),
        ("width-leading-zero", "a leading zero", "tile/0/000.p/017", WIDTH),
        ("width-empty", "no width", "tile/0/000.p/", WIDTH),
        ("width-sign", "a sign", "tile/0/000.p/+1", WIDTH),
        ("width-more", "something after the width", "tile/0/000.p/1/2", WIDTH),
        ("width-twice", "two widths", "tile/0/000.p/1.p/1", WIDTH),
        ("width-no-slash", "another separator", "tile/0/000.p1", INDEX),
        (
            "beyond-the-largest",
            "one more than the last tile",
            "tile/0/x018/x014/x398/x509/x481/984",
            BEYOND,
        ),
        (
            "beyond-64-bits",
            "an index of 65 bits",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            BEYOND,
        ),
        ("beyond-the-top", "more hashes than the top has", "tile/7/000.p/65", BEYOND),
        ("beyond-top-full", "a full tile at the top", "tile/7/000", BEYOND),
        ("beyond-level", "a level that no tree reaches", "tile/8/000.p/1", BEYOND),
        ("beyond-last-level", "the last level with a path", "tile/63/000.p/1", BEYOND),
    ]
    .map(|(name, desc, path, error)| Probe::bad(name, desc, json!({ "path": path }), error))
    .into()
}

pub(super) fn probes() -> Vec<Probe> {
    [good_probes(), bad_probes()].into_iter().flatten().collect()
}

#[test]
fn probes_of_tile_paths_get_their_answers() {
    probes::check("tile-path", &probes(), |probe| {
        let path = probe.text("path");
        let resource = Resource::parse(path);
        if let Ok(resource) = resource {
            assert_eq!(resource.to_string(), path);
        }
        resource.err().map(|error| error.to_string())
    });
}

#[test]
fn indices_are_written_in_groups_of_three() {
    for (index, groups) in [
        (0, "000"),
        (999, "999"),
        (1_000, "x001/000"),
        (19_669, "x019/669"),
        (1_234_067, "x001/x234/067"),
        (1_000_000_000, "x001/x000/x000/000"),
    ] {
        let tile = Resource::Tile { level: 3, index, width: 256 };
        assert_eq!(tile.to_string(), format!("tile/3/{groups}"));
        assert_eq!(Resource::parse(&format!("tile/3/{groups}")), Ok(tile));
        let bundle = Resource::Entries { index, width: 1 };
        assert_eq!(Resource::parse(&format!("tile/entries/{groups}.p/1")), Ok(bundle));
    }
    // Nothing that large parses, but whatever is asked for can be named in a message.
    let tile = Resource::Tile { level: 0, index: u64::MAX, width: 256 };
    assert_eq!(tile.to_string(), "tile/0/x018/x446/x744/x073/x709/x551/615");
    assert_eq!(Resource::parse(&tile.to_string()), Err(PathError::Beyond));
}

#[test]
fn partial_widths_are_those_of_the_specification() {
    let widths = |size| {
        let size = TreeSize::new(size).unwrap();
        [0, 1, 2, 3].map(|level| partial_width(level, size))
    };
    assert_eq!(widths(70_000), [112, 17, 1, 0]);
    assert_eq!(widths(256), [0, 1, 0, 0]);
    assert_eq!(widths(0), [0; 4]);
    assert_eq!(widths(255), [255, 0, 0, 0]);
    assert_eq!(widths(257), [1, 1, 0, 0]);
    assert_eq!(widths(65_535), [255, 255, 0, 0]);
    assert_eq!(widths(65_536), [0, 0, 1, 0]);
    assert_eq!(partial_width(7, TreeSize::MAX), 64);
    assert_eq!((8..=u8::MAX).map(|level| partial_width(level, TreeSize::MAX)).max(), Some(0));
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let index = prop_oneof![0..2_000_u64, 0..1_u64 << 54];
    prop_oneof![
        (0..2_u8, index.clone(), 1..=256_u16).prop_map(|(level, index, width)| {
            Resource::Tile { level, index: index >> (8 * level), width }
        }),
        (index, 1..=256_u16).prop_map(|(index, width)| Resource::Entries { index, width }),
    ]
}

proptest! {
    #[test]
    fn paths_are_written_and_read_again(resource in any_resource()) {
        prop_assert_eq!(Resource::parse(&resource.to_string()), Ok(resource));
    }

    #[test]
    fn what_parses_is_canonical(path in "tile/([0-9]{1,2}|entries)(/x?[0-9]{2,4}){1,3}(\\.p/[0-9]{0,3})?") {
        if let Ok(resource) = Resource::parse(&path) {
            prop_assert_eq!(resource.to_string(), path);
        }
    }

    #[test]
    fn widths_add_up_to_the_size(size in 0..=TreeSize::MAX.get()) {
        let size = TreeSize::new(size).unwrap();
        let sum: u64 = (0..8).map(|level| u64::from(partial_width(level, size)) << (8 * level)).sum();
        prop_assert_eq!(sum, size.get());
    }
}
