//! `GetEntry` and `ReadEntries`.

use bytes::Bytes;
use core::{
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{runtime::Handle, task::JoinHandle};
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
    service::{Desk, Sending, look, receiving, segment, sending},
    store::{Entry, Store},
};

/// Entries of one message, which is also the alignment of bundles.
const MESSAGE_ENTRIES_MAX: u64 = 256;

/// Bytes of the entries of one message. It holds 16 of the longest entries, and stays below the 4 MiB
/// that gRPC clients take by default.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Returns one entry.
pub(super) fn entry(
    desk: &Desk,
    request: &proto::GetEntryRequest,
) -> Answered<proto::GetEntryResponse> {
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
    tracing::error!(
        origin = log.origin(),
        leaf_index = index.get(),
        "a published entry is missing"
    );
    Denial::internal()
}

/// Starts a stream of the entries `[from, to)`.
pub(super) fn entries(desk: &Desk, request: &proto::ReadEntriesRequest) -> Answered<Entries> {
    let log = desk.log(&request.log)?;
    let published = log.published();
    let from = look::size(Some(request.from), &published, "from")?.get();
    let to = look::size(request.to, &published, "to")?.get();
    if from > to {
        let message = format!("from {from} is larger than to {to}; swap them");
        return Err(Denial::reversed("from", message).into());
    }
    let share = desk.receiving.open();
    share.check()?;
    let (store, sending) = (desk.pipeline.store().clone(), desk.sending.clone());
    let reader = Reader { store, sending, log: log.number() };
    Ok(Response::new(Entries { reader, next: from, to, reading: None, held: None, _share: share }))
}

/// One message, its share of the sending budget, and the index after its last entry.
type Read = Result<(proto::ReadEntriesResponse, sending::Share, u64), Denial>;

/// The entries of a range.
///
/// One message is read ahead while the client takes the one before: at most two are in memory. A
/// client that is gone drops the stream, and with it everything but the read under way.
pub struct Entries {
    reader: Reader,
    /// First entry that is not read yet.
    next: u64,
    to: u64,
    reading: Option<JoinHandle<Read>>,
    /// The share of the message that the connection is sending.
    held: Option<sending::Share>,
    _share: receiving::Share,
}

/// Where entries come from.
#[derive(Clone)]
struct Reader {
    store: Store,
    sending: Sending,
    log: LogNumber,
}

impl Reader {
    /// Reads one message from `from`: at most to the end of its bundle, and not beyond `to`.
    async fn read(self, from: u64, to: u64) -> Read {
        let to = to.min((from / MESSAGE_ENTRIES_MAX + 1) * MESSAGE_ENTRIES_MAX);
        let mut share = self.sending.take(MESSAGE_BYTES_MAX).await?;
        let entries = look::blocking(move || collect(&self.store, self.log, from, to)).await??;
        share.shrink(entries.iter().map(Bytes::len).sum());
        let next = from + u64::try_from(entries.len()).expect("a message has 256 entries at most");
        Ok((proto::ReadEntriesResponse { from, entries }, share, next))
    }
}

/// Reads the entries `[from, to)` as far as they fit one message.
fn collect(store: &Store, log: LogNumber, from: u64, to: u64) -> Result<Vec<Bytes>, Denial> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    segment::each(store, log, from, to, |index, entry| {
        let entry = entry.ok_or_else(|| Denial::erased(index))?;
        bytes += entry.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Ok(ControlFlow::Break(()));
        }
        // The message holds its own bytes, not the segment that they were read with.
        entries.push(Bytes::copy_from_slice(&entry));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(entries)
}

impl Entries {
    fn read_ahead(&mut self) {
        if self.next < self.to {
            let read = self.reader.clone().read(self.next, self.to);
            self.reading = Some(Handle::current().spawn(read));
        }
    }
}

impl Stream for Entries {
    type Item = Result<proto::ReadEntriesResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // To be asked for more means that the last message is on its way.
        self.held = None;
        if self.reading.is_none() {
            self.read_ahead();
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let read = read.unwrap_or_else(|error| Err(look::unreadable(&error)));
        Poll::Ready(Some(match read {
            Ok((message, share, next)) => {
                self.held = Some(share);
                self.next = next;
                self.read_ahead();
                Ok(message)
            }
            Err(denial) => {
                // Nothing follows an error.
                self.next = self.to;
                Err(denial.into())
            }
        }))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}
