//! A receiver of webhooks that does what a test says: it answers, hangs, or cuts the connection.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

/// How long a message may take to come: a machine that does other things takes some time.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Messages that may wait for a test to look at them.
const MESSAGES_MAX: usize = 4_096;

/// What is done with one request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// It is answered: a status, and further header lines.
    Answer(u16, &'static str),
    /// It is never answered.
    Hang,
    /// The connection is cut after it was read.
    Cut,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The request line and the headers.
    pub(super) head: String,
    pub(super) body: String,
    pub(super) at: Instant,
    /// Whether it was answered with 200.
    pub(super) taken: bool,
}

impl Seen {
    /// Returns a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The receiver. Dropping it ends it.
pub(super) struct Receiver {
    address: SocketAddr,
    seen: mpsc::Receiver<Seen>,
    _task: JoinSet<()>,
}

impl Receiver {
    /// Does one thing with each request, and answers 200 when there is nothing left to do.
    pub(super) async fn start(acts: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acts: Arc<Mutex<VecDeque<Act>>> = Arc::new(Mutex::new(acts.iter().cloned().collect()));
        let (send, seen) = mpsc::channel(MESSAGES_MAX);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&acts), send.clone()));
            }
        });
        Self { address, seen, _task: task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next request.
    pub(super) async fn next(&mut self) -> Seen {
        let seen = timeout(PATIENCE, self.seen.recv()).await;
        seen.expect("a message comes").unwrap()
    }

    /// Waits for the next request that is answered with 200.
    pub(super) async fn next_taken(&mut self) -> Seen {
        loop {
            let seen = self.next().await;
            if seen.taken {
                return seen;
            }
        }
    }

    /// Returns what came and nobody has waited for.
    pub(super) fn rest(&mut self) -> Vec<Seen> {
        core::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

/// Serves one connection until it ends.
async fn serve(mut stream: TcpStream, acts: Arc<Mutex<VecDeque<Act>>>, send: mpsc::Sender<Seen>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let act = acts.lock().unwrap().pop_front().unwrap_or(Act::Answer(200, ""));
        let taken = matches!(act, Act::Answer(200, _));
        let _test_over = send.send(Seen { head, body, at: Instant::now(), taken }).await;
        match act {
            Act::Answer(status, headers) => {
                let answer = format!("HTTP/1.1 {status} x\r\n{headers}content-length: 2\r\n\r\nok");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Act::Hang => {
                // Until the other side gives up.
                let _gone = stream.read(&mut [0]).await;
                return;
            }
            Act::Cut => return,
        }
    }
}

/// Reads one request; nothing at the end of the connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            let length = length.unwrap_or(0);
            if rest.len() >= length {
                let whole = head.len() + 4 + length;
                buffer.drain(..whole);
                return Some((head.to_owned(), rest[..length].to_owned()));
            }
        }
        let mut part = [0; 4_096];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => buffer.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}
