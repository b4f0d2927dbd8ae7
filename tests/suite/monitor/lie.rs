//! What the log and its witnesses can show, and what the monitor calls it.

use core::time::Duration;
use std::fs;

use attestree::{
    core::{
        evidence::{Evidence, Judgement},
        tree::TreeHead,
    },
    monitor::{Finding, Hook, HookError, Kind},
    proto::AppendBatchRequest,
};
use serde_json::Value;

use super::{Scene, cosigned};
use crate::{
    cosigning::site::until,
    liar::{self, Face, History, note},
    published::signing_key,
    served::Served,
};

#[test]
fn a_real_log_is_read_to_its_end_and_further_as_it_grows() {
    let served = Served::start();
    let scene = Scene::new(&[]);
    scene.write_policy(&format!("log {}\nquorum none\n", served.vkeys[0]));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let url = served.url("");
    let (mut size, mut bytes) = (0, 0);
    for grow in [0, 1, 255, 256, 300, 0, 4_000] {
        if grow > 0 {
            let entries: Vec<String> =
                (size..size + grow).map(|at| format!("entry {at}")).collect();
            bytes = entries.iter().map(String::len).sum();
            let entries = entries.into_iter().map(Into::into).collect();
            let request = AppendBatchRequest { entries, ..Default::default() };
            runtime.block_on(async {
                served.client().await.append_batch(request).await.unwrap();
            });
            size += grow;
        }
        let told = scene.look_with(&[&url]);
        assert_eq!((told.code, told.findings()), (0, vec![]), "{told:?}");
        if grow > 0 {
            assert_eq!(told.read(), Some((size, grow)), "{told:?}");
            let read = told.of("read").next().unwrap();
            assert_eq!(read["bytes"], bytes);
        }
    }
}

/// The bundle that is read once the log has 700 entries.
const LAST: &str = "tile/entries/002.p/188";

/// Returns lies about a log of 700 entries that has shown 600: what the lie is, what is shown instead,
/// the kind of the finding, and the exit code.
fn lies(honest: &History) -> Vec<(&'static str, Face, &'static str, i32)> {
    let other = |history: &History, size| Face::of(history, size);
    let stranger = signing_key(liar::ORIGIN, "a stranger's key");
    let text = |head: TreeHead| format!("{}\n{}\n{}\n", liar::ORIGIN, head.size, head.root);
    let unknown = {
        let text = text(honest.head(700));
        format!("{text}\n{}\n", stranger.sign(&text)).into_bytes()
    };
    let forged = String::from_utf8(note(honest.head(600), &[])).unwrap().replace("600", "700");
    let with_note = |note: Vec<u8>| Face { note, ..Face::of(honest, 700) };
    let without = |path: &str, instead: Option<Vec<u8>>| {
        let mut face = Face::of(honest, 700);
        face.instead.insert(path.to_owned(), instead);
        face
    };
    let bundle = |history: &History| {
        let path = attestree::core::tile::Resource::parse(LAST).unwrap();
        history.resource(&path)
    };
    vec![
        ("a changed leaf", other(&honest.changed(17), 700), "guilty", 2),
        ("a changed leaf at the edge", other(&honest.changed(599), 700), "guilty", 2),
        ("a late insert", other(&honest.inserted(5), 700), "guilty", 2),
        ("another root of one size", other(&honest.changed(17), 600), "guilty", 2),
        (
            "a tree that was cut and has grown",
            { other(&honest.truncated(400).grown(700, "other"), 700) },
            "guilty",
            2,
        ),
        ("a truncated tree", other(&honest.truncated(400), 400), "rollback", 2),
        ("a cut and changed tree", other(&honest.changed(17).truncated(400), 400), "rollback", 2),
        ("an old checkpoint again", Face::of(honest, 256), "rollback", 2),
        ("a key that nobody knows", with_note(unknown), "untrue", 2),
        ("a forged signature", with_note(forged.into_bytes()), "untrue", 2),
        ("no checkpoint at all", with_note(b"hello\n".to_vec()), "untrue", 2),
        ("another entry in a bundle", without(LAST, bundle(&honest.changed(650))), "untrue", 2),
        ("a bundle cut short", without(LAST, Some(vec![0, 9, 1])), "untrue", 2),
        (
            "another tree's tiles",
            Face { history: Some(honest.changed(3)), ..Face::of(honest, 700) },
            "untrue",
            2,
        ),
        ("a bundle that is missing", without(LAST, None), "unresponsive", 1),
        ("a tile that is missing", without("tile/0/002.p/188", None), "unresponsive", 1),
        ("nothing", Face::default(), "unresponsive", 1),
    ]
}

