//! The monitor against real servers: the honest one of this crate, and one that lies.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use attestree::{
    core::{
        evidence::{Evidence, Judgement},
        note::CosigningKey,
        tree::TreeHead,
        trust::TrustPolicy,
    },
    proto::AppendBatchRequest,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    hostile::server::BINARY,
    liar::{self, Face, History, Liar, key, note},
    published::{cosigning_key, signing_key},
    served::Served,
};

/// A monitor's directory and policy, and the log that it watches.
struct Scene {
    dir: TempDir,
    liar: Liar,
}

/// What one run of the monitor has told.
#[derive(Debug)]
struct Told {
    code: i32,
    events: Vec<Value>,
    errors: String,
}

impl Scene {
    /// Watches a log with these witnesses, each at a face of its own name.
    fn new(witnesses: &[&str]) -> Self {
        let scene = Self { dir: TempDir::new().unwrap(), liar: Liar::start() };
        let mut policy = format!("log {} {}\n", key().verifier_key(), scene.liar.url("log"));
        for name in witnesses {
            let (key, url) = (witness(name), scene.liar.url(name));
            policy += &format!("witness {name} {} {url}\n", key.verifier_key());
        }
        scene.write_policy(&(policy + "quorum none\n"));
        scene
    }

    fn write_policy(&self, policy: &str) {
        fs::write(self.dir.path().join("trust.policy"), policy).unwrap();
    }

    fn policy(&self) -> TrustPolicy {
        TrustPolicy::parse(&fs::read_to_string(self.dir.path().join("trust.policy")).unwrap())
            .unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.args(["monitor", "--json", "--trust", "trust.policy", "--state", "state"]);
        command.args(arguments);
        command
    }

    /// Looks once.
    fn look(&self) -> Told {
        self.look_with(&[])
    }

    fn look_with(&self, arguments: &[&str]) -> Told {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let lines = String::from_utf8(stdout).unwrap();
        Told {
            code: status.code().unwrap(),
            events: lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            errors: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Returns the evidence files, each of which has to convict.
    fn evidence(&self) -> Vec<Evidence> {
        let files = fs::read_dir(self.dir.path().join("state")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|end| end == "evidence"));
        let read = |path: PathBuf| {
            let mut judged = Command::new(BINARY);
            judged.env_clear().current_dir(self.dir.path());
            judged.args(["verify-evidence", "--trust", "trust.policy"]).arg(&path);
            let judged = judged.output().unwrap();
            let said = String::from_utf8_lossy(&judged.stdout).into_owned();
            assert!(judged.status.success() && said.starts_with("guilty: the log "), "{judged:?}");
            let evidence = Evidence::parse(&fs::read(path).unwrap()).unwrap();
            let verdict = evidence.judge(&self.policy());
            assert!(matches!(verdict, Judgement::Guilty { .. }), "{verdict:?}");
            evidence
        };
        files.map(read).collect()
    }

    /// Returns what is kept of the log.
    fn state(&self) -> PathBuf {
        let files = fs::read_dir(self.dir.path().join("state")).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "state")).unwrap()
    }
}

impl Told {
    /// Returns the events of a kind.
    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// Returns the kinds and sources of all findings.
    fn findings(&self) -> Vec<(&str, &str)> {
        self.of("finding")
            .map(|event| (event["kind"].as_str().unwrap(), event["source"].as_str().unwrap()))
            .collect()
    }

    /// Returns size and number of entries of the tree that was read to its end.
    fn read(&self) -> Option<(u64, u64)> {
        let event = self.of("read").last()?;
        Some((event["size"].as_u64().unwrap(), event["entries"].as_u64().unwrap()))
    }
}

fn witness(name: &str) -> CosigningKey {
    cosigning_key("witness.example", name)
}

fn cosigned(name: &str, head: TreeHead) -> Face {
    Face::witness(liar::cosigned(head, &witness(name), 1_800_000_000))
}

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

#[test]
fn each_lie_is_called_what_it_is() {
    let honest = History::honest(700);
    let shown = Face::of(&honest, 600);
    let other = |history: &History, size| Face::of(history, size);
    let stranger = signing_key(liar::ORIGIN, "a stranger's key");
    let text = |head: TreeHead| format!("{}\n{}\n{}\n", liar::ORIGIN, head.size, head.root);
    let unknown = {
        let text = text(honest.head(700));
        format!("{text}\n{}\n", stranger.sign(&text)).into_bytes()
    };
    let forged = String::from_utf8(note(honest.head(600), &[])).unwrap().replace("600", "700");
    let with_note = |note: Vec<u8>| Face { note, ..Face::of(&honest, 700) };
    let without = |path: &str, instead: Option<Vec<u8>>| {
        let mut face = Face::of(&honest, 700);
        face.instead.insert(path.to_owned(), instead);
        face
    };
    let bundle = |history: &History| {
        let path = attestree::core::tile::Resource::parse("tile/entries/001").unwrap();
        history.resource(&path)
    };
    let cases: Vec<(&str, Face, &str, i32)> = vec![
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
        ("an old checkpoint again", Face::of(&honest, 256), "rollback", 2),
        ("a key that nobody knows", with_note(unknown), "untrue", 2),
        ("a forged signature", with_note(forged.into_bytes()), "untrue", 2),
        ("no checkpoint at all", with_note(b"hello\n".to_vec()), "untrue", 2),
        (
            "another entry in a bundle",
            without("tile/entries/001", bundle(&honest.changed(300))),
            "untrue",
            2,
        ),
        ("a bundle cut short", without("tile/entries/001", Some(vec![0, 9, 1])), "untrue", 2),
        (
            "another tree's tiles",
            Face { history: Some(honest.changed(3)), ..Face::of(&honest, 700) },
            "untrue",
            2,
        ),
        ("a bundle that is missing", without("tile/entries/002.p/188", None), "unresponsive", 1),
        ("a tile that is missing", without("tile/0/002.p/188", None), "unresponsive", 1),
        ("nothing", Face::default(), "unresponsive", 1),
    ];
    for (name, lie, kind, code) in cases {
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
        let mut child =
            scene.command(&["--follow", "--interval", "1"]).stdout(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
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
        child.kill().unwrap();
        child.wait().unwrap();
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

#[test]
fn two_monitors_do_not_share_a_directory() {
    let scene = Scene::new(&[]);
    scene.liar.show("log", Face::of(&History::honest(3), 3));
    let mut child = scene.command(&["--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let told = scene.look();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.contains("checkpoint"), "{first}");
    assert!(told.code == 1 && told.errors.contains("another monitor"), "{told:?}");
    assert_eq!(scene.look().code, 0);
}
