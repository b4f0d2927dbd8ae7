//! `POST /v1/events`: audit events in, their indices and verdicts out.
//!
//! ```text
//! application/json        one event                one object: {"index":7,"leaf_hash":"...","verdict":"accept"}
//! application/x-ndjson    one event a line         one such object a line, with the number of its line
//! ```
//!
//! Each line stands for itself: one that is refused refuses no other. The answer is 200 if all are taken,
//! 207 if some are, and the status of the first refusal if none is. `Idempotency-Key` names one event, and of
//! several lines each by the key, a hyphen and the number of the line, so that a body can be sent again.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde::Serialize;

use super::{
    add::{read, wait_for_checkpoint},
    retry_after, status,
};
use crate::{
    core::record::SUBMISSION_LIMITS,
    pipeline::{
        BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Content, IDEMPOTENCY_KEY_BYTES_MAX, Log, NewEntry,
        Outcome, Receipted, Recorded, Submission, Ticket,
    },
    service::{
        Desk, Principal,
        grpc::{Denial, Fields, event},
    },
};

/// The header that names a submission.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One event.
    One,
    /// One event a line.
    Lines,
}

impl Form {
    /// Reads the type of a body.
    fn of(headers: &HeaderMap) -> Result<Self, Denial> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Denial::media_type());
        }
        let mut parts = text(header::CONTENT_TYPE).unwrap_or_default().split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/json" => Self::One,
            "application/x-ndjson" => Self::Lines,
            _ => return Err(Denial::media_type()),
        };
        let is_utf8 = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        };
        if parts.all(is_utf8) { Ok(form) } else { Err(Denial::media_type()) }
    }

    /// Returns how many bytes a body may have.
    const fn bytes_max(self) -> usize {
        match self {
            Self::One => SUBMISSION_LIMITS.bytes,
            Self::Lines => BATCH_BYTES_MAX,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::One => "application/json",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// One event of a body, or why it is none.
struct Line {
    /// Its number, from 1; `None` where the body is the event.
    number: Option<u64>,
    read: Result<NewEntry, Denial>,
}

/// What became of one event, as JSON.
#[derive(Debug, Default, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_hash: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
    #[serde(skip_serializing_if = "is_false")]
    suppressed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

/// Why an event is not in the log, as JSON.
#[derive(Debug, Serialize)]
struct Fault {
    reason: &'static str,
    message: String,
    /// What else there is: the position of what is wrong, or the rules that reject it and their policy.
    #[serde(flatten)]
    details: serde_json::Map<String, serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Appends the events in the body of a request.
pub(super) async fn append(desk: &Desk, log: &Arc<Log>, request: Request) -> Response {
    let (form, lines, principal) = match take(request).await {
        Ok(taken) => taken,
        Err(denial) => return answer(desk, Form::One, vec![(None, Err(denial))]),
    };
    let numbers: Vec<Option<u64>> = lines.iter().map(|line| line.number).collect();
    let became = submit(desk, log, lines, &principal).await;
    answer(desk, form, numbers.into_iter().zip(became).collect())
}

/// Reads a request.
async fn take(request: Request) -> Result<(Form, Vec<Line>, Bytes), Denial> {
    let form = Form::of(request.headers())?;
    let key = key(request.headers())?;
    let principal = Principal::of(request.extensions());
    let body = read(request, form.bytes_max(), |bytes| match form {
        Form::One => Denial::long_event(0, bytes, Fields::Event),
        Form::Lines => Denial::large_body(BATCH_BYTES_MAX),
    });
    let body = body.await?;
    let lines = match form {
        Form::One => vec![Line { number: None, read: event(body, key) }],
        Form::Lines => lines(&body, key.as_deref())?,
    };
    Ok((form, lines, principal))
}

/// Reads the idempotency key: with quotes, as the header's draft has it, or without.
fn key(headers: &HeaderMap) -> Result<Option<Bytes>, Denial> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let value = value.as_bytes();
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let key = inner.unwrap_or(value);
    if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) {
        Ok(Some(Bytes::copy_from_slice(key)))
    } else {
        Err(Denial::key_length(0, key.len(), Fields::Event))
    }
}

/// Takes bytes as an event.
fn event(bytes: Bytes, key: Option<Bytes>) -> Result<NewEntry, Denial> {
    event::check(0, &bytes, Fields::Event)?;
    Ok(NewEntry::new(bytes, key))
}

/// Cuts a body into lines; empty ones are counted and passed over.
fn lines(body: &Bytes, key: Option<&[u8]>) -> Result<Vec<Line>, Denial> {
    let mut lines = Vec::new();
    for (number, text) in (1_u64..).zip(body.split(|byte| *byte == b'\n')) {
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if lines.len() == BATCH_ENTRIES_MAX {
            return Err(Denial::many_lines(BATCH_ENTRIES_MAX));
        }
        let key = key.map(|key| [key, b"-", number.to_string().as_bytes()].concat());
        let read = match key {
            Some(key) if key.len() > IDEMPOTENCY_KEY_BYTES_MAX => {
                Err(Denial::key_length(0, key.len(), Fields::Event))
            }
            key => event(body.slice_ref(text), key.map(Bytes::from)),
        };
        lines.push(Line { number: Some(number), read });
    }
    if lines.is_empty() { Err(Denial::no_event(0, Fields::Event)) } else { Ok(lines) }
}

/// What became of one event.
type Became = Result<Taken, Denial>;

/// An event that is in the log, or was counted.
struct Taken {
    outcome: Outcome,
    leaf_hash: String,
    recorded: Option<Recorded>,
}

/// Submits events together; returns what became of each.
async fn submit(desk: &Desk, log: &Arc<Log>, lines: Vec<Line>, principal: &Bytes) -> Vec<Became> {
    let send = |entries: Vec<NewEntry>| {
        let principal = principal.clone();
        let submission = Submission::new(entries, principal, Content::Event);
        desk.submit(log, submission, Fields::Event)
    };
    let events: Vec<NewEntry> =
        lines.iter().filter_map(|line| line.read.as_ref().ok().cloned()).collect();
    let count = events.len();
    let mut taken = Vec::new();
    if count > 0 {
        match send(events.clone()) {
            // One that is at fault refuses all that are submitted with it: then each stands for itself.
            Err(denial) if count > 1 && denial.is_about_one() => {
                let tickets: Vec<_> = events.into_iter().map(|event| send(vec![event])).collect();
                for ticket in tickets {
                    taken.extend(take_ticket(desk, log, ticket, 1).await);
                }
            }
            ticket => taken = take_ticket(desk, log, ticket, count).await,
        }
    }
    let mut taken = taken.into_iter();
    let became = lines.into_iter().map(|line| match line.read {
        Ok(_sent) => taken.next().expect("a submission has one outcome an entry"),
        Err(denial) => Err(denial),
    });
    became.collect()
}

/// Waits for the answer to events that were submitted together.
async fn take_ticket(
    desk: &Desk,
    log: &Arc<Log>,
    ticket: Result<Ticket, Denial>,
    count: usize,
) -> Vec<Became> {
    let ticket = match ticket {
        Ok(ticket) => ticket,
        Err(denial) => return all(&denial, count),
    };
    let receipted = match ticket.await {
        Ok(receipted) => receipted,
        Err(failure) => {
            let denied = |at| Err(Denial::failed_at(&failure, at, Fields::Event));
            return (0..count).map(denied).collect();
        }
    };
    let receipted = match event::with_leaf_hashes(desk, log, receipted).await {
        Ok(receipted) => receipted,
        Err(denial) => return all(&denial, count),
    };
    wait_for_checkpoint(desk, log, &receipted).await;
    each(receipted)
}

/// Refuses all events for the same reason.
fn all(denial: &Denial, count: usize) -> Vec<Became> {
    (0..count).map(|_| Err(denial.clone())).collect()
}

/// Returns what became of each event of a submission.
fn each(receipted: Receipted) -> Vec<Became> {
    let Receipted { outcomes, leaf_hashes, records, .. } = receipted;
    let mut records = records.into_iter();
    let placed = outcomes.into_iter().zip(leaf_hashes).map(|(outcome, leaf_hash)| {
        let recorded = records.next().flatten();
        match outcome {
            Outcome::Conflict { first } => Err(Denial::conflict(0, first, Fields::Event)),
            _ => Ok(Taken { outcome, leaf_hash: leaf_hash.to_base64(), recorded }),
        }
    });
    placed.collect()
}

impl Told {
    /// Says what became of one event.
    fn of(line: Option<u64>, became: Became) -> Self {
        let Taken { outcome, leaf_hash, recorded } = match became {
            Ok(taken) => taken,
            Err(denial) => {
                return Self { line, error: Some(Fault::of(&denial)), ..Self::default() };
            }
        };
        let (verdict, rules) = match &recorded {
            Some(recorded) => (Some(recorded.verdict.as_str()), event::rules(recorded)),
            None => (None, Vec::new()),
        };
        let (index, duplicate) = match outcome {
            Outcome::Sequenced { index } => (index, false),
            Outcome::Duplicate { index } => (index, true),
            Outcome::Suppressed => return Self { line, suppressed: true, ..Self::default() },
            Outcome::Conflict { .. } => unreachable!("a conflict was made a refusal"),
        };
        let (index, leaf_hash) = (Some(index.get()), Some(leaf_hash));
        Self { line, index, leaf_hash, duplicate, verdict, rules, ..Self::default() }
    }
}

impl Fault {
    /// Says why an event is not in the log.
    fn of(denial: &Denial) -> Self {
        let value = |name: &str, text: &str| match (name, text.parse::<u64>()) {
            ("rules", _) => text.split(' ').collect::<Vec<_>>().into(),
            ("line" | "column" | "offset", Ok(number)) => number.into(),
            _ => serde_json::Value::from(text),
        };
        let details =
            denial.details().iter().map(|(name, text)| ((*name).to_owned(), value(name, text)));
        let first = denial.first().map(|first| ("first_index".to_owned(), first.get().into()));
        Self {
            reason: denial.reason(),
            message: denial.message().to_owned(),
            details: details.chain(first).collect(),
        }
    }
}

/// Answers with what became of each event.
fn answer(desk: &Desk, form: Form, became: Vec<(Option<u64>, Became)>) -> Response {
    let denials = became.iter().filter_map(|(_, became)| became.as_ref().err());
    let denials: Vec<Denial> = denials.map(|denial| desk.metrics.denied(denial.clone())).collect();
    let mut body = String::new();
    let count = became.len();
    for (line, became) in became {
        let told = Told::of(line, became);
        body += &serde_json::to_string(&told).expect("what is told has names that are strings");
        body.push('\n');
    }
    let status = match denials.first() {
        None => StatusCode::OK,
        Some(_) if denials.len() < count => StatusCode::MULTI_STATUS,
        Some(denial) => status(denial),
    };
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some may be sent again at once and some after a while: the longest of these is right for all.
    if let Some(denial) = denials.iter().max_by_key(|denial| denial.retry_after()) {
        retry_after(&mut response, denial);
    }
    response
}
