//! Requests over HTTP/1.1 that no proper client sends.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use super::{
    raw::{self, add, exchange, get, request},
    site::Site,
};

/// The seed of all bytes that are called random here.
const SEED: u64 = 6_962;

#[tokio::test]
async fn what_is_no_resource_is_not_found() {
    let mut site = Site::start(&[]).await;
    site.fill(1_300, 3).await;
    let address = site.server.address();
    for path in
        ["/tile/0/000", "/tile/0/004", "/tile/0/005.p/20", "/tile/1/000.p/5", "/tile/entries/000"]
    {
        assert_eq!(get(address, path).await.status, 200, "{path}");
    }
    let absent = [
        // Not there, or not that wide.
        "/tile/0/005",
        "/tile/0/005.p/21",
        "/tile/0/006.p/1",
        "/tile/1/000",
        "/tile/1/000.p/6",
        "/tile/2/000.p/1",
        "/tile/63/000.p/1",
        "/tile/entries/005",
        "/tile/entries/x999/x999/x999/999",
        "/tile/0/x999/x999/x999/x999/x999/x999/999",
        // Not canonical.
        "/tile/00/000",
        "/tile/0/0",
        "/tile/0/00",
        "/tile/0/0000",
        "/tile/0/x000/000",
        "/tile/0/000/000",
        "/tile/0/x001/x000",
        "/tile/0/x1/000",
        "/tile/0/X001/000",
        "/tile/0/+00",
        "/tile/0/-01",
        "/tile/64/000",
        "/tile/256/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/00",
        "/tile/0/000.p/01",
        "/tile/0/000.p/256",
        "/tile/0/000.p/",
        "/tile/0/000.p",
        "/tile/0/000.P/1",
        "/tile/0/000.p/1/",
        "/tile/0/000/",
        "/tile/0/",
        "/tile/0",
        "/tile/",
        "/tile",
        "/tile//000",
        "//tile/0/000",
        "/tile/0/%30%30%30",
        "/tile/0/000%00",
        "/tile/entries/",
        "/tile/entries",
        "/tile/data/000",
        "/checkpoint/",
        "/checkpoint/x",
        "/Checkpoint",
        // Not below the log.
        "/",
        "/hostile",
        "/hostile/",
        "/other/checkpoint",
        "/../checkpoint",
        "/hostile/../checkpoint",
        "/hostile/tile/0/9999",
        "/hostile/hostile/checkpoint",
        "/proc/self/status",
        "/data/CURRENT",
    ];
    for path in absent {
        let reply = get(address, path).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
        assert!(reply.body.len() > 10, "{path}: a refusal says what is wrong");
    }
    // A query is no part of the name of a static file.
    assert_eq!(get(address, "/tile/0/000?x=y").await.status, 200);
    site.check().await;
}

