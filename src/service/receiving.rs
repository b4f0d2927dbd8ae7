//! Bounds what half-read requests hold in memory.
//!
//! A message is handed to its handler when it is complete, and only then does the pool count it.
//! Until then it waits in the decoder, up to 17 MiB a request. So all requests that are being read
//! share a budget, and one that goes over it is refused at once; and each message has to be complete
//! in time, so that a client that stops sending does not keep its share.

use core::{
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::Duration,
};
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::{frame::Frames, grpc::Denial};

/// How long one message may take to arrive: 17 MiB in this time are 5 Mbit/s.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// What an open request costs besides its bytes: the decoder's buffer (8 KiB, tonic's default).
const REQUEST_BYTES: u64 = 8 * 1_024;

/// The budget of all requests that are being read. Clones share it.
#[derive(Clone, Debug)]
pub struct Receiving {
    used: Arc<AtomicU64>,
    bytes_max: u64,
}

impl Receiving {
    /// Makes a budget.
    pub fn new(bytes_max: u64) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    /// Takes the share of an open request; the server-side half of a stream takes one too.
    pub fn open(&self) -> Share {
        let mut share = Share { budget: self.clone(), held: 0 };
        share.set(REQUEST_BYTES);
        share
    }
}

/// What one request holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Receiving,
    held: u64,
}

impl Share {
    /// Changes what is held besides what an open request costs; refuses if all together hold too much.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Denial> {
        self.set(REQUEST_BYTES + u64::try_from(bytes).expect("a length fits 64 bits"));
        self.check()
    }

    /// Changes what is held.
    fn set(&mut self, bytes: u64) {
        if bytes > self.held {
            self.budget.used.fetch_add(bytes - self.held, Ordering::AcqRel);
        } else {
            self.budget.used.fetch_sub(self.held - bytes, Ordering::AcqRel);
        }
        self.held = bytes;
    }

    /// Refuses the request if all together hold too much.
    pub(super) fn check(&self) -> Result<(), Denial> {
        let used = self.budget.used.load(Ordering::Acquire);
        if used > self.budget.bytes_max { Err(Denial::receiving()) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The body of a request, read at the expense of the budget.
pub(super) struct Received {
    body: Incoming,
    share: Share,
    /// Bytes that were read and are not yet handed on.
    waiting: u64,
    /// Where the messages of a stream end; `None` if the request is one message, which is handed on
    /// when the request ends.
    frames: Option<Frames>,
    /// Set while the client keeps the server waiting for the rest of a message.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Received {
    /// Reads a request that is one message.
    pub(super) fn whole(body: Incoming, budget: &Receiving) -> Self {
        Self { body, share: budget.open(), waiting: 0, frames: None, deadline: None }
    }

    /// Reads a request that is a stream of messages.
    pub(super) fn stream(body: Incoming, budget: &Receiving) -> Self {
        Self { frames: Some(Frames::default()), ..Self::whole(body, budget) }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Denial> {
        let bytes = u64::try_from(chunk.len()).expect("a length fits 64 bits");
        self.waiting = match &mut self.frames {
            None => self.waiting + bytes,
            Some(frames) => {
                self.deadline = None;
                frames.advance(chunk)
            }
        };
        self.share.set(REQUEST_BYTES + self.waiting);
        self.share.check()
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            // Between two messages a stream may rest for as long as it likes.
            Poll::Pending if self.frames.is_some() && self.waiting == 0 => Poll::Pending,
            Poll::Pending => {
                let deadline =
                    self.deadline.get_or_insert_with(|| Box::pin(sleep(RECEIVE_TIMEOUT)));
                deadline.as_mut().poll(context).map(|()| Some(Err(Denial::too_slow().into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(gone))) => {
                Poll::Ready(Some(Err(Status::from_error(Box::new(gone)))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let taken = self.take(frame.data_ref().map_or(&[], |chunk| chunk));
                Poll::Ready(Some(taken.map(|()| frame).map_err(Status::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
