//! `Append`: one entry, one answer.

use bytes::Bytes;
use tonic::{Request, Response, metadata::MetadataMap};

use super::{
    Answered,
    answer::{appended, hash, parse_answer, place},
    status::{Denial, Fields},
    wait::{Cover, Waiting},
};
use crate::{
    pipeline::{Content, NewEntry, Submission},
    proto,
    service::{Desk, Principal},
};

/// Entries below this length are copied out of the buffer that they were received in.
///
/// The decoder reads each call into a buffer of 8 KiB (tonic's default); an entry that kept the
/// buffer alive would make a waiting entry of 100 bytes cost 8 KiB of memory that the pool does
/// not count. From 4 KiB on the overhead is below a factor of two and copying is not worth it.
const COPY_BYTES_MAX: usize = 4_096;

/// Appends one entry and answers when a published checkpoint covers it.
pub(super) async fn append(
    desk: &Desk,
    request: Request<proto::AppendRequest>,
) -> Answered<proto::AppendResponse> {
    let principal = Principal::of(request.extensions());
    let (metadata, _, request) = request.into_parts();
    answer_append(desk, request, &metadata, principal)
        .await
        .map(Response::new)
        .map_err(|denial| desk.metrics.denied(denial).into())
}

/// Submits the entry and makes the answer.
async fn answer_append(
    desk: &Desk,
    request: proto::AppendRequest,
    metadata: &MetadataMap,
    principal: Bytes,
) -> Result<proto::AppendResponse, Denial> {
    let answer = parse_answer(request.answer)?;
    let log = desk.log(&request.log)?;
    let waiting = Waiting::parse(&log, request.wait, request.wait_ms, Some(metadata))?;
    let entry = NewEntry { bytes: compact(request.entry), key: key(request.idempotency_key) };
    let submission =
        Submission { entries: vec![entry], principal, content: Content::Raw, atomic: false };
    let ticket = desk
        .pipeline
        .submit(&log, submission)
        .map_err(|refusal| Denial::refused(&refusal, Fields::Single))?;
    let receipted = ticket.await.map_err(|failure| Denial::failed(&failure, Fields::Single))?;

    let (outcome, leaf_hash) = (receipted.outcomes.first(), receipted.leaf_hashes.first());
    let (outcome, leaf_hash) =
        outcome.zip(leaf_hash).expect("a submission has one outcome an entry");
    let place = place(0, *outcome)?;
    let cover = Cover::of(desk, &log, &receipted, waiting).await;
    appended(desk, &log, &cover, place, hash(leaf_hash), answer)
}

/// Detaches a small entry from the buffer that it was received in.
pub(super) fn compact(entry: Bytes) -> Bytes {
    if entry.len() < COPY_BYTES_MAX { Bytes::copy_from_slice(&entry) } else { entry }
}

/// Returns the idempotency key; empty means none.
pub(super) fn key(key: Bytes) -> Option<Bytes> {
    (!key.is_empty()).then(|| compact(key))
}
