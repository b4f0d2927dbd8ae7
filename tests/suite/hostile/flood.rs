//! More entries than the pool takes.

use attestree::proto::{self, append_stream_response::Outcome};
use tokio::task::JoinSet;
use tokio_stream::{StreamExt as _, iter};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    raw::add,
    site::{Site, append},
};

/// A pool that a handful of clients fills.
const TINY: &[&str] = &["--pool-entries-max", "4", "--pool-log-percent", "100"];

/// Clients that push at the same time, and how often each does.
const CLIENTS: usize = 64;
const PUSHES: usize = 50;

/// Requires that a full pool says when to come back.
fn full(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    let reason = &details.error_info().unwrap().reason;
    assert!(matches!(reason.as_str(), "POOL_FULL" | "LOG_FULL"), "{status:?}");
    let delay = details.retry_info().and_then(|retry| retry.retry_delay);
    assert!(delay.is_some_and(|delay| !delay.is_zero()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_says_when_to_come_back() {
    let mut site = Site::start(TINY).await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = site.client.clone();
        clients.spawn(async move {
            let mut taken = Vec::new();
            let mut refused = 0;
            for push in 0..PUSHES {
                let entry = format!("{number} {push}");
                match client.append(append(entry.clone())).await {
                    Ok(answer) => taken.push((answer.into_inner().leaf_index, entry)),
                    Err(status) => {
                        full(&status);
                        refused += 1;
                    }
                }
            }
            (taken, refused)
        });
    }
    let (mut taken, mut refused) = (0, 0);
    while let Some(done) = clients.join_next().await {
        let (accepted, turned_away) = done.unwrap();
        taken += accepted.len();
        refused += turned_away;
        for (index, entry) in accepted {
            site.accepted(index, entry);
        }
    }
    assert_eq!(taken + refused, CLIENTS * PUSHES);
    assert!(refused > 0, "the pool was never full");
    // What was refused left nothing.
    assert_eq!(site.head().await.size.get(), taken as u64);
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_refuses_entries_of_a_stream_and_goes_on() {
    let mut site = Site::start(TINY).await;
    let entries: Vec<String> = (0..3_000).map(|number| format!("streamed {number}")).collect();
    let requests: Vec<proto::AppendStreamRequest> = entries
        .iter()
        .map(|entry| proto::AppendStreamRequest {
            entry: entry.clone().into(),
            ..Default::default()
        })
        .collect();
    let answers = site.client.append_stream(iter(requests)).await.unwrap().into_inner();
    let outcomes: Vec<Outcome> =
        answers.map(|answer| answer.unwrap().outcome.unwrap()).collect().await;
    assert_eq!(outcomes.len(), entries.len());
    let mut refused = 0;
    for (outcome, entry) in outcomes.into_iter().zip(entries) {
        match outcome {
            Outcome::Appended(appended) => site.accepted(appended.leaf_index, entry),
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.code, Code::ResourceExhausted as i32, "{refusal:?}");
                assert!(refusal.retry_after_ms > 0, "{refusal:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the pool was never full");
    site.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_answers_http_with_429() {
    let mut site = Site::start(TINY).await;
    let address = site.server.address();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(async move {
            let mut replies = Vec::new();
            for push in 0..20 {
                let entry = format!("{number} {push}");
                replies.push((add(address, entry.as_bytes()).await, entry));
            }
            replies
        });
    }
    let mut refused = 0;
    while let Some(done) = clients.join_next().await {
        for (reply, entry) in done.unwrap() {
            if reply.status == 200 {
                site.accepted(std::str::from_utf8(&reply.body).unwrap().parse().unwrap(), entry);
            } else {
                assert_eq!(reply.status, 429, "{reply:?}");
                let seconds: u32 = reply.header("retry-after").unwrap().parse().unwrap();
                assert!(seconds > 0);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the pool was never full");
    site.check().await;
}
