//! Logs that are read: any static log, our own, and one that shows two histories.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
};

use attestree::{
    core::{
        evidence::{Evidence, Judgement},
        note::{SignedNote, SigningKey},
        tree::TreeHead,
        trust::TrustPolicy,
    },
    proto::Wait,
    server::witness::RawConfig,
};
use axum::{extract::State, http::Uri};

use super::{Watching, block_on, init, log, named};
use crate::{
    cosigning::site::Site,
    served::{ORIGIN as ORIGIN_OF_OURS, Served},
    witness_rules::{Tree, note},
    world::entries as entries_of,
};

const ORIGIN: &str = "log.example/a";

/// The static files of a log of at most 255 entries, on a web server of its own.
struct Static {
    files: Files,
    url: String,
    _runtime: tokio::runtime::Runtime,
}

type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

async fn serve(State(files): State<Files>, uri: Uri) -> Result<Vec<u8>, axum::http::StatusCode> {
    let file = files.lock().unwrap().get(uri.path()).cloned();
    file.ok_or(axum::http::StatusCode::NOT_FOUND)
}

impl Static {
    fn start() -> Self {
        let files = Files::default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/a", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(serve).with_state(Arc::clone(&files));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { files, url, _runtime: runtime }
    }

    /// Shows a size of a history, and its tiles unless they are held back.
    fn show(&self, key: &SigningKey, tree: &Tree, size: u64, with_tiles: bool) {
        let mut files = self.files.lock().unwrap();
        files.clear();
        let note = note(key, &tree.head(size)).to_string().into_bytes();
        files.insert("/a/checkpoint".to_owned(), note);
        if with_tiles {
            let hashes: Vec<u8> = tree.leaf_bytes(size);
            files.insert(format!("/a/tile/0/000.p/{size}"), hashes);
        }
    }
}

/// Reads once a second: the shortest interval there is.
pub(crate) fn often() -> RawConfig {
    RawConfig { poll_seconds: Some(1), ..RawConfig::default() }
}

/// Waits until something holds, at most a minute. Each round is a request, so that time passes by itself.
pub(super) fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed().as_secs() < 60, "{what}");
        std::thread::yield_now();
    }
}

fn shown(watching: &Watching, key: &SigningKey) -> Option<TreeHead> {
    block_on(watching.monitored(key)).map(|(head, _)| head)
}

