//! What the monitor remembers survives being killed, and is not believed for being there.

use std::{fs, io::BufRead as _, path::Path};

use serde_json::Value;

use super::{Following, Scene};
use crate::{
    liar::{self, Face, History},
    published::signing_key,
};

#[test]
fn a_state_that_is_damaged_or_older_is_refused() {
    let honest = History::honest(700);
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&honest, 300));
    assert_eq!(scene.look().code, 0);
    let state = scene.state();
    let mark = state.with_extension("mark");
    let older = fs::read(&state).unwrap();
    scene.liar.show("log", Face::of(&honest, 700));
    assert_eq!(scene.look().code, 0);
    let newest = fs::read(&state).unwrap();
    let refused = |says: &str| {
        let told = scene.look();
        assert!(told.code == 1 && told.errors.contains(says), "{says}: {told:?}");
        assert!(told.events.is_empty(), "{told:?}");
    };

    fs::write(&state, &older).unwrap();
    refused("is older than what was kept last");
    fs::remove_file(&state).unwrap();
    refused("is older than what was kept last");
    for at in (0..newest.len()).step_by(7) {
        let mut damaged = newest.clone();
        damaged[at] ^= 4;
        fs::write(&state, damaged).unwrap();
        refused("state");
    }
    fs::write(&state, &newest[..newest.len() / 2]).unwrap();
    refused("its sum does not match");
    fs::write(&state, &newest).unwrap();
    fs::write(&mark, "x\n").unwrap();
    refused("expected a number");
    fs::remove_file(&mark).unwrap();
    let told = scene.look();
    assert_eq!((told.code, told.of("resumed").count(), told.read()), (0, 1, None), "{told:?}");

    // Another key in the policy: nothing that was kept is believed.
    let stranger = signing_key(liar::ORIGIN, "a stranger's key");
    let text = format!("{}\n700\n{}\n", liar::ORIGIN, honest.head(700).root);
    let note = format!("{text}\n{}\n", stranger.sign(&text)).into_bytes();
    scene.liar.show("log", Face { note, ..Face::of(&honest, 700) });
    let url = scene.liar.url("log");
    scene.write_policy(&format!("log {} {url}\nquorum none\n", stranger.verifier_key()));
    refused("no key of the trust policy has signed");
}

/// Returns how many full bundles a state says were read.
fn bundles(state: &Path) -> u64 {
    let text = fs::read_to_string(state).unwrap();
    let body: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    body["bundles"].as_u64().unwrap()
}

#[test]
fn a_monitor_that_is_killed_goes_on_where_it_was() {
    // Read in a few steps, so that it is killed in the middle as well.
    let sizes: Vec<u64> = (1..=12).map(|step| step * 13_000).collect();
    let history = History::honest(*sizes.last().unwrap());
    let scene = Scene::new(&[]);
    let (mut kept, mut killed_midway) = (0, 0);
    for (round, &size) in sizes.iter().enumerate() {
        scene.liar.show("log", Face::of(&history, size));
        let (monitor, events) =
            Following::start(&mut scene.command(&["--follow", "--interval", "1"]));
        // A different event each time: at the checkpoint, in the middle, and after the end.
        let until = ["checkpoint", "read", "progress"][round % 3];
        for line in events.lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let kind = event["event"].as_str().unwrap();
            assert_ne!(kind, "finding", "{event}");
            if kind == "resumed" {
                assert!(event["size"].as_u64().unwrap() >= kept * 256, "{event}");
            }
            killed_midway += u64::from(kind == until && until != "read");
            if kind == until || kind == "read" {
                break;
            }
        }
        drop(monitor);
        let now = bundles(&scene.state());
        assert!(now >= kept, "what was read stays read: {now} after {kept}");
        kept = now;
    }
    assert!(killed_midway > 3, "killed {killed_midway} times before the end");
    let told = scene.look();
    assert_eq!((told.code, told.findings()), (0, vec![]), "{told:?}");

    // And nothing that was seen is forgotten: a log rewritten meanwhile is convicted.
    let size = *sizes.last().unwrap();
    scene.liar.show("log", Face::of(&history.changed(100_000), size));
    assert_eq!(scene.look().findings(), [("guilty", "log")]);
    assert_eq!(scene.evidence().len(), 1);
}

#[test]
fn two_monitors_do_not_share_a_directory() {
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&History::honest(3), 3));
    let (monitor, mut events) = Following::start(&mut scene.command(&["--follow"]));
    let mut first = String::new();
    events.read_line(&mut first).unwrap();
    let told = scene.look();
    drop(monitor);
    assert!(first.contains("checkpoint"), "{first}");
    assert!(told.code == 1 && told.errors.contains("another monitor"), "{told:?}");
    assert_eq!(scene.look().code, 0);
}
