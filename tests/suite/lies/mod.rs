//! Every lie of a log that has its real key, told to real witnesses and a real monitor over sockets.
//!
//! The law after each: what a quorum of four has cosigned is one history, although two of the five
//! witnesses cosign anything. Where the lie is a contradiction, somebody has a file that convicts the log
//! before anyone who has its key.

mod ring;

use attestree::core::{
    hash::TreeHash,
    note::{KeyName, NoteSignature, SignedNote, SigningKey},
};
use ring::{HONEST, Ring, request};

use crate::liar::{self, Face, History};

/// Begins with a history that everyone has cosigned at size 10, and that a monitor has read.
fn agreed() -> (Ring, History) {
    let mut ring = Ring::start();
    let history = History::honest(20);
    ring.agree(&history, 0, 10);
    ring.liar.show("log", Face::of(&history, 10));
    let said = ring.monitor("monitor", "log");
    assert_eq!(said.code, Some(0), "{:?}", said.events);
    assert_eq!(ring.covered(), [history.head(10)]);
    (ring, history)
}

/// Tells everyone of another history at size `new`, where everyone knows size 10 of the first: no honest
/// witness may follow, and the monitor that has seen the first one convicts the log.
fn refuse(mut ring: Ring, first: &History, other: &History, new: u64) {
    for witness in 0..HONEST {
        for old in [0, 5, 10] {
            let status = ring.push(witness, other, old, new);
            assert_eq!(status, if old == 10 { 422 } else { 409 }, "from {old}");
        }
        assert_eq!(ring.latest(witness).unwrap(), first.head(10));
    }
    ring.collude(other.head(new));
    ring.assert_one_history(&[first, other]);
    assert_eq!(ring.covered(), [first.head(10)]);

    ring.liar.show("log", Face::of(other, new));
    let said = ring.monitor("monitor", "log");
    assert_eq!(said.code, Some(2), "{:?}", said.events);
    assert!(said.found("guilty"), "{:?}", said.events);
    ring.assert_convicts(&said.evidence);

    // So does one that never saw the first history but asks the witnesses.
    let said = ring.monitor("newcomer", "log");
    assert_eq!(said.code, Some(2), "{:?}", said.events);
    ring.assert_convicts(&said.evidence);

    // The honest history may go on: nobody has cosigned anything else.
    ring.agree(first, 10, 12);
    assert!(ring.covered().contains(&first.head(12)));
    ring.assert_one_history(&[first, other]);
}

#[test]
fn split_view_gets_one_quorum_at_most() {
    let mut ring = Ring::start();
    let first = History::honest(6).grown(20, "first");
    let other = History::honest(6).grown(20, "other");
    // Each honest witness is shown one side; the colluders cosign both.
    assert_eq!(ring.push(0, &first, 0, 10), 200);
    assert_eq!(ring.push(1, &first, 0, 10), 200);
    assert_eq!(ring.push(2, &other, 0, 12), 200);
    ring.collude(first.head(10));
    ring.collude(other.head(12));
    assert_eq!(ring.covered(), [first.head(10)]);
    // Nobody changes sides.
    assert_eq!(ring.push(0, &other, 10, 12), 422);
    assert_eq!(ring.push(1, &other, 10, 14), 422);
    assert_eq!(ring.push(2, &first, 12, 14), 422);
    ring.assert_one_history(&[&first, &other]);

    // Whoever is shown one side, and asks the witnesses of the other.
    for (name, side, size) in [("one", &first, 14), ("two", &other, 15)] {
        ring.liar.show(name, Face::of(side, size));
        let said = ring.monitor(name, name);
        assert_eq!(said.code, Some(2), "{:?}", said.events);
        ring.assert_convicts(&said.evidence);
    }
}

#[test]
fn rollback_is_refused_and_convicts_once_the_log_goes_on() {
    let (mut ring, first) = agreed();
    let other = first.truncated(6).grown(20, "after the rollback");
    // Smaller than what was cosigned: nobody goes back.
    for witness in 0..HONEST {
        assert_eq!(ring.push(witness, &other, 0, 8), 409);
        assert_eq!(ring.push(witness, &other, 8, 8), 409);
    }
    ring.liar.show("log", Face::of(&other, 8));
    let said = ring.monitor("monitor", "log");
    assert_eq!(said.code, Some(2), "{:?}", said.events);
    refuse(ring, &first, &other, 12);
}

#[test]
fn late_insert_is_refused_and_convicts() {
    let (ring, first) = agreed();
    refuse(ring, &first, &first.inserted(3), 11);
}

#[test]
fn changed_leaf_is_refused_and_convicts() {
    let (ring, first) = agreed();
    refuse(ring, &first, &first.changed(3), 12);
}

