//! `AppendStream` over a real socket.

use attestree::proto::{
    Answer, AppendRequest, AppendResponse, AppendStreamRequest, AppendStreamResponse,
    append_stream_response::Outcome,
};
use attestree::{
    core::{hash::TreeHash, tree},
    server::config::RawConfig,
    store::LogIdentity,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Streaming};

use crate::{
    served::{ORIGIN, Served},
    told::{assert_status, hashes, index, verify},
};

/// Makes a message that holds an entry only.
fn entry(entry: impl Into<Vec<u8>>) -> AppendStreamRequest {
    AppendStreamRequest { entry: entry.into().into(), ..AppendStreamRequest::default() }
}

/// Makes a first message without an entry.
fn header(log: &str, answer: Answer) -> AppendStreamRequest {
    AppendStreamRequest {
        log: log.to_owned(),
        answer: answer.into(),
        ..AppendStreamRequest::default()
    }
}

/// Sends all of `requests` and returns the stream of answers.
async fn send(
    served: &Served,
    requests: Vec<AppendStreamRequest>,
) -> Streaming<AppendStreamResponse> {
    served.client().await.append_stream(tokio_stream::iter(requests)).await.unwrap().into_inner()
}

/// Takes the answers until the end of the stream.
async fn all(
    answers: Streaming<AppendStreamResponse>,
) -> Vec<Result<AppendResponse, (Code, String)>> {
    let outcome = |answer: AppendStreamResponse| match answer.outcome.unwrap() {
        Outcome::Appended(appended) => Ok(appended),
        Outcome::Refused(refusal) => Err((Code::from_i32(refusal.code), refusal.message)),
    };
    answers.map(|answer| outcome(answer.unwrap())).collect().await
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests() {
    let served = Served::start();
    let requests = (0..5_000).map(|n| entry(format!("entry {n}"))).collect();
    let answers = all(send(&served, requests).await).await;
    assert_eq!(answers.len(), 5_000, "a half-closed stream gets all its answers");
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.leaf_index, u64::try_from(n).unwrap());
        assert_eq!(
            &answer.leaf_hash[..],
            TreeHash::leaf(format!("entry {n}").as_bytes()).as_bytes()
        );
    }
}

#[tokio::test]
async fn a_stream_answers_with_receipts_that_verify() {
    let served = Served::start();
    let mut requests = vec![header(ORIGIN, Answer::Receipt)];
    requests.extend((0..700).map(|n| entry(format!("entry {n}"))));
    let answers = all(send(&served, requests).await).await;
    assert_eq!(answers.len(), 700, "the first message held no entry");
    for answer in answers.into_iter().map(Result::unwrap) {
        let head = verify(answer.checkpoint.as_ref(), &served.vkeys[0]);
        let leaf = TreeHash::from_slice(&answer.leaf_hash).unwrap();
        let proof = hashes(&answer.proof.unwrap().hashes);
        tree::verify_inclusion(&leaf, index(answer.leaf_index), &head, &proof).unwrap();
    }
}

#[tokio::test]
async fn a_refusal_stands_in_its_place_and_the_stream_goes_on() {
    let served = Served::start();
    let keyed = |bytes: &str, key: &'static str| AppendStreamRequest {
        idempotency_key: key.into(),
        ..entry(bytes)
    };
    let requests = vec![
        keyed("a", "key"),
        entry(""),
        entry("b"),
        entry(vec![7; 65_536]),
        keyed("other", "key"),
        AppendStreamRequest { idempotency_key: vec![7; 257].into(), ..entry("x") },
        keyed("a", "key"),
        AppendStreamRequest { log: ORIGIN.to_owned(), ..entry("x") },
        entry("c"),
    ];
    let answers = all(send(&served, requests).await).await;
    let outline: Vec<_> = answers
        .iter()
        .map(|answer| {
            answer
                .as_ref()
                .map(|found| (found.leaf_index, found.duplicate))
                .map_err(|refused| refused.0)
        })
        .collect();
    let bad = Err(Code::InvalidArgument);
    let taken = Err(Code::AlreadyExists);
    assert_eq!(
        outline,
        [Ok((0, false)), bad, Ok((1, false)), bad, taken, bad, Ok((0, true)), bad, Ok((2, false))]
    );
}

#[tokio::test]
async fn a_conflict_names_the_first_index() {
    let served = Served::start();
    let keyed = |bytes: &str| AppendStreamRequest { idempotency_key: "key".into(), ..entry(bytes) };
    let mut answers = send(&served, vec![entry("before"), keyed("a"), keyed("b")]).await;
    let mut last = None;
    while let Some(answer) = answers.next().await {
        last = answer.unwrap().outcome;
    }
    let Some(Outcome::Refused(refusal)) = last else {
        panic!("the last entry was appended: {last:?}")
    };
    assert_eq!(refusal.first_index, Some(1));
}

