//! Policies that change while several callers send events in each way that there is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use attestree::{
    core::record::{Body, PolicyDigest, Record, System},
    proto::{
        Answer, AppendEventBatchRequest, AppendEventStreamRequest, ReadEntriesRequest,
        append_event_stream_response::Outcome, event_service_client::EventServiceClient,
    },
};
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{apply, bundle, events, one, start};
use crate::{http_tiles, served::Served};

/// Policies that follow on one another.
const POLICIES: usize = 8;

/// Events that are answered before the next policy is applied.
const STEP: u64 = 40;

/// Events of a batch, or of a body over HTTP.
const GROUP: usize = 5;

/// The event that everybody sends.
const EVENT: &str = r#"{"act":"a","ctx":{"text":"text"}}"#;

/// A policy that names itself in each record that it judges.
fn policy(number: usize) -> String {
    format!(
        "apiVersion: attestree/v1\nkind: Policy\nenrich:\n  - {{name: by, from: ctx.text, map: {{}}, default: p{number}}}\n\
         rules:\n  - {{name: r{number}, require: [ctx.never], enforce: warn}}\n"
    )
}

/// What callers share: whether to go on, and how many events were answered.
#[derive(Clone)]
struct Callers {
    running: Arc<AtomicBool>,
    answered: Arc<watch::Sender<u64>>,
}

impl Callers {
    fn go_on(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    fn answered(&self, events: u64) {
        self.answered.send_modify(|answered| *answered += events);
    }

    /// Starts a caller of each kind.
    async fn start(&self, served: &Served) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for _ in 0..2 {
            let (all, mut client) = (self.clone(), events(served).await);
            callers.spawn(async move {
                while all.go_on() {
                    client.append_event(one(EVENT)).await.unwrap();
                    all.answered(1);
                }
            });
        }
        let (all, mut client) = (self.clone(), events(served).await);
        callers.spawn(async move {
            while all.go_on() {
                let request = AppendEventBatchRequest {
                    events: vec![EVENT.into(); GROUP],
                    answer: Answer::Checkpoint.into(),
                    ..Default::default()
                };
                let appended = client.append_event_batch(request).await.unwrap().into_inner();
                let appended = appended.appended.unwrap();
                assert_eq!(appended.to - appended.from, GROUP as u64, "a batch stands together");
                all.answered(GROUP as u64);
            }
        });
        let (all, url, http) = (self.clone(), served.url("/v1/events"), http_tiles::client());
        callers.spawn(async move {
            while all.go_on() {
                let post = http.post(&url).header("content-type", "application/x-ndjson");
                let answer = post.body([EVENT; GROUP].join("\n")).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                all.answered(GROUP as u64);
            }
        });
        callers.spawn(stream(self.clone(), events(served).await));
        callers
    }
}

/// Streams events, several under way at a time.
async fn stream(all: Callers, mut client: EventServiceClient<Channel>) {
    let (send, requests) = mpsc::channel(GROUP);
    let next = || AppendEventStreamRequest { event: EVENT.into(), ..Default::default() };
    for _ in 0..GROUP {
        send.send(next()).await.unwrap();
    }
    let mut sender = Some(send);
    let answers = client.append_event_stream(ReceiverStream::new(requests)).await.unwrap();
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(matches!(answer.outcome, Some(Outcome::Appended(_))));
        all.answered(1);
        match &sender {
            Some(send) if all.go_on() => send.send(next()).await.unwrap(),
            _ => sender = None,
        }
    }
}

/// Reads every record.
async fn read(served: &Served) -> Vec<Bytes> {
    let size = served.running().pipeline().logs()[0].published().head().size.get();
    let request = ReadEntriesRequest { to: Some(size), ..Default::default() };
    let mut messages = served.client().await.read_entries(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        entries.extend(message.entries);
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_under_load_is_of_the_last_policy_below_it() {
    let served = start();
    let callers = Callers {
        running: Arc::new(AtomicBool::new(true)),
        answered: Arc::new(watch::Sender::new(0)),
    };
    let mut tasks = callers.start(&served).await;
    let mut answered = callers.answered.subscribe();
    let mut switches: Vec<(u64, PolicyDigest)> = Vec::new();
    for number in 0..POLICIES {
        let goal = *answered.borrow() + STEP;
        tokio::select! {
            reached = answered.wait_for(|answered| *answered >= goal) => drop(reached.unwrap()),
            ended = tasks.join_next() => panic!("a caller ended: {ended:?}"),
        }
        let applied = apply(&served, &policy(number)).await.unwrap();
        switches.push((applied.leaf_index, bundle(&policy(number)).digest()));
    }
    let goal = *answered.borrow() + STEP;
    answered.wait_for(|answered| *answered >= goal).await.unwrap();
    callers.running.store(false, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let entries = read(&served).await;
    let (mut events, mut found) = (0, Vec::new());
    let mut judged_by = [0_u64; POLICIES + 1];
    for (index, entry) in (0_u64..).zip(&entries) {
        let record = Record::parse(entry).unwrap();
        let number = switches.iter().filter(|(at, _)| *at < index).count();
        let governing = number.checked_sub(1).map(|last| switches[last].1);
        assert_eq!(record.policy(), governing, "the policy of record {index}");
        match record.body() {
            Body::Event(event) => {
                // Its verdict and its content are of that policy too, not the label alone.
                let name = number.checked_sub(1);
                let rules: Vec<String> = name.iter().map(|number| format!("r{number}")).collect();
                assert_eq!(event.rules(), rules, "the rules of record {index}");
                let value: Value = serde_json::from_slice(entry).unwrap();
                let by = value.pointer("/ctx/enriched/by").and_then(Value::as_str);
                assert_eq!(by, name.map(|number| format!("p{number}")).as_deref(), "{value}");
                judged_by[number] += 1;
                events += 1;
            }
            Body::System(System::Policy(policy)) => found.push((index, policy.digest)),
            Body::System(_) => {}
        }
    }
    assert_eq!(found, switches, "each policy is at the index that was answered");
    assert_eq!(events, *answered.borrow(), "each event that was answered has one record");
    assert!(judged_by.iter().all(|events| *events > 0), "the load went on: {judged_by:?}");
}
