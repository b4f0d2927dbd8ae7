//! What a policy hides is nowhere on the disk of a real server, in what it logs, measures or says when it
//! crashes.

use std::path::Path;

use attestree::{
    core::{policy::Bundle, record::Path as RecordPath},
    proto::{ApplyPolicyRequest, admin_service_client::AdminServiceClient},
    server::{
        self, KeyPlace,
        fsck::{Directory, Keys},
    },
};
use hyper_util::rt::TokioIo;
use rocksdb::DBCompressionType;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tonic::transport::{Endpoint, Uri};

use super::search::{Found, Search, canary, compact, copy_all};
use crate::{crash::process::Server, http_tiles::client};

/// A policy that hides what it is told to, and refuses what it has to.
const POLICY: &str = "\
apiVersion: attestree/v1
kind: Policy
classes:
  refused:
    match: {action: 'refused.*'}
    require: [ctx.never]
    enforce: reject
redact:
  - {path: actor.email, action: commit, subject: actor.id}
  - {path: actor.id, action: token}
  - {path: ctx.committed, action: commit}
  - {path: ctx.dropped, action: drop}
  - {path: ctx.masked, action: mask}
  - {path: ctx.token, action: token}
  - {detect: pan, action: drop}
";

/// A number of a card, which is dropped wherever it is recognised.
const CARD: &str = "5500005555555559";

/// What is hidden, each by something else.
const HIDDEN: [&str; 11] = [
    "dropped",
    "masked",
    "token",
    "committed",
    "email",
    "subject",
    "quarantined",
    "spilled",
    "malformed",
    "rejected",
    "idempotency",
];

/// Looks for everything that is hidden, and for what is kept.
fn search() -> Search {
    let texts: Vec<(&str, String)> =
        HIDDEN.into_iter().chain(["kept"]).map(|name| (name, canary(name))).collect();
    let texts = texts.iter().map(|(name, text)| (*name, text.as_str()));
    Search::new(texts.chain([("card", CARD)]))
}

/// Checks that nothing that is hidden was found.
#[track_caller]
fn nothing_hidden(found: &Found, place: &str) {
    let hidden: Vec<_> = found.iter().filter(|(canary, _)| canary != "kept").collect();
    assert!(hidden.is_empty(), "{place}: {hidden:?}");
}

/// Checks that what is kept was found, and nothing that is hidden.
#[track_caller]
fn kept_alone(found: &Found, place: &str) {
    nothing_hidden(found, place);
    assert!(found.contains(&("kept".to_owned(), "json".to_owned())), "{place}: {found:?}");
}

/// Returns an event with most canaries.
fn event() -> Value {
    json!({
        "act": "a",
        "actor": {"email": canary("email"), "id": canary("subject")},
        "ctx": {
            "card": CARD, "committed": {"deep": canary("committed")}, "dropped": [canary("dropped")],
            "kept": canary("kept"), "masked": canary("masked"), "token": canary("token"),
        },
    })
}

/// Makes an audit log and starts its server, which logs everything.
fn serve(dir: &Path) -> Server {
    let data = dir.join("data");
    let data = data.to_str().unwrap();
    let init = ["init", "--data", data, "--origin", "log.example/audit", "--kind", "audit"];
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_attestree")).args(init).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    start(dir)
}

/// Starts the server of a directory.
fn start(dir: &Path) -> Server {
    let data = dir.join("data");
    let serve = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--log-level",
        "trace",
    ];
    let said = dir.join(format!("stderr-{}", dir.read_dir().unwrap().count()));
    Server::spawn(&serve, &[("RUST_BACKTRACE", "full")], None, said).expect_listening()
}

/// Puts the policy into force.
async fn apply(dir: &Path) {
    let socket = dir.join("data/admin.sock");
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://admin.invalid");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    let bundle = Bundle::new([("policy.yaml".to_owned(), POLICY.as_bytes().to_vec())]).unwrap();
    let request = ApplyPolicyRequest { bundle: bundle.encode().into(), ..Default::default() };
    AdminServiceClient::new(channel).apply_policy(request).await.unwrap();
}

