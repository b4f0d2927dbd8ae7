//! A log that lies: evidence, freezing, and what only an operator may do.

use std::{fs, path::Path};

use attestree::{
    core::{
        evidence::{Evidence, Judgement},
        note::{CosignatureTime, CosigningKey, SigningKey},
        trust::TrustPolicy,
        witness::AddCheckpoint,
    },
    server::{
        self,
        witness::{Order, RawConfig},
    },
};
use bytes::Bytes;

use super::{Watching, block_on, log, named, step};
use crate::witness_rules::{Tree, note, request};

const ORIGIN: &str = "log.example/a";

fn order(act: &str, reason: &str) -> Order {
    Order { act: act.to_owned(), origin: ORIGIN.to_owned(), reason: reason.to_owned() }
}

/// Gives an order over the socket of a running witness.
fn tell(watching: &Watching, order: &Order) -> (u16, String) {
    let socket = watching.file("w/admin.sock");
    let body = Some(serde_json::to_string(order).unwrap());
    let answer = block_on(attestree::client::operator::ask_socket(&socket, "/order", body));
    let (status, bytes) = answer.unwrap();
    (status, String::from_utf8(bytes).unwrap())
}

fn assert_convicts(path: &Path, key: &SigningKey) {
    let evidence = Evidence::parse(&fs::read(path).unwrap()).unwrap();
    let policy = format!("log {}\nquorum none\n", key.verifier_key());
    let judgement = evidence.judge(&TrustPolicy::parse(&policy).unwrap());
    assert!(matches!(judgement, Judgement::Guilty { .. }), "{judgement:?}");
    // Another log is not convicted by it.
    let stranger = format!("log {}\nquorum none\n", log("x.example").verifier_key());
    let judgement = evidence.judge(&TrustPolicy::parse(&stranger).unwrap());
    assert!(!matches!(judgement, Judgement::Guilty { .. }), "{judgement:?}");
}

#[test]
fn two_trees_of_one_size_convict_and_freeze_until_an_operator_acts() {
    let (key, honest) = (log(ORIGIN), log("log.example/b"));
    let mut watching = Watching::start(&[named(&key), named(&honest)]);
    let (tree, other) = (Tree::new(9, 9), Tree::new(9, 3));
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 5))).0, 200);
    let forked = request(5, vec![], &note(&key, &other.head(5)));
    assert_eq!(block_on(watching.add(&forked)).0, 422);
    let paths = watching.evidence();
    assert_eq!(paths.len(), 1);
    assert_convicts(&paths[0], &key);

    // From here on the log gets nothing, not even for the history that was first.
    for asked in [step(&key, &tree, 5, 7), step(&key, &other, 5, 7), forked.clone()] {
        let (status, _, text) = block_on(watching.add(&asked));
        assert_eq!(status, 403);
        assert!(text.contains("two different trees of size 5"), "{text}");
    }
    assert_eq!(block_on(watching.add(&step(&honest, &tree, 0, 5))).0, 200);
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(5));
    let (_, _, metrics) = block_on(watching.get("/metrics"));
    assert!(metrics.contains("attestree_witness_frozen{origin=\"log.example/a\"} 1"));

    // A restart changes nothing; an operator's word does, and is kept.
    watching.stop();
    watching.resume().unwrap();
    assert!(watching.frozen(ORIGIN).unwrap().contains("two different trees"));
    assert_eq!(block_on(watching.add(&step(&key, &tree, 5, 7))).0, 403);
    let (status, text) = tell(&watching, &order("unfreeze", " "));
    assert_eq!(status, 400, "{text}");
    let (status, text) = tell(&watching, &order("unfreeze", "the key was stolen and is replaced"));
    assert_eq!(status, 200, "{text}");
    assert_eq!(watching.frozen(ORIGIN), None);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 5, 7))).0, 200);
    watching.stop();
    watching.resume().unwrap();
    assert_eq!(watching.frozen(ORIGIN), None);
    let journal = fs::read(watching.file("w/journal")).unwrap();
    let recorded = |text: &str| journal.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(recorded("the key was stolen and is replaced"));
    // The other history stays refused.
    assert_eq!(block_on(watching.add(&step(&key, &other, 7, 9))).0, 422);
}

