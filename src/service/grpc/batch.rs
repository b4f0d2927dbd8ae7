//! `AppendBatch`: several entries atomically, covered by one range proof.

use bytes::Bytes;
use tonic::{Request, Response};

use super::{
    Answered,
    answer::{checkpoint, hashes, parse_answer},
    append::{Caller, key},
    status::{Denial, Fields},
    wait::Cover,
};
use crate::{
    core::{
        number::LeafIndex,
        tree::{prove_batch, prove_range},
    },
    pipeline::{Content, NewEntry, Outcome, Receipted},
    proto::{self, Answer, BatchDuplicate},
    service::{Desk, look},
};

/// Duplicates up to this number are proved on the calling thread: about as many tiles as one
/// hundredth of a second reads from a cold cache (`benches/README.md`).
const INLINE_PROOFS_MAX: usize = 64;

/// What an append of several entries or events asks for.
pub(super) struct Many {
    pub(super) log: String,
    pub(super) entries: Vec<NewEntry>,
    pub(super) fields: Fields,
    pub(super) answer: i32,
    pub(super) wait: i32,
    pub(super) wait_ms: u32,
}

/// Appends all entries or none.
pub(super) async fn append_batch(
    desk: &Desk,
    request: Request<proto::AppendBatchRequest>,
) -> Answered<proto::AppendBatchResponse> {
    let (caller, request) = Caller::of(request);
    answer_batch(desk, request, &caller)
        .await
        .map(Response::new)
        .map_err(|denial| desk.metrics.denied(denial).into())
}

/// Submits the entries and makes the answer.
async fn answer_batch(
    desk: &Desk,
    request: proto::AppendBatchRequest,
    caller: &Caller,
) -> Result<proto::AppendBatchResponse, Denial> {
    let (entries, fields) = parse_entries(request.entries, request.keyed_entries)?;
    let many = Many {
        log: request.log,
        entries,
        fields,
        answer: request.answer,
        wait: request.wait,
        wait_ms: request.wait_ms,
    };
    Ok(take_all(desk, many, Content::Raw, caller).await?.0)
}

/// Submits entries or events, all or none, and says where they are.
pub(super) async fn take_all(
    desk: &Desk,
    many: Many,
    content: Content,
    caller: &Caller,
) -> Result<(proto::AppendBatchResponse, Receipted, Answer), Denial> {
    let Many { entries, fields, .. } = many;
    let answer = parse_answer(many.answer)?;
    let log = desk.log(&many.log)?;
    let waiting = caller.waiting(&log, many.wait, many.wait_ms)?;
    let ticket = desk.submit(&log, caller.submission(entries, content, true), fields)?;
    let receipted = ticket.await.map_err(|failure| Denial::failed(&failure, fields))?;

    let cover = Cover::of(desk, &log, &receipted, waiting).await;
    let places = Places::of(&receipted);
    let mut response = proto::AppendBatchResponse {
        from: places.from,
        to: places.to,
        duplicates: places.duplicates,
        checkpoint: cover.published.as_deref().filter(|_| answer != Answer::Index).map(checkpoint),
        range_proof: Vec::new(),
        duplicates_proof: Vec::new(),
        cosigned: cover.cosigned,
    };
    let Some(published) = cover.published.filter(|_| answer == Answer::Receipt) else {
        return Ok((response, receipted, answer));
    };
    let outside = places.outside;
    let new = places.to - places.from;
    let range = LeafIndex::new(places.from).zip(LeafIndex::new(places.to)).filter(|_| new > 0);
    let size = published.head().size;
    if let Some((from, to)) = range {
        let prover = desk.prover(&log, &published);
        let proof =
            prove_range(&prover, from, to, size).map_err(|error| look::unprovable(&error))?;
        response.range_proof = hashes(&proof);
    }
    let count = outside.len();
    if count > 0 {
        let desk = desk.clone();
        let prove = move || {
            let prover = desk.prover(&log, &published);
            prove_batch(&prover, &outside, size).map_err(|error| look::unprovable(&error))
        };
        let proof =
            if count <= INLINE_PROOFS_MAX { prove()? } else { look::blocking(prove).await?? };
        response.duplicates_proof = hashes(&proof);
    }
    desk.metrics.proved_inclusion(new + count as u64);
    Ok((response, receipted, answer))
}

/// Takes the entries from whichever of the two fields holds them.
fn parse_entries(
    plain: Vec<Bytes>,
    keyed: Vec<proto::BatchEntry>,
) -> Result<(Vec<NewEntry>, Fields), Denial> {
    if !plain.is_empty() && !keyed.is_empty() {
        let message =
            "entries and keyed_entries exclude each other; put all entries into one of them";
        return Err(Denial::field("keyed_entries", message));
    }
    if keyed.is_empty() {
        let entries = plain.into_iter().map(|bytes| NewEntry::new(bytes, None)).collect();
        return Ok((entries, Fields::Entries));
    }
    let entries =
        keyed.into_iter().map(|new| NewEntry::new(new.entry, key(new.idempotency_key))).collect();
    Ok((entries, Fields::Keyed))
}

/// Where the entries of a batch are.
struct Places {
    from: u64,
    to: u64,
    duplicates: Vec<BatchDuplicate>,
    /// The indices of duplicates outside `[from, to)`, sorted, each once.
    outside: Vec<LeafIndex>,
}

impl Places {
    /// Sorts the outcomes of an atomic submission.
    fn of(receipted: &Receipted) -> Self {
        let mut duplicates = Vec::new();
        let mut new: Option<(u64, u64)> = None;
        let mut outside = Vec::new();
        for (position, outcome) in receipted.outcomes.iter().enumerate() {
            match outcome {
                // The new entries of a group are contiguous and in its order.
                Outcome::Sequenced { index } => {
                    let from = new.map_or(index.get(), |(from, _)| from);
                    new = Some((from, index.get() + 1));
                }
                Outcome::Duplicate { index } => {
                    let position =
                        u32::try_from(position).expect("a batch has 4,096 entries at most");
                    duplicates.push(BatchDuplicate { position, leaf_index: index.get() });
                    outside.push(*index);
                }
                Outcome::Suppressed => {}
                Outcome::Conflict { .. } => {
                    unreachable!("a conflict fails an atomic submission as a whole")
                }
            }
        }
        // A batch of duplicates only has an empty range, at the end of the tree.
        let size = receipted.published.head().size.get();
        let (from, to) = new.unwrap_or((size, size));
        outside.retain(|index| !(from..to).contains(&index.get()));
        outside.sort_unstable();
        outside.dedup();
        Self { from, to, duplicates, outside }
    }
}
