//! `POST /add`: a raw entry in, its leaf index out, once a published checkpoint covers it.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    body::BodyDataStream,
    extract::Request,
    http::{StatusCode, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use super::{denied, text};
use crate::{
    core::entry::{ENTRY_BYTES_MAX, EntryError},
    pipeline::{
        BATCH_BYTES_MAX, Candidate, Content, Log, NewEntry, Outcome, Publish, Receipted, Submission,
    },
    service::{
        Desk, Principal,
        grpc::{
            Denial, Fields,
            wait::{Cover, Waiting},
        },
    },
};

/// Most bytes of a body that is refused that are read all the same: twice the largest that is taken.
const DRAIN_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;

/// How long a body that is refused is read at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an entry waits for a candidate at most: as long as other appends wait for a quorum.
const CANDIDATE_TIMEOUT: Duration = Duration::from_secs(10);

/// Appends the body of a request as one entry.
pub(super) async fn add(desk: &Desk, log: &Arc<Log>, request: Request) -> Response {
    let principal = Principal::of(request.extensions());
    let too_long = |bytes| Denial::entry(0, EntryError::TooLong { bytes }, Fields::Single);
    let entry = match read(request, ENTRY_BYTES_MAX, too_long).await {
        Ok(entry) => entry,
        Err(denial) => return denied(&desk.metrics.denied(denial)),
    };
    match append(desk, log, entry, principal).await {
        // The body is the index and nothing else, as Tessera's hammer reads it.
        Ok(index) => text(StatusCode::OK, index.to_string()),
        Err(denial) => denied(&desk.metrics.denied(denial)),
    }
}

/// Reads a body of at most so many bytes.
pub(super) async fn read(
    request: Request,
    bytes_max: usize,
    too_long: impl FnOnce(usize) -> Denial,
) -> Result<Bytes, Denial> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut chunks = request.into_body().into_data_stream();
    let mut bytes = announced.unwrap_or_default();
    let mut body = BytesMut::with_capacity(bytes.min(ENTRY_BYTES_MAX));
    while bytes <= bytes_max {
        let Some(chunk) = chunks.next().await else { return Ok(body.freeze()) };
        let chunk = chunk.map_err(Denial::unread)?;
        bytes = bytes.max(body.len() + chunk.len());
        body.extend_from_slice(&chunk);
    }
    drain(chunks).await;
    Err(too_long(bytes))
}

/// Reads on for a while, so that a client that writes its whole body first gets to read the answer:
/// a connection that is closed with unread bytes is reset, and the answer with it.
async fn drain(mut chunks: BodyDataStream) {
    let drained = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(Ok(chunk)) = chunks.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it was enough shows on the client's side alone.
    let _elapsed = timeout(DRAIN_TIMEOUT, drained).await;
}

/// Waits until the log's /checkpoint covers what was appended, so that who reads it next finds the entry.
///
/// A log without witnesses is there at once. With them it moves once an interval; if it does not in the
/// usual time, the index is the answer all the same, because the entry is in the log.
pub(in crate::service) async fn wait_for_checkpoint(desk: &Desk, log: &Log, receipted: &Receipted) {
    let Some(witnessed) = log.witnessed() else { return };
    if witnessed.publish() == Publish::Cosigned {
        Cover::of(desk, log, receipted, Waiting::usual()).await;
        return;
    }
    let size = receipted.published.head().size;
    let mut candidates = witnessed.watch();
    let covers = |newest: &Candidate| newest.checkpoint().head().size >= size;
    let covered = candidates.wait_for(|all| all.newest().is_some_and(covers));
    let _elapsed = desk.closing.run_until_cancelled(timeout(CANDIDATE_TIMEOUT, covered)).await;
}

/// Submits the entry and returns its index.
async fn append(
    desk: &Desk,
    log: &Arc<Log>,
    bytes: Bytes,
    principal: Bytes,
) -> Result<u64, Denial> {
    let entries = vec![NewEntry::new(bytes, None)];
    let submission = Submission::new(entries, principal, Content::Raw);
    let ticket = desk.submit(log, submission, Fields::Single)?;
    let receipted = ticket.await.map_err(|failure| Denial::failed(&failure, Fields::Single))?;
    wait_for_checkpoint(desk, log, &receipted).await;
    match receipted.outcomes.first().expect("a submission has one outcome an entry") {
        Outcome::Sequenced { index } | Outcome::Duplicate { index } => Ok(index.get()),
        Outcome::Conflict { first } => Err(Denial::conflict(0, *first, Fields::Single)),
        Outcome::Suppressed => unreachable!("raw entries are never suppressed"),
    }
}
