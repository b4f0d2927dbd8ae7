//! What a server told its client, taken apart and verified.

use attestree::{
    core::{
        checkpoint::SignedCheckpoint,
        hash::TreeHash,
        note::VerifierKey,
        number::{LeafIndex, TreeSize},
        tree::TreeHead,
    },
    proto,
};
use bytes::Bytes;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Takes a message's hashes.
pub fn hashes(hashes: &[Bytes]) -> Vec<TreeHash> {
    hashes.iter().map(|hash| TreeHash::from_slice(hash).unwrap()).collect()
}

/// Takes a number as an index.
pub fn index(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

/// Takes a number as a size.
pub fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

/// Verifies a checkpoint with its log's key, and what stands beside the note; returns its head.
pub fn verify(checkpoint: Option<&proto::Checkpoint>, vkey: &VerifierKey) -> TreeHead {
    let checkpoint = checkpoint.expect("the answer holds a checkpoint");
    let head = SignedCheckpoint::verify(&checkpoint.note, vkey).unwrap().head();
    assert_eq!(head.size.get(), checkpoint.tree_size);
    assert_eq!(head.root.as_bytes().as_slice(), &checkpoint.root_hash[..]);
    head
}

/// Checks code, reason and field of a refusal, and that it is a sentence.
#[track_caller]
pub fn assert_status(status: &Status, code: Code, reason: &str, field: Option<&str>) {
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("attestree", reason));
    let violation = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    assert_eq!(violation.as_deref(), field);
    assert!(status.message().len() > 10, "a sentence says what to do: {status:?}");
}
