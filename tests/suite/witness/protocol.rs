//! Every answer of `add-checkpoint` and of the monitoring address, over real connections.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use attestree::{
    client::{AddCheckpointAnswer, Server, WitnessClient},
    core::{
        hash::TreeHash,
        number::TreeSize,
        origin::Origin,
        tree::{TreeHead, verify_consistency},
        witness::{ADD_CHECKPOINT_BYTES_MAX, origin_hash_hex},
    },
    server::witness::RawConfig,
};
use bytes::Bytes;

use super::{Watching, block_on, log, named, step};
use crate::{
    published::checkpoint_note,
    witness_rules::{Tree, note, request, size},
};

#[test]
fn every_status_of_the_specification_is_answered() {
    let key = log("log.example/a");
    let watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(9, 9);
    let ask = |asked| block_on(watching.add(&asked));

    let (status, kind, line) = ask(step(&key, &tree, 0, 5));
    assert_eq!((status, kind.as_str()), (200, "text/plain; charset=utf-8"));
    let text = format!("{}{line}", note(&key, &tree.head(5)));
    assert_eq!(watching.verify(&key, &text).0, tree.head(5));

    // What a client does not know it learns from the conflict.
    let (status, kind, text) = ask(step(&key, &tree, 0, 7));
    assert_eq!((status, kind.as_str(), text.as_str()), (409, "text/x.tlog.size", "5\n"));
    let (status, ..) = ask(step(&key, &tree, 5, 7));
    assert_eq!(status, 200);

    let stranger = log("log.example/unknown");
    assert_eq!(ask(step(&stranger, &tree, 0, 5)).0, 404);
    let forger = crate::published::signing_key("log.example/a", "another key");
    assert_eq!(ask(step(&forger, &tree, 7, 9)).0, 403);
    assert_eq!(ask(request(8, vec![], &note(&key, &tree.head(7)))).0, 400);
    assert_eq!(ask(request(7, vec![], &note(&key, &tree.head(9)))).0, 422);
    let empty = TreeHead { size: TreeSize::ZERO, root: TreeHash::leaf(b"") };
    let fresh = log("log.example/b");
    let other = Watching::start(&[named(&fresh)]);
    let (status, ..) = block_on(other.add(&request(0, vec![], &note(&fresh, &empty))));
    assert_eq!(status, 422);
    // The same size again is a later time of the same statement.
    let (status, _, again) = ask(request(7, vec![], &note(&key, &tree.head(7))));
    assert_eq!(status, 200);
    let text = format!("{}{again}", note(&key, &tree.head(7)));
    assert_eq!(watching.verify(&key, &text).0, tree.head(7));
    assert_eq!(watching.frozen("log.example/a"), None);
}

#[test]
fn an_empty_tree_is_cosigned_and_grows() {
    let key = log("log.example/a");
    let watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(3, 3);
    for (old, new) in [(0, 0), (0, 0), (0, 3)] {
        let (status, ..) = block_on(watching.add(&step(&key, &tree, old, new)));
        assert_eq!(status, 200);
        assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(new));
    }
}

