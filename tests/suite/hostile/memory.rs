//! What clients can make the server hold in memory is bounded by its configuration.
//!
//! Each test offers several times what the configuration allows, in a way of its own, and compares
//! the most that was ever resident with one bound.

use std::{convert::Infallible, time::Duration};

use attestree::proto;
use axum::body::Body;
use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code,
    codegen::http::{Request, Response, header},
    transport::{Channel, Endpoint},
};
use tower::ServiceExt as _;

use super::{
    server::Server,
    site::{Client, Site},
};

const MIB: u64 = 1 << 20;

/// How long to wait for something that may rightly never happen.
const PATIENCE: Duration = Duration::from_secs(5);

/// The smallest limits that take the largest batch.
pub(super) const FLAGS: &[&str] = &[
    "--pool-bytes-max",
    "33554432",
    "--receive-bytes-max",
    "33554432",
    "--tile-cache-bytes",
    "4194304",
    "--block-cache-bytes",
    "4194304",
];

/// The flags above are 72 MiB. What is encoded for a commit and what waits for the disk are copies
/// of pooled bytes (64 MiB), the database's write buffers are 64 MiB, and as much again goes to the
/// allocator, threads and code. What each test offers would take a gibibyte or more.
const RESIDENT_BYTES_MAX: u64 = 400 * MIB;

fn assert_flat(site: &Site) {
    assert_most(&site.server, "all of it");
}

/// Asserts that a server never had more resident than its flags account for.
pub(super) fn assert_most(server: &Server, after: &str) {
    let most = server.resident_bytes_max();
    println!("after {after}: most resident: {} MiB", most / MIB);
    assert!(most < RESIDENT_BYTES_MAX, "after {after}: {} MiB were resident", most / MIB);
}

async fn channel(site: &Site) -> Channel {
    Endpoint::from_shared(format!("http://{}", site.server.address()))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// Begins a call of 16 MiB, sends 15 of them and never the rest. The sender keeps it open.
fn half_sent(
    method: &str,
) -> (Request<tonic::body::Body>, mpsc::Sender<Result<Bytes, Infallible>>) {
    let length = 16_u32 << 20;
    let (send, chunks) = mpsc::channel(15 * 16 + 1);
    send.try_send(Ok([&[0], &length.to_be_bytes()[..]].concat().into())).unwrap();
    for _ in 0..15 * 16 {
        send.try_send(Ok(Bytes::from_static(&[0x12; 65_536]))).unwrap();
    }
    let request = Request::post(format!("http://x/attestree.v1.LogService/{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(tonic::body::Body::new(Body::from_stream(ReceiverStream::new(chunks))))
        .unwrap();
    (request, send)
}

/// Offers `calls` half-sent calls on several connections at once; keeps them until all were served.
async fn offer_halves(site: &Site, method: &'static str, calls: usize) {
    let mut open = JoinSet::new();
    let mut kept = Vec::new();
    for number in 0..calls {
        if number % 8 == 0 {
            kept.push((channel(site).await, Vec::new()));
        }
        let (channel, senders) = kept.last_mut().unwrap();
        let (request, sender) = half_sent(method);
        open.spawn(channel.clone().oneshot(request));
        senders.push(sender);
    }
    // What can be taken is taken when every queue is empty, its call was ended, or nothing moves.
    for sender in kept.iter().flat_map(|(_, senders)| senders) {
        let all = sender.reserve_many(sender.max_capacity());
        let _taken_ended_or_stuck = timeout(PATIENCE, all).await;
    }
    open.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_load_is_refused_not_kept() {
    let mut site = Site::start(FLAGS).await;
    let mut clients = JoinSet::new();
    for number in 0..80_u8 {
        let mut client: Client = site.connect().await;
        clients.spawn(async move {
            let mut taken = Vec::new();
            for push in 0..2_u8 {
                let entry = Bytes::from([vec![number, push], vec![7; 65_000]].concat());
                let entries = vec![entry.clone(); 128];
                let request = proto::AppendBatchRequest { entries, ..Default::default() };
                match client.append_batch(request).await {
                    Ok(answer) => taken.push((answer.into_inner(), entry)),
                    Err(status) if status.code() == Code::DeadlineExceeded => {
                        // The one deadline of the server: a message has to arrive within 30 s. All of
                        // this test is two seconds of CPU, and takes 16 s beside twelve busy processes
                        // on one core; beside more of them, a batch of 8 MB does not arrive in time.
                        assert!(status.message().contains("did not arrive in time"), "{status:?}");
                    }
                    Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
                }
            }
            taken
        });
    }
    let mut batches = 0;
    while let Some(done) = clients.join_next().await {
        for (answer, entry) in done.unwrap() {
            batches += 1;
            (answer.from..answer.to).for_each(|index| site.accepted(index, entry.clone()));
        }
    }
    assert!(batches > 0, "some of it is taken");
    assert_flat(&site);
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_calls_share_a_budget() {
    let mut site = Site::start(FLAGS).await;
    offer_halves(&site, "AppendBatch", 64).await;
    assert_flat(&site);
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_messages_of_streams_share_a_budget() {
    let mut site = Site::start(FLAGS).await;
    offer_halves(&site, "AppendStream", 64).await;
    assert_flat(&site);
    site.check().await;
}

/// Fills two bundles to 16 MiB each.
async fn site_of_large_bundles() -> Site {
    let mut site = Site::start(FLAGS).await;
    site.fill(512, 65_535).await;
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_that_are_not_read_do_not_pile_up() {
    let mut site = site_of_large_bundles().await;
    let channel = channel(&site).await;
    let mut answers = Vec::new();
    let mut open = JoinSet::new();
    for number in 0..64 {
        let path = format!("http://x/tile/entries/00{}", number % 2);
        let request = Request::get(path).body(tonic::body::Body::empty()).unwrap();
        open.spawn(channel.clone().oneshot(request));
    }
    // A server may also let those wait for whom it has no room.
    while let Ok(Some(answer)) = timeout(PATIENCE, open.join_next()).await {
        let answer: Response<_> = answer.unwrap().unwrap();
        assert!(matches!(answer.status().as_u16(), 200 | 429 | 503), "{}", answer.status());
        answers.push(answer);
    }
    assert_flat(&site);
    drop(answers);
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_are_not_read_do_not_pile_up() {
    let mut site = site_of_large_bundles().await;
    let mut client = site.connect().await;
    let mut answers = Vec::new();
    for _ in 0..64 {
        let request = client.read_entries(proto::ReadEntriesRequest::default());
        match timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => answers.push(answer),
            Ok(Err(status)) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
            Err(_waiting) => break,
        }
    }
    // What is asked for after them is served, so they had their turn.
    site.append("after the unread").await;
    assert_flat(&site);
    drop((answers, client));
    site.check().await;
}