#[tokio::test]
async fn methods_that_make_no_sense_are_told_which_do() {
    let mut site = Site::start(&[]).await;
    let address = site.server.address();
    for (path, allowed) in
        [("/checkpoint", "get, head"), ("/add", "post"), ("/metrics", "get, head")]
    {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]
        {
            if allowed.contains(&method.to_lowercase()) {
                continue;
            }
            let reply = exchange(address, &request(method, path, &["content-length: 0"], b""))
                .await
                .unwrap();
            assert_eq!(reply.status, 405, "{method} {path}: {reply:?}");
            assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    site.check().await;
}

#[tokio::test]
async fn entries_over_http_have_the_same_limits() {
    let mut site = Site::start(&[]).await;
    let address = site.server.address();
    let add_with = |lines: &[&str], body: &[u8]| request("POST", "/add", lines, body);
    for (status, sent) in [
        (400, add_with(&["content-length: 0"], b"")),
        (400, add_with(&[], b"")),
        (413, add_with(&["content-length: 65536"], &vec![1; 65_536])),
        // The length alone is enough to refuse; nothing of it is awaited.
        (413, add_with(&["content-length: 1000000000000"], b"")),
        (413, add_with(&["transfer-encoding: chunked"], &chunked(70, 1_000))),
        (400, add_with(&["transfer-encoding: chunked"], b"0\r\n\r\n")),
        (400, add_with(&["content-length: -1"], b"x")),
        (400, add_with(&["content-length: 1", "content-length: 2"], b"xy")),
        (400, add_with(&["transfer-encoding: chunked"], b"xyz\r\n")),
    ] {
        let reply = exchange(address, &sent).await.unwrap();
        assert_eq!(reply.status, status, "{reply:?}");
    }
    assert_eq!(site.head().await.size.get(), 0, "a refused entry leaves nothing");

    let longest = vec![9; 65_535];
    for (sent, entry) in [
        (add_with(&["content-length: 65535"], &longest), longest.clone()),
        (add_with(&["transfer-encoding: chunked"], &chunked(65, 1_000)), vec![b'c'; 65_000]),
        // A form or a picture is bytes like any other.
        (add_with(&["content-length: 2", "content-type: text/html"], b"hi"), b"hi".to_vec()),
    ] {
        let reply = exchange(address, &sent).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        let index = std::str::from_utf8(&reply.body).unwrap().trim().parse().unwrap();
        site.accepted(index, entry);
    }
    site.check().await;
}

/// Returns `count` chunks of `bytes` bytes and the closing one.
fn chunked(count: usize, bytes: usize) -> Vec<u8> {
    let chunk = format!("{bytes:x}\r\n{}\r\n", "c".repeat(bytes));
    [chunk.repeat(count).as_bytes(), b"0\r\n\r\n"].concat()
}

#[tokio::test]
async fn half_an_entry_is_no_entry() {
    let mut site = Site::start(&[]).await;
    let address = site.server.address();
    let begun = request("POST", "/add", &["content-length: 1000"], &[1; 500]);
    let begun_chunks = request("POST", "/add", &["transfer-encoding: chunked"], b"4\r\nhalf\r\n");
    for cut in [begun, begun_chunks] {
        for at in [10, cut.len() / 2, cut.len() - 1, cut.len()] {
            raw::send(address, &cut[..at]).await;
        }
    }
    assert_eq!(site.head().await.size.get(), 0);
    site.check().await;
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let mut site = Site::start(&[]).await;
    let address = site.server.address();
    let wide = format!("x: {}", "y".repeat(1 << 20));
    let lines: Vec<String> = (0..10_000).map(|number| format!("x{number}: y")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let path = format!("/{}", "p".repeat(1 << 20));
    for sent in [
        request("GET", "/checkpoint", &[&wide], b""),
        request("GET", "/checkpoint", &lines, b""),
        request("GET", &path, &[], b""),
    ] {
        // Either a status that says so or a closed connection; with data unread, the reset may win.
        if let Some(reply) = exchange(address, &sent).await {
            assert!(matches!(reply.status, 400 | 404 | 414 | 431), "{}", reply.status);
        }
    }
    site.check().await;
}

#[tokio::test]
async fn random_bytes_disturb_nobody() {
    let mut site = Site::start(&[]).await;
    let address = site.server.address();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let beginnings: [&[u8]; 5] = [
        b"",
        b"GET ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01",
        b"POST /add HTTP/1.1\r\nhost: x\r\n",
    ];
    for number in 0..400_usize {
        let mut bytes = vec![0; 24 + random.next_u32() as usize % 4_000];
        random.fill_bytes(&mut bytes);
        let sent = [beginnings[number % beginnings.len()], &bytes].concat();
        let answer = raw::send(address, &sent).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "noise is no request");
    }
    assert_eq!(site.head().await.size.get(), 0);
    site.check().await;
}

#[tokio::test]
async fn silent_connections_give_their_places_back() {
    let mut site = Site::start(&["--connections-max", "8"]).await;
    let address = site.server.address();
    // One place is the test's own client's. The others are taken by clients that never say anything,
    // or hardly anything.
    let mut silent = Vec::new();
    for number in 0..7_usize {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&b"GET / HTTP"[..number]).await.unwrap();
        silent.push(stream);
    }
    // Whoever is connected is served meanwhile.
    for number in 0..100 {
        site.append(format!("beside the silent {number}")).await;
    }
    // And whoever comes gets in when they are put out.
    let waiting = timeout(Duration::from_secs(40), add(address, b"patient"));
    let reply = waiting.await.expect("a place becomes free");
    assert_eq!(reply.status, 200, "{reply:?}");
    drop(silent);
    site.check().await;
}
