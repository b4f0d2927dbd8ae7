//! Verbs that meet a split view write evidence, and name the file.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use attestree::{
    client::trust_listed,
    core::{
        evidence::{Evidence, Judgement},
        number::LeafIndex,
        receipt::Receipt,
        tree::prove_inclusion,
    },
};
use tempfile::TempDir;

use crate::{
    hostile::server::BINARY,
    liar::{Face, History, Liar, cosigned, key, note},
    published::cosigning_key,
};

/// A directory with the log's policy and a receipt of entry 3 in the honest tree of 600.
struct Scene {
    dir: TempDir,
    liar: Liar,
    honest: History,
}

impl Scene {
    fn new(quorum: &str) -> Self {
        let scene = Self {
            dir: TempDir::new().unwrap(),
            liar: Liar::start(),
            honest: History::honest(700),
        };
        let witness = cosigning_key("witness.example", "w");
        let policy = format!(
            "log {} {}\nwitness w {}\nquorum {quorum}\n",
            key().verifier_key(),
            scene.liar.url("log"),
            witness.verifier_key()
        );
        scene.write("trust.policy", policy.as_bytes());
        scene.write("held", &note(scene.honest.head(600), &[]));
        let index = LeafIndex::new(3).unwrap();
        let head = scene.honest.head(600);
        let proof = prove_inclusion(&scene.honest, index, head.size).unwrap();
        let note = note(head, &[]).into();
        let extra = Some(b"kept".to_vec());
        scene.write("3.tlog-proof", &Receipt { extra, index, proof, note }.format());
        scene
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear().args(["--trust", "trust.policy"]);
        command.args(arguments).output().unwrap()
    }

    /// Runs a verb that has to end with evidence, and returns that.
    fn convict(&self, arguments: &[&str]) -> Evidence {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let words = said.split_whitespace().map(|word| word.trim_end_matches(':'));
        let file = words.into_iter().find(|word| word.ends_with(".evidence"));
        let file = PathBuf::from(file.unwrap_or_else(|| panic!("no file is named: {said}")));
        let evidence = Evidence::parse(&fs::read(self.dir.path().join(file)).unwrap()).unwrap();
        let verdict = evidence.judge(&trust_listed(&[key().verifier_key().clone()]));
        assert!(matches!(verdict, Judgement::Guilty { .. }), "{verdict:?}");
        evidence
    }
}

#[test]
fn what_was_held_convicts_a_log_that_was_rewritten() {
    let scene = Scene::new("none");
    let other = scene.honest.changed(5);
    scene.liar.show("log", Face::of(&other, 700));
    let url = scene.liar.url("log");
    for verb in [
        vec!["prove", "consistency", "held", "--tiles", &url],
        vec!["prove", "consistency", "3.tlog-proof", "--tiles", &url],
        vec!["receipt", "upgrade", "3.tlog-proof", "-o", "new", "--evidence", "."],
    ] {
        let heads = scene.convict(&verb).heads();
        assert_eq!(heads, [scene.honest.head(600), other.head(700)], "{verb:?}");
    }
    assert!(!scene.dir.path().join("new").exists(), "no receipt of such a log is written");
    // A file name that follows from the content: the three verbs wrote one file.
    let files = fs::read_dir(scene.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(
        files.filter(|path| path.extension().is_some_and(|end| end == "evidence")).count(),
        1
    );

    // Two roots of one size.
    let other = scene.honest.changed(1);
    scene.liar.show("log", Face::of(&other, 600));
    for verb in [
        vec!["prove", "consistency", "held", "--tiles", &url],
        vec!["receipt", "upgrade", "3.tlog-proof"],
    ] {
        assert_eq!(scene.convict(&verb).heads(), [scene.honest.head(600), other.head(600)]);
    }
}

#[test]
fn evidence_that_can_not_be_written_is_printed() {
    let scene = Scene::new("none");
    scene.liar.show("log", Face::of(&scene.honest.changed(5), 700));
    // A directory below a file can't be made.
    let output = scene.run(&["receipt", "upgrade", "3.tlog-proof", "--evidence", "held/such"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let evidence = &said[said.find("attestree-evidence@v1").unwrap()..said.len() - 1];
    let evidence = Evidence::parse(evidence.as_bytes()).unwrap();
    let verdict = evidence.judge(&trust_listed(&[key().verifier_key().clone()]));
    assert!(matches!(verdict, Judgement::Guilty { .. }), "{verdict:?}");
}

#[test]
fn what_convicts_nobody_writes_nothing() {
    let scene = Scene::new("none");
    let other_tiles =
        Face { history: Some(scene.honest.changed(5)), ..Face::of(&scene.honest, 700) };
    for (face, code) in [
        (other_tiles, 2),
        (Face::of(&scene.honest, 500), 2),
        (Face { history: None, ..Face::of(&scene.honest, 700) }, 1),
        (Face::default(), 1),
    ] {
        scene.liar.show("log", face);
        let output = scene.run(&["receipt", "upgrade", "3.tlog-proof", "-o", "new"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    let mut files = fs::read_dir(scene.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    assert!(
        files.all(|path| !path.ends_with("new") && path.extension() != Some("evidence".as_ref()))
    );
}

#[test]
fn an_upgraded_receipt_meets_the_quorum_and_names_who_cosigned() {
    let scene = Scene::new("w");
    let witness = cosigning_key("witness.example", "w");
    // The old receipt has no cosignature, and the new head without one is not taken.
    scene.liar.show("log", Face::of(&scene.honest, 700));
    let output = scene.run(&["receipt", "upgrade", "3.tlog-proof", "-o", "3.tlog-proof"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    let note = cosigned(scene.honest.head(700), &witness, 1_800_000_000);
    scene.liar.show("log", Face { note, ..Face::of(&scene.honest, 700) });
    let output = scene.run(&["--json", "receipt", "upgrade", "3.tlog-proof", "-o", "3.tlog-proof"]);
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["old_size"], &said["tree_size"]), (&600.into(), &700.into()));
    assert_eq!(said["witnesses"], serde_json::json!(["w"]));

    scene.write("entry", b"entry 3");
    let verified = scene.run(&["verify", "3.tlog-proof", "--entry", "entry"]);
    assert!(verified.status.success(), "{verified:?}");
    let kept = fs::read(scene.dir.path().join("3.tlog-proof")).unwrap();
    assert_eq!(Receipt::parse(&kept).unwrap().extra.as_deref(), Some(b"kept".as_slice()));

    // Witnesses that are behind are no rollback: the receipt stays as it is.
    let note = cosigned(scene.honest.head(650), &witness, 1_800_000_000);
    scene.liar.show("log", Face { note, ..Face::of(&scene.honest, 650) });
    let output = scene.run(&["receipt", "upgrade", "3.tlog-proof", "-o", "3.tlog-proof"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("the witnesses are behind"), "{said}");
    assert_eq!(fs::read(scene.dir.path().join("3.tlog-proof")).unwrap(), kept);
}
