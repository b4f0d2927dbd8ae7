//! Entry bundles and stored segments: their bytes, and what is no encoding of entries.

use attestree::core::bundle::{
    BundleError, StoredEntry, decode, encode_entry, encoded_bytes, parse_bundle,
};
use attestree::core::hash::TreeHash;

/// Encodes entries.
fn encode(entries: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let before = bytes.len();
        encode_entry(&mut bytes, entry);
        assert_eq!(bytes.len() - before, encoded_bytes(entry.len()));
    }
    bytes
}

/// Decodes a segment to the end or the first error.
fn decode_all(segment: &[u8]) -> Result<Vec<StoredEntry<'_>>, BundleError> {
    decode(segment).collect()
}

#[test]
fn a_bundle_is_lengths_and_bytes() {
    assert_eq!(encode(&[b"a", b"bc"]), b"\x00\x01a\x00\x02bc");
    let longest = vec![7; 65_535];
    let bytes = encode(&[&longest]);
    assert_eq!(bytes[..2], [0xff, 0xff]);
    assert_eq!(parse_bundle(&bytes, 1), Ok(vec![&longest[..]]));
    assert_eq!(parse_bundle(&[], 0), Ok(Vec::new()));
}

#[test]
fn what_was_encoded_is_decoded() {
    let entries: Vec<Vec<u8>> = (1..300).map(|length| vec![7; length]).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let bytes = encode(&entries);
    assert_eq!(parse_bundle(&bytes, entries.len()), Ok(entries.clone()));
    let stored: Vec<_> = entries.iter().map(|entry| StoredEntry::Bytes(entry)).collect();
    assert_eq!(decode_all(&bytes), Ok(stored));
}

#[test]
fn an_erased_entry_is_its_leaf_hash() {
    let hash = TreeHash::leaf(b"gone");
    let bytes = [b"\x00\x01a\x00\x00", &hash.as_bytes()[..], b"\x00\x01b"].concat();
    let entries = decode_all(&bytes).unwrap();
    let expected = [StoredEntry::Bytes(b"a"), StoredEntry::Erased(hash), StoredEntry::Bytes(b"b")];
    assert_eq!(entries, expected);
    let hashes: Vec<_> = entries.iter().map(StoredEntry::leaf_hash).collect();
    assert_eq!(hashes, [TreeHash::leaf(b"a"), hash, TreeHash::leaf(b"b")]);
    // A client is never served one.
    assert_eq!(parse_bundle(&bytes, 3), Err(BundleError::Empty { position: 1 }));
}

#[test]
fn a_cut_segment_names_the_entry_and_what_is_missing() {
    let bytes = encode(&[b"abc", b"defg"]);
    for cut in 0..bytes.len() {
        let verdict = decode_all(&bytes[..cut]).map(|entries| entries.len());
        let truncated = |position, missing| Err(BundleError::Truncated { position, missing });
        let expected = match cut {
            0 => Ok(0),
            1 => truncated(0, 1),
            2..5 => truncated(0, 5 - cut),
            5 => Ok(1),
            6 => truncated(1, 1),
            _ => truncated(1, 11 - cut),
        };
        assert_eq!(verdict, expected, "cut at {cut}");
    }
    let erased = [&[0; 2][..], &[9; 31]].concat();
    assert_eq!(decode_all(&erased), Err(BundleError::Truncated { position: 0, missing: 1 }));
}

#[test]
fn nothing_follows_an_error() {
    let mut entries = decode(b"\x00\x05ab");
    assert!(entries.next().unwrap().is_err());
    assert_eq!(entries.next(), None);
}

#[test]
fn a_bundle_holds_exactly_its_count() {
    let bytes = encode(&[b"a", b"b", b"c"]);
    let missing = BundleError::Missing { expected: 4, found: 3 };
    assert_eq!(parse_bundle(&bytes, 4), Err(missing));
    let trailing = BundleError::Trailing { expected: 2, bytes: 3 };
    assert_eq!(parse_bundle(&bytes, 2), Err(trailing));
    assert_eq!(parse_bundle(&bytes, 0), Err(BundleError::Trailing { expected: 0, bytes: 9 }));
    assert_eq!(parse_bundle(&[0, 0], 1), Err(BundleError::Empty { position: 0 }));
    assert_eq!(parse_bundle(&[0], 1), Err(BundleError::Truncated { position: 0, missing: 1 }));
    // A count beyond all memory is refused, not reserved.
    let missing = BundleError::Missing { expected: usize::MAX, found: 3 };
    assert_eq!(parse_bundle(&bytes, usize::MAX), Err(missing));
}

#[test]
fn entries_that_admission_refuses_are_not_encoded() {
    for entry in [Vec::new(), vec![0; 65_536]] {
        let encoded = std::panic::catch_unwind(|| encode(&[&entry]));
        assert!(encoded.is_err(), "{} bytes", entry.len());
    }
}
