//! Resource paths: the examples of c2sp.org/tlog-tiles, and every way to write one wrongly.

use attestree::core::{
    number::TreeSize,
    tile::{PathError, Resource, partial_width},
};
use proptest::prelude::*;

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
