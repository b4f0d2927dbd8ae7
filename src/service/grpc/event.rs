//! `AppendEvent` and `AppendEventBatch`: audit events in, their records and receipts out.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Request, Response};

use super::{
    Answered,
    answer::hash,
    append::{Caller, Single, key, take},
    batch::{Many, take_all},
    prove::leaves,
    status::{Denial, Fields},
    stream::{Became, Kind},
};
use crate::{
    core::{
        number::LeafIndex,
        record::{Body, Opening, Record, SUBMISSION_LIMITS, Verdict, holds_made},
    },
    pipeline::{Content, Log, NewEntry, Outcome, Receipted, Recorded},
    proto::{
        self, Answer, AppendEventStreamRequest, AppendEventStreamResponse, AppendRefusal,
        AppendResponse, EventRecord, append_event_stream_response,
    },
    service::{Desk, look},
};

/// Appends one event and answers when a published checkpoint covers its record.
pub(super) async fn append(
    desk: &Desk,
    request: Request<proto::AppendEventRequest>,
) -> Answered<proto::AppendEventResponse> {
    let (caller, request) = Caller::of(request);
    let single = Single {
        log: request.log,
        bytes: request.event,
        idempotency_key: request.idempotency_key,
        answer: request.answer,
        wait: request.wait,
        wait_ms: request.wait_ms,
    };
    answer_append(desk, single, &caller)
        .await
        .map(Response::new)
        .map_err(|denial| desk.metrics.denied(denial).into())
}

/// Submits the event and makes the answer.
async fn answer_append(
    desk: &Desk,
    single: Single,
    caller: &Caller,
) -> Result<proto::AppendEventResponse, Denial> {
    check(0, &single.bytes, Fields::Event)?;
    let mut taken = take(desk, single, Content::Event, Fields::Event, caller).await?;
    if taken.receipted.outcomes == [Outcome::Suppressed] {
        return Ok(proto::AppendEventResponse { appended: None, record: Some(suppressed()) });
    }
    taken.receipted = with_leaf_hashes(desk, &taken.log, taken.receipted).await?;
    let appended = taken.appended(desk, Fields::Event)?;
    let recorded = taken.receipted.records.first_mut().and_then(Option::take);
    let record = record(recorded, appended.leaf_hash.clone(), taken.answer);
    Ok(proto::AppendEventResponse { appended: Some(appended), record: Some(record) })
}

/// Appends all events or none.
pub(super) async fn append_batch(
    desk: &Desk,
    request: Request<proto::AppendEventBatchRequest>,
) -> Answered<proto::AppendEventBatchResponse> {
    let (caller, request) = Caller::of(request);
    answer_batch(desk, request, &caller)
        .await
        .map(Response::new)
        .map_err(|denial| desk.metrics.denied(denial).into())
}

/// Submits the events and makes the answer.
async fn answer_batch(
    desk: &Desk,
    request: proto::AppendEventBatchRequest,
    caller: &Caller,
) -> Result<proto::AppendEventBatchResponse, Denial> {
    let (entries, fields) = parse_events(request.events, request.keyed_events)?;
    let many = Many {
        log: request.log,
        entries,
        fields,
        answer: request.answer,
        wait: request.wait,
        wait_ms: request.wait_ms,
    };
    let log = desk.log(&many.log)?;
    let (appended, receipted, answer) = take_all(desk, many, Content::Event, caller).await?;
    let receipted = with_leaf_hashes(desk, &log, receipted).await?;
    let mut records = receipted.records.into_iter();
    let became = receipted.outcomes.iter().zip(&receipted.leaf_hashes);
    let records = became.map(|(outcome, leaf_hash)| match (outcome, records.next().flatten()) {
        (Outcome::Suppressed, _) => suppressed(),
        (_, recorded) => record(recorded, hash(leaf_hash), answer),
    });
    let records = records.collect();
    Ok(proto::AppendEventBatchResponse { appended: Some(appended), records })
}

/// Takes the events from whichever of the two fields holds them.
fn parse_events(
    plain: Vec<Bytes>,
    keyed: Vec<proto::BatchEvent>,
) -> Result<(Vec<NewEntry>, Fields), Denial> {
    if !plain.is_empty() && !keyed.is_empty() {
        let message = "events and keyed_events exclude each other; put all events into one of them";
        return Err(Denial::field("keyed_events", message));
    }
    let (events, fields): (Vec<NewEntry>, _) = if keyed.is_empty() {
        let events = plain.into_iter().map(|bytes| NewEntry::new(bytes, None));
        (events.collect(), Fields::Events)
    } else {
        let new = |event: proto::BatchEvent| NewEntry::new(event.event, key(event.idempotency_key));
        (keyed.into_iter().map(new).collect(), Fields::KeyedEvents)
    };
    for (position, event) in events.iter().enumerate() {
        check(position, &event.bytes, fields)?;
    }
    Ok((events, fields))
}

/// Refuses bytes that can be no event because of their length.
pub(in crate::service) fn check(
    position: usize,
    bytes: &[u8],
    fields: Fields,
) -> Result<(), Denial> {
    match bytes.len() {
        0 => Err(Denial::no_event(position, fields)),
        bytes if bytes > SUBMISSION_LIMITS.bytes => {
            Err(Denial::long_event(position, bytes, fields))
        }
        _ => Ok(()),
    }
}

