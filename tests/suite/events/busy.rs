//! What takes no events for a while says so, and when to come back.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use attestree::{
    core::number::UnixMillis,
    pipeline::Clock,
    proto::{ListLogsRequest, LogState},
    server::config::RawConfig,
};
use reqwest::{Response, header::CONTENT_TYPE};
use tokio::task::JoinSet;
use tonic::Code;

use super::{POLICY, apply, events, one};
use crate::{
    http_tiles::client,
    served::{ORIGIN, Served},
    told::assert_status,
};

/// Producers at the same time, and how many events each sends.
const PRODUCERS: u64 = 32;
const EVENTS: u64 = 20;

async fn post(served: &Served, lines: &'static str) -> Response {
    let request = client().post(served.url("/v1/events")).body(lines);
    request.header(CONTENT_TYPE, "application/x-ndjson").send().await.unwrap()
}

/// Requires that an answer says when to come back.
fn comes_back(response: &Response) {
    let seconds: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_answers_events_with_429_and_when_to_come_back() {
    let raw = RawConfig {
        pool_entries_max: Some(1),
        pool_log_percent: Some(100),
        ..RawConfig::default()
    };
    let served = Arc::new(Served::audit(raw));
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        let served = Arc::clone(&served);
        producers.spawn(async move {
            let mut refused = 0;
            for _ in 0..EVENTS {
                let response = post(&served, "{}\n").await;
                if response.status() == 200 {
                    assert!(!response.headers().contains_key("retry-after"));
                    continue;
                }
                assert_eq!(response.status(), 429);
                comes_back(&response);
                let text = response.text().await.unwrap();
                assert!(text.contains("POOL_FULL") || text.contains("LOG_FULL"), "{text}");
                refused += 1;
            }
            refused
        });
    }
    let refused: u64 = producers.join_all().await.into_iter().sum();
    assert!(refused > 0, "the pool was never full");
    // What was refused left nothing: there are the genesis and those that were taken.
    let size = served.running().pipeline().logs()[0].published().head().size.get();
    assert_eq!(size, 1 + PRODUCERS * EVENTS - refused);
}

/// A clock that stands until it is set.
struct Set {
    wall: AtomicU64,
}

impl Clock for Set {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Returns the state of the log.
async fn state(served: &Served) -> LogState {
    let mut client = served.client().await;
    client.list_logs(ListLogsRequest {}).await.unwrap().into_inner().logs[0].state()
}

#[tokio::test]
async fn a_log_that_doubts_its_clock_takes_nothing_until_an_operator_confirms_it() {
    let clock = Arc::new(Set { wall: AtomicU64::new(1_900_000_000_000) });
    let served = Served::audit_by(RawConfig::default(), Arc::clone(&clock) as Arc<dyn Clock>);
    let mut client = events(&served).await;
    let before = client.append_event(one("{}")).await.unwrap().into_inner().appended.unwrap();
    assert_eq!(state(&served).await, LogState::Open);
    // An hour passes in no time.
    clock.wall.fetch_add(3_600_000, Ordering::SeqCst);
    for _ in 0..2 {
        let status = client.append_event(one("{}")).await.unwrap_err();
        assert_status(&status, Code::Unavailable, "CLOCK_DOUBTED", None);
        let response = post(&served, "{}\n").await;
        assert_eq!(response.status(), 503);
        comes_back(&response);
    }
    let status = apply(&served, POLICY).await.unwrap_err();
    assert_status(&status, Code::Unavailable, "CLOCK_DOUBTED", None);
    assert_eq!(state(&served).await, LogState::ClockDoubted);

    let data = served.data();
    let confirmed = Command::new(env!("CARGO_BIN_EXE_attestree"))
        .args(["log", "confirm-clock", ORIGIN, "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&confirmed.stdout);
    assert!(confirmed.status.success() && text.contains("goes by the machine's clock"), "{text}");
    assert_eq!(state(&served).await, LogState::Open);
    let after = client.append_event(one("{}")).await.unwrap().into_inner().appended.unwrap();
    assert_eq!(after.leaf_index, before.leaf_index + 1, "nothing was recorded meanwhile");
    assert_eq!(post(&served, "{}\n").await.status(), 200);
}
