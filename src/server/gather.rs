//! A connection that writes the answers of one moment together.
//!
//! One commit answers dozens of requests of a connection, each on a task of its own. The first of
//! them wakes the connection, and the runtime runs a task that was just woken before those that wait
//! (tokio's LIFO slot); besides, HTTP/2 hands each frame of 256 bytes or more to the socket alone. So
//! there would be a system call for each answer, and each would wake the client.
//!
//! Here small writes are collected, and a flush waits for one turn of the runtime: until the tasks
//! that were ready before it have run. On an idle runtime that is at once.
//!
//! # Invariants
//!
//! - While `waiting` holds bytes, a flush is under way or the task that owns the connection has been
//!   woken to make one: HTTP/1 and HTTP/2 flush whenever they are polled.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that are collected: the full receipts of some 30 entries.
///
/// All open connections together (1,024 by default) hold 32 MiB, if all of their clients stop reading
/// at once.
const GATHER_BYTES_MAX: usize = 32 * 1_024;

/// A stream that collects small writes and flushes once a turn.
pub(super) struct Gather<S> {
    stream: S,
    /// What was taken and not written, behind `written` bytes that were.
    waiting: Vec<u8>,
    written: usize,
    /// Whether the turn is over, and the next flush writes.
    turned: bool,
}

impl<S> Gather<S> {
    /// Collects the writes to `stream`.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), written: 0, turned: false }
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Writes all that was collected.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        // An idle connection keeps no buffer.
        self.waiting = Vec::new();
        self.written = 0;
        self.turned = false;
        Poll::Ready(Ok(()))
    }

    /// Makes room for `bytes`; returns whether they are few enough to be collected.
    fn poll_room(&mut self, context: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + bytes > GATHER_BYTES_MAX {
            ready!(self.poll_drain(context))?;
        }
        let small = bytes <= GATHER_BYTES_MAX / 2;
        if small && self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(GATHER_BYTES_MAX);
        }
        Poll::Ready(Ok(small))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(context, bytes.len()))? {
            // Larger than the rest: what was collected has to go before it.
            ready!(self.poll_drain(context))?;
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() && !self.turned {
            self.turned = true;
            // A task that wakes itself goes behind all that are ready. Then it flushes again.
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
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
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(self.poll_room(context, bytes))? {
            ready!(self.poll_drain(context))?;
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        slices.iter().for_each(|slice| self.waiting.extend_from_slice(slice));
        Poll::Ready(Ok(bytes))
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use super::*;

    /// Keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            // As a socket that is nearly full: at most 20,000 bytes at once.
            let taken = bytes.get(..20_000).unwrap_or(bytes);
            self.0.push(taken.to_vec());
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(gather: &mut Gather<Writes>, bytes: &[u8]) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(gather).poll_write(&mut context, bytes) {
            Poll::Ready(Ok(taken)) => taken,
            other => unreachable!("this stream takes everything: {other:?}"),
        }
    }

    fn flush(gather: &mut Gather<Writes>) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(gather).poll_flush(&mut context), Poll::Ready(Ok(()))));
    }

    #[test]
    fn small_writes_of_a_turn_are_one() {
        let mut gather = Gather::new(Writes::default());
        for turn in 1..=2 {
            assert_eq!(write(&mut gather, b"a"), 1);
            flush(&mut gather);
            assert_eq!(write(&mut gather, b"b"), 1);
            assert_eq!(gather.stream.0.len(), turn - 1, "the turn is not over");
            flush(&mut gather);
            assert_eq!(gather.stream.0.last().unwrap(), b"ab");
            assert_eq!(gather.waiting.capacity(), 0, "an idle connection keeps no buffer");
        }
    }

    #[test]
    fn no_byte_is_lost_or_moved_however_long_the_writes_are() {
        let mut gather = Gather::new(Writes::default());
        let mut sent = Vec::new();
        for (round, length) in [1, 16_384, 16_385, 3, 16_384, 16_384, 100_000, 5].iter().enumerate()
        {
            let mut rest = vec![u8::try_from(round).unwrap(); *length];
            sent.extend_from_slice(&rest);
            while !rest.is_empty() {
                let taken = write(&mut gather, &rest);
                rest.drain(..taken);
            }
            assert!(gather.waiting.len() <= GATHER_BYTES_MAX);
        }
        flush(&mut gather);
        flush(&mut gather);
        assert_eq!(gather.stream.0.concat(), sent);
    }

    #[test]
    fn a_connection_that_ends_writes_what_it_collected() {
        let mut gather = Gather::new(Writes::default());
        write(&mut gather, b"last words");
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut gather).poll_shutdown(&mut context).is_ready());
        assert_eq!(gather.stream.0.concat(), b"last words");
    }
}