#[test]
fn each_lie_is_called_what_it_is() {
    let honest = History::honest(700);
    let shown = Face::of(&honest, 600);
    for (name, lie, kind, code) in lies(&honest) {
        let scene = Scene::new(&[]);
        scene.liar.show("log", shown.clone());
        let told = scene.look();
        assert_eq!((told.code, told.read()), (0, Some((600, 600))), "{name}: {told:?}");

        scene.liar.show("log", lie);
        let told = scene.look();
        assert_eq!(told.findings().first().map(|(kind, _)| *kind), Some(kind), "{name}: {told:?}");
        assert_eq!((told.findings().len(), told.code), (1, code), "{name}: {told:?}");
        assert_eq!(scene.evidence().len(), usize::from(kind == "guilty"), "{name}");

        // What convicts nobody is forgiven, and what was seen before is still known. So is a signed
        // tree that could not be compared: it convicts as soon as the log shows one that can.
        scene.liar.show("log", Face::of(&honest, 700));
        let asked = scene.liar.asked("log/tile/entries/001");
        let told = scene.look();
        if kind == "guilty" {
            assert_eq!(
                scene.liar.asked("log/tile/entries/001"),
                asked,
                "it is followed no further"
            );
            assert_eq!((told.findings(), told.code), (vec![("guilty", "log")], 2), "{name}");
            assert_eq!(told.read(), None);
        } else if name == "a cut and changed tree" {
            assert_eq!((told.findings(), told.code), (vec![("guilty", "log")], 2), "{name}");
            assert_eq!(scene.evidence()[0].heads().map(|head| head.size.get()), [400, 700]);
        } else {
            assert_eq!((told.findings(), told.code), (vec![], 0), "{name}: {told:?}");
            assert_eq!(told.read(), Some((700, 100)), "{name}");
        }
    }
}

#[test]
fn signatures_of_strangers_beside_the_logs_own_change_nothing() {
    let history = History::honest(300);
    let scene = Scene::new(&[]);
    let head = history.head(300);
    let text = format!("{}\n300\n{}\n", liar::ORIGIN, head.root);
    let second = signing_key(liar::ORIGIN, "another key of the log").sign(&text);
    let face = Face { note: note(head, &[second]), ..Face::of(&history, 300) };
    scene.liar.show("log", face);
    let told = scene.look();
    assert_eq!((told.code, told.read()), (0, Some((300, 300))), "{told:?}");
}

#[test]
fn a_rollback_convicts_once_the_log_has_grown_past_what_it_had_signed() {
    let honest = History::honest(600);
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&honest, 600));
    assert_eq!(scene.look().code, 0);
    let rewritten = honest.truncated(500).grown(900, "other");
    for size in [500, 550] {
        scene.liar.show("log", Face::of(&rewritten.truncated(size), size));
        let told = scene.look();
        assert_eq!(told.findings(), [("rollback", "log")], "{told:?}");
    }
    scene.liar.show("log", Face::of(&rewritten, 900));
    let told = scene.look();
    assert_eq!(told.findings(), [("guilty", "log")], "{told:?}");
    let heads = scene.evidence()[0].heads();
    assert_eq!(heads, [honest.head(600), rewritten.head(900)]);
}

#[test]
fn a_split_view_shows_in_what_a_witness_remembers() {
    let honest = History::honest(600);
    let other = honest.changed(450).grown(800, "other");
    // What each witness remembers, and who shows the contradiction.
    let ahead = || cosigned("w2", other.head(800));
    for (name, faces, findings) in [
        ("both agree", [cosigned("w1", honest.head(600)), cosigned("w2", honest.head(9))], vec![]),
        (
            "a witness behind",
            [cosigned("w1", honest.head(500)), cosigned("w2", other.head(500))],
            // The two witnesses contradict each other, and the log contradicts the second.
            vec![("guilty", "witness w2")],
        ),
        (
            "a witness of another root",
            [cosigned("w1", other.head(600)), cosigned("w2", honest.head(3))],
            vec![("guilty", "witness w1")],
        ),
        ("a witness ahead", [Face::default(), ahead()], vec![("unresponsive", "witness w2")]),
        (
            "a witness that shows what the log never signed",
            [cosigned("w1", honest.head(5)), Face::witness(b"hello".to_vec())],
            vec![("untrue", "witness w2")],
        ),
        (
            "a witness that has not cosigned itself",
            [cosigned("w1", honest.head(5)), cosigned("w1", honest.head(5))],
            vec![("untrue", "witness w2")],
        ),
    ] {
        let scene = Scene::new(&["w1", "w2"]);
        scene.liar.show("log", Face::of(&honest, 600));
        let [first, second] = faces;
        scene.liar.show("w1", first);
        scene.liar.show("w2", second);
        let told = scene.look();
        let mut kinds = told.findings();
        kinds.dedup();
        assert_eq!(kinds, findings, "{name}: {told:?}");
        let guilty = findings.iter().any(|(kind, _)| *kind == "guilty");
        assert_eq!(scene.evidence().is_empty(), !guilty, "{name}");
    }
}

