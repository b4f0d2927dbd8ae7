//! Who is no source, and sources that ask for too much: over real sockets, in the protocols of OPA and
//! `CloudEvents`, whose answers are plain statuses.

use core::{pin::Pin, task::Poll};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use attestree::{
    core::credential::{Fingerprint, token},
    server::{config::RawConfig, source::RawSource},
};
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
use reqwest::{Response, header};
use serde_json::json;

use super::{
    raw,
    server::{BINARY, NewLog, Server},
};
use crate::{http_tiles::client, served::Served};

const OPA: &str = "/v1/opa/logs";

/// The tokens of a test: of the sources `one` and `two`, and of nobody.
fn tokens() -> [String; 3] {
    [1, 2, 3].map(|seed| token(&[seed; 32]))
}

/// Writes a file of fingerprints and names it in a source.
fn source(dir: &Path, name: &str, kind: &str, token: &str) -> RawSource {
    let path = dir.join(format!("{name}.tokens"));
    fs::write(&path, format!("# {name}\n{}\n", Fingerprint::of(token.as_bytes()))).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let (name, kind) = (name.to_owned(), kind.to_owned());
    RawSource { name, kind, tokens: Some(path), ..RawSource::default() }
}

/// Serves an audit log with sources.
fn serve(sources: Vec<RawSource>, raw: RawConfig) -> Served {
    Served::audit(RawConfig { sources: Some(sources), ..raw })
}

/// Serves one source of kind opa, changed by a test; returns its token as well.
fn one(change: impl FnOnce(&mut RawSource), raw: RawConfig) -> (Served, String) {
    let dir = tempfile::tempdir().unwrap();
    let [token, ..] = tokens();
    let mut source = source(dir.path(), "one", "opa", &token);
    change(&mut source);
    (serve(vec![source], raw), token)
}

/// Decisions, from a number on.
fn decisions(from: usize, count: usize) -> Vec<u8> {
    let one = |number| json!({"decision_id": format!("d-{number}"), "path": "a/b", "result": true});
    serde_json::to_vec(&(from..from + count).map(one).collect::<Vec<_>>()).unwrap()
}