#[test]
fn the_monitoring_address_shows_the_newest_cosigned_checkpoint() {
    let (key, other) = (log("log.example/a"), log("log.example/b"));
    let mut watching = Watching::start(&[named(&key), named(&other)]);
    let tree = Tree::new(9, 9);
    assert_eq!(block_on(watching.monitored(&key)), None);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 4))).0, 200);
    let before = block_on(watching.monitored(&key)).unwrap();
    assert_eq!(before.0, tree.head(4));
    assert_eq!(block_on(watching.monitored(&other)), None);
    // Over a restart it is the same statement, with the same time.
    assert!(watching.stop());
    watching.resume().unwrap();
    assert_eq!(block_on(watching.monitored(&key)), Some(before));

    let origin = Origin::parse("log.example/a").unwrap();
    let hash = origin_hash_hex(&origin);
    for path in [
        "/".to_owned(),
        format!("/{hash}"),
        format!("/{}/checkpoint", hash.to_uppercase()),
        format!("/{hash}/checkpoint/"),
        format!("//{hash}/checkpoint"),
        "/log.example%2Fa/checkpoint".to_owned(),
    ] {
        assert_eq!(block_on(watching.get(&path)).0, 404, "{path}");
    }
    let client = WitnessClient::new(
        &Server::parse(&watching.url("")).unwrap(),
        std::time::Duration::from_secs(20),
    );
    let client = client.unwrap();
    block_on(async {
        let shown = client.latest(&origin).await.unwrap().unwrap();
        assert_eq!(watching.verify(&key, str::from_utf8(&shown).unwrap()), before);
        assert_eq!(client.latest(&Origin::parse("log.example/b").unwrap()).await.unwrap(), None);
        let answer = client.add_checkpoint(&step(&key, &tree, 0, 6)).await.unwrap();
        assert_eq!(answer, AddCheckpointAnswer::Conflict { size: size(4) });
        let answer = client.add_checkpoint(&step(&key, &tree, 4, 6)).await.unwrap();
        assert!(matches!(answer, AddCheckpointAnswer::Cosigned(lines) if lines.len() == 1));
        let answer = client.add_checkpoint(&step(&log("x.example"), &tree, 0, 6)).await.unwrap();
        let AddCheckpointAnswer::Refused { status, text } = answer else { panic!("{answer:?}") };
        assert_eq!((status, text.as_str()), (404, "this witness knows no log x.example"));
    });
}

#[test]
fn other_addresses_and_methods_are_told_so() {
    let watching = Watching::start(&[named(&log("log.example/a"))]);
    let http = Server::parse(&watching.url("")).unwrap().http().unwrap();
    block_on(async {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(watching.get(path).await.0, 200, "{path}");
            let answer = http.post(watching.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), 405);
            assert_eq!(answer.headers()["allow"], "GET, HEAD");
        }
        let answer = http.get(watching.url("/add-checkpoint")).send().await.unwrap();
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "POST");
        let answer = http.post(watching.url("/elsewhere")).send().await.unwrap();
        assert_eq!(answer.status(), 404);
    });
}

#[test]
fn bodies_of_every_wrong_kind_are_malformed() {
    let key = log("log.example/a");
    let watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(3, 3);
    let good = String::from_utf8(step(&key, &tree, 0, 3).format()).unwrap();
    let hash = TreeHash::empty_root().to_base64();
    let mut bodies: Vec<Vec<u8>> = [
        String::new(),
        "\n".to_owned(),
        "old 0".to_owned(),
        "old 0\n".to_owned(),
        "old 0\n\n".to_owned(),
        "old 0\n\nno note\n".to_owned(),
        good.replacen("old 0", "old 00", 1),
        good.replacen("old 0", "old -1", 1),
        good.replacen("old 0", "old 18446744073709551616", 1),
        good.replacen("old 0", "size 0", 1),
        good.replacen("\n\n", "\nnot base64\n\n", 1),
        good.replacen("\n\n", &format!("\n{}\n\n", &hash[..40]), 1),
        good.replacen("\n\n", &format!("\n{}\n", format!("{hash}\n").repeat(64)), 1),
        good.replace('\n', "\r\n"),
        good.replace("\n3\n", "\n03\n"),
        good.replace("\n3\n", "\nthree\n"),
        good.replace("\n3\n", "\n3\n3\n"),
        good.replace("log.example/a\n3", "log.example//a\n3"),
        good.replace(&tree.head(3).root.to_base64(), &hash[..40]),
        good.trim_end().to_owned(),
        format!("{good}junk\n"),
        good.replace('\u{2014}', "-"),
        good.replacen("\n\n", &format!("\n\n{}\n\n", "x".repeat(66_000)), 1),
        "x".repeat(ADD_CHECKPOINT_BYTES_MAX),
        "x".repeat(ADD_CHECKPOINT_BYTES_MAX + 1),
        "x".repeat(4 * ADD_CHECKPOINT_BYTES_MAX),
    ]
    .map(String::into_bytes)
    .into();
    bodies.push([good.as_bytes(), b"\xff"].concat());
    bodies.push(b"\x1f\x8b\x08\x00\x00".to_vec());
    for body in bodies {
        let shown = body[..body.len().min(60)].escape_ascii().to_string();
        let (status, _, text) = block_on(watching.post(body));
        assert_eq!(status, 400, "{shown}: {text}");
        assert!(text.len() > 10 && text.ends_with('\n'), "{text:?}");
    }
    assert_eq!(block_on(watching.monitored(&key)), None);
    assert_eq!(block_on(watching.post(good)).0, 200);
}

