//! The static log over HTTP (c2sp.org/tlog-tiles), over a real socket.

use std::io::{Read as _, Write as _};

use attestree::{
    core::{
        bundle,
        checkpoint::SignedCheckpoint,
        hash::TreeHash,
        number::TreeSize,
        tile::{Resource, partial_width},
    },
    proto::{AppendBatchRequest, AppendRequest},
    server::config::RawConfig,
    store::LogIdentity,
};
use bytes::Bytes;
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
        ETAG, IF_NONE_MATCH, VARY,
    },
};

use crate::served::{ORIGIN, Served};

/// Makes a client that decompresses nothing by itself.
pub fn client() -> Client {
    // Another test may have been first; either way there is a provider.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder().no_gzip().no_zstd().build().unwrap()
}

fn entry(index: u64) -> Bytes {
    Bytes::from(format!("entry {index}"))
}

async fn fill(served: &Served, from: u64, to: u64) {
    let mut client = served.client().await;
    let mut next = from;
    while next < to {
        let end = to.min(next + 4_096);
        let entries = (next..end).map(entry).collect();
        client.append_batch(AppendBatchRequest { entries, ..Default::default() }).await.unwrap();
        next = end;
    }
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn get(served: &Served, path: &str) -> Response {
    client().get(served.url(path)).send().await.unwrap()
}

#[tokio::test]
async fn the_checkpoint_is_served_at_the_root_and_under_its_prefix() {
    let served = Served::start();
    for (size, paths) in
        [(0, ["/checkpoint", "/first/checkpoint"]), (3, ["/checkpoint", "/first/checkpoint"])]
    {
        fill(&served, 0, size).await;
        for path in paths {
            let response = get(&served, path).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header(&response, CONTENT_TYPE), "text/plain; charset=utf-8");
            assert_eq!(header(&response, CACHE_CONTROL), "no-cache");
            let note = response.bytes().await.unwrap();
            let checkpoint = SignedCheckpoint::verify(&note, &served.vkeys[0]).unwrap();
            assert_eq!(
                (checkpoint.origin().as_str(), checkpoint.head().size.get()),
                (ORIGIN, size)
            );
        }
    }
}

#[tokio::test]
async fn a_known_checkpoint_is_not_sent_again() {
    let served = Served::start();
    let response = get(&served, "/checkpoint").await;
    let tag = header(&response, ETAG).to_owned();
    let ask = async |known: &str| {
        let request = client().get(served.url("/checkpoint")).header(IF_NONE_MATCH, known);
        request.send().await.unwrap()
    };
    for known in [tag.as_str(), "*", &format!("\"other\", {tag}"), tag.trim_start_matches("W/")] {
        let response = ask(known).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(header(&response, ETAG), tag);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    assert_eq!(ask("\"other\"").await.status(), StatusCode::OK);
    fill(&served, 0, 1).await;
    assert_eq!(ask(&tag).await.status(), StatusCode::OK, "the checkpoint is another one");
}

/// Every resource of a tree of `size`, with the bytes that it must have.
fn expected(size: u64) -> Vec<(Resource, Vec<u8>)> {
    let mut all = Vec::new();
    let mut hashes: Vec<TreeHash> = (0..size).map(|index| TreeHash::leaf(&entry(index))).collect();
    let mut first = 0;
    while first < size {
        let end = size.min(first + 256);
        let mut bytes = Vec::new();
        (first..end).for_each(|index| bundle::encode_entry(&mut bytes, &entry(index)));
        all.push((
            Resource::Entries { index: first / 256, width: u16::try_from(end - first).unwrap() },
            bytes,
        ));
        first = end;
    }
    for level in 0..3 {
        for (index, chunk) in (0..).zip(hashes.chunks(256)) {
            let width = u16::try_from(chunk.len()).unwrap();
            let bytes = chunk.iter().flat_map(|hash| *hash.as_bytes()).collect();
            all.push((Resource::Tile { level, index, width }, bytes));
        }
        let full = hashes.len() / 256 * 256;
        let root = |chunk: &[TreeHash]| {
            let mut layer = chunk.to_vec();
            while layer.len() > 1 {
                layer = layer.chunks(2).map(|pair| TreeHash::node(&pair[0], &pair[1])).collect();
            }
            layer[0]
        };
        hashes = hashes[..full].chunks(256).map(root).collect();
    }
    all
}

#[tokio::test]
async fn every_tile_and_bundle_is_served_as_the_tree_has_it() {
    let served = Served::start();
    let client = client();
    let mut filled = 0;
    for size in [1, 255, 256, 257, 700] {
        fill(&served, filled, size).await;
        filled = size;
        for (resource, bytes) in expected(size) {
            let response =
                client.get(served.url(&format!("/first/{resource}"))).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{resource} at {size}");
            assert_eq!(header(&response, CONTENT_TYPE), "application/octet-stream");
            assert!(header(&response, CACHE_CONTROL).contains("immutable"));
            assert_eq!(response.bytes().await.unwrap(), bytes, "{resource} at {size}");
        }
    }
}

#[tokio::test]
async fn partial_tiles_of_every_published_width_stay_until_and_after_the_tile_is_full() {
    let served = Served::start();
    let client = client();
    fill(&served, 0, 300).await;
    for (path, width) in [
        ("tile/0/000", 256),
        ("tile/0/001", 44),
        ("tile/entries/000", 256),
        ("tile/entries/001", 44),
    ] {
        let full = if width == 256 { String::new() } else { format!(".p/{width}") };
        let whole = client
            .get(served.url(&format!("/{path}{full}")))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        for partial in 1..width {
            let response =
                client.get(served.url(&format!("/{path}.p/{partial}"))).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}.p/{partial}");
            assert!(whole.starts_with(&response.bytes().await.unwrap()));
        }
    }
}

