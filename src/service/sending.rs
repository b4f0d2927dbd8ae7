//! Bounds what answers hold in memory until their clients have taken them.
//!
//! A bundle has up to 16 MiB and a message of `ReadEntries` up to 1 MiB. A slow reader holds what it
//! was sent for as long as it likes, so all such answers share a budget: who finds it used up waits
//! for a while and is then told to come back.

use core::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::grpc::Denial;

/// The budget is counted in this unit, because a semaphore counts in 32 bits.
const UNIT_BYTES: u64 = 1_024;

/// How long to wait for a share: a client that reads takes 16 MiB within it at 27 Mbit/s.
const SHARE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are handed to the connection at once.
const SLICE_BYTES: usize = 64 * 1_024;

/// The budget of all answers under way. Clones share it.
#[derive(Clone, Debug)]
pub struct Sending {
    units: Arc<Semaphore>,
}

/// What one answer holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(OwnedSemaphorePermit);

impl Sending {
    /// Makes a budget.
    pub fn new(bytes_max: u64) -> Self {
        let units = usize::try_from(bytes_max / UNIT_BYTES).unwrap_or(usize::MAX);
        Self { units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))) }
    }

    /// Takes the share of an answer of at most `bytes`, before it is read.
    pub(super) async fn take(&self, bytes: usize) -> Result<Share, Denial> {
        let take = Arc::clone(&self.units).acquire_many_owned(units(bytes));
        let permit = timeout(SHARE_TIMEOUT, take).await.map_err(|_elapsed| Denial::sending())?;
        Ok(Share(permit.expect("the semaphore is never closed")))
    }
}

fn units(bytes: usize) -> u32 {
    let units = u64::try_from(bytes).expect("a length fits 64 bits").div_ceil(UNIT_BYTES);
    u32::try_from(units).expect("an answer has 16 MiB at most")
}

impl Share {
    /// Gives back what an answer of `bytes` does not need.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let held = u32::try_from(self.0.num_permits()).expect("a share was taken in 32 bits");
        let spare = held.saturating_sub(units(bytes));
        drop(self.0.split(usize::try_from(spare).expect("32 bits fit an address")));
    }
}

/// The body of an answer that holds its share until the last slice is on its way.
pub(super) struct Slices {
    bytes: Bytes,
    _share: Share,
}

impl Slices {
    /// Makes a body of bytes and the share that was taken for them.
    pub(super) fn new(bytes: Bytes, share: Share) -> Self {
        Self { bytes, _share: share }
    }
}

impl Body for Slices {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let bytes = self.bytes.len().min(SLICE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.bytes.len()).expect("a length fits 64 bits"))
    }
}
