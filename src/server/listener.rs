//! The one port: accepts connections, speaks TLS where it is configured, and hands them to hyper, or to
//! [`Syslog`] where a source of that kind is configured and the first byte says so.
//!
//! # Invariants
//!
//! - At most `connections_max` connections are open; further ones wait in the kernel's queue.
//! - When the server closes, no connection is accepted any more, each open one is told to finish
//!   (GOAWAY, or `connection: close`), and what is left at the deadline is dropped. Of connections in the
//!   kernel's queue those that may have brought messages of syslog already, which nobody would send again, are
//!   accepted before.

use core::{convert::Infallible, net::SocketAddr, time::Duration};
use std::{io, sync::Arc};

use anyhow::Context as _;
use axum::body::Body;
use hyper::{Request, Response, body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    gather::Gather,
    patience::Patient,
    syslog::{Spoken, Syslog},
    tls,
};
use crate::service::Principal;

/// How long a client may take for the TLS handshake, and again for its first bytes.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an HTTP/1 client may take for a request's head, and stay idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(40);

/// How long it may take to answer that: a dead client is noticed within a minute.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Requests that one HTTP/2 connection may have open. A client with more callers waits or opens
/// another connection.
const STREAMS_MAX: u32 = 1_024;

/// Bytes of one request's body that may arrive before they are read.
///
/// A client 50 ms away still sends 2.5 MB a second on one stream.
const STREAM_WINDOW_BYTES: u32 = 128 * 1_024;

/// Bytes of all request bodies of one connection that may arrive before they are read.
///
/// h2 counts an unread frame of less than 256 bytes as if it had 256, and drops a connection whose
/// frames together lack half of this. The smallest message of a stream has 8 bytes: a full stream
/// window of them lacks 131,072 / 8 * 248 = 4,063,232, so that a fast client is held up and not cut.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1_024 * 1_024;

/// Most bytes of a request's headers; they hold a path, a content type and a deadline.
const HEADER_BYTES_MAX: u32 = 16 * 1_024;

/// Most bytes that HTTP/1 buffers of a connection.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1_024;

/// How long a connection of which nothing was read is listened to when the server closes. What has arrived is told
/// of in the next turn of the event loop, in which this time ends at the earliest.
pub(super) const LAST_TURN: Duration = Duration::from_millis(50);

/// How long to wait when the system has no file descriptor left: some connection ends meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Who may connect, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Certificates; none means plaintext.
    pub tls: Option<tls::Config>,
    /// Connections that may be open at once.
    pub connections_max: usize,
    /// Bytes that requests may hold before they are complete.
    pub receive_bytes_max: u64,
    /// Bytes that answers may hold until they are sent.
    pub send_bytes_max: u64,
    /// How long open requests may take to finish at shutdown.
    pub shutdown: Duration,
}

/// A bound port.
pub(super) struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    shutdown: Duration,
}

impl Listener {
    /// Loads the certificates and binds the port.
    pub(super) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let tls = config.tls.as_ref().map(tls::load).transpose()?;
        let tcp = TcpListener::bind(config.address)
            .await
            .with_context(|| format!("listen on {}", config.address))?;
        let room = Arc::new(Semaphore::new(config.connections_max));
        Ok(Self { tcp, tls, room, shutdown: config.shutdown })
    }

    /// Returns the address with the port that the system chose.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves connections until `closing`, then lets them finish.
    ///
    /// `front` makes the service of one connection, and what is held while it is open. `syslog` is there where
    /// connections may speak that as well.
    pub(super) async fn serve<F, H, G>(
        self,
        front: F,
        syslog: Option<Arc<Syslog>>,
        closing: CancellationToken,
    ) where
        F: Fn(SocketAddr, Option<Principal>) -> (H, G) + Clone + Send + Sync + 'static,
        H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + Send
            + 'static,
        H::Future: Send,
        G: Send + 'static,
    {
        let connections = Connections { syslog, ..Connections::new(closing) };
        loop {
            let permit = tokio::select! {
                () = connections.closing.cancelled() => break,
                permit = Arc::clone(&self.room).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                () = connections.closing.cancelled() => break,
                accepted = self.tcp.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            connections.open(stream, self.tls.clone(), permit, peer, front.clone());
        }
        let mut waiting = Vec::new();
        // Over TLS nothing is said before the handshake, so that whoever waits has lost nothing.
        if connections.syslog.is_some() && self.tls.is_none() {
            waiting = accept_waiting(self.tcp, &self.room);
        } else {
            // Refuses new connections at once instead of leaving them in the kernel's queue.
            drop(self.tcp);
        }
        for (stream, peer, permit) in waiting {
            connections.open(stream, None, permit, peer, front.clone());
        }
        connections.finish(self.shutdown).await;
    }
}