#[test]
fn a_hundred_signatures_and_grease_do_no_harm() {
    let key = log("example.com/vector-log");
    let watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(3, 3);
    let plain = note(&key, &tree.head(3)).to_string();
    let grease =
        "\u{2014} grease.invalid MTIzNDU2Nzg=\n\u{2014} example.com/vector-log AAAAAGdyZWFzZQ==\n";
    let stranger = checkpoint_note();
    let (_, stranger) = stranger.split_once("\n\n").unwrap();
    let (text, own) = plain.split_once("\n\n").unwrap();
    for (lines, expected) in [
        (format!("{}{own}", grease.repeat(49) + "\u{2014} x AAAAAAA=\n"), 200),
        (format!("{}{own}\u{2014} x AAAAAAA=\n", grease.repeat(50)), 400),
        (format!("{stranger}{own}"), 200),
        (stranger.to_owned(), 403),
        (grease.to_owned(), 403),
    ] {
        let mut asked = request(0, vec![], &note(&key, &tree.head(3)));
        asked.old_size = block_on(watching.monitored(&key)).map_or(size(0), |(head, _)| head.size);
        asked.note = Bytes::from(format!("{text}\n\n{lines}"));
        assert_eq!(block_on(watching.add(&asked)).0, expected, "{lines}");
    }
    // What is shown has two signatures, whatever came with the note.
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(3));
}

#[test]
fn connections_are_kept_alive() {
    let key = log("log.example/a");
    let watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(9, 9);
    let mut stream = TcpStream::connect(watching.address()).unwrap();
    for (old, new) in [(0, 2), (2, 5), (5, 9)] {
        let body = step(&key, &tree, old, new).format();
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        let mut answer = Vec::new();
        // An answer ends with the line feed of its only line.
        while !answer.ends_with(b"=\n") {
            let mut part = [0; 4_096];
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "{}", answer.escape_ascii());
            answer.extend_from_slice(&part[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    }
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(9));
}

#[test]
fn of_racing_requests_never_two_win_from_one_size() {
    let key = log("log.example/a");
    let raw = RawConfig { advances_per_second: Some(0), ..RawConfig::default() };
    let watching = Watching::with(&[named(&key)], raw);
    // Histories that part at once, and a ladder of sizes in each.
    let trees: Vec<Tree> = (0..4).map(|parting| Tree::new(40, parting)).collect();
    let won = block_on(async {
        let mut racers = tokio::task::JoinSet::new();
        for tree in &trees {
            for new in 1..=40_u64 {
                let first = step(&key, tree, 0, new).format();
                let http = Server::parse(&watching.url("")).unwrap().http().unwrap();
                let url = watching.url("/add-checkpoint");
                racers.spawn(async move {
                    let answer = http.post(url).body(first).send().await.unwrap();
                    answer.status().as_u16()
                });
            }
        }
        racers.join_all().await
    });
    assert_eq!(won.iter().filter(|status| **status == 200).count(), 1, "{won:?}");
    let allowed: BTreeSet<u16> = [200, 403, 409].into();
    assert!(won.iter().all(|status| allowed.contains(status)), "{won:?}");
}

#[test]
fn a_race_up_one_history_cosigns_nothing_but_that_history() {
    let key = log("log.example/a");
    let raw = RawConfig { advances_per_second: Some(0), ..RawConfig::default() };
    let watching = Watching::with(&[named(&key)], raw);
    let tree = std::sync::Arc::new(Tree::new(60, 60));
    let client = WitnessClient::new(
        &Server::parse(&watching.url("")).unwrap(),
        std::time::Duration::from_secs(60),
    );
    let client = client.unwrap();
    let won = block_on(async {
        let mut racers = tokio::task::JoinSet::new();
        for racer in 1..=6_u64 {
            let (client, tree) = (client.clone(), std::sync::Arc::clone(&tree));
            let key = log("log.example/a");
            racers.spawn(async move {
                let (mut old, mut won) = (0, Vec::new());
                while old + racer <= 60 {
                    let new = old + racer;
                    match client.add_checkpoint(&step(&key, &tree, old, new)).await.unwrap() {
                        AddCheckpointAnswer::Cosigned(_) => {
                            won.push((old, new));
                            old = new;
                        }
                        AddCheckpointAnswer::Conflict { size } => old = size.get(),
                        refused @ AddCheckpointAnswer::Refused { .. } => panic!("{refused:?}"),
                    }
                }
                won
            });
        }
        racers.join_all().await
    });
    let mut won: Vec<(u64, u64)> = won.into_iter().flatten().collect();
    won.sort_unstable();
    // Each step begins where the one before it ended: no two started from one size.
    let mut reached = 0;
    for (old, new) in &won {
        assert_eq!(*old, reached, "{won:?}");
        reached = *new;
        if *old > 0 {
            verify_consistency(&tree.head(*old), &tree.head(*new), &tree.proof(*old, *new))
                .unwrap();
        }
    }
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(reached));
}