#[test]
fn other_root_at_the_same_size_convicts_at_the_witness() {
    let (mut ring, first) = agreed();
    let other = first.changed(9);
    for witness in 0..HONEST {
        assert_eq!(ring.push(witness, &other, 10, 10), 422);
        ring.assert_convicts(&ring.evidence(witness));
        // From here on it signs nothing for this log: its operator has to act.
        assert_eq!(ring.push(witness, &first, 10, 12), 403);
        assert_eq!(ring.push(witness, &other, 10, 12), 403);
        assert_eq!(ring.latest(witness).unwrap(), first.head(10));
    }
    ring.collude(other.head(10));
    ring.assert_one_history(&[&first, &other]);
    ring.liar.show("log", Face::of(&other, 10));
    let said = ring.monitor("monitor", "log");
    assert!(said.code == Some(2) && said.found("guilty"), "{:?}", said.events);
    ring.assert_convicts(&said.evidence);
}

#[test]
fn truncated_tree_is_a_rollback_and_convicts_nobody() {
    let (mut ring, first) = agreed();
    for witness in 0..HONEST {
        assert_eq!(ring.push(witness, &first, 0, 7), 409);
        assert_eq!(ring.push(witness, &first, 7, 7), 409);
        let note = liar::note(first.head(7), &[]);
        assert_eq!(ring.ask(witness, &request(10, Vec::new(), note)), 400);
        assert_eq!(ring.latest(witness).unwrap(), first.head(10));
    }
    ring.collude(first.head(7));
    ring.assert_one_history(&[&first]);
    ring.liar.show("log", Face::of(&first, 7));
    let said = ring.monitor("monitor", "log");
    assert_eq!(said.code, Some(2), "{:?}", said.events);
    assert!(said.found("rollback") && !said.found("guilty"), "{:?}", said.events);
    assert!(said.evidence.is_empty());
}

#[test]
fn replayed_checkpoint_gets_no_new_cosignature() {
    let (mut ring, first) = agreed();
    ring.agree(&first, 10, 15);
    for witness in 0..HONEST {
        for (old, new) in [(0, 10), (0, 3), (10, 15)] {
            assert_eq!(ring.push(witness, &first, old, new), 409);
        }
        // The newest one may be cosigned again: that says that nothing newer was seen.
        assert_eq!(ring.push(witness, &first, 15, 15), 200);
    }
    ring.assert_one_history(&[&first]);
}

#[test]
fn forged_proofs_prove_nothing() {
    let (mut ring, first) = agreed();
    let other = first.changed(2);
    let foreign = TreeHash::leaf(b"foreign");
    for (history, new) in [(&first, 13), (&other, 13)] {
        let proof = history.link(10, new).1;
        let note = liar::note(history.head(new), &[]);
        let mut forged: Vec<Vec<TreeHash>> = Vec::new();
        for at in 0..proof.len() {
            let (mut replaced, mut dropped, mut added) =
                (proof.clone(), proof.clone(), proof.clone());
            replaced[at] = foreign;
            dropped.remove(at);
            added.insert(at, foreign);
            forged.extend([replaced, dropped, added]);
        }
        for proof in forged {
            assert_eq!(ring.ask(0, &request(10, proof, note.clone())), 422);
        }
    }
    assert_eq!(ring.push(0, &other, 10, 13), 422, "the right proof of the wrong history");
    assert_eq!(ring.push(0, &first, 10, 13), 200, "the right proof of the right one");
    ring.assert_one_history(&[&first, &other]);
}

#[test]
fn foreign_signatures_neither_help_nor_harm() {
    let (mut ring, first) = agreed();
    let own = liar::key();
    let name = own.verifier_key().name().clone();
    let text = SignedNote::parse(&liar::note(first.head(12), &[])).unwrap().text().to_owned();
    let proof = first.link(10, 12).1;
    let ask = |ring: &mut Ring, lines: Vec<NoteSignature>| {
        let note = SignedNote::new(text.clone(), lines).unwrap().to_string().into_bytes();
        ring.ask(0, &request(10, proof.clone(), note))
    };
    // A key of the log's name that is not the log's, and a line that claims to be the log's.
    let stranger = SigningKey::from_seed(name.clone(), &[9; 32]).sign(&text);
    assert_eq!(ask(&mut ring, vec![stranger.clone()]), 403);
    let forged = NoteSignature::new(name.clone(), own.verifier_key().id(), vec![7; 64]).unwrap();
    assert_eq!(ask(&mut ring, vec![forged.clone()]), 403);
    assert_eq!(ask(&mut ring, vec![own.sign(&text), forged]), 403);
    assert_eq!(ring.latest(0).unwrap(), first.head(10));

    // What nobody knows is passed over, and not remembered.
    let grease = KeyName::parse("grease.invalid").unwrap();
    let grease = NoteSignature::new(grease, [1; 4], vec![7; 64]).unwrap();
    assert_eq!(ask(&mut ring, vec![grease, stranger, own.sign(&text), own.sign(&text)]), 200);
    assert_eq!(ring.latest(0).unwrap(), first.head(12));
    ring.assert_one_history(&[&first]);
}
