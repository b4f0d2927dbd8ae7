//! `POST /v1/events`.

use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{LOGIN, governed, start};
use crate::{http_tiles::client, served::Served};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

async fn post(served: &Served, form: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = client().post(served.url("/v1/events")).header(CONTENT_TYPE, form);
    request.body(body).send().await.unwrap()
}

/// Takes the answer apart: its status, and the objects on its lines.
async fn told(response: Response) -> (u16, Vec<Value>) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test]
async fn one_event_is_answered_with_its_index_and_verdict() {
    let served = governed().await;
    let (status, answer) = told(post(&served, JSON, LOGIN).await).await;
    assert_eq!((status, &answer[0]["verdict"]), (200, &json!("accept")));
    let index = answer[0]["index"].as_u64().unwrap();
    // The log's own path, and a type with a parameter.
    let request = client().post(served.url("/first/v1/events")).body(r#"{"act":7}"#);
    let request = request.header(CONTENT_TYPE, "application/json; charset=UTF-8");
    let (status, answer) = told(request.send().await.unwrap()).await;
    let quarantined = json!({
        "index": index + 1,
        "leaf_hash": answer[0]["leaf_hash"],
        "verdict": "quarantine",
        "rules": ["record/form-act"],
    });
    assert_eq!((status, &answer[0]), (200, &quarantined));

    let (status, answer) = told(post(&served, JSON, r#"{"act":"deploy.x"}"#).await).await;
    assert_eq!((status, &answer[0]["error"]["reason"]), (422, &json!("POLICY")));
    assert_eq!(answer[0]["error"]["rules"], json!(["deployment/approval"]));
    assert!(answer[0]["error"]["policy"].as_str().unwrap().len() == 43);
}

#[tokio::test]
async fn what_is_no_event_gets_400_with_its_position() {
    let served = start();
    let (status, answer) = told(post(&served, JSON, "{\n \"a\": 01}").await).await;
    let error = &answer[0]["error"];
    assert_eq!((status, &error["reason"]), (400, &json!("MALFORMED")));
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(7)));
    for body in ["", "[]", "1", "{} {}", "\u{feff}{}"] {
        assert_eq!(post(&served, JSON, body).await.status(), 400, "{body}");
    }
    for form in ["text/plain", "application/json; charset=latin1", "application/xml", ""] {
        assert_eq!(post(&served, form, "{}").await.status(), 415, "{form}");
    }
    let request = client().post(served.url("/v1/events")).header(CONTENT_TYPE, JSON);
    let coded = request.header("content-encoding", "gzip").body("{}").send().await.unwrap();
    assert_eq!(coded.status(), 415);
    let get = client().get(served.url("/v1/events")).send().await.unwrap();
    assert_eq!((get.status().as_u16(), get.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(post(&served, JSON, vec![b' '; (1 << 20) + 1]).await.status(), 413);
    assert_eq!(post(&served, LINES, vec![b' '; (16 << 20) + 1]).await.status(), 413);
    assert_eq!(post(&served, LINES, "{}\n".repeat(4_097)).await.status(), 413);
    assert_eq!(post(&served, LINES, "\n \n").await.status(), 400);
}

#[tokio::test]
async fn each_line_stands_for_itself() {
    let served = governed().await;
    let body = "{}\n\n{\"act\":\n{\"act\":\"deploy.x\"}\r\n{\"act\":7}";
    let response = post(&served, LINES, body).await;
    assert_eq!(response.headers()[CONTENT_TYPE], LINES);
    let (status, answers) = told(response).await;
    assert_eq!((status, answers.len()), (207, 4));
    let lines: Vec<&Value> = answers.iter().map(|answer| &answer["line"]).collect();
    assert_eq!(lines, [1, 3, 4, 5]);
    assert_eq!(answers[0]["verdict"], "accept");
    assert_eq!(answers[1]["error"]["reason"], "MALFORMED");
    assert_eq!(answers[1]["error"]["column"], 8);
    assert_eq!(answers[2]["error"]["reason"], "POLICY");
    assert_eq!(answers[3]["verdict"], "quarantine");
    let (first, last) =
        (answers[0]["index"].as_u64().unwrap(), answers[3]["index"].as_u64().unwrap());
    assert_eq!(last, first + 1);

    let (status, answers) = told(post(&served, LINES, "{}\n{}\n").await).await;
    assert_eq!((status, answers.len()), (200, 2));
    let (status, answers) = told(post(&served, LINES, "{\n[\n").await).await;
    assert_eq!((status, answers.len()), (400, 2));
}

#[tokio::test]
async fn a_body_can_be_sent_again_under_its_key() {
    let served = start();
    let send = |key: &'static str, form: &'static str, body: &'static str| {
        let request = client().post(served.url("/v1/events")).header(CONTENT_TYPE, form);
        request.header("Idempotency-Key", key).body(body).send()
    };
    let (_, first) = told(send("\"k\"", LINES, "{}\n\n{}").await.unwrap()).await;
    let (status, again) = told(send("k", LINES, "{}\n\n{}").await.unwrap()).await;
    assert_eq!(status, 200);
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&again["index"], &again["leaf_hash"]), (&first["index"], &first["leaf_hash"]));
        assert_eq!((&again["duplicate"], first.get("duplicate")), (&json!(true), None));
    }
    let (status, other) = told(send("k", LINES, "{\"act\":\"b\"}\n\n{}").await.unwrap()).await;
    assert_eq!((status, &other[0]["error"]["reason"]), (207, &json!("KEY_CONFLICT")));
    assert_eq!(other[0]["error"]["first_index"], first[0]["index"]);
    // Of one event the key is the key, and that of no line.
    let (status, one) = told(send("k", JSON, "{}").await.unwrap()).await;
    assert_eq!((status, one[0].get("duplicate")), (200, None));
    let long: &'static str = "k".repeat(257).leak();
    assert_eq!(send(long, JSON, "{}").await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn events_and_entries_keep_to_their_logs() {
    let audit = start();
    let add = client().post(audit.url("/add")).body("{}").send().await.unwrap();
    assert_eq!(add.status(), StatusCode::CONFLICT);
    assert!(add.text().await.unwrap().contains("audit log"));
    let opaque = Served::start();
    let (status, answer) = told(post(&opaque, JSON, "{}").await).await;
    assert_eq!((status, &answer[0]["error"]["reason"]), (409, &json!("OPAQUE_LOG")));
}