#[test]
fn what_a_witness_showed_once_convicts_the_log_later() {
    let honest = History::honest(600);
    let other = honest.changed(450).grown(800, "other");
    let scene = Scene::new(&["w1"]);
    scene.liar.show("log", Face::of(&honest, 600));
    scene.liar.show("w1", cosigned("w1", other.head(800)));
    assert_eq!(scene.look().findings(), [("unresponsive", "witness w1")]);

    // The witness is gone, and the log grows on the side that it shows to us.
    scene.liar.hide("w1");
    let longer = honest.grown(1_000, "honest");
    scene.liar.show("log", Face::of(&longer, 1_000));
    let told = scene.look();
    assert_eq!(told.findings()[0], ("guilty", "witness w1"), "{told:?}");
    assert_eq!(scene.evidence()[0].heads(), [other.head(800), longer.head(1_000)]);
}

#[test]
fn a_hook_is_run_on_each_finding_and_never_through_a_shell() {
    let honest = History::honest(10);
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&honest, 10));
    assert_eq!(scene.look().code, 0);
    scene.liar.show("log", Face::of(&honest.changed(1), 10));
    let told = scene.look_with(&[
        "--exec",
        "/bin/sh",
        "--exec-arg",
        "-c",
        "--exec-arg",
        "cat > hooked; printf '%s %s' \"$ATTESTREE_KIND\" \"$ATTESTREE_EVIDENCE\" > said",
    ]);
    assert_eq!(told.code, 2);
    let read = |name: &str| fs::read_to_string(scene.dir.path().join(name)).unwrap();
    let hooked: Value = serde_json::from_str(&read("hooked")).unwrap();
    let finding = told.of("finding").next().unwrap();
    assert_eq!(
        (&hooked["reason"], &hooked["evidence"]),
        (&finding["reason"], &finding["evidence"])
    );
    assert_eq!(read("said"), format!("guilty {}", finding["evidence"].as_str().unwrap()));

    let told = scene.look_with(&["--exec", "./none"]);
    assert_eq!((told.code, told.of("hook").count()), (2, 1), "{told:?}");
    let told = scene.look_with(&["--exec-shell", "exit 3"]);
    assert_eq!(told.of("hook").next().unwrap()["reason"], "the hook \"sh\" failed: exit status: 3");
}

/// A hook that never ends by itself, and says who it is. What a killed one has begun may go on beside the
/// next, so that each has a file of its own.
const ENDLESS: &str = "echo $$ > pid.$$ && mv pid.$$ pid && exec tail -f /dev/null";

#[tokio::test]
async fn a_hook_that_does_not_end_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("cd '{}' && {ENDLESS}", dir.path().display());
    let arguments = vec!["-c".into(), script.into()];
    let hook = |patience| Hook { program: "sh".into(), arguments: arguments.clone(), patience };
    let finding = Finding {
        origin: liar::ORIGIN.to_owned(),
        kind: Kind::Rollback,
        source: "log".to_owned(),
        reason: "a test".to_owned(),
        evidence: None,
    };
    // The time is over before or after the program has begun; it is killed either way. Once it has begun
    // it is known which process has to be gone.
    let pid = dir.path().join("pid");
    let mut millis = 1;
    while !pid.exists() {
        let patience = Duration::from_millis(millis);
        let error = hook(patience).run(&finding).await.unwrap_err();
        assert!(matches!(error, HookError::Slow { .. }), "{error}");
        millis *= 2;
    }
    let stat = format!("/proc/{}/stat", fs::read_to_string(pid).unwrap().trim());
    let is_running = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    until("the hook is gone", || !is_running()).await;
}

#[test]
fn two_keys_of_a_log_that_contradict_each_other_convict_neither() {
    let (honest, other) = (History::honest(600), History::honest(600).changed(17));
    let scene = Scene::new(&[]);
    let second = signing_key(liar::ORIGIN, "the second key of a log that lies");
    let (first, url) = (liar::key(), scene.liar.url("log"));
    let lines =
        [first.verifier_key(), second.verifier_key()].map(|key| format!("log {key} {url}\n"));
    scene.write_policy(&(lines.concat() + "quorum none\n"));
    scene.liar.show("log", Face::of(&honest, 600));
    assert_eq!(scene.look().code, 0);

    let head = other.head(600);
    let text = format!("{}\n600\n{}\n", liar::ORIGIN, head.root);
    let note = format!("{text}\n{}\n", second.sign(&text)).into_bytes();
    scene.liar.show("log", Face { note, ..Face::of(&other, 600) });
    let told = scene.look();
    assert_eq!((told.findings(), told.code), (vec![("inconclusive", "log")], 2), "{told:?}");
    // What there is is kept, for whoever finds out which key was stolen.
    let finding = told.of("finding").next().unwrap();
    let evidence = fs::read(scene.dir.path().join(finding["evidence"].as_str().unwrap())).unwrap();
    let evidence = Evidence::parse(&evidence).unwrap();
    let judgement = evidence.judge(&scene.policy());
    assert!(matches!(judgement, Judgement::Inconclusive { .. }), "{judgement:?}");

    // The log is no convict: it is followed on, on the side that was seen first.
    scene.liar.show("log", Face::of(&honest.grown(700, "honest"), 700));
    let told = scene.look();
    assert_eq!((told.findings(), told.code), (vec![], 0), "{told:?}");
    assert_eq!(told.read(), Some((700, 100)), "{told:?}");
}
