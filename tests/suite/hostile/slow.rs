//! Clients who vanish, stop half-way or do not read.

use attestree::proto::{self, append_stream_response::Outcome};
use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{StreamExt as _, iter, wrappers::ReceiverStream};

use super::site::{Site, append};

fn streamed(entry: impl Into<Bytes>) -> proto::AppendStreamRequest {
    proto::AppendStreamRequest { entry: entry.into(), ..Default::default() }
}

#[tokio::test]
async fn a_stream_dropped_half_way_costs_nobody_anything() {
    let mut site = Site::start(&[]).await;
    for round in 0..20_u32 {
        let mut client = site.connect().await;
        let (send, requests) = mpsc::channel(64);
        let mut answers =
            client.append_stream(ReceiverStream::new(requests)).await.unwrap().into_inner();
        for number in 0..50_u32 {
            send.send(streamed(format!("{round} {number}"))).await.unwrap();
        }
        // What was answered before the client vanished is a promise like any other.
        for number in 0..round {
            let Some(Outcome::Appended(appended)) =
                answers.message().await.unwrap().unwrap().outcome
            else {
                panic!("the log takes entries");
            };
            site.accepted(appended.leaf_index, format!("{round} {number}"));
        }
        drop((send, answers, client));
    }
    site.check().await;
}

#[tokio::test]
async fn clients_that_vanish_before_the_answer_are_forgotten() {
    let mut site = Site::start(&[]).await;
    for round in 0..10 {
        let mut calls = JoinSet::new();
        for number in 0..100 {
            let mut client = site.client.clone();
            calls.spawn(async move {
                let entry = format!("vanishing {round} {number}");
                client
                    .append(append(entry.clone()))
                    .await
                    .map(|answer| (answer.into_inner().leaf_index, entry))
            });
        }
        // Some are answered, all others are cancelled wherever they are.
        for _ in 0..round {
            let (index, entry) = calls.join_next().await.unwrap().unwrap().unwrap();
            site.accepted(index, entry);
        }
        calls.shutdown().await;
    }
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_delay_nobody() {
    let mut site = Site::start(&[]).await;
    // More than every window and buffer on the way together.
    site.fill(4_000, 8_192).await;
    let mut idle = site.connect().await;
    let mut watches = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..50 {
        let watch =
            idle.watch_checkpoints(proto::WatchCheckpointsRequest::default()).await.unwrap();
        watches.push(watch.into_inner());
    }
    for _ in 0..8 {
        // Streams of one connection share its window, and one that is not read starves the others.
        let mut idle = site.connect().await;
        let read = idle.read_entries(proto::ReadEntriesRequest::default()).await.unwrap();
        reads.push(read.into_inner());
    }

    // The log goes on as if they were not there.
    let before = site.head().await.size.get();
    for round in 0..500_u32 {
        site.append(format!("beside the idle {round}")).await;
    }
    site.fill(20_000, 16).await;
    let head = site.head().await.size.get();
    assert_eq!(head, before + 500 + 20_000);

    // A watcher that comes back skips to the newest; a reader gets all of what it asked for.
    for watch in &mut watches {
        let mut last = 0;
        let mut messages = 0;
        while last < head {
            let seen = watch.message().await.unwrap().unwrap().checkpoint.unwrap().tree_size;
            assert!(messages == 0 || seen > last, "checkpoints only grow");
            last = seen;
            messages += 1;
        }
    }
    for read in &mut reads {
        let mut next = 0;
        while let Some(message) = read.message().await.unwrap() {
            assert_eq!(message.from, next);
            next += message.entries.len() as u64;
        }
        assert_eq!(next, before);
    }
    drop((watches, reads, idle));
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_answers_are_not_read_holds_up_only_itself() {
    let mut site = Site::start(&[]).await;
    let mut greedy = site.connect().await;
    let receipts =
        proto::AppendStreamRequest { answer: proto::Answer::Receipt.into(), ..Default::default() };
    let (send, requests) = mpsc::channel(16);
    let mut answers =
        greedy.append_stream(ReceiverStream::new(requests)).await.unwrap().into_inner();
    send.send(receipts).await.unwrap();
    // Sends until nothing is taken any more, which shows as a full channel, or all is sent.
    let mut sent = 0_u32;
    let mut calls = 0;
    while sent < 100_000 && calls < 300 {
        match send.try_send(streamed(format!("unread {sent}"))) {
            Ok(()) => sent += 1,
            Err(_full) => {
                site.append(format!("meanwhile {calls}")).await;
                calls += 1;
            }
        }
    }
    drop(send);
    let mut next = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let Some(Outcome::Appended(appended)) = answer.outcome else {
            panic!("the log takes entries")
        };
        site.accepted(appended.leaf_index, format!("unread {next}"));
        next += 1;
    }
    assert_eq!(next, sent, "every entry of a stream is answered");
    site.check().await;
}

#[tokio::test]
async fn an_endless_stream_of_refusals_is_answered_one_by_one() {
    let mut site = Site::start(&[]).await;
    let bad = (0..20_000).map(|_| streamed(Bytes::new()));
    let requests = iter(std::iter::once(streamed("good")).chain(bad));
    let answers = site.client.append_stream(requests).await.unwrap().into_inner();
    let outcomes: Vec<Outcome> =
        answers.map(|answer| answer.unwrap().outcome.unwrap()).collect().await;
    assert_eq!(outcomes.len(), 20_001);
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
    assert_eq!(refused, 20_000);
    site.check().await;
}
