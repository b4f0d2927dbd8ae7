//! The files of a policy.

use attestree::core::policy::{Bundle, BundleError, FILE_BYTES_MAX, FILES_MAX};
use attestree::core::record::POLICY_BYTES_MAX;
use proptest::prelude::*;

fn bundle(paths: &[&str]) -> Result<Bundle, BundleError> {
    Bundle::new(paths.iter().map(|path| ((*path).to_owned(), b"x".to_vec())))
}

#[test]
fn only_plain_relative_paths_name_files() {
    for path in ["policy.yaml", "a/b.c", "\u{20ac}", "...", "a b", &"p".repeat(255)] {
        assert_eq!(bundle(&[path]).unwrap().files().len(), 1, "{path}");
    }
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "./a",
        "a\\b",
        "a\nb",
        "a\0",
        &"p".repeat(256),
    ] {
        assert_eq!(bundle(&[path]), Err(BundleError::Path { path: path.to_owned() }));
    }
    assert_eq!(bundle(&[]), Err(BundleError::Files { files: 0 }));
}

#[test]
fn files_are_bounded_in_number_and_in_bytes() {
    let many =
        |count: usize| Bundle::new((0..count).map(|number| (format!("{number}"), Vec::new())));
    assert_eq!(many(FILES_MAX).unwrap().files().len(), FILES_MAX);
    assert_eq!(many(FILES_MAX + 1), Err(BundleError::Files { files: FILES_MAX + 1 }));

    let file = |path: &str, bytes| (path.to_owned(), vec![0; bytes]);
    let whole = ["a", "b", "c", "d"].map(|path| file(path, FILE_BYTES_MAX - 7));
    assert_eq!(Bundle::new(whole.clone()).unwrap().encode().len(), POLICY_BYTES_MAX);
    let more = whole.into_iter().chain([file("e", 0)]);
    assert_eq!(Bundle::new(more), Err(BundleError::Bytes { bytes: POLICY_BYTES_MAX + 7 }));
    let large = BundleError::File { path: "a".to_owned(), bytes: FILE_BYTES_MAX + 1 };
    assert_eq!(Bundle::new([file("a", FILE_BYTES_MAX + 1)]), Err(large));
}

#[test]
fn files_have_one_encoding() {
    let entry = |path: &str| [&[0, 1][..], path.as_bytes(), &[0, 0, 0, 1], b"x"].concat();
    let sorted = [entry("a"), entry("b")].concat();
    assert_eq!(Bundle::decode(&sorted), bundle(&["b", "a"]));
    for bytes in [[entry("b"), entry("a")].concat(), [entry("a"), entry("a")].concat()] {
        assert_eq!(Bundle::decode(&bytes), Err(BundleError::Form));
    }
    for end in 1..sorted.len() {
        let is_whole = end == entry("a").len();
        assert_eq!(Bundle::decode(&sorted[..end]).is_err(), !is_whole, "cut at {end}");
    }
    assert_eq!(Bundle::decode(&[]), Err(BundleError::Files { files: 0 }));
    assert_eq!(Bundle::decode(&[0, 1, 0xff, 0, 0, 0, 0]), Err(BundleError::Form));
    assert_eq!(Bundle::decode(&[0, 1, b'a', 0xff, 0xff, 0xff, 0xff]), Err(BundleError::Form));
}

#[test]
fn parts_make_their_policy_and_no_other() {
    let large = Bundle::new([("data".to_owned(), vec![7; 100_000])]).unwrap();
    let (parts, digest) = (large.parts(), large.digest());
    assert_eq!(parts.len(), 3);
    assert_eq!(Bundle::assemble(&parts, digest), Ok(large));
    let mut spoiled = parts.clone();
    spoiled[1].bytes[0] ^= 1;
    let swapped = [parts[1].clone(), parts[0].clone(), parts[2].clone()];
    for parts in [&parts[..2], &parts[1..], &[][..], &swapped, &spoiled] {
        assert_eq!(Bundle::assemble(parts, digest), Err(BundleError::Parts));
    }
    assert_eq!(Bundle::assemble(&parts, bundle(&["a"]).unwrap().digest()), Err(BundleError::Parts));
}

proptest! {
    #[test]
    fn other_files_have_another_digest(
        one in prop::collection::btree_map("[ab/]{1,4}", prop::collection::vec(any::<u8>(), 0..4), 1..4),
        other in prop::collection::btree_map("[ab/]{1,4}", prop::collection::vec(any::<u8>(), 0..4), 1..4),
    ) {
        if let (Ok(first), Ok(second)) = (Bundle::new(one.clone()), Bundle::new(other.clone())) {
            prop_assert_eq!(first.digest() == second.digest(), one == other);
            prop_assert_eq!(Bundle::decode(&first.encode()), Ok(first));
        }
    }
}
