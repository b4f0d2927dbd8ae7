//! Bytes on a socket, without a client library that would keep them proper.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take: the server's own deadlines are 10 and 30 seconds.
const PATIENCE: Duration = Duration::from_secs(45);

/// What came back on a connection until it was closed.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value =
            |line: &'_ str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim).map(str::len);
        self.head
            .lines()
            .find(|line| value(line).is_some())
            .map(|line| line[name.len() + 1..].trim())
    }
}

/// Sends bytes, says that there are no more, and returns what comes back.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have heard enough and close before all is sent.
    let _closed_early = stream.write_all(bytes).await;
    let _closed = stream.shutdown().await;
    read_to_end(&mut stream).await
}

/// Reads what comes until the server closes the connection.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset ends a connection as well as a close does; what was read before it stays.
    let _reset = read.expect("the server closes the connection");
    answer
}

/// Sends one HTTP/1.1 request and returns the answer, if there is one.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let answer = send_keeping_open(address, request).await;
    parse(&answer)
}

/// Sends bytes and reads the answer without closing our side before.
async fn send_keeping_open(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _closed_early = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: answer[end + 4..].to_vec() })
}

/// Returns a request with this method, path and further header lines.
pub(crate) fn request(method: &str, path: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for line in lines {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

/// Fetches a path.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, &request("GET", path, &[], b"")).await.expect("a GET is answered")
}

/// Posts an entry to `/add`.
pub(crate) async fn add(address: SocketAddr, entry: &[u8]) -> Reply {
    let length = format!("content-length: {}", entry.len());
    exchange(address, &request("POST", "/add", &[&length], entry))
        .await
        .expect("an entry is answered")
}
