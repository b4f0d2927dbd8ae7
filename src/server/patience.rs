//! A connection that has to say something soon.
//!
//! Until a client has sent the 24 bytes that tell HTTP/2 from HTTP/1 nothing above times it out: it
//! would hold one of a bounded number of connections for ever, at no cost to itself.

use core::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Length of the preface of HTTP/2 (RFC 9113, section 3.4).
///
/// A request of HTTP/1.0 can be shorter; it is answered, and only the wait for the next one is cut.
const PREFACE_BYTES: usize = 24;

/// A stream that fails to read unless its first bytes arrive in time.
pub(super) struct Patient<S> {
    stream: S,
    /// `None` once the first bytes are there.
    waiting: Option<Waiting>,
}

/// What has not come yet, and until when it may.
struct Waiting {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// Gives the first bytes of `stream` a limited time.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        let waiting = Waiting { missing: PREFACE_BYTES, deadline: Box::pin(sleep(patience)) };
        Self { stream, waiting: Some(waiting) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(waiting) = &mut self.waiting else { return read };
        match &read {
            Poll::Ready(Ok(())) => {
                waiting.missing = waiting.missing.saturating_sub(buffer.filled().len() - filled);
                if waiting.missing == 0 {
                    self.waiting = None;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if waiting.deadline.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