#[test]
fn a_fork_convicts_whatever_old_size_it_is_sent_with() {
    for old in [0, 3] {
        let key = log(ORIGIN);
        let watching = Watching::start(&[named(&key)]);
        let (tree, other) = (Tree::new(9, 9), Tree::new(9, 3));
        assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 5))).0, 200);
        let (status, _, text) = block_on(watching.add(&step(&key, &other, old, 5)));
        assert_eq!((status, text.as_str()), (409, "5\n"));
        assert_convicts(&watching.evidence()[0], &key);
        assert!(watching.frozen(ORIGIN).is_some());
    }
}

#[test]
fn what_the_log_has_not_signed_accuses_nobody() {
    let key = log(ORIGIN);
    let watching = Watching::start(&[named(&key)]);
    let (tree, other) = (Tree::new(9, 9), Tree::new(9, 3));
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 5))).0, 200);
    // A forged signature, a forged proof, and a proof of nothing: anyone can send these.
    let forger = crate::published::signing_key(ORIGIN, "another key");
    let forged = request(5, vec![], &note(&forger, &other.head(5)));
    assert_eq!(block_on(watching.add(&forged)).0, 403);
    let moved = request(5, other.proof(5, 9), &note(&key, &tree.head(9)));
    assert_eq!(block_on(watching.add(&moved)).0, 422);
    assert_eq!(block_on(watching.add(&request(5, vec![], &note(&key, &tree.head(9))))).0, 422);
    assert_eq!(watching.frozen(ORIGIN), None);
    assert!(watching.evidence().is_empty());
    assert_eq!(block_on(watching.add(&step(&key, &tree, 5, 9))).0, 200);
}

/// Returns the witness's own key, which the test reads where only its owner can.
pub(super) fn own_key(watching: &Watching) -> CosigningKey {
    let text = fs::read_to_string(watching.file("w/witness.skey")).unwrap();
    CosigningKey::from_plain(&SigningKey::parse(text.trim_end()).unwrap())
}

#[test]
fn a_witness_that_meets_its_own_forgotten_cosignature_stops_for_that_log() {
    let (key, other) = (log(ORIGIN), log("log.example/b"));
    let watching = Watching::start(&[named(&key), named(&other)]);
    let tree = Tree::new(9, 9);
    let own = own_key(&watching);
    assert_eq!(own.verifier_key(), &watching.vkey);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 5))).0, 200);
    let carrying = |key: &SigningKey, old: u64, new: u64, signer: &CosigningKey| {
        let asked = step(key, &tree, old, new);
        let note = note(key, &tree.head(new));
        let line = signer.sign(note.text(), CosignatureTime::new(1_780_000_000).unwrap());
        let note = note.with_signatures(vec![line]).unwrap();
        AddCheckpoint { note: Bytes::from(note.to_string()), ..asked }
    };
    // At or below what is remembered our own cosignature is welcome, and a stranger's always.
    let stranger = crate::published::cosigning_key(super::NAME, "another key");
    assert_eq!(block_on(watching.add(&carrying(&key, 5, 5, &own))).0, 200);
    assert_eq!(block_on(watching.add(&carrying(&key, 5, 7, &stranger))).0, 200);
    // Beyond, it says that this witness has forgotten: also if the old size is wrong.
    let (status, _, text) = block_on(watching.add(&carrying(&key, 3, 9, &own)));
    assert_eq!(status, 403);
    assert!(text.contains("does not remember"), "{text}");
    assert_eq!(block_on(watching.add(&step(&key, &tree, 7, 9))).0, 403);
    assert!(watching.evidence().is_empty(), "the log did nothing wrong");
    assert_eq!(block_on(watching.add(&step(&other, &tree, 0, 9))).0, 200);
}

