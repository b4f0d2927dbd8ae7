//! `GetEntry` and `ReadEntries`.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::{Response, Status};

use super::{Answered, answer, status::Denial};
use crate::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, LogNumber},
    },
    pipeline::Log,
    proto,
    service::{Desk, look, segment},
    store::{Entry, Store},
};

/// Entries of one message, which is also the alignment of bundles.
const MESSAGE_ENTRIES_MAX: u64 = 256;

/// Returns one entry.
pub(super) fn entry(desk: &Desk, request: &proto::GetEntryRequest) -> Answered<proto::GetEntryResponse> {
    let log = desk.log(&request.log)?;
    let index = look::index(request.leaf_index, log.published().head().size, "leaf_index")?;
    let entry = desk
        .pipeline
        .store()
        .entry(log.number(), index)
        .map_err(|error| look::unreadable(&error))?
        .ok_or_else(|| missing(&log, index))?;
    let Entry::Bytes(entry) = entry else {
        return Err(Denial::erased(index.get()).into());
    };
    let leaf_hash = answer::hash(&TreeHash::leaf(&entry));
    Ok(Response::new(proto::GetEntryResponse { entry, leaf_hash }))
}

/// A published entry is not in the database: logged here, without details in the answer.
fn missing(log: &Log, index: LeafIndex) -> Denial {
    tracing::error!(origin = log.origin(), leaf_index = index.get(), "a published entry is missing");
    Denial::internal()
}

/// Starts a stream of the entries `[from, to)`.
pub(super) fn entries(desk: &Desk, request: &proto::ReadEntriesRequest) -> Answered<Entries> {
    let log = desk.log(&request.log)?;
    let published = log.published();
    let to = look::size(request.to, &published, "to")?.get();
    if request.from > to {
        let message = format!("from {} is larger than to {to}; swap them", request.from);
        return Err(Denial::reversed("from", message).into());
    }
    let store = desk.pipeline.store().clone();
    Ok(Response::new(Entries { store, log: log.number(), next: request.from, to, reading: None }))
}

type Read = Result<proto::ReadEntriesResponse, Denial>;

/// The entries of a range, one bundle a message.
///
/// One bundle is read ahead while the client takes the one before: at most two are in memory. A
/// client that is gone drops the stream, and with it everything but the read under way.
pub struct Entries {
    store: Store,
    log: LogNumber,
    next: u64,
    to: u64,
    reading: Option<JoinHandle<Read>>,
}

impl Entries {
    fn read_ahead(&mut self) {
        if self.next >= self.to {
            return;
        }
        let from = self.next;
        let to = self.to.min((from / MESSAGE_ENTRIES_MAX + 1) * MESSAGE_ENTRIES_MAX);
        let (store, log) = (self.store.clone(), self.log);
        self.next = to;
        self.reading = Some(tokio::task::spawn_blocking(move || read(&store, log, from, to)));
    }
}

/// Reads the entries `[from, to)` of one bundle.
fn read(store: &Store, log: LogNumber, from: u64, to: u64) -> Read {
    let mut entries: Vec<Bytes> = Vec::new();
    segment::each(store, log, from, to, |index, entry| {
        entries.push(entry.ok_or_else(|| Denial::erased(index))?);
        Ok(())
    })?;
    Ok(proto::ReadEntriesResponse { from, entries })
}

impl Stream for Entries {
    type Item = Result<proto::ReadEntriesResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.reading.is_none() {
            self.read_ahead();
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let read = read.unwrap_or_else(|error| Err(look::unreadable(&error)));
        match &read {
            Ok(_) => self.read_ahead(),
            // Nothing follows an error.
            Err(_) => self.next = self.to,
        }
        Poll::Ready(Some(read.map_err(Status::from)))
    }
}
