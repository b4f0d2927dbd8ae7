//! `AppendEventStream`.

use attestree::proto::{
    Answer, AppendEventStreamRequest, Verdict, append_event_stream_response::Outcome,
};
use tonic::Code;

use super::{LOGIN, events, governed};

fn sent(event: impl Into<bytes::Bytes>, key: &'static str) -> AppendEventStreamRequest {
    AppendEventStreamRequest {
        event: event.into(),
        idempotency_key: key.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn each_event_of_a_stream_stands_for_itself() {
    let served = governed().await;
    let mut client = events(&served).await;
    let header = AppendEventStreamRequest { answer: Answer::Receipt.into(), ..Default::default() };
    let requests = vec![
        header,
        sent(LOGIN, "a"),
        sent("{\"a\":", ""),
        sent("{}", ""),
        sent(r#"{"act":"deploy.x"}"#, ""),
        sent(LOGIN, "a"),
        sent("", "b"),
        sent("{}", "a"),
        sent(vec![b' '; (1 << 20) + 1], ""),
        sent(r#"{"act":7}"#, ""),
    ];
    let stream = client.append_event_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut stream = stream.into_inner();
    let mut told = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        told.push(match answer.outcome.unwrap() {
            Outcome::Appended(answer) => {
                let (place, record) = (answer.appended.unwrap(), answer.record.unwrap());
                assert!(place.checkpoint.is_some() && place.proof.is_some());
                assert_eq!(place.leaf_hash, record.leaf_hash);
                format!("{:?} {}", record.verdict(), place.duplicate)
            }
            Outcome::Refused(refusal) => {
                format!("{:?} {}", Code::from(refusal.code), refusal.reason)
            }
        });
    }
    let accepted = format!("{:?} false", Verdict::Accept);
    assert_eq!(
        told,
        [
            accepted.as_str(),
            "InvalidArgument MALFORMED",
            &accepted,
            "FailedPrecondition POLICY",
            "Unspecified true",
            "InvalidArgument NO_EVENT",
            "AlreadyExists KEY_CONFLICT",
            "InvalidArgument EVENT_TOO_LONG",
            "Quarantine false",
        ]
    );
}

#[tokio::test]
async fn a_refusal_says_what_errorinfo_would() {
    let served = governed().await;
    let requests = vec![sent("{}", ""), sent("[1,\n2", ""), sent(r#"{"act":"deploy.x"}"#, "")];
    let mut client = events(&served).await;
    let stream = client.append_event_stream(tokio_stream::iter(requests)).await.unwrap();
    let mut stream = stream.into_inner();
    let mut refusals = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        if let Outcome::Refused(refusal) = answer.outcome.unwrap() {
            refusals.push(refusal);
        }
    }
    assert_eq!(
        (refusals[0].details["line"].as_str(), refusals[0].details["column"].as_str()),
        ("2", "2")
    );
    assert_eq!(refusals[1].details["rules"], "deployment/approval");
}
