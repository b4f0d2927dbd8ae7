//! What the monitor says of audit logs, and that it says it again.

use std::{fs, path::Path};

use attestree::core::hash::TreeHash;
use serde_json::Value;

use super::{Scene, Told, cosigned};
use crate::{
    chain::log::{Log, START, Said},
    liar::{Face, History},
};

/// Returns a history of the small log and of `plain` events behind it.
fn history(log: &Log, plain: usize) -> History {
    let last = log.0.last().unwrap().clone();
    let mut log = Log(log.0.clone());
    for step in 1..=plain {
        let micros = last.micros + u64::try_from(step).unwrap();
        log.0.push(crate::chain::log::Entry { micros, said: Said::Event, ..last.clone() });
    }
    History::new(log.written())
}

fn broken(told: &Told) -> Vec<(&str, &str)> {
    told.of("finding")
        .map(|f| (f["source"].as_str().unwrap(), f["reason"].as_str().unwrap()))
        .collect()
}

#[test]
fn an_honest_audit_log_is_read_without_a_finding() {
    let scene = Scene::new(&[]);
    let history = history(&Log::new(), 600);
    for size in [5, 10, 300, 613] {
        scene.liar.show("log", Face::of(&history, size));
        let told = scene.look();
        assert_eq!((told.code, broken(&told)), (0, vec![]), "{told:?}");
        assert_eq!(told.read().unwrap().0, size);
    }
}

#[test]
fn a_broken_rule_is_told_again_after_a_start_and_nothing_is_read_twice() {
    let mut log = Log::new();
    log.0[11].micros = log.0[10].micros;
    log.0[12].policy = None;
    let history = history(&log, 600);
    let scene = Scene::new(&[]);
    for (size, entries) in [(13, Some(13)), (613, Some(600)), (613, None)] {
        scene.liar.show("log", Face::of(&history, size));
        let told = scene.look();
        assert_eq!(told.code, 2, "{told:?}");
        let kinds = [("invalid", "records time"), ("invalid", "records policy")];
        assert_eq!(told.findings(), kinds, "{told:?}");
        assert!(broken(&told)[0].1.starts_with("entry 11: its time 2026-11-"), "{told:?}");
        assert!(broken(&told)[1].1.starts_with("entry 12: it names the policy none, and "));
        assert_eq!(told.read().map(|(_, entries)| entries), entries);
    }
}

#[test]
fn a_tree_that_ends_inside_of_a_policy_is_told() {
    let history = history(&Log::new(), 0);
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&history, 8));
    let told = scene.look();
    assert_eq!((told.code, told.findings()), (2, vec![("invalid", "records parts")]), "{told:?}");
}

#[test]
fn times_are_compared_with_those_of_the_witnesses() {
    let history = history(&Log::new(), 0);
    for (size, seconds, is_good) in [(5, 4, true), (13, 12, true), (13, 2, false), (5, 30, false)] {
        let scene = Scene::new(&["w1"]);
        scene.liar.show("log", Face::of(&history, 13));
        let face = Face::witness(cosigned_note(&history, size, START + seconds));
        scene.liar.show("w1", face);
        let told = scene.look();
        let expected = if is_good { vec![] } else { vec![("invalid", "records witnessed")] };
        assert_eq!(told.findings(), expected, "{size} at {seconds}: {told:?}");
    }
}

#[test]
fn times_that_were_read_are_compared_with_cosignatures_that_come_later() {
    let history = history(&Log::new(), 0);
    let late = "entry 12: its time 2026-11-";
    for (size, seconds, told) in [(13, 2, late), (5, 30, "entry 5: its time 2026-11-")] {
        let scene = Scene::new(&["w1"]);
        scene.liar.show("log", Face::of(&history, 13));
        let face = |size, seconds| Face::witness(cosigned_note(&history, size, START + seconds));
        scene.liar.show("w1", face(13, 12));
        assert_eq!(scene.look().code, 0);
        scene.liar.show("w1", face(size, seconds));
        // Nothing is read again for it, and what was found stays.
        for _ in 0..2 {
            let looked = scene.look();
            assert_eq!(looked.findings(), [("invalid", "records witnessed")], "{looked:?}");
            assert!(broken(&looked)[0].1.starts_with(told), "{looked:?}");
            assert_eq!(looked.read().map(|(_, entries)| entries), None);
        }
    }
}

fn cosigned_note(history: &History, size: u64, seconds: u64) -> Vec<u8> {
    crate::liar::cosigned(history.head(size), &super::witness("w1"), seconds)
}

#[test]
fn another_log_is_no_audit_log_unless_it_is_called_one() {
    let honest = History::honest(300);
    let scene = Scene::new(&["w1"]);
    scene.liar.show("log", Face::of(&honest, 300));
    scene.liar.show("w1", cosigned("w1", honest.head(300)));
    assert_eq!(scene.look().code, 0);
    // It is read again from the first entry on, and then remembered.
    for entries in [Some(300), None] {
        let told = scene.look_with(&["--audit"]);
        let kinds = [("invalid", "records form"), ("invalid", "records genesis")];
        assert_eq!((told.code, told.findings()), (2, kinds.to_vec()), "{told:?}");
        assert_eq!(told.read().map(|(_, entries)| entries), entries);
    }
    assert_eq!(scene.look().code, 2);
}

/// Writes a state as it was before records were checked.
fn make_old(state: &Path) {
    let text = fs::read_to_string(state).unwrap();
    let mut body: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert!(body.as_object_mut().unwrap().remove("records").is_some());
    let body = body.to_string() + "\n";
    let hash = TreeHash::digest(body.as_bytes());
    let sum: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(state, format!("attestree-monitor@v1 {sum}\n{body}")).unwrap();
}

#[test]
fn a_state_from_before_is_taken_over_and_the_records_are_read_from_the_first_on() {
    let mut log = Log::new();
    log.0[5].micros = log.0[4].micros;
    let history = history(&log, 600);
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&history, 613));
    assert_eq!(scene.look().code, 2);
    make_old(&scene.state());
    let told = scene.look();
    assert_eq!(told.findings(), [("invalid", "records time")], "{told:?}");
    assert_eq!((told.of("resumed").count(), told.read()), (1, Some((613, 613))));
}

#[test]
fn a_state_whose_records_have_no_form_is_refused() {
    let history = history(&Log::new(), 600);
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&history, 613));
    assert_eq!(scene.look().code, 0);
    let whole = fs::read_to_string(scene.state()).unwrap();
    let body = whole.lines().nth(1).unwrap();
    for (from, to) in [
        ("\"next\":613", "\"next\":200"),
        ("\"threshold\":2", "\"threshold\":3"),
        ("\"last\":\"2", "\"last\":\"x"),
    ] {
        let body = body.replacen(from, to, 1) + "\n";
        let hash = TreeHash::digest(body.as_bytes());
        let sum: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(scene.state(), format!("attestree-monitor@v2 {sum}\n{body}")).unwrap();
        let told = scene.look();
        assert!(
            told.code == 1 && told.errors.contains("not those of the frontier"),
            "{to}: {told:?}"
        );
    }
}
