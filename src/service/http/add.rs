//! `POST /add`: a raw entry in, its leaf index out, once a published checkpoint covers it.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use tokio_stream::StreamExt as _;

use super::{denied, text};
use crate::{
    core::entry::{ENTRY_BYTES_MAX, EntryError},
    pipeline::{Log, NewEntry, Outcome, Submission},
    service::{
        Desk, Principal,
        grpc::{Denial, Fields},
    },
};

/// How long a client may take to send one entry: 64 KiB in this time is 17 kbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Appends the body of a request as one entry.
pub(super) async fn add(desk: &Desk, log: &Arc<Log>, request: Request) -> Response {
    let principal = Principal::of(request.extensions());
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let entry = match tokio::time::timeout(BODY_TIMEOUT, read(request.into_body(), announced)).await {
        Ok(Ok(entry)) => entry,
        Ok(Err(Unread::Denied(denial))) => return denied(&desk.metrics.denied(denial)),
        // Nobody reads this answer; it only ends the exchange.
        Ok(Err(Unread::Gone)) => return text(StatusCode::BAD_REQUEST, "the body ended early; send it whole\n"),
        Err(_elapsed) => {
            return text(StatusCode::REQUEST_TIMEOUT, "the entry did not arrive in time; send it again\n");
        }
    };
    match append(desk, log, entry, principal).await {
        // The body is the index and nothing else, as Tessera's hammer reads it.
        Ok(index) => text(StatusCode::OK, index.to_string()),
        Err(denial) => denied(&desk.metrics.denied(denial)),
    }
}

/// Why a body was not read.
enum Unread {
    Denied(Denial),
    Gone,
}

/// Reads a body of at most one entry's length.
async fn read(body: Body, announced: Option<usize>) -> Result<Bytes, Unread> {
    let too_long =
        |bytes| Unread::Denied(Denial::entry(0, EntryError::TooLong { bytes }, Fields::Single));
    if let Some(bytes) = announced.filter(|bytes| *bytes > ENTRY_BYTES_MAX) {
        return Err(too_long(bytes));
    }
    let mut entry = BytesMut::with_capacity(announced.unwrap_or_default());
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_gone| Unread::Gone)?;
        let bytes = entry.len() + chunk.len();
        if bytes > ENTRY_BYTES_MAX {
            return Err(too_long(bytes));
        }
        entry.extend_from_slice(&chunk);
    }
    Ok(entry.freeze())
}

async fn append(desk: &Desk, log: &Arc<Log>, bytes: Bytes, principal: Bytes) -> Result<u64, Denial> {
    let entries = vec![NewEntry { bytes, key: None }];
    let submission = Submission { entries, principal, atomic: false };
    let ticket = desk
        .pipeline
        .submit(log, submission)
        .map_err(|refusal| Denial::refused(&refusal, Fields::Single))?;
    let receipted = ticket.await.map_err(|failure| Denial::failed(&failure, Fields::Single))?;
    match receipted.outcomes.first().expect("a submission has one outcome an entry") {
        Outcome::Sequenced { index } | Outcome::Duplicate { index } => Ok(index.get()),
        Outcome::Conflict { first } => Err(Denial::conflict(0, *first, Fields::Single)),
    }
}
