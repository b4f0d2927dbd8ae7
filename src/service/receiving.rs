//! Bounds what half-read requests hold in memory.
//!
//! A message is handed to its handler when it is complete, and only then does the pool count it.
//! Until then it waits in the decoder, up to 17 MiB a request. So all requests that are being read
//! share a budget, and one that goes over it is refused at once; and each has to be complete in
//! time, so that a client that stops sending does not keep its share.

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

use super::grpc::Denial;

/// How long one request message may take to arrive: 17 MiB in this time are 5 Mbit/s.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(30);

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
}

/// The body of a request with a single message.
pub(super) struct Received {
    body: Incoming,
    budget: Receiving,
    taken: u64,
    /// Set when the client keeps the server waiting for the first time.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Received {
    /// Reads `body` at the expense of `budget`.
    pub(super) fn new(body: Incoming, budget: Receiving) -> Self {
        Self { body, budget, taken: 0, deadline: None }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Denial> {
        let bytes = u64::try_from(bytes).expect("a length fits 64 bits");
        self.taken += bytes;
        let used = self.budget.used.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if used > self.budget.bytes_max { Err(Denial::receiving()) } else { Ok(()) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::AcqRel);
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
            Poll::Pending => {
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(RECEIVE_TIMEOUT)));
                deadline.as_mut().poll(context).map(|()| Some(Err(Denial::too_slow().into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(gone))) => Poll::Ready(Some(Err(Status::from_error(Box::new(gone))))),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(self.take(bytes).map(|()| frame).map_err(Status::from)))
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
