//! What senders of OTLP and of Kubernetes are answered, over real sockets.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::PathBuf};

use attestree::{
    core::credential::{Fingerprint, token},
    server::{config::RawConfig, source::RawSource},
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use prost::Message as _;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::{
    child::{self, Child},
    kubernetes,
    line::{Cut, Line},
    otlp,
};
use crate::served::Served;

/// Bytes that the sources of these tests take.
const BODY_BYTES_MAX: u64 = 64 * 1_024;

/// Starts a server with a source of each kind, whose senders show the token that is returned.
fn start() -> (Served, String) {
    start_with(RawSource { body_bytes_max: Some(BODY_BYTES_MAX), ..RawSource::default() })
}

/// Starts a server with a source of each kind like this one.
fn start_with(like: RawSource) -> (Served, String) {
    let token = token(&[9; 32]);
    // The file lies where the server keeps its own things, which is made when it starts.
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    fs::write(&tokens, format!("# of a test\n{}\n", Fingerprint::of(token.as_bytes()))).unwrap();
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    let source = |kind: &str| RawSource {
        name: format!("from-{kind}"),
        kind: kind.to_owned(),
        tokens: Some(tokens.clone()),
        ..like.clone()
    };
    let sources = Some(["otlp", "kubernetes"].map(source).to_vec());
    (Served::audit(RawConfig { sources, ..RawConfig::default() }), token)
}

fn post(served: &Served, path: &str, token: &str) -> RequestBuilder {
    child::http().post(served.url(path)).bearer_auth(token)
}

fn request(count: u64) -> ExportLogsServiceRequest {
    otlp::request(
        (0..count)
            .map(|number| otlp::record("auth.login", 1_795_252_501_000_000_001 + number))
            .collect(),
    )
}

async fn events(served: &Served) -> Vec<Value> {
    let mut records = child::records(served.address(), 0).await;
    records.retain(|record| record["t"] == "event");
    records
}

/// Checks a refusal in protobuf; returns its message.
async fn refusal(response: Response, status: StatusCode, code: Code) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/x-protobuf");
    let said = tonic_types::Status::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(said.code, code as i32, "{}", said.message);
    said.message
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_over_http_are_answered_in_their_encoding() {
    let (served, token) = start();
    let body = request(3).encode_to_vec();
    let logs = || post(&served, "/v1/logs", &token);
    let protobuf = || logs().header("content-type", "application/x-protobuf");
    let taken = protobuf().body(body.clone()).send().await.unwrap();
    assert_eq!(
        (taken.status(), &taken.headers()["content-type"]),
        (StatusCode::OK, &"application/x-protobuf".parse().unwrap())
    );
    assert!(taken.bytes().await.unwrap().is_empty(), "partial_success is not set");

    let json = serde_json::to_vec(&request(4)).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&json).unwrap();
    let taken = logs()
        .header("content-type", "application/json; charset=utf-8")
        .header("content-encoding", "gzip");
    let taken = taken.body(packed.finish().unwrap()).send().await.unwrap();
    assert_eq!(
        (taken.status(), &taken.headers()["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert_eq!(taken.text().await.unwrap(), "{}");

    // What no request can be made of is kept; its sender would throw it away.
    let taken = protobuf().body("\u{1}\u{2}no request").send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
    let taken = logs()
        .header("content-type", "application/json")
        .body("{\"resourceLogs\":7}")
        .send()
        .await
        .unwrap();
    assert_eq!((taken.status(), taken.text().await.unwrap()), (StatusCode::OK, "{}".to_owned()));

    let events = events(&served).await;
    let of = |class: &str| events.iter().filter(|event| event["class"] == class).count();
    assert_eq!((events.len(), of("authentication"), of("unparsed")), (9, 7, 2));
    for event in events.iter().filter(|event| event["class"] == "unparsed") {
        assert_eq!(event["vd"], "quarantine", "its bytes are committed, not in the clear: {event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_over_http_are_refused_as_their_senders_understand() {
    let (served, token) = start();
    let protobuf = |token: &str| {
        post(&served, "/v1/logs", token).header("content-type", "application/x-protobuf")
    };
    let plain = child::http().post(served.url("/v1/logs"));
    let missing = plain.header("content-type", "application/x-protobuf").send().await.unwrap();
    refusal(missing, StatusCode::UNAUTHORIZED, Code::Unauthenticated).await;
    let wrong = protobuf("att_other").send().await.unwrap();
    let said = refusal(wrong, StatusCode::UNAUTHORIZED, Code::Unauthenticated).await;
    assert!(!said.contains("att_"), "{said}");
    let large = protobuf(&token).body(vec![0; BODY_BYTES_MAX as usize + 1]).send().await.unwrap();
    assert!(large.headers().get("retry-after").is_none());
    refusal(large, StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted).await;

    let text = post(&served, "/v1/logs", &token)
        .header("content-type", "text/plain")
        .send()
        .await
        .unwrap();
    assert_eq!(text.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let said: Value = serde_json::from_slice(&text.bytes().await.unwrap()).unwrap();
    assert_eq!(said["code"], Code::InvalidArgument as i32);
    let read = child::http().get(served.url("/v1/logs")).send().await.unwrap();
    assert_eq!(
        (read.status(), &read.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    assert!(events(&served).await.is_empty());

    let off = Served::audit(RawConfig::default());
    let off = post(&off, "/v1/logs", &token)
        .header("content-type", "application/x-protobuf")
        .send()
        .await
        .unwrap();
    refusal(off, StatusCode::NOT_FOUND, Code::Unimplemented).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_is_told_when_to_come_back() {
    let (served, token) = start_with(RawSource { rate: Some(1), ..RawSource::default() });
    // It owes the better part of an hour.
    let body = request(3_000).encode_to_vec();
    let http = || {
        post(&served, "/v1/logs", &token)
            .header("content-type", "application/x-protobuf")
            .body(body.clone())
    };
    assert_eq!(http().send().await.unwrap().status(), StatusCode::OK);
    let later = http().send().await.unwrap();
    let seconds: u64 = later.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((60..3_001).contains(&seconds), "{seconds}");
    refusal(later, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable).await;

    let status = export(&served, &token, request(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(delay.as_secs() >= 60, "{delay:?}");

    let batch = post(&served, "/v1/kubernetes", &token).body(kubernetes::requests());
    assert_eq!(batch.send().await.unwrap().status(), StatusCode::OK);
}

/// Sends over gRPC.
async fn export(
    served: &Served,
    token: &str,
    request: ExportLogsServiceRequest,
) -> Result<(), Status> {
    let client = LogsServiceClient::connect(served.url("")).await.unwrap();
    let mut client = client.send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let mut request = Request::new(request);
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let answer = client.export(request).await?.into_inner();
    assert!(answer.partial_success.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_over_grpc_are_answered_as_their_senders_understand() {
    let (served, token) = start();
    export(&served, &token, request(5)).await.unwrap();
    export(&served, &token, ExportLogsServiceRequest::default()).await.unwrap();
    assert_eq!(events(&served).await.len(), 5);
    for wrong in ["", "att_other"] {
        let status = export(&served, wrong, request(1)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    // It fits while it is compressed; the limit is for what becomes of it.
    let mut large = request(1);
    large.resource_logs[0].schema_url = "x".repeat(BODY_BYTES_MAX as usize);
    let status = export(&served, &token, large.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.get_details_retry_info().is_none());
    let mut client = LogsServiceClient::connect(served.url("")).await.unwrap();
    let mut plain = Request::new(large);
    plain.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let status = client.export(plain).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");

    let off = Served::audit(RawConfig::default());
    let status = export(&off, &token, request(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_none_is_kept_over_grpc_as_well() {
    let (served, token) = start();
    child::provide();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let message = b"\x0a\x7fno request";
    let head = [0, 0, 0, 0, message.len() as u8];
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let answer = client
        .post(served.url(path))
        .bearer_auth(&token)
        .header("content-type", "application/grpc");
    let answer =
        answer.header("te", "trailers").body([&head[..], message].concat()).send().await.unwrap();
    assert!(answer.headers().get("grpc-status").is_none_or(|status| status == "0"), "{answer:?}");
    assert_eq!(&answer.bytes().await.unwrap()[..], [0; 5], "an answer that says nothing");
    let events = events(&served).await;
    assert_eq!((events.len(), &events[0]["class"]), (1, &"unparsed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_decompress_is_kept_over_grpc_and_http() {
    let (served, token) = start();
    child::provide();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let broken = b"\x1f\x8b\x08 no gzip";
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    for (flag, _again) in [(1, 0), (1, 1), (0, 0)] {
        let head = [flag, 0, 0, 0, broken.len() as u8];
        let answer = client
            .post(served.url(path))
            .bearer_auth(&token)
            .header("content-type", "application/grpc")
            .header("grpc-encoding", "gzip")
            .header("te", "trailers")
            .body([&head[..], broken].concat());
        let answer = answer.send().await.unwrap();
        let status = answer.headers().get("grpc-status");
        assert!(status.is_none_or(|status| status == "0"), "{answer:?}");
        assert_eq!(&answer.bytes().await.unwrap()[..], [0; 5], "an answer that says nothing");
    }
    let taken = post(&served, "/v1/logs", &token)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "gzip")
        .body(broken.to_vec());
    assert_eq!(taken.send().await.unwrap().status(), StatusCode::OK);
    let taken = post(&served, "/v1/kubernetes", &token)
        .header("content-encoding", "gzip")
        .body(broken.to_vec());
    assert_eq!(taken.send().await.unwrap().status(), StatusCode::OK);
    let events = events(&served).await;
    let sources: Vec<&str> = events.iter().map(|event| event["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["from-otlp", "from-kubernetes"], "each once");
    assert!(events.iter().all(|event| event["class"] == "unparsed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_as_collectors_make_them_by_default_is_taken_apart() {
    let (served, token) = start_with(RawSource::default());
    let body = request(8_192).encode_to_vec();
    let taken = post(&served, "/v1/logs", &token).header("content-type", "application/x-protobuf");
    assert_eq!(taken.body(body).send().await.unwrap().status(), StatusCode::OK);
    let events = events(&served).await;
    assert_eq!(events.len(), 8_192);
    assert!(events.iter().all(|event| event["class"] == "authentication"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_kubernetes_is_taken_whatever_it_holds() {
    let (served, token) = start();
    let send = |body: Vec<u8>| {
        post(&served, "/v1/kubernetes", &token)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let batch = kubernetes::requests().to_vec();
    for _again in 0..2 {
        let taken = send(batch.clone()).await.unwrap();
        assert_eq!(taken.status(), StatusCode::OK);
        assert!(
            taken.headers().get("content-type").is_none(),
            "a type that it can't parse is an error"
        );
        assert!(taken.bytes().await.unwrap().is_empty());
    }
    assert_eq!(events(&served).await.len(), 10);
    for broken in [&b"["[..], b"{\"kind\":\"Pod\"}", &[b"[".repeat(10_000), vec![0xff]].concat()] {
        assert_eq!(send(broken.to_vec()).await.unwrap().status(), StatusCode::OK);
    }
    let events = events(&served).await;
    assert_eq!(events.iter().filter(|event| event["class"] == "unparsed").count(), 3);

    let client = child::http();
    let missing = client.post(served.url("/v1/kubernetes")).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    let read = client.get(served.url("/v1/kubernetes")).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_told_differently_is_a_conflict() {
    let (served, token) = start();
    let batch = String::from_utf8(kubernetes::requests().to_vec()).unwrap();
    let other = batch.replace("\"code\":403", "\"code\":200");
    assert_ne!(batch, other);
    for body in [&batch, &other, &batch, &other] {
        let taken =
            post(&served, "/v1/kubernetes", &token).body(body.clone()).send().await.unwrap();
        assert_eq!(taken.status(), StatusCode::OK);
    }
    let records = child::records(served.address(), 0).await;
    let secrets: Vec<&Value> =
        records.iter().filter(|record| record["act"] == "kubernetes.secrets.get").collect();
    assert_eq!(secrets.len(), 2, "both are kept");
    let conflicts: Vec<&Value> =
        records.iter().filter(|record| record["t"] == "conflict").collect();
    let [conflict] = conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!(conflict["source"], "from-kubernetes");
    // The genesis is not among them.
    let at = |index: &str| &records[conflict["ctx"][index].as_u64().unwrap() as usize - 1];
    assert_eq!((&at("first")["out"], &at("index")["out"]), (&"failure".into(), &"success".into()));
}

/// Replays what an API server does: a batch is sent again, whole, after any error.
#[test]
fn the_retries_of_an_api_server_double_nothing() {
    let mut child = Child::start(&["kubernetes"], "");
    let way = Line::breaking(child.address(), &[Cut::Answer; 2]).address();
    let token = child.token().to_owned();
    let post = |url: String| {
        let request = child::http().post(url).bearer_auth(&token).body(kubernetes::requests());
        child::wait(request.send())
    };
    // Its own backoff of ten seconds and more is left out: five tries at most, the answers of the first two are lost.
    let tries = (1..=5).find(|_| {
        post(format!("http://{way}/v1/kubernetes"))
            .is_ok_and(|answer| answer.status() == StatusCode::OK)
    });
    assert_eq!(tries, Some(3));
    let records = |child: &Child| -> Vec<Value> {
        child.records().into_iter().map(|told| told.record).collect()
    };
    let events = records(&child);
    assert_eq!(events.len(), 10);
    child.kill_and_resume();
    // What it was not told before it was started again it sends once more, and with it what comes after.
    assert_eq!(post(child.url("/v1/kubernetes")).unwrap().status(), StatusCode::OK);
    assert_eq!(records(&child), events);
    let stages = |event: &Value| (event["ctx"]["audit_id"].clone(), event["ctx"]["stage"].clone());
    let stages: std::collections::BTreeSet<String> =
        events.iter().map(|event| format!("{:?}", stages(event))).collect();
    assert_eq!(stages.len(), 10);
}

/// Reads a file of `deploy/sources`.
fn deployed(name: &str) -> (PathBuf, Value, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/sources").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let value = serde_saphyr::from_str(&text).unwrap();
    (path, value, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_leads_an_api_server_here() {
    let (_, config, text) = deployed("kubernetes-webhook.yaml");
    let of = |list: &str, name: &Value| {
        let named = config[list].as_array().unwrap().iter().find(|one| one["name"] == *name);
        named.unwrap_or_else(|| panic!("{list} has {name}")).clone()
    };
    let context = of("contexts", &config["current-context"])["context"].clone();
    let cluster = of("clusters", &context["cluster"])["cluster"].clone();
    let user = of("users", &context["user"])["user"].clone();
    let url = reqwest::Url::parse(cluster["server"].as_str().unwrap()).unwrap();
    assert_eq!(url.scheme(), "https");
    assert!(cluster["certificate-authority"].is_string());

    let (served, token) = start_with(RawSource::default());
    // The file that the kubeconfig names, as its reader reads it.
    let dir = tempfile::tempdir().unwrap();
    let file = user["tokenFile"].as_str().unwrap().rsplit('/').next().unwrap();
    fs::write(dir.path().join(file), format!("{token}\n")).unwrap();
    let token = fs::read_to_string(dir.path().join(file)).unwrap();
    let taken =
        post(&served, url.path(), token.trim()).body(kubernetes::requests()).send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
    assert_eq!(events(&served).await.len(), 10);

    let flags: std::collections::BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#   --audit-")?.split_once('='))
        .collect();
    let number = |flag: &str| flags[flag].parse::<usize>().unwrap();
    assert!(flags["webhook-config-file"].ends_with("kubernetes-webhook.yaml"));
    assert_eq!(flags["webhook-version"], "audit.k8s.io/v1");
    assert!(number("webhook-batch-max-size") <= attestree::pipeline::BATCH_ENTRIES_MAX);
    assert!(number("webhook-truncate-max-batch-size") <= attestree::pipeline::BATCH_BYTES_MAX);
    let shown = attestree::core::record::SUBMISSION_LIMITS.bytes;
    assert!(number("webhook-truncate-max-event-size") < shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_a_collector_leads_here() {
    let (path, config, text) = deployed("otel-collector.yaml");
    let found = attestree::policy::infra::check(path.to_str().unwrap(), text.as_bytes()).unwrap();
    assert!(found.is_empty(), "the collector keeps what it can't send: {found:?}");
    let (served, token) = start_with(RawSource::default());
    for (exporter, is_grpc) in [("otlp/attestree", true), ("otlphttp/attestree", false)] {
        let exporter = &config["exporters"][exporter];
        assert_eq!(exporter["retry_on_failure"]["max_elapsed_time"], 0);
        assert_eq!(
            (&exporter["sending_queue"]["storage"], &exporter["compression"]),
            (&"file_storage".into(), &"gzip".into())
        );
        let header = exporter["headers"]["authorization"].as_str().unwrap();
        let header = header.replace("${env:ATTESTREE_TOKEN}", &token);
        let endpoint = exporter["endpoint"].as_str().unwrap();
        if is_grpc {
            assert_eq!(endpoint, "attestree.example:6962");
            export(&served, header.strip_prefix("Bearer ").unwrap(), request(3)).await.unwrap();
        } else {
            // The exporter puts the path of the signal behind the endpoint.
            let url = reqwest::Url::parse(&format!("{endpoint}/v1/logs")).unwrap();
            let sent = child::http().post(served.url(url.path())).header("authorization", header);
            let sent = sent
                .header("content-type", "application/x-protobuf")
                .body(request(5).encode_to_vec());
            assert_eq!(sent.send().await.unwrap().status(), StatusCode::OK);
        }
    }
    assert_eq!(events(&served).await.len(), 5, "the first three are the same in both");
    let batch = config["processors"]["batch"]["send_batch_max_size"].as_u64().unwrap();
    assert!(batch as usize <= attestree::pipeline::BATCH_ENTRIES_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_shows_what_it_counts_and_how_far_it_lags() {
    let (served, token) = start();
    let value = async |series: String| -> Option<f64> {
        let text = child::http().get(served.url("/metrics")).send().await.unwrap().text().await;
        text.unwrap().lines().find_map(|line| line.strip_prefix(&series)?.trim().parse().ok())
    };
    let items = |kind: &str, result: &str| {
        format!("attestree_source_items_total{{source=\"from-{kind}\",result=\"{result}\"}}")
    };
    let lag = |kind: &str| format!("attestree_source_lag_seconds{{source=\"from-{kind}\"}}");
    for kind in ["otlp", "kubernetes"] {
        for result in ["received", "admitted", "quarantined", "duplicate", "conflict", "refused"] {
            assert_eq!(value(items(kind, result)).await, Some(0.0), "{kind} {result}");
        }
        assert_eq!(value(lag(kind)).await, None, "nothing has come yet");
    }
    // Of 2001, so that it is late on every clock.
    let old = otlp::request(vec![otlp::record("auth.login", 1_000_000_000_000_000_001)]);
    export(&served, &token, old).await.unwrap();
    assert_eq!(value(items("otlp", "admitted")).await, Some(1.0));
    assert!(value(lag("otlp")).await.unwrap() > 86_400.0);
    // What says nothing of its time has occurred before it came.
    let sent = post(&served, "/v1/kubernetes", &token).body("no list").send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    assert_eq!(value(items("kubernetes", "quarantined")).await, Some(1.0));
    assert!((0.0..86_400.0).contains(&value(lag("kubernetes")).await.unwrap()));
}