#[tokio::test]
async fn what_is_not_published_is_not_found() {
    let served = Served::start();
    fill(&served, 0, 300).await;
    for path in [
        "/tile/0/002",
        "/tile/0/001",
        "/tile/0/001.p/45",
        "/tile/1/000",
        "/tile/1/000.p/2",
        "/tile/2/000.p/1",
        "/tile/entries/001",
        "/tile/entries/001.p/45",
        "/tile/0/x999/x999/x999/999.p/1",
    ] {
        let response = get(&served, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(response.text().await.unwrap().contains("300 entries"), "{path}");
    }
    for path in [
        "/",
        "/nothing",
        "/other/checkpoint",
        "/tile",
        "/tile/",
        "/tile/0/0",
        "/tile/00/000",
        "/tile/0/00",
        "/tile/0/1000",
        "/tile/0/x000/000",
        "/tile/0/x001/00",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/01",
        "/tile/0/000.p",
        "/tile/0/000.p/",
        "/tile/64/000",
        "/tile/63/000.p/1",
        "//checkpoint",
        "/first//checkpoint",
        "/tile/entries/0",
        "/tile/entries/000.p/0",
        "/tile/-1/000",
        "/tile/0/000/",
        "//checkpoint",
        "/checkpoint/",
        "/first/first/checkpoint",
        "/tile/0/%30%30%30",
    ] {
        let response = get(&served, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(response.text().await.unwrap().len() > 10, "{path} is answered with a sentence");
    }
}

#[tokio::test]
async fn bundles_are_compressed_for_those_who_ask() {
    let served = Served::start();
    fill(&served, 0, 256).await;
    let plain = get(&served, "/tile/entries/000").await;
    assert_eq!(header(&plain, CONTENT_ENCODING), "");
    assert_eq!(header(&plain, VARY), "accept-encoding");
    let plain = plain.bytes().await.unwrap();
    for encoding in ["gzip", "zstd"] {
        let request =
            client().get(served.url("/tile/entries/000")).header(ACCEPT_ENCODING, encoding);
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, CONTENT_ENCODING), encoding);
        let packed = response.bytes().await.unwrap();
        assert!(packed.len() < plain.len() / 2, "{encoding}");
        let client =
            Client::builder().gzip(encoding == "gzip").zstd(encoding == "zstd").build().unwrap();
        let unpacked = client.get(served.url("/tile/entries/000")).send().await.unwrap();
        assert_eq!(unpacked.bytes().await.unwrap(), plain);
    }
    let request = client().get(served.url("/tile/0/000")).header(ACCEPT_ENCODING, "gzip, zstd");
    assert_eq!(
        header(&request.send().await.unwrap(), CONTENT_ENCODING),
        "",
        "hashes do not compress"
    );
}

#[tokio::test]
async fn a_head_request_has_the_headers_and_no_body() {
    let served = Served::start();
    fill(&served, 0, 256).await;
    for (path, length) in [("/tile/0/000", "8192"), ("/tile/0/000.p/2", "64")] {
        let response = client().head(served.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, CONTENT_LENGTH), length);
        assert!(response.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn another_method_is_refused_and_the_right_one_named() {
    let served = Served::start();
    for (path, method, allow) in [
        ("/checkpoint", Method::POST, "GET, HEAD"),
        ("/tile/0/000", Method::PUT, "GET, HEAD"),
        ("/metrics", Method::DELETE, "GET, HEAD"),
        ("/healthz", Method::POST, "GET, HEAD"),
        ("/readyz", Method::POST, "GET, HEAD"),
        ("/add", Method::GET, "POST"),
        ("/first/add", Method::PUT, "POST"),
    ] {
        let response = client().request(method, served.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(header(&response, ALLOW), allow);
        assert!(response.text().await.unwrap().len() > 10);
    }
}

#[tokio::test]
async fn logs_are_served_under_their_own_prefixes() {
    let logs = [(ORIGIN, LogIdentity::None), ("log.example/deep/er", LogIdentity::None)];
    let served = Served::with(&logs, RawConfig::default());
    let append = AppendRequest {
        log: "log.example/deep/er".to_owned(),
        entry: "x".into(),
        ..Default::default()
    };
    served.client().await.append(append).await.unwrap();
    for (path, size) in [("/checkpoint", 0), ("/first/checkpoint", 0), ("/deep/er/checkpoint", 1)] {
        let note = get(&served, path).await.text().await.unwrap();
        assert_eq!(note.lines().nth(1).unwrap(), size.to_string(), "{path}");
    }
    let tile = get(&served, "/deep/er/tile/0/000.p/1").await.bytes().await.unwrap();
    assert_eq!(&tile[..], TreeHash::leaf(b"x").as_bytes());
}

#[tokio::test]
async fn http_1_and_h2_share_the_port() {
    let served = Served::start();
    fill(&served, 0, 1).await;
    // By hand, so that nothing but HTTP/1.0 is spoken; shorter than the preface of HTTP/2.
    let mut socket = std::net::TcpStream::connect(served.address()).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("alive\n"), "{answer}");
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let response = client.get(served.url("/checkpoint")).send().await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, reqwest::Version::HTTP_2));
}

#[test]
fn a_partial_tile_is_as_wide_as_the_size_says() {
    // The worked example of the specification: 70,000 entries.
    let size = TreeSize::new(70_000).unwrap();
    let widths: Vec<_> = (0..4).map(|level| partial_width(level, size)).collect();
    assert_eq!(widths, [112, 17, 1, 0]);
}