/// Returns how often a log could not be read.
pub(super) fn failures(watching: &Watching, origin: &str) -> u64 {
    let (_, _, text) = block_on(watching.get("/metrics"));
    let start = format!("attestree_witness_poll_failures_total{{origin=\"{origin}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&start));
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn any_static_log_is_followed() {
    let (key, web, tree) = (log(ORIGIN), Static::start(), Tree::new(99, 99));
    web.show(&key, &tree, 3, true);
    let watching = Watching::with(&[format!("{} {}", named(&key), web.url)], often());
    for size in [3, 4, 64, 99] {
        web.show(&key, &tree, size, true);
        until("the log is cosigned", || shown(&watching, &key) == Some(tree.head(size)));
    }
    assert_eq!(watching.frozen(ORIGIN), None);
}

#[test]
fn a_log_of_ours_is_followed_over_its_own_tiles() {
    let served = Served::start();
    let watching =
        Watching::with(&[format!("{} {}", served.vkeys[0], served.url("/first"))], often());
    let log = served.running().pipeline().log("").unwrap();
    // Over the width of a tile and of a level, one batch after the other.
    for count in [1, 2, 300, 700] {
        let entries: Vec<String> = (0..count).map(|entry| format!("{count} {entry}")).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        block_on(served.running().pipeline().submit(&log, entries_of(&entries)).unwrap()).unwrap();
        let head = log.published().head();
        until("the log is cosigned", || {
            let status = watching.status().logs.remove(0);
            status.size == Some(head.size.get()) && status.root == Some(head.root.to_base64())
        });
    }
    assert_eq!(watching.frozen(ORIGIN_OF_OURS), None);
}

#[test]
fn what_a_poller_cosigns_is_delivered_to_the_log() {
    // The key is drawn from a seed, so that the log's trust file can name it before the witness runs.
    let vkey = init(&tempfile::tempdir().unwrap());
    let trust = format!("witness poller {vkey}\nquorum none\n");
    let site = Site::start(&trust, attestree::server::config::RawConfig::default());
    let log = format!("{} {}", site.served.vkeys[0], site.served.url("/first"));
    let watching = Watching::with(&[log], often());
    assert_eq!(watching.vkey, vkey);
    block_on(site.append("an entry", Wait::Published, 0));
    until("the log has the cosignature", || {
        let log = site.log();
        let candidates = log.witnessed().unwrap().candidates();
        candidates.newest().is_some_and(|candidate| {
            let note = SignedNote::parse(candidate.checkpoint().note()).unwrap();
            candidate.head().head().size.get() == 1 && note.verify([&vkey]).is_ok()
        })
    });
    assert_eq!(watching.frozen(ORIGIN_OF_OURS), None);
}

#[test]
fn a_tree_that_does_not_begin_with_the_cosigned_one_convicts() {
    for (tiles, size) in [(true, 9), (true, 5), (false, 5)] {
        let (key, web) = (log(ORIGIN), Static::start());
        let (tree, other) = (Tree::new(9, 9), Tree::new(9, 3));
        web.show(&key, &tree, 5, true);
        let watching = Watching::with(&[format!("{} {}", named(&key), web.url)], often());
        until("the log is cosigned", || shown(&watching, &key) == Some(tree.head(5)));
        // The very same key signs another history. Of equal sizes no tile is needed.
        web.show(&key, &other, size, tiles);
        until("the log is frozen", || watching.frozen(ORIGIN).is_some());
        assert_eq!(shown(&watching, &key), Some(tree.head(5)));
        let evidence = Evidence::parse(&fs::read(&watching.evidence()[0]).unwrap()).unwrap();
        let policy = format!("log {}\nquorum none\n", key.verifier_key());
        let judgement = evidence.judge(&TrustPolicy::parse(&policy).unwrap());
        assert!(matches!(judgement, Judgement::Guilty { .. }), "{judgement:?}");
    }
}

#[test]
fn what_is_merely_unresponsive_or_old_is_never_held_against_a_log() {
    let (key, web, tree) = (log(ORIGIN), Static::start(), Tree::new(99, 99));
    let other = Tree::new(99, 3);
    web.show(&key, &tree, 5, true);
    let watching = Watching::with(&[format!("{} {}", named(&key), web.url)], often());
    until("the log is cosigned", || shown(&watching, &key) == Some(tree.head(5)));
    let forger = crate::published::signing_key(ORIGIN, "another key");
    let stranger = log("log.example/b");
    // Each of these is a failure to answer, and none of them a crime: tiles are not signed.
    let answers: [&dyn Fn(); 6] = [
        &|| web.files.lock().unwrap().clear(),
        &|| web.show(&key, &tree, 9, false),
        &|| web.show(&key, &tree, 3, true),
        &|| web.show(&forger, &other, 9, true),
        &|| web.show(&stranger, &tree, 9, true),
        &|| {
            web.show(&key, &tree, 9, false);
            let hashes = other.leaf_bytes(9);
            web.files.lock().unwrap().insert("/a/tile/0/000.p/9".to_owned(), hashes);
        },
    ];
    for answer in answers {
        let before = failures(&watching, ORIGIN);
        answer();
        until("the log is read again", || failures(&watching, ORIGIN) > before);
        assert_eq!(watching.frozen(ORIGIN), None);
        assert_eq!(shown(&watching, &key), Some(tree.head(5)));
        // Waits double while a log fails; this one ends the failures.
        web.show(&key, &tree, 5, true);
        let time = || block_on(watching.monitored(&key)).unwrap().1;
        let last = time();
        until("the log answers again", || time() > last);
    }
    web.show(&key, &tree, 99, true);
    until("the log is cosigned", || shown(&watching, &key) == Some(tree.head(99)));
}