#[tokio::test]
async fn what_is_wrong_with_the_first_message_ends_the_stream() {
    let served = Served::start();
    let status = send(&served, vec![header("log.example/none", Answer::Index)])
        .await
        .next()
        .await
        .unwrap()
        .unwrap_err();
    assert_status(&status, Code::NotFound, "UNKNOWN_LOG", Some("log"));
    let wrong = AppendStreamRequest { answer: 77, ..entry("a") };
    let status = send(&served, vec![wrong]).await.next().await.unwrap().unwrap_err();
    assert_status(&status, Code::InvalidArgument, "FIELD", Some("answer"));
    assert_eq!(all(send(&served, Vec::new()).await).await, []);
    assert_eq!(all(send(&served, vec![header("", Answer::Index)]).await).await, []);
}

#[tokio::test]
async fn a_message_too_large_to_hold_ends_the_stream_after_its_answers() {
    let served = Served::start();
    let mut answers = send(&served, vec![entry("a"), entry(vec![7; 200_000]), entry("b")]).await;
    assert!(matches!(answers.next().await.unwrap().unwrap().outcome, Some(Outcome::Appended(_))));
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn each_answer_comes_without_waiting_for_more_requests() {
    let served = Served::start();
    let (requests, queue) = mpsc::channel(1);
    let mut client = served.client().await;
    let mut answers = client.append_stream(ReceiverStream::new(queue)).await.unwrap().into_inner();
    for n in 0..20_u64 {
        requests.send(entry(format!("{n}"))).await.unwrap();
        let Some(Outcome::Appended(answer)) = answers.next().await.unwrap().unwrap().outcome else {
            panic!()
        };
        assert_eq!(answer.leaf_index, n);
    }
}

#[tokio::test]
async fn a_client_that_vanishes_disturbs_nothing() {
    let served = Served::start();
    for round in 0..5 {
        let (requests, queue) = mpsc::channel(1);
        let mut client = served.client().await;
        let mut answers =
            client.append_stream(ReceiverStream::new(queue)).await.unwrap().into_inner();
        requests.send(entry(format!("{round}"))).await.unwrap();
        if round % 2 == 0 {
            answers.next().await.unwrap().unwrap();
        }
    }
    let mut client = served.client().await;
    let request = AppendRequest { entry: "after".into(), ..AppendRequest::default() };
    // How many of the unanswered entries arrived is open; those that were answered are there.
    assert!(client.append(request).await.unwrap().into_inner().leaf_index >= 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_from() {
    let served = Served::start();
    let (requests, queue) = mpsc::channel(1);
    let mut client = served.client().await;
    let mut answers = client.append_stream(ReceiverStream::new(queue)).await.unwrap().into_inner();
    let sent = tokio::spawn(async move {
        for n in 0..60_000_u32 {
            requests.send(entry(n.to_be_bytes())).await.unwrap();
        }
    });
    // Another client is served meanwhile.
    let mut other = served.client().await;
    for _ in 0..10 {
        other
            .append(AppendRequest { entry: "other".into(), ..AppendRequest::default() })
            .await
            .unwrap();
    }
    let mut answered = 0;
    while let Some(answer) = answers.next().await {
        assert!(matches!(answer.unwrap().outcome, Some(Outcome::Appended(_))));
        answered += 1;
    }
    sent.await.unwrap();
    assert_eq!(
        answered, 60_000,
        "flow control holds the client up instead of refusing its entries"
    );
}

#[tokio::test]
async fn a_full_pool_refuses_in_place_and_says_when_to_come_back() {
    let raw = RawConfig {
        pool_entries_max: Some(8),
        pool_log_percent: Some(100),
        ..RawConfig::default()
    };
    let served = Served::with(&[(ORIGIN, LogIdentity::None)], raw);
    let mut answers = send(&served, (0..3_000).map(|n| entry(format!("{n}"))).collect()).await;
    let (mut appended, mut refused) = (0, 0);
    while let Some(answer) = answers.next().await {
        match answer.unwrap().outcome.unwrap() {
            Outcome::Appended(answer) => {
                assert_eq!(answer.leaf_index, appended, "what was refused is not in the log");
                appended += 1;
            }
            Outcome::Refused(refusal) => {
                assert_eq!(Code::from_i32(refusal.code), Code::ResourceExhausted);
                assert!(refusal.retry_after_ms > 0);
                refused += 1;
            }
        }
    }
    assert_eq!(appended + refused, 3_000);
    assert!(appended > 0 && refused > 0, "{appended} appended, {refused} refused");
}
