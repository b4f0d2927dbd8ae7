//! Syslog on the one port: which connections speak it, and what becomes of their messages.
//!
//! A connection that begins with `<` or with a digit from 1 to 9 speaks syslog; HTTP begins with a letter. It is
//! only looked at where a source of that kind is configured, and not where a client has agreed on HTTP in its
//! TLS handshake.
//!
//! # Invariants
//!
//! - A message is submitted once, as soon as it is whole, together with what else has come; nothing is waited for.
//!   While it is not in the log nothing more is read, so that the sender's own queue is what fills.
//! - What was read is submitted, also where the connection breaks or the server stops. There is no
//!   acknowledgement in this protocol: what the kernel had taken and this process has not is lost if it
//!   is killed, and its sender does not know.

use core::{
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::listener::LAST_TURN;
use crate::{
    core::record::SUBMISSION_LIMITS,
    service::{
        Desk, Principal, Share,
        source::{Source, SourceKind},
    },
    source::{
        Item,
        syslog::{self, Framing},
    },
};

/// How long a client of which nothing is known may take for its first byte.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a sender may have nothing to say. One that is cut off loses what it writes before it notices, so
/// that this is longer than any pause of a sender that lives.
const IDLE_TIMEOUT: Duration = Duration::from_hours(24);

/// How long a message may take from its first byte to its last.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes after which what has come is taken, though more may be there: some hundreds of messages.
const READ_BYTES: usize = 256 << 10;

/// Bytes that are read at shutdown besides: what the kernel holds of a connection that is full.
const LAST_BYTES_MAX: usize = 8 << 20;

/// Most bytes of a batch: at least one item, and far less than one commit takes.
const BATCH_BYTES: usize = 2 * SUBMISSION_LIMITS.bytes;

/// The wait where a log takes nothing and does not say for how long.
const RETRY: Duration = Duration::from_millis(500);

/// The sources of the port.
pub(super) struct Syslog {
    desk: Desk,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP, or nothing that is known.
    Http,
    /// Syslog.
    Syslog,
}

impl Spoken {
    const fn of(first: u8) -> Self {
        match first {
            b'<' | b'1'..=b'9' => Self::Syslog,
            _ => Self::Http,
        }
    }
}

impl Syslog {
    /// Takes the sources of a server; `None` where none of them is of this kind.
    pub(super) fn of(desk: &Desk) -> Option<Arc<Self>> {
        desk.offers(SourceKind::Syslog).then(|| Arc::new(Self { desk: desk.clone() }))
    }

    /// Returns how long a client may take for its first byte.
    fn patience(&self, principal: Option<&Principal>) -> Duration {
        let principal = principal.map_or_else(Bytes::new, Principal::bytes);
        match self.desk.knows(SourceKind::Syslog, &principal) {
            true => IDLE_TIMEOUT,
            false => HELLO_TIMEOUT,
        }
    }

    /// Waits for the first byte of a connection in the clear, and leaves it there; `None` if it does not come.
    pub(super) async fn listen(&self, stream: &TcpStream) -> Option<Spoken> {
        let mut first = [0];
        let peeked = timeout(self.patience(None), stream.peek(&mut first)).await;
        match peeked {
            Ok(Ok(1)) => Some(Spoken::of(first[0])),
            _ => None,
        }
    }

    /// Waits for the first byte of a connection, and puts it back; `None` if it does not come.
    pub(super) async fn hear<S: AsyncRead + Unpin>(
        &self,
        mut stream: S,
        principal: Option<&Principal>,
    ) -> Option<(Spoken, Heard<S>)> {
        let first = timeout(self.patience(principal), stream.read_u8()).await.ok()?.ok()?;
        Some((Spoken::of(first), Heard { first: Some(first), stream }))
    }

    /// Takes the messages of a connection until it ends, or the server does.
    pub(super) async fn serve<S: AsyncRead + Unpin>(
        &self,
        stream: S,
        principal: Option<&Principal>,
        closing: &CancellationToken,
        dropping: &CancellationToken,
    ) {
        let principal = principal.map_or_else(Bytes::new, Principal::bytes);
        // Counted there. There is nothing that a sender of syslog would listen to.
        let Ok(source) = self.desk.source(SourceKind::Syslog, None, &principal) else { return };
        let bytes_max = source.bounds().body_bytes.min(SUBMISSION_LIMITS.bytes);
        let session = Session {
            desk: &self.desk,
            share: self.desk.receiving.open(),
            framing: Framing::new(bytes_max),
            came: BytesMut::new(),
            stream,
            source,
            late: None,
        };
        tokio::select! {
            () = session.run(closing) => {}
            () = dropping.cancelled() => {}
        }
    }
}

/// A connection whose first byte was looked at.
pub(super) struct Heard<S> {
    /// The byte, until it is read.
    first: Option<u8>,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
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

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The sender has ended it, or the connection broke.
    Gone,
    /// A message was not finished in time, or nothing came for too long.
    Slow,
    /// All that is being read holds too much memory.
    Full,
    /// The server stops.
    Closing,
}

/// One connection of a source.
struct Session<'d, S> {
    desk: &'d Desk,
    source: Arc<Source>,
    stream: S,
    framing: Framing,
    /// What was read, and is no whole message.
    came: BytesMut,
    /// The memory of `came`.
    share: Share,
    /// When the message that has begun has to be whole.
    late: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> Session<'_, S> {
    /// Reads, and brings what was read into the log, until nothing more comes or the server stops.
    async fn run(mut self, closing: &CancellationToken) {
        let end = loop {
            let read = tokio::select! {
                // A sender that never pauses is not waited for.
                biased;
                () = closing.cancelled() => Err(End::Closing),
                read = self.read() => read,
            };
            let items = self.items();
            self.take(items, closing).await;
            if let Err(end) = read {
                break end;
            }
        };
        if end == End::Closing {
            self.read_last().await;
        }
        let mut items = self.items();
        items.extend(self.framing.end(&mut self.came).iter().flat_map(syslog::items));
        self.take(items, closing).await;
        match end {
            End::Slow => self.source.meter().refuse("TOO_SLOW"),
            End::Full => self.source.meter().refuse("RECEIVING"),
            End::Gone | End::Closing => {}
        }
    }

    /// Waits for bytes, and takes what else is there.
    async fn read(&mut self) -> Result<(), End> {
        self.came.reserve(READ_BYTES / 8);
        let is_between = self.framing.is_between(&self.came);
        let mut patience = match is_between {
            true => Box::pin(sleep(IDLE_TIMEOUT)),
            false => self.late.take().unwrap_or_else(|| Box::pin(sleep(MESSAGE_TIMEOUT))),
        };
        let read = tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.came) => read,
            () = patience.as_mut() => return Err(End::Slow),
        };
        if !matches!(read, Ok(1..)) {
            return Err(End::Gone);
        }
        self.read_what_is_there(READ_BYTES).await?;
        // A message that had begun before has the time that is left, unless it is whole now.
        self.late = (!is_between).then_some(patience);
        self.share.hold(self.came.len()).map_err(|_denial| End::Full)
    }

    /// Reads without waiting, until so many bytes are there.
    async fn read_what_is_there(&mut self, bytes_max: usize) -> Result<(), End> {
        while self.came.len() < bytes_max {
            self.came.reserve(READ_BYTES / 8);
            let (stream, came) = (&mut self.stream, &mut self.came);
            let mut reading = Box::pin(stream.read_buf(came));
            let read = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Err(End::Gone),
            }
        }
        Ok(())
    }

    /// Reads what the kernel has taken, when the server stops.
    async fn read_last(&mut self) {
        let most = self.came.len() + LAST_BYTES_MAX;
        self.came.reserve(READ_BYTES / 8);
        // What has arrived is told within that time; a look alone may come before it is told.
        if let Ok(Ok(1..)) = timeout(LAST_TURN, self.stream.read_buf(&mut self.came)).await {
            // It may end here as anywhere.
            let _end = self.read_what_is_there(most).await;
        }
    }

    /// Makes items of what is whole.
    fn items(&mut self) -> Vec<Item> {
        let mut made = Vec::new();
        let mut frames = 0_u32;
        while let Some(frame) = self.framing.next(&mut self.came) {
            made.extend(syslog::items(&frame));
            frames += 1;
        }
        if frames > 0 {
            // The next message begins its own time.
            self.late = None;
        }
        made
    }

    /// Brings items into the log, however long that takes.
    async fn take(&mut self, items: Vec<Item>, closing: &CancellationToken) {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let mut batch = Vec::new();
            let mut bytes = 0;
            // One commit takes all of a batch or nothing, so that a retry doubles none.
            while batch.len() < self.source.bounds().items
                && let Some(item) = items.next_if(|item| bytes + item.bytes.len() <= BATCH_BYTES)
            {
                bytes += item.bytes.len();
                batch.push(item);
            }
            self.take_batch(batch, closing).await;
        }
    }

    /// Brings items into the log that fit one commit.
    async fn take_batch(&self, batch: Vec<Item>, closing: &CancellationToken) {
        while let Err(denial) = self.desk.take(&self.source, batch.clone()).await {
            if closing.is_cancelled() && denial.retry_after().is_none() {
                return tracing::warn!(
                    entries = batch.len(),
                    error = denial.reason(),
                    "messages of syslog were read and could not be recorded"
                );
            }
            sleep(denial.retry_after().unwrap_or(RETRY)).await;
        }
    }
}
