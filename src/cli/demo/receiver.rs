//! Somebody who is told of alerts: a webhook on a free port of this machine.

use std::net::TcpListener as Listener;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::server::SIGNATURE_HEADER;

/// Most bytes of a request: several of those that alerts are.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Messages that may wait to be looked at; the tour's log raises two alerts.
const MESSAGES_MAX: usize = 8;

/// The end of the headers.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What tells the sender that its message was taken.
const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What a message says, as far as the tour shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Alert {
    pub(super) rule: String,
    pub(super) count: u64,
    pub(super) index: u64,
    pub(super) leaf_hash: String,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) alert: Alert,
    /// The header that signs the body.
    pub(super) signature: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The webhook. Dropping it ends it.
pub(super) struct Receiver {
    messages: mpsc::Receiver<anyhow::Result<(Message, Instant)>>,
    _task: JoinSet<()>,
}

impl Receiver {
    /// Takes what has come to a port, and what comes.
    pub(super) fn open(listener: Listener) -> anyhow::Result<Self> {
        listener.set_nonblocking(true).context("listen for alerts")?;
        let listener = TcpListener::from_std(listener).context("listen for alerts")?;
        let (send, messages) = mpsc::channel(MESSAGES_MAX);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                connections.spawn(serve(stream, send.clone()));
            }
        });
        Ok(Self { messages, _task: task })
    }

    /// Waits for the alert of a rule; returns when it was there.
    pub(super) async fn next(&mut self, rule: &str) -> anyhow::Result<(Message, Instant)> {
        loop {
            let (message, at) = self.messages.recv().await.context("listen for alerts")??;
            if message.alert.rule == rule {
                return Ok((message, at));
            }
        }
    }
}

/// Takes the messages of one connection until it ends.
async fn serve(mut stream: TcpStream, send: mpsc::Sender<anyhow::Result<(Message, Instant)>>) {
    let mut came = Vec::new();
    loop {
        let read = request(&mut stream, &mut came).await;
        let at = Instant::now();
        let Some(message) = read.transpose() else { return };
        let is_taken = message.is_ok();
        let told = send.send(message.map(|message| (message, at))).await;
        if told.is_err() || !is_taken || stream.write_all(TAKEN).await.is_err() {
            return;
        }
    }
}

/// Reads one request; `None` at the end of the connection.
async fn request(stream: &mut TcpStream, came: &mut Vec<u8>) -> anyhow::Result<Option<Message>> {
    loop {
        let end = came.windows(HEAD_END.len()).position(|window| window == HEAD_END);
        if let Some(end) = end {
            let head = String::from_utf8_lossy(came.get(..end).unwrap_or_default()).into_owned();
            let length = header(&head, "content-length").context("find the length of a message")?;
            let length: usize = length.parse().context("read the length of a message")?;
            let begin = end + HEAD_END.len();
            if let Some(body) = came.get(begin..).and_then(|rest| rest.get(..length)) {
                let body = body.to_vec();
                came.drain(..begin + length);
                let alert = serde_json::from_slice(&body).context("read a message")?;
                let signature = header(&head, SIGNATURE_HEADER).map(str::to_owned);
                return Ok(Some(Message { alert, signature, body }));
            }
        }
        ensure!(
            came.len() < REQUEST_BYTES_MAX,
            "a message has more than {REQUEST_BYTES_MAX} bytes"
        );
        if stream.read_buf(came).await.context("read a message")? == 0 {
            return Ok(None);
        }
    }
}

/// Returns a header of a request.
fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
}
