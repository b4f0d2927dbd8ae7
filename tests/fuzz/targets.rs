//! What every parser and verifier must hold for any bytes at all.
//!
//! The laws: nothing panics; what is accepted has one form only, so that formatting it gives the same
//! bytes again; a proof is accepted by our own fold and by `rs_merkle` or by neither. The suite runs them
//! over seeds and their mutations on each test run (`tests/suite/fuzz.rs`), and cargo-fuzz searches
//! for bytes that break them (see `Cargo.toml` beside this file).

use attestree::core::{
    bundle,
    checkpoint::{CheckpointText, SignedCheckpoint},
    hash::{HASH_BYTES, TreeHash},
    note::{SignedNote, SigningKey, VerifierKey},
    number::{LeafIndex, TreeSize},
    origin::Origin,
    receipt::Receipt,
    tile::Resource,
    tree::{Tile, TreeHead, verify_batch, verify_consistency, verify_inclusion, verify_range},
    trust::TrustPolicy,
};

/// The key of the end-to-end vector, whose checkpoints `checkpoint_note` verifies.
const LOG_KEY: &str =
    "example.com/vector-log+5853a898+AdNnO/eaYELmpXi5YKlhnnDBvHrRrmiMyjRbjNUdQ370";

/// A law that holds for any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its binary.
pub const TARGETS: &[(&str, Target)] = &[
    ("bundle", bundle),
    ("checkpoint", checkpoint),
    ("checkpoint_note", checkpoint_note),
    ("origin", origin),
    ("policy", policy),
    ("proof", proof),
    ("receipt", receipt),
    ("signed_note", signed_note),
    ("skey", skey),
    ("tile", tile),
    ("tile_path", tile_path),
    ("vkey", vkey),
];

/// Entry bundles and stored segments.
pub fn bundle(data: &[u8]) {
    let stored: Result<Vec<_>, _> = bundle::decode(data).collect();
    let Ok(stored) = stored else { return };
    let mut erased = false;
    for entry in &stored {
        let _hash = entry.leaf_hash();
        erased |= matches!(entry, bundle::StoredEntry::Erased(_));
    }
    let parsed = bundle::parse_bundle(data, stored.len());
    assert_eq!(parsed.is_ok(), !erased, "a bundle is a segment without erased entries");
    if let Ok(entries) = parsed {
        let mut formatted = Vec::new();
        entries.iter().for_each(|entry| bundle::encode_entry(&mut formatted, entry));
        assert_eq!(formatted, data);
        assert!(bundle::parse_bundle(data, stored.len() + 1).is_err());
    }
}

/// Texts of checkpoints.
pub fn checkpoint(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(parsed) = CheckpointText::parse(text) {
        assert_eq!(parsed.to_string(), text);
    }
}

/// Signed checkpoints of a known log.
pub fn checkpoint_note(data: &[u8]) {
    let key = VerifierKey::parse(LOG_KEY).expect("the vector's key");
    if let Ok(checkpoint) = SignedCheckpoint::verify(data, &key) {
        assert_eq!(checkpoint.note().as_ref(), data);
        assert_eq!(checkpoint.origin().as_str(), key.name().as_str());
    }
}

/// Origins.
pub fn origin(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(origin) = Origin::parse(text) {
        assert_eq!(origin.as_str(), text);
        let prefix = origin.http_prefix();
        assert!(!prefix.starts_with('/') && !prefix.ends_with('/') && text.ends_with(prefix));
    }
}

/// Trust policies. Comments and spaces are not kept, so it is the second form that stays.
pub fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(policy) = TrustPolicy::parse(text) {
        let form = policy.to_string();
        let again = TrustPolicy::parse(&form).expect("what was parsed can be parsed again");
        assert_eq!(again.to_string(), form);
        let _refused = policy.verify_checkpoint(data);
    }
}

/// Proofs: two numbers and a root, then hashes, which are taken as each kind of proof.
pub fn proof(data: &[u8]) {
    let Some((numbers, hashes)) = data.split_first_chunk::<16>() else { return };
    let number = |at: usize| {
        numbers.iter().skip(at).take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (first, second) = (number(0) >> 1, number(8) >> 1);
    let (Some(index), Some(size)) = (LeafIndex::new(first), TreeSize::new(second)) else { return };
    let (chunks, _) = hashes.as_chunks::<HASH_BYTES>();
    let hashes: Vec<TreeHash> = chunks.iter().copied().map(TreeHash::from_bytes).collect();
    let [root, leaf, rest @ ..] = hashes.as_slice() else { return };
    let head = TreeHead { size, root: *root };

    // An accepted inclusion proof proves the same leaf as a batch of one, in the same order.
    let included = verify_inclusion(leaf, index, &head, rest).is_ok();
    assert_eq!(included, verify_batch(&[(index, *leaf)], &head, rest).is_ok());
    if let Some(old) = TreeSize::new(first) {
        let _refused = verify_consistency(&TreeHead { size: old, root: *leaf }, &head, rest);
    }
    for split in 0..rest.len().min(8) {
        let (leaves, proof) = rest.split_at(split);
        let _refused = verify_range(leaves, index, &head, proof);
        let indices = (first..).map_while(LeafIndex::new);
        let leaves: Vec<_> = indices.zip(leaves.iter().copied()).collect();
        let _refused = verify_batch(&leaves, &head, proof);
    }
}

/// Receipts.
pub fn receipt(data: &[u8]) {
    if let Ok(receipt) = Receipt::parse(data) {
        assert_eq!(receipt.format(), data);
        let policy = format!("log {LOG_KEY}\nquorum none\n");
        let policy = TrustPolicy::parse(&policy).expect("a policy with the vector's key");
        let _refused = receipt.verify(data, &policy);
    }
}

/// Signed notes.
pub fn signed_note(data: &[u8]) {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
    }
}

/// Signing keys.
pub fn skey(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(key) = SigningKey::parse(text) {
        assert_eq!(key.format().as_str(), text);
    }
}

/// Stored tiles.
pub fn tile(data: &[u8]) {
    if let Ok(tile) = Tile::decode(data) {
        assert_eq!(tile.encoded(), data);
        let whole = tile.check();
        tile.expand();
        assert_eq!(tile.check(), whole);
    }
}

/// Paths of tiles and bundles.
pub fn tile_path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(resource) = Resource::parse(text) {
        assert_eq!(resource.to_string(), text);
    }
}

/// Verifier keys.
pub fn vkey(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
}
