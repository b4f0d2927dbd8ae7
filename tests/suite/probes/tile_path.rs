//! Paths of tiles and bundles, right and wrong.

use attestree::core::tile::Resource;
use serde_json::json;

use super::{Probe, check};

const UNKNOWN: &str = "no such resource: ask for checkpoint, tile/<level>/<index>[.p/<width>] or \
                       tile/entries/<index>[.p/<width>]";
const LEVEL: &str = "a level is a number from 0 to 63 without leading zeros";
const INDEX: &str = "write an index in groups of three digits, all but the last with an x: 1234067 \
                     is x001/x234/067";
const WIDTH: &str = "the width of a partial tile is a number from 1 to 255 without leading zeros; a \
                     full one has none";
const BEYOND: &str = "no tree is large enough to have this tile";

const GOOD: [(&str, &str, &str); 11] = [
    ("good-checkpoint", "the checkpoint", "checkpoint"),
    ("good-zero", "the first tile", "tile/0/000"),
    ("good-one-thousand", "two groups", "tile/0/x001/000"),
    ("good-three-groups", "three groups", "tile/0/x001/x234/067"),
    ("good-partial", "a partial tile", "tile/1/000.p/17"),
    ("good-partial-narrowest", "one hash", "tile/2/000.p/1"),
    ("good-partial-widest", "255 hashes", "tile/0/273.p/255"),
    ("good-entries", "a full bundle", "tile/entries/x019/669"),
    ("good-entries-partial", "a partial bundle", "tile/entries/273.p/112"),
    ("good-last-tile", "the last tile of the largest tree", "tile/0/x018/x014/x398/x509/x481/983"),
    ("good-top", "the top of the largest tree", "tile/7/000.p/64"),
];

const BAD: [(&str, &str, &str, &str); 43] = [
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
    ("beyond-64-bits", "an index of 65 bits", "tile/0/x018/x446/x744/x073/x709/x551/616", BEYOND),
    ("beyond-the-top", "more hashes than the top has", "tile/7/000.p/65", BEYOND),
    ("beyond-top-full", "a full tile at the top", "tile/7/000", BEYOND),
    ("beyond-level", "a level that no tree reaches", "tile/8/000.p/1", BEYOND),
    ("beyond-last-level", "the last level with a path", "tile/63/000.p/1", BEYOND),
];

pub(super) fn probes() -> Vec<Probe> {
    let good = GOOD.map(|(name, desc, path)| Probe::good(name, desc, json!({ "path": path })));
    let bad =
        BAD.map(|(name, desc, path, error)| Probe::bad(name, desc, json!({ "path": path }), error));
    good.into_iter().chain(bad).collect()
}

#[test]
fn probes_of_tile_paths_get_their_answers() {
    check("tile-path", &probes(), |probe| {
        let path = probe.text("path");
        let resource = Resource::parse(path);
        if let Ok(resource) = resource {
            assert_eq!(resource.to_string(), path);
        }
        resource.err().map(|error| error.to_string())
    });
}