async fn post(served: &Served, path: &str, token: Option<&str>, body: Vec<u8>) -> Response {
    let mut request = client().post(served.url(path)).body(body);
    request = request.header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

/// Returns the value of a metric, 0 if it is not there.
async fn metric(served: &Served, series: &str) -> u64 {
    let text = client().get(served.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or(0)
}

/// Drives futures together until all are done.
async fn poll_all<F: Future<Output = ()> + Unpin>(all: &mut Vec<F>) {
    core::future::poll_fn(|context| {
        all.retain_mut(|one| Pin::new(one).poll(context).is_pending());
        if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn items(served: &Served, source: &str, result: &str) -> u64 {
    let series = format!("attestree_source_items_total{{source=\"{source}\",result=\"{result}\"}}");
    metric(served, &series).await
}

/// Returns how many records there are besides the genesis, which may not be there yet.
fn recorded(served: &Served) -> u64 {
    let size = served.running().pipeline().log("").unwrap().published().head().size.get();
    size.saturating_sub(1)
}

#[tokio::test]
async fn a_credential_opens_its_own_source_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, nobody] = tokens();
    let sources = vec![
        source(dir.path(), "one", "opa", &first),
        source(dir.path(), "two", "opa", &second),
        source(dir.path(), "three", "cloudevents", &nobody),
    ];
    let served = serve(sources, RawConfig::default());
    assert_eq!(post(&served, OPA, None, decisions(0, 1)).await.status(), 401);
    for wrong in ["", "x", &first[1..], &first.to_uppercase(), &format!("{first}="), &nobody] {
        let answer = post(&served, OPA, Some(wrong), decisions(0, 1)).await;
        assert_eq!(answer.status(), 401, "{wrong}");
        let text = answer.text().await.unwrap();
        assert!(wrong.len() < 2 || !text.contains(wrong), "{text}");
    }
    assert_eq!(recorded(&served), 0, "nothing of a stranger is in the log");
    let refused = |reason| {
        format!("attestree_source_requests_refused_total{{source=\"\",reason=\"{reason}\"}}")
    };
    assert_eq!(metric(&served, &refused("TOKEN_MISSING")).await, 2);
    assert_eq!(metric(&served, &refused("TOKEN_WRONG")).await, 5);
    for (token, name) in [(&first, "one"), (&second, "two")] {
        // The same decision of another source is another event.
        assert_eq!(post(&served, OPA, Some(token), decisions(0, 1)).await.status(), 200);
        assert_eq!(items(&served, name, "admitted").await, 1);
        assert_eq!(post(&served, OPA, Some(token), decisions(0, 1)).await.status(), 200);
        assert_eq!(items(&served, name, "duplicate").await, 1);
        assert_eq!(items(&served, name, "received").await, 2);
    }
    assert_eq!(recorded(&served), 2);
    // Where nobody is configured, nothing is there.
    assert_eq!(post(&served, "/v1/kubernetes", Some(&first), b"{}".to_vec()).await.status(), 404);
    assert_eq!(post(&served, "/v1/ship", None, b"{}".to_vec()).await.status(), 404);
    // Below the path of the log there are no sources.
    let below = post(&served, "/first/v1/opa/logs", Some(&first), decisions(0, 1)).await;
    assert_eq!(below.status(), 404);
}

#[tokio::test]
async fn an_open_source_asks_nobody_and_a_token_still_finds_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let [first, _, nobody] = tokens();
    let named = |name: &str| RawSource { name: name.to_owned(), ..RawSource::default() };
    let open = RawSource { kind: "opa".to_owned(), open: Some(true), ..named("open") };
    let served = serve(vec![open, source(dir.path(), "one", "opa", &first)], RawConfig::default());
    for token in [None, Some(nobody.as_str())] {
        assert_eq!(post(&served, OPA, token, decisions(0, 1)).await.status(), 200);
    }
    assert_eq!(post(&served, OPA, Some(&first), decisions(0, 1)).await.status(), 200);
    let taken = [("open", "admitted"), ("open", "duplicate"), ("one", "admitted")];
    for (name, result) in taken {
        assert_eq!(items(&served, name, result).await, 1, "{name} {result}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 19).unwrap()
}

async fn coded(served: &Served, token: &str, codings: &[&str], body: Vec<u8>) -> u16 {
    let mut request = client().post(served.url(OPA)).bearer_auth(token).body(body);
    for coding in codings {
        request = request.header(header::CONTENT_ENCODING, *coding);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_body_is_bounded_as_it_comes_and_as_it_is_decoded() {
    let (served, token) = one(|one| one.body_bytes_max = Some(1 << 20), RawConfig::default());
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(post(&served, OPA, Some(&token), large.clone()).await.status(), 413);
    // A body whose length is not announced.
    let lines = [&*format!("authorization: Bearer {token}"), "transfer-encoding: chunked"];
    let chunked: Vec<u8> = large
        .chunks(1_000)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    let request = raw::request("POST", OPA, &lines, &[&*chunked, b"0\r\n\r\n"].concat());
    assert_eq!(raw::exchange(served.address(), &request).await.unwrap().status, 413);
    let bomb = vec![b' '; 64 << 20];
    let codings: [(&str, fn(&[u8]) -> Vec<u8>); 3] =
        [("gzip", gzip), ("deflate", deflate), ("zstd", zstd)];
    for (number, (coding, encode)) in codings.into_iter().enumerate() {
        let small = encode(&bomb);
        assert!(small.len() < 1 << 17, "{coding}: {}", small.len());
        assert_eq!(coded(&served, &token, &[coding], small).await, 413, "{coding}");
        let whole = encode(&decisions(number, 1));
        let cut = whole[..whole.len() - 5].to_vec();
        // Its sender would drop it or send the same again: it is kept as it came, once.
        for _again in 0..2 {
            assert_eq!(coded(&served, &token, &[coding], cut.clone()).await, 200, "{coding}");
            assert_eq!(coded(&served, &token, &[coding], decisions(9, 1)).await, 200, "{coding}");
        }
        assert_eq!(coded(&served, &token, &[coding, coding], whole.clone()).await, 415);
        assert_eq!(coded(&served, &token, &[coding], whole).await, 200, "{coding}");
    }
    assert_eq!(coded(&served, &token, &["br"], decisions(9, 1)).await, 415);
    assert_eq!(coded(&served, &token, &["identity"], decisions(3, 1)).await, 200);
    // What is kept as it came has its alert.
    assert_eq!(recorded(&served), 4 + 2 * 4, "nothing of what was refused is in the log");
    assert_eq!(items(&served, "one", "quarantined").await, 4);
    // A window larger than decoders have to take is not made: the body is kept as it came.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![b'['; 1 << 19]).unwrap();
    assert_eq!(coded(&served, &token, &["zstd"], encoder.finish().unwrap()).await, 200);
    assert_eq!((recorded(&served), items(&served, "one", "quarantined").await), (4 + 2 * 5, 5));
    // What is kept in pieces is one item of its sender's.
    let (served, token) = one(|one| one.items_max = Some(1), RawConfig::default());
    let long = vec![b'['; (3 << 20) + 1];
    for (body, pieces) in [(long, 2 * 4), (decisions(0, 1), 1), (decisions(0, 9), 1 + 2)] {
        let before = recorded(&served);
        assert_eq!(post(&served, OPA, Some(&token), body).await.status(), 200);
        assert!((1..=pieces).contains(&(recorded(&served) - before)));
    }
    assert_eq!(recorded(&served), 2 * 4 + 1 + 2, "the first of nine was there before");
}

#[tokio::test]
async fn what_is_over_its_rate_is_told_when_to_come_back() {
    let (served, token) = one(|one| one.rate = Some(1), RawConfig::default());
    // A thousand seconds' worth gets in at once, and is paid for.
    assert_eq!(post(&served, OPA, Some(&token), decisions(0, 1_000)).await.status(), 200);
    let answer = post(&served, OPA, Some(&token), decisions(1_000, 1)).await;
    assert_eq!(answer.status(), 429);
    let after: u64 = answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((500..=1_000).contains(&after), "{after}");
    assert_eq!(items(&served, "one", "admitted").await, 1_000);
    assert_eq!(items(&served, "one", "refused").await, 1);
    let refused = "attestree_source_requests_refused_total{source=\"one\",reason=\"RATE\"}";
    assert_eq!(metric(&served, refused).await, 1);
}

#[tokio::test]
async fn a_full_pool_and_a_server_that_stops_say_when_to_come_back() {
    let small = RawConfig { pool_entries_max: Some(8), ..RawConfig::default() };
    let (served, token) = one(|one| one.items_max = Some(10_000), small);
    // Many senders share a pool that holds the entries of one; each comes again until it is taken.
    let (served, token) = (&served, &*token);
    let send = async |from: usize| {
        loop {
            let answer = post(served, OPA, Some(token), decisions(from, 6)).await;
            match answer.status().as_u16() {
                200 => break,
                429 => assert_eq!(answer.headers()[header::RETRY_AFTER], "1"),
                other => panic!("{other}"),
            }
        }
    };
    let mut senders: Vec<_> = (0..64).map(|number| Box::pin(send(number * 6))).collect();
    poll_all(&mut senders).await;
    assert_eq!(recorded(served), 64 * 6);
    assert_eq!(items(served, "one", "admitted").await, 64 * 6);
    // What is more than one commit waits for itself where the pool is full of it.
    let many = post(served, OPA, Some(token), decisions(1_000, 5_000)).await;
    assert_eq!((many.status().as_u16(), recorded(served)), (200, 64 * 6 + 5_000));
    served.running().pipeline().close_intake();
    let stopping = post(served, OPA, Some(token), decisions(8, 1)).await;
    assert_eq!(stopping.status(), 503);
    assert!(stopping.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_no_item() {
    use tokio::io::AsyncWriteExt as _;
    let (served, token) = one(|_| {}, RawConfig::default());
    let head = format!(
        "POST {OPA} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\n"
    );
    let half = [head.as_bytes(), b"[{\"decision_id\":\"d\"}"].concat();
    // One client is gone in the middle, and one keeps the server waiting.
    let mut gone = tokio::net::TcpStream::connect(served.address()).await.unwrap();
    gone.write_all(&half).await.unwrap();
    drop(gone);
    let mut slow = tokio::net::TcpStream::connect(served.address()).await.unwrap();
    slow.write_all(&half).await.unwrap();
    let answer = raw::read_to_end(&mut slow).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(!answer.contains(&token));
    assert_eq!(recorded(&served), 0);
}

#[test]
fn a_configuration_that_lets_in_too_many_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, nobody] = tokens();
    let base = Served::audit(RawConfig::default());
    let refused = |sources: Vec<RawSource>| {
        let raw = RawConfig { sources: Some(sources), ..base.raw() };
        // The sources are read before the database is opened: the server that runs is not in the way.
        let config = raw.parse().unwrap();
        let error = attestree::server::start(config).err().unwrap();
        let error = format!("{error:#}");
        for token in [&first, &second, &nobody] {
            assert!(!error.contains(token.as_str()), "{error}");
        }
        error
    };
    let one = source(dir.path(), "one", "opa", &first);
    let again =
        RawSource { tokens: one.tokens.clone(), ..source(dir.path(), "two", "opa", &second) };
    assert!(refused(vec![one.clone(), again]).contains("share a token"));
    assert!(refused(vec![one.clone(), one.clone()]).contains("two sources are called \"one\""));
    let path = one.tokens.clone().unwrap();
    fs::write(&path, format!("{first}\n")).unwrap();
    assert!(refused(vec![one.clone()]).contains("line 1"));
    fs::write(&path, "# none\n").unwrap();
    assert!(refused(vec![one.clone()]).contains("attestree token"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused(vec![one.clone()]).contains("chmod 600"));
    fs::remove_file(&path).unwrap();
    assert!(refused(vec![one]).contains("one.tokens"));
}

/// Starts a server of its own with one source; returns the file of its tokens as well.
fn child(dir: &Path, token: &str) -> (Server, PathBuf) {
    let tokens = source(dir, "one", "opa", token).tokens.unwrap();
    let file = dir.join("attestree.toml");
    fs::write(&file, format!("[[sources]]\nname = \"one\"\nkind = \"opa\"\ntokens = {tokens:?}\n"))
        .unwrap();
    let config = file.to_str().unwrap();
    let log = NewLog { origin: "log.example/audit", flags: &["--kind", "audit"] };
    let server = Server::start(&[log], &["--config", config, "--log-level", "trace"]);
    (server, tokens)
}

/// Posts a decision to a server of its own; returns the status.
async fn ask(server: &Server, token: &str) -> u16 {
    let request = client().post(format!("http://{}{OPA}", server.address())).bearer_auth(token);
    request.body(decisions(0, 1)).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn tokens_are_read_again_at_sighup_and_a_wrong_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new, _] = tokens();
    let (server, file) = child(dir.path(), &old);
    assert_eq!([ask(&server, &old).await, ask(&server, &new).await], [200, 401]);
    fs::write(&file, format!("{}\n", Fingerprint::of(new.as_bytes()))).unwrap();
    server.hang_up();
    // Each turn is an answer of the server, which reads the file between two of them.
    while ask(&server, &new).await != 200 {}
    assert_eq!(ask(&server, &old).await, 401, "what was taken out is out");
    fs::write(&file, "nonsense\n").unwrap();
    server.hang_up();
    while !server.stderr().contains("stay as they were") {
        assert_eq!(ask(&server, &new).await, 200);
    }
    assert_eq!([ask(&server, &new).await, ask(&server, &old).await], [200, 401]);
}

#[tokio::test]
async fn no_token_is_written_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let [known, wrong, _] = tokens();
    let (server, _) = child(dir.path(), &known);
    assert_eq!([ask(&server, &known).await, ask(&server, &wrong).await], [200, 401]);
    let said = server.stderr();
    assert!(said.contains("kind = \"opa\"") && said.contains("one.tokens"), "{said}");
    let metrics =
        client().get(format!("http://{}/metrics", server.address())).send().await.unwrap();
    let mut places = vec![said, metrics.text().await.unwrap()];
    for entry in fs::read_dir(server.scratch().join("data/db")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        places.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for place in places {
        assert!(!place.contains(&known) && !place.contains(&wrong));
    }
}

/// Runs a verb, which has to succeed; returns what it printed.
fn verb(arguments: &[&str]) -> String {
    let done = Command::new(BINARY).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn a_log_with_a_conflict_passes_fsck_and_the_monitor() {
    let dir = tempfile::tempdir().unwrap();
    let [token, ..] = tokens();
    let (server, _) = child(dir.path(), &token);
    let url = format!("http://{}", server.address());
    for (result, count) in [(true, 1), (false, 2), (true, 3), (false, 4)] {
        let body = json!([{"decision_id": "d", "path": "a/b", "result": result}]);
        let request = client().post(format!("{url}{OPA}")).bearer_auth(&token);
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{count}");
    }
    let size = verb(&["checkpoint", "--server", &url]);
    assert!(size.contains("\n4\n"), "genesis, two decisions and what is told of them: {size}");
    let told = verb(&["entry", "3", "--server", &url]);
    assert!(told.contains(r#""ctx":{"first":1,"index":2}"#), "{told}");
    assert!(told.contains(r#""source":"one","t":"conflict""#), "{told}");
    let trust = dir.path().join("trust.policy");
    fs::write(&trust, verb(&["logs", "--policy", "--server", &url])).unwrap();
    let (trust, state) = (trust.to_str().unwrap(), dir.path().join("state"));
    verb(&["monitor", &url, "--trust", trust, "--state", state.to_str().unwrap(), "--audit"]);
    verb(&["fsck", &url, "--trust", trust]);
    let data = server.scratch().join("data");
    verb(&["fsck", "--data", data.to_str().unwrap()]);
}