#[test]
fn a_log_has_a_limit_that_replays_of_strangers_do_not_use_up() {
    let (key, other) = (log("log.example/a"), log("log.example/b"));
    let raw = RawConfig { advances_per_second: Some(1), ..RawConfig::default() };
    let watching = Watching::with(&[named(&key), named(&other)], raw);
    let tree = Tree::new(60, 60);
    // What is known already may be sent by anyone: it costs the log nothing.
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 1))).0, 200);
    for _ in 0..20 {
        assert_eq!(block_on(watching.add(&step(&key, &tree, 1, 1))).0, 200);
        assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 1))).0, 409);
    }
    let mut reached = 1;
    let limited = loop {
        let (status, _, text) = block_on(watching.add(&step(&key, &tree, reached, reached + 1)));
        if status != 200 {
            break (status, text);
        }
        reached += 1;
    };
    assert_eq!(limited.0, 429, "{}", limited.1);
    assert!(reached >= 4, "a burst of four is let through");
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(reached));
    // Another log is not held back.
    assert_eq!(block_on(watching.add(&step(&other, &tree, 0, 5))).0, 200);
}

#[test]
fn an_address_has_a_limit() {
    let raw = RawConfig { requests_per_second: Some(2), ..RawConfig::default() };
    let watching = Watching::with(&[named(&log("log.example/a"))], raw);
    let http = Server::parse(&watching.url("")).unwrap().http().unwrap();
    let after = block_on(async {
        for _ in 0..1_000 {
            let answer = http.post(watching.url("/add-checkpoint")).body("x").send().await.unwrap();
            if answer.status() == 429 {
                return answer.headers()["retry-after"].to_str().unwrap().to_owned();
            }
            assert_eq!(answer.status(), 400);
        }
        panic!("an address may send as much as it likes")
    });
    assert_eq!(after, "1");
    // Reading is not limited.
    assert_eq!(block_on(watching.get("/healthz")).0, 200);
}

#[test]
fn metrics_tell_sizes_answers_and_syncs() {
    let key = log("log.example/a");
    let watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(9, 9);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 4))).0, 200);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 4))).0, 409);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 4, 4))).0, 200);
    let (_, kind, text) = block_on(watching.get("/metrics"));
    assert!(kind.starts_with("application/openmetrics-text"));
    for line in [
        "attestree_witness_cosigned_size{origin=\"log.example/a\"} 4",
        "attestree_witness_frozen{origin=\"log.example/a\"} 0",
        "attestree_witness_requests_total{status=\"200\"} 2",
        "attestree_witness_requests_total{status=\"409\"} 1",
        // A later time of the same head is not written.
        "attestree_witness_journal_records_total 1",
        "attestree_witness_journal_sync_seconds_count 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in {text}");
    }
}