/// Posts bytes as an event under an idempotency key; returns the status.
async fn post(server: &Server, key: Option<&str>, body: impl Into<reqwest::Body>) -> u16 {
    let mut request = client().post(format!("{}/v1/events", server.url()));
    if let Some(key) = key {
        request = request.header("idempotency-key", key.as_bytes());
    }
    let request = request.header("content-type", "application/json").body(body);
    request.send().await.unwrap().status().as_u16()
}

/// Submits every canary in every way that there is.
async fn submit(server: &Server) {
    let key = canary("idempotency");
    assert_eq!(post(server, None, event().to_string()).await, 200);
    for (body, status) in [(event(), 200), (event(), 200), (json!({"act": "other"}), 409)] {
        assert_eq!(post(server, Some(&key), body.to_string()).await, status);
    }
    let quarantined = json!({"act": 7, "ctx": {"kept": canary("quarantined")}});
    assert_eq!(post(server, None, quarantined.to_string()).await, 200);
    let spilled = json!({"act": "a", "ctx": {"long": [canary("spilled"), "f".repeat(70_000)]}});
    assert_eq!(post(server, None, spilled.to_string()).await, 200);
    let rejected = json!({"act": "refused.a", "ctx": {"kept": canary("rejected")}});
    assert_eq!(post(server, None, rejected.to_string()).await, 422);
    let malformed = json!({"act": "a", "ctx": canary("malformed")}).to_string();
    assert_eq!(post(server, None, format!("{malformed},")).await, 400);
    let raw = canary("malformed");
    assert_eq!(post(server, None, raw).await, 400);
}

/// Checks everything below a directory: files, rows, and tables that are written anew. Where the WAL holds
/// what was written, the kept canary stands in it; a compressed table may cut it.
fn check(dir: &Path, when: &str, in_wal: bool) {
    let (found, place) = (search().files(dir), format!("{when}: files"));
    nothing_hidden(&found, &place);
    if in_wal {
        kept_alone(&found, &place);
    }
    for compression in [DBCompressionType::None, DBCompressionType::Lz4] {
        let copy = tempfile::tempdir().unwrap();
        copy_all(dir, copy.path());
        compact(copy.path(), compression);
        let place = format!("{when}: {compression:?}");
        kept_alone(&search().rows(copy.path()), &place);
        let found = search().files(copy.path());
        nothing_hidden(&found, &place);
        if compression == DBCompressionType::None {
            kept_alone(&found, &place);
        }
    }
}

#[tokio::test]
async fn nothing_hidden_is_on_the_disk_in_the_log_or_in_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = serve(dir.path());
    apply(dir.path()).await;
    submit(&server).await;
    let metrics = client().get(format!("{}/metrics", server.url())).send().await.unwrap();
    let metrics = metrics.bytes().await.unwrap();
    assert!(metrics.starts_with(b"# HELP"), "{metrics:?}");
    nothing_hidden(&search().bytes(&metrics), "metrics");

    // While it runs, as it aborts, after it was taken up again, and once more after it was killed.
    check(dir.path(), "running", true);
    server.abort();
    check(dir.path(), "aborted", true);
    let mut server = start(dir.path());
    submit(&server).await;
    server.kill();
    check(dir.path(), "killed", true);
    let mut server = start(dir.path());
    assert!(server.stop().success());
    check(dir.path(), "stopped", false);
    let said = server.stderr();
    assert!(said.contains("TRACE") || said.contains("DEBUG") || said.contains("INFO"), "{said}");

    // It is hidden, and not lost: whoever has the keys opens every field.
    let data = dir.path().join("data");
    let place = KeyPlace { data: &data, kek: None };
    let logs = Directory::open(&data).unwrap().logs().unwrap();
    let keys = Keys::open(place).unwrap();
    let fields = logs[0].check_fields(keys.as_ref()).unwrap().unwrap().unwrap();
    // The second time, the event with a key is a duplicate.
    assert_eq!((fields.committed, fields.opened), (6 + 4, true));
    let index = attestree::core::number::LeafIndex::new(3).unwrap();
    let path = RecordPath::parse("/ctx/committed").unwrap();
    let opened = server::disclose(place, "", index, Some(&path)).unwrap();
    let value: Value = serde_json::from_slice(&opened[0].opening().value).unwrap();
    assert_eq!(value, json!({"deep": canary("committed")}));
}