#[test]
fn a_log_is_never_removed_but_disabled() {
    let (key, other) = (log(ORIGIN), log("log.example/b"));
    let mut watching = Watching::start(&[named(&key), named(&other)]);
    let tree = Tree::new(9, 9);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 5))).0, 200);
    watching.stop();
    let all = watching.raw.log.replace(vec![named(&other)]);
    let refusal = watching.resume().unwrap_err();
    assert!(
        refusal.contains("no longer names log.example/a") && refusal.contains("up to size 5"),
        "{refusal}"
    );
    assert!(refusal.contains("attestree witness log disable"), "{refusal}");

    // The witness is stopped: the order is carried out on its files.
    let data = watching.file("w");
    let disable = order("disable", "it has ended");
    let status = server::witness::give_orders(&data, None, &[disable]).unwrap();
    assert!(status.logs[0].disabled);
    watching.resume().unwrap();
    assert_eq!(block_on(watching.add(&step(&key, &tree, 5, 7))).0, 404);
    // What was cosigned is still shown, and still remembered.
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(5));
    watching.stop();
    watching.raw.log = all;
    watching.resume().unwrap();
    assert_eq!(block_on(watching.add(&step(&key, &tree, 5, 7))).0, 404);
    assert_eq!(tell(&watching, &order("enable", "it goes on")).0, 200);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 7))).0, 409);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 5, 7))).0, 200);
    // While the witness runs nobody else writes its files.
    let refusal = server::witness::give_orders(&data, None, &[]).unwrap_err();
    assert!(format!("{refusal:#}").contains("in use"), "{refusal:#}");
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let watching = Watching::start(&[named(&log(ORIGIN))]);
    let unknown = Order { origin: "x.example".to_owned(), ..order("disable", "why not") };
    for (order, part) in [
        (order("remove", "it should be gone"), "use disable, enable, freeze or unfreeze"),
        (unknown, "knows no log"),
        (order("disable", ""), "say why"),
        (order("disable", &"x".repeat(1_025)), "say why"),
    ] {
        let (status, text) = tell(&watching, &order);
        assert!(status == 400 && text.contains(part), "{status} {text}");
    }
    let (status, text) = tell(&watching, &order("freeze", "it looks odd"));
    assert_eq!(status, 200, "{text}");
    assert_eq!(watching.frozen(ORIGIN).as_deref(), Some("it looks odd"));
}

#[test]
fn a_webhook_is_told_with_the_evidence() {
    use std::sync::{Arc, Mutex};
    let key = log(ORIGIN);
    let (told, hear) = tokio::sync::oneshot::channel::<String>();
    let told = Arc::new(Mutex::new(Some(told)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let hook = axum::Router::new().route(
        "/hook",
        axum::routing::post(move |body: String| async move {
            if let Some(told) = told.lock().unwrap().take() {
                told.send(body).unwrap();
            }
        }),
    );
    runtime.spawn(async move { axum::serve(listener, hook).await });

    let raw = RawConfig { webhook: Some(url), ..RawConfig::default() };
    let watching = Watching::with(&[named(&key)], raw);
    let (tree, other) = (Tree::new(9, 9), Tree::new(9, 3));
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 5))).0, 200);
    let forked = request(5, vec![], &note(&key, &other.head(5)));
    assert_eq!(block_on(watching.add(&forked)).0, 422);
    let alarm = runtime.block_on(hear).unwrap();
    let alarm: serde_json::Value = serde_json::from_str(&alarm).unwrap();
    assert_eq!((&alarm["event"], &alarm["origin"]), (&"frozen".into(), &ORIGIN.into()));
    let evidence = fs::read_to_string(&watching.evidence()[0]).unwrap();
    assert_eq!(alarm["evidence"].as_str(), Some(evidence.as_str()));
}
