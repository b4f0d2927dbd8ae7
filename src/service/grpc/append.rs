//! `Append`: one entry, one answer.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Request, Response, metadata::MetadataMap};

use super::{
    Answered,
    answer::{appended, hash, parse_answer, place},
    status::{Denial, Fields},
    wait::{Cover, Waiting},
};
use crate::{
    pipeline::{Content, Log, NewEntry, Receipted, Submission},
    proto::{self, Answer},
    service::{Desk, Principal},
};

/// Entries below this length are copied out of the buffer that they were received in.
///
/// The decoder reads each call into a buffer of 8 KiB (tonic's default); an entry that kept the
/// buffer alive would make a waiting entry of 100 bytes cost 8 KiB of memory that the pool does
/// not count. From 4 KiB on the overhead is below a factor of two and copying is not worth it.
const COPY_BYTES_MAX: usize = 4_096;

/// What an append of one entry or event asks for.
pub struct Single {
    pub(super) log: String,
    pub(super) bytes: Bytes,
    pub(super) idempotency_key: Bytes,
    pub(super) answer: i32,
    pub(super) wait: i32,
    pub(super) wait_ms: u32,
}

/// What became of one entry or event, and what covers it.
pub(super) struct Taken {
    pub(super) log: Arc<Log>,
    pub(super) answer: Answer,
    pub(super) receipted: Receipted,
    pub(super) cover: Cover,
}

/// Who calls, and how long that takes.
pub(super) struct Caller {
    principal: Bytes,
    metadata: MetadataMap,
}

impl Caller {
    /// Takes a request apart.
    pub(super) fn of<T>(request: Request<T>) -> (Self, T) {
        let principal = Principal::of(request.extensions());
        let (metadata, _, request) = request.into_parts();
        (Self { principal, metadata }, request)
    }

    /// Reads what a call waits for.
    pub(super) fn waiting(&self, log: &Log, wait: i32, wait_ms: u32) -> Result<Waiting, Denial> {
        Waiting::parse(log, wait, wait_ms, Some(&self.metadata))
    }

    /// Puts entries together as this caller's.
    pub(super) fn submission(
        &self,
        entries: Vec<NewEntry>,
        content: Content,
        atomic: bool,
    ) -> Submission {
        Submission { atomic, ..Submission::new(entries, self.principal.clone(), content) }
    }
}

/// Appends one entry and answers when a published checkpoint covers it.
pub(super) async fn append(
    desk: &Desk,
    request: Request<proto::AppendRequest>,
) -> Answered<proto::AppendResponse> {
    let (caller, request) = Caller::of(request);
    let single = Single {
        log: request.log,
        bytes: request.entry,
        idempotency_key: request.idempotency_key,
        answer: request.answer,
        wait: request.wait,
        wait_ms: request.wait_ms,
    };
    let taken = take(desk, single, Content::Raw, Fields::Single, &caller).await;
    taken
        .and_then(|taken| taken.appended(desk, Fields::Single))
        .map(Response::new)
        .map_err(|denial| desk.metrics.denied(denial).into())
}

/// Submits one entry or event, and waits for what covers it.
pub(super) async fn take(
    desk: &Desk,
    single: Single,
    content: Content,
    fields: Fields,
    caller: &Caller,
) -> Result<Taken, Denial> {
    let answer = parse_answer(single.answer)?;
    let log = desk.log(&single.log)?;
    let waiting = caller.waiting(&log, single.wait, single.wait_ms)?;
    let entry = NewEntry::new(compact(single.bytes), key(single.idempotency_key));
    let submission = caller.submission(vec![entry], content, false);
    let receipted = desk.submit(&log, submission, fields)?;
    let receipted = receipted.await.map_err(|failure| Denial::failed(&failure, fields))?;
    let cover = Cover::of(desk, &log, &receipted, waiting).await;
    Ok(Taken { log, answer, receipted, cover })
}

impl Taken {
    /// Makes the answer to an entry or event that is in the log.
    pub(super) fn appended(
        &self,
        desk: &Desk,
        fields: Fields,
    ) -> Result<proto::AppendResponse, Denial> {
        let Self { log, answer, receipted, cover } = self;
        let (outcome, leaf_hash) = (receipted.outcomes.first(), receipted.leaf_hashes.first());
        let (outcome, leaf_hash) =
            outcome.zip(leaf_hash).expect("a submission has one outcome an entry");
        let place = place(0, *outcome, fields)?;
        appended(desk, log, cover, place, hash(leaf_hash), *answer)
    }
}

/// Detaches a small entry from the buffer that it was received in.
pub(super) fn compact(entry: Bytes) -> Bytes {
    if entry.len() < COPY_BYTES_MAX { Bytes::copy_from_slice(&entry) } else { entry }
}

/// Returns the idempotency key; empty means none.
pub(super) fn key(key: Bytes) -> Option<Bytes> {
    (!key.is_empty()).then(|| compact(key))
}