/// Fills in the leaf hashes of events that were in the log before: only the log knows their bytes.
pub(in crate::service) async fn with_leaf_hashes(
    desk: &Desk,
    log: &Arc<Log>,
    mut receipted: Receipted,
) -> Result<Receipted, Denial> {
    let before = |outcome: &Outcome| matches!(outcome, Outcome::Duplicate { .. });
    if !receipted.outcomes.iter().any(before) {
        return Ok(receipted);
    }
    let (desk, log) = (desk.clone(), Arc::clone(log));
    // Thousands of tiles may have to come from the disk.
    look::blocking(move || {
        fill_leaf_hashes(&desk, &log, &mut receipted)?;
        Ok(receipted)
    })
    .await?
}

/// See [`with_leaf_hashes`].
pub(super) fn fill_leaf_hashes(
    desk: &Desk,
    log: &Log,
    receipted: &mut Receipted,
) -> Result<(), Denial> {
    let places = receipted.outcomes.iter().enumerate();
    let before = places.filter_map(|(position, outcome)| match outcome {
        Outcome::Duplicate { index } => Some((*index, position)),
        _ => None,
    });
    let mut before: Vec<(LeafIndex, usize)> = before.collect();
    before.sort_unstable();
    let mut indices: Vec<LeafIndex> = before.iter().map(|(index, _)| *index).collect();
    indices.dedup();
    let prover = desk.prover(log, &receipted.published);
    let hashes = leaves(&prover, &indices)?;
    for (index, position) in before {
        let found = indices.binary_search(&index).ok().and_then(|at| hashes.get(at));
        if let (Some(found), Some(hash)) = (found, receipted.leaf_hashes.get_mut(position)) {
            *hash = *found;
        }
    }
    Ok(())
}

/// Says what an event became; nothing is known of one that was in the log before.
fn record(recorded: Option<Recorded>, leaf_hash: Bytes, answer: Answer) -> EventRecord {
    let Some(recorded) = recorded else {
        return EventRecord { leaf_hash, ..EventRecord::default() };
    };
    let (verdict, rules) = (verdict(recorded.verdict).into(), rules(&recorded));
    let record = EventRecord { verdict, rules, leaf_hash, ..EventRecord::default() };
    if answer != Answer::Receipt {
        return record;
    }
    let openings = recorded.openings.into_iter().map(opening).collect();
    EventRecord { entry: recorded.entry, openings, ..record }
}

/// Says that an event was counted instead of recorded.
fn suppressed() -> EventRecord {
    EventRecord { suppressed: true, ..EventRecord::default() }
}

/// Returns the names of the rules behind a verdict, which the record has.
pub(in crate::service) fn rules(recorded: &Recorded) -> Vec<String> {
    if recorded.verdict == Verdict::Accept {
        return Vec::new();
    }
    let record = Record::parse(&recorded.entry).expect("the log makes records that it can read");
    match record.body() {
        Body::Event(event) => event.rules().to_vec(),
        Body::System(_) => unreachable!("an event becomes a record of type event"),
    }
}

/// Returns what opens a commitment; the value only where the producer does not have it.
fn opening(opening: Opening) -> proto::FieldOpening {
    let made = holds_made(&opening.path);
    proto::FieldOpening {
        path: opening.path.as_str().to_owned(),
        salt: Bytes::copy_from_slice(opening.salt.as_bytes()),
        value: made.then(|| Bytes::copy_from_slice(&opening.value)),
    }
}

/// Returns the verdict as messages name it.
const fn verdict(verdict: Verdict) -> proto::Verdict {
    match verdict {
        Verdict::Accept => proto::Verdict::Accept,
        Verdict::Warn => proto::Verdict::Warn,
        Verdict::Quarantine => proto::Verdict::Quarantine,
        Verdict::Error => proto::Verdict::Error,
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct Events;

impl Kind for Events {
    type Request = AppendEventStreamRequest;
    type Response = AppendEventStreamResponse;
    const CONTENT: Content = Content::Event;
    const FIELDS: Fields = Fields::Event;

    fn read(request: AppendEventStreamRequest) -> Single {
        Single {
            log: request.log,
            bytes: request.event,
            idempotency_key: request.idempotency_key,
            answer: request.answer,
            wait: request.wait,
            wait_ms: request.wait_ms,
        }
    }

    fn check(bytes: &[u8]) -> Result<(), Denial> {
        check(0, bytes, Fields::Event)
    }

    fn fill(desk: &Desk, log: &Log, receipted: &mut Receipted) -> Result<(), Denial> {
        if receipted.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Duplicate { .. })) {
            fill_leaf_hashes(desk, log, receipted)?;
        }
        Ok(())
    }

    fn appended(appended: Option<AppendResponse>, became: Became) -> AppendEventStreamResponse {
        let record = match became.outcome {
            Outcome::Suppressed => suppressed(),
            _ => record(became.recorded, became.leaf_hash, became.answer),
        };
        let appended = proto::AppendEventResponse { appended, record: Some(record) };
        let outcome = append_event_stream_response::Outcome::Appended(appended);
        AppendEventStreamResponse { outcome: Some(outcome) }
    }

    fn refused(refusal: AppendRefusal) -> AppendEventStreamResponse {
        let outcome = append_event_stream_response::Outcome::Refused(refusal);
        AppendEventStreamResponse { outcome: Some(outcome) }
    }
}