/// Accepts the connections that wait in the kernel's queue, as far as there is room, and closes the port.
fn accept_waiting(
    tcp: TcpListener,
    room: &Arc<Semaphore>,
) -> Vec<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let mut waiting = Vec::new();
    // The queue itself is asked, not tokio, which hears of a connection only after it has come.
    let Ok(tcp) = tcp.into_std() else { return waiting };
    while let Ok(permit) = Arc::clone(room).try_acquire_owned()
        && let Ok((stream, peer)) = tcp.accept()
    {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            waiting.push((stream, peer, permit));
        }
    }
    waiting
}

/// The open connections of one socket.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) closing: CancellationToken,
    /// Cancelled when the time to finish is over.
    dropping: CancellationToken,
    pub(super) tasks: TaskTracker,
    http: Arc<auto::Builder<TokioExecutor>>,
    /// Who takes connections that speak syslog.
    syslog: Option<Arc<Syslog>>,
}

impl Connections {
    /// Serves connections until `closing`.
    pub(super) fn new(closing: CancellationToken) -> Self {
        let http = Arc::new(builder());
        let (dropping, tasks) = (CancellationToken::new(), TaskTracker::new());
        Self { closing, dropping, tasks, http, syslog: None }
    }

    /// Serves one TCP connection in a task of its own.
    fn open<F, H, G>(
        &self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        permit: OwnedSemaphorePermit,
        peer: SocketAddr,
        front: F,
    ) where
        F: FnOnce(SocketAddr, Option<Principal>) -> (H, G) + Send + 'static,
        H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + Send
            + 'static,
        H::Future: Send,
        G: Send + 'static,
    {
        let serving = self.clone();
        self.tasks.spawn(async move {
            serving.run_tcp(stream, tls, |principal| front(peer, principal)).await;
            drop(permit);
        });
    }

    /// Waits for the beginning of a connection; while the server closes, for one that is there already.
    async fn unless_closing<T>(&self, beginning: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::pin!(beginning);
        tokio::select! {
            biased;
            begun = beginning.as_mut() => begun,
            () = self.closing.cancelled() => timeout(LAST_TURN, beginning).await.ok().flatten(),
        }
    }

    /// Serves one TCP connection to its end, over TLS where it is configured.
    async fn run_tcp<H, G>(
        &self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        front: impl FnOnce(Option<Principal>) -> (H, G),
    ) where
        H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + Send
            + 'static,
        H::Future: Send,
    {
        // Without it the answer to a small request waits for the client's delayed acknowledgement:
        // one caller gets 11 answers a second instead of thousands.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection was gone before it began");
            return;
        }
        let Some(tls) = tls else {
            if let Some(syslog) = &self.syslog {
                match self.unless_closing(syslog.listen(&stream)).await {
                    None => return,
                    Some(Spoken::Http) => {}
                    Some(Spoken::Syslog) => {
                        let (_service, _held) = front(None);
                        return syslog.serve(stream, None, &self.closing, &self.dropping).await;
                    }
                }
            }
            let (service, _held) = front(None);
            return self.run(stream, service).await;
        };
        let handshake = async { Some(timeout(HELLO_TIMEOUT, tls.accept(stream)).await) };
        let stream = match self.unless_closing(handshake).await {
            None => return,
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => {
                return tracing::debug!(error = %error, "a TLS handshake failed");
            }
            Some(Err(error)) => {
                return tracing::debug!(error = %error, "a TLS handshake took too long");
            }
        };
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let principal = certificate.map(|certificate| Principal::of_certificate(certificate));
        // Who names a protocol of HTTP speaks it.
        let syslog = self.syslog.as_ref().filter(|_| session.alpn_protocol().is_none());
        let Some(syslog) = syslog else {
            let (service, _held) = front(principal);
            return self.run(stream, service).await;
        };
        let hearing = syslog.hear(stream, principal.as_ref());
        let Some((spoken, stream)) = self.unless_closing(hearing).await else { return };
        let (service, _held) = front(principal.clone());
        match spoken {
            Spoken::Http => self.run(stream, service).await,
            Spoken::Syslog => {
                let principal = principal.as_ref();
                syslog.serve(stream, principal, &self.closing, &self.dropping).await;
            }
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn run<S, H>(&self, stream: S, service: H)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + Send
            + 'static,
        H::Future: Send,
    {
        let stream = TokioIo::new(Gather::new(Patient::new(stream, HELLO_TIMEOUT)));
        let connection = self.http.serve_connection(stream, service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection.as_mut() => served,
                    () = self.dropping.cancelled() => return,
                }
            }
        };
        if let Err(error) = served {
            // Clients vanish all the time.
            tracing::debug!(error = %error, "a connection ended early");
        }
    }

    /// Waits until every connection has finished, or drops those that have not.
    pub(super) async fn finish(self, patience: Duration) {
        self.tasks.close();
        if timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("open requests did not finish in time; their connections are dropped");
            self.dropping.cancel();
            self.tasks.wait().await;
        }
    }
}

/// Returns how HTTP is spoken. The windows are the defaults, which measured best.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    http
}
