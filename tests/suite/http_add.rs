//! `POST /add`, metrics and health over HTTP, over a real socket.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use attestree::{server::config::RawConfig, store::LogIdentity};
use reqwest::{Response, StatusCode, header::RETRY_AFTER};

use crate::{
    http_tiles::client,
    served::{ORIGIN, Served},
};

async fn add(served: &Served, path: &str, entry: impl Into<reqwest::Body>) -> Response {
    client().post(served.url(path)).body(entry).send().await.unwrap()
}

#[tokio::test]
async fn an_entry_is_answered_with_its_index_once_it_is_published() {
    let served = Served::start();
    for (index, path) in [(0, "/add"), (1, "/first/add"), (2, "/add")] {
        let response = add(&served, path, format!("entry {index}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await.unwrap(), index.to_string());
        let note =
            client().get(served.url("/checkpoint")).send().await.unwrap().text().await.unwrap();
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        assert!(size > index, "the checkpoint covers what was acknowledged");
    }
}

#[tokio::test]
async fn bad_entries_are_refused_with_a_sentence() {
    let served = Served::start();
    let longest = add(&served, "/add", vec![7; 65_535]).await;
    assert_eq!(longest.status(), StatusCode::OK);
    for (entry, status) in
        [(vec![], StatusCode::BAD_REQUEST), (vec![7; 65_536], StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let response = add(&served, "/add", entry).await;
        assert_eq!(response.status(), status);
        assert!(response.text().await.unwrap().contains("the entry"));
    }
    // Without a length the body is counted as it comes.
    let mut socket = TcpStream::connect(served.address()).unwrap();
    socket
        .write_all(b"POST /add HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    for _ in 0..17 {
        socket.write_all(b"fa0\r\n").unwrap();
        socket.write_all(&[b'7'; 4_000]).unwrap();
        socket.write_all(b"\r\n").unwrap();
    }
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(add(&served, "/none/add", "x").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(add(&served, "/add", "x").await.text().await.unwrap(), "1");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_no_entry() {
    let served = Served::start();
    let mut socket = TcpStream::connect(served.address()).unwrap();
    socket.write_all(b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(add(&served, "/add", "whole").await.text().await.unwrap(), "0");
}

#[tokio::test]
async fn a_full_pool_says_when_to_come_back() {
    let raw = RawConfig {
        pool_entries_max: Some(1),
        pool_log_percent: Some(100),
        ..RawConfig::default()
    };
    let served = Served::with(&[(ORIGIN, LogIdentity::None)], raw);
    let client = client();
    let url = served.url("/add");
    let all = (0..200).map(|n| {
        let request = client.post(&url).body(format!("{n}"));
        tokio::spawn(async move { request.send().await.unwrap() })
    });
    let mut refused = 0;
    for sent in all.collect::<Vec<_>>() {
        let response = sent.await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
            refused += 1;
        } else {
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
    assert!((1..200).contains(&refused), "{refused} of 200 were refused");
}

#[tokio::test]
async fn a_nearly_full_disk_takes_no_entries_and_serves_reads() {
    let raw = RawConfig { free_bytes_min: Some(u64::MAX), ..RawConfig::default() };
    let served = Served::with(&[(ORIGIN, LogIdentity::None)], raw);
    let response = add(&served, "/add", "x").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    let ready = client().get(served.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text().await.unwrap().contains("free space"));
    let checkpoint = client().get(served.url("/checkpoint")).send().await.unwrap();
    assert_eq!(checkpoint.status(), StatusCode::OK);
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let served = Served::start();
    for entry in ["a", "b", ""] {
        add(&served, "/add", entry).await;
    }
    let response = client().get(served.url("/metrics")).send().await.unwrap();
    let metrics = response.text().await.unwrap();
    for line in [
        "attestree_tree_size{origin=\"log.example/first\"} 2",
        "attestree_entries_total 2",
        "attestree_refused_total{reason=\"ENTRY_EMPTY\"} 1",
        "attestree_pool_entries 0",
        "attestree_pool_bytes 0",
        "# UNIT attestree_commit_seconds seconds",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let age =
        metrics.lines().find_map(|line| line.strip_prefix("attestree_watermark_age_seconds "));
    let age: f64 = age.expect("the watermark's age is told").parse().unwrap();
    assert!(age >= 0.0 && age.is_finite(), "{age}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn health_tells_alive_from_ready() {
    let served = Served::start();
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
        let response = client().get(served.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await.unwrap(), body);
    }
}
