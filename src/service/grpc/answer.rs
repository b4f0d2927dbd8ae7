//! The pieces that answers are made of.

use bytes::Bytes;

use super::{Denial, Fields, wait::Cover};
use crate::{
    core::{
        checkpoint::SignedCheckpoint,
        hash::{HASH_BYTES, TreeHash},
        number::LeafIndex,
        tree::prove_inclusion,
    },
    pipeline::{Log, Outcome, Published},
    proto::{self, Answer},
    service::{Desk, look},
};

/// How much proof to answer with; a number that this version does not know is the client's error.
pub(super) fn parse_answer(answer: i32) -> Result<Answer, Denial> {
    match Answer::try_from(answer) {
        Ok(Answer::Unspecified) => Ok(Answer::Index),
        Ok(answer) => Ok(answer),
        Err(_unknown) => Err(Denial::field("answer", format!("{answer} is no Answer; use 0 to 3"))),
    }
}

/// Copies a hash into a message.
pub(super) fn hash(hash: &TreeHash) -> Bytes {
    Bytes::copy_from_slice(hash.as_bytes())
}

/// Copies hashes into a message: one allocation that all of them share.
pub(super) fn hashes(hashes: &[TreeHash]) -> Vec<Bytes> {
    let mut all = Vec::with_capacity(hashes.len() * HASH_BYTES);
    for hash in hashes {
        all.extend_from_slice(hash.as_bytes());
    }
    let mut all = Bytes::from(all);
    hashes.iter().map(|_| all.split_to(HASH_BYTES)).collect()
}

/// Returns the message of a published checkpoint.
pub(super) fn checkpoint(published: &Published) -> proto::Checkpoint {
    of_checkpoint(&published.checkpoint)
}

/// Returns the message of a signed checkpoint.
pub(super) fn of_checkpoint(checkpoint: &SignedCheckpoint) -> proto::Checkpoint {
    let head = checkpoint.head();
    proto::Checkpoint {
        note: checkpoint.note().clone(),
        tree_size: head.size.get(),
        root_hash: hash(&head.root),
    }
}

/// Makes the answer to one entry that is in the log.
pub(super) fn appended(
    desk: &Desk,
    log: &Log,
    cover: &Cover,
    (index, duplicate): (LeafIndex, bool),
    leaf_hash: Bytes,
    answer: Answer,
) -> Result<proto::AppendResponse, Denial> {
    let published = cover.published.as_deref();
    let receipt = published.filter(|_| answer == Answer::Receipt);
    let proof = receipt.map(|published| inclusion(desk, log, published, index)).transpose()?;
    Ok(proto::AppendResponse {
        leaf_index: index.get(),
        leaf_hash,
        duplicate,
        checkpoint: published.filter(|_| answer != Answer::Index).map(checkpoint),
        proof,
        cosigned: cover.cosigned,
    })
}

/// Returns where one entry is, unless its idempotency key belongs to another.
pub(super) fn place(
    position: usize,
    outcome: Outcome,
    fields: Fields,
) -> Result<(LeafIndex, bool), Denial> {
    match outcome {
        Outcome::Sequenced { index } => Ok((index, false)),
        Outcome::Duplicate { index } => Ok((index, true)),
        Outcome::Conflict { first } => Err(Denial::conflict(position, first, fields)),
        Outcome::Suppressed => unreachable!("what was suppressed has no place"),
    }
}

/// Proves one leaf at the published head.
fn inclusion(
    desk: &Desk,
    log: &Log,
    published: &Published,
    index: LeafIndex,
) -> Result<proto::InclusionProof, Denial> {
    let size = published.head().size;
    let proof = prove_inclusion(&desk.prover(log, published), index, size)
        .map_err(|error| look::unprovable(&error))?;
    desk.metrics.proved_inclusion(1);
    Ok(proto::InclusionProof {
        leaf_index: index.get(),
        tree_size: size.get(),
        hashes: hashes(&proof),
    })
}
