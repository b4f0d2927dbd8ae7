//! The tour comes out as it should, and every step of it is computed.

use std::{fs, path::Path, process::Command};

use attestree::{
    client::trust_listed,
    core::{
        evidence::{Evidence, Judgement},
        note::VerifierKey,
        receipt::Receipt,
    },
};

/// Runs the tour over a file and returns what it printed.
fn demo(arguments: &[&str]) -> (Option<i32>, String, String) {
    demo_with(None, arguments)
}

/// Runs the tour where programs are looked for in one directory alone, or where they are on this machine.
fn demo_with(programs: Option<&Path>, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attestree"));
    if let Some(programs) = programs {
        command.env("PATH", programs);
    }
    let output = command.arg("demo").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn tour_of_a_file_ends_with_contradictions_and_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines");
    let lines: String = (0..600).map(|n| format!("{n} install package-{n}\n")).collect();
    fs::write(&file, lines).unwrap();

    let (code, shown, errors) = demo(&[file.to_str().unwrap()]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{shown}");
    for expected in [
        "600 lines of",
        "c2sp.org/tlog-proof@v1",
        "Verified offline",
        "prove that the tree of 600 entries continues that of 300",
        "fsck of his data: 600 entries and 2 tiles agree with the root",
        "one key never honestly signs two trees of one size",
        "the proof does not verify, and none can",
        "of the 3 witnesses have signed the tree of 600 entries too",
        "witness-3:  ",
        "0 of 3 signed his",
        "| attestree-evidence@v1",
        "guilty: it signed two different trees of 600 entries",
        "blocked by the rule class/unknown",
        "quarantined: in the log as a commitment, because of deployment/",
        "redacted before anything was written",
        "drift: since index ",
        "alert/failed-logins: 5 events within a minute; it is record ",
        " ms after the fifth message was sent",
        "the message's signature verifies",
        "the alert is itself a record: entry ",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "there are colours on no terminal");

    // The sender of this machine, or what the tour brings.
    let logger = Command::new("logger").arg("--version").output();
    let has_logger =
        logger.is_ok_and(|logger| logger.stdout.starts_with(b"logger from util-linux"));
    match has_logger {
        true => sent_by(&shown, "This machine reports: logger from util-linux", "syslog"),
        false => sent_by(&shown, "This machine reports: attestree ship", "ship"),
    }
}

/// Checks who sent the messages, and what the fifth became.
fn sent_by(shown: &str, sender: &str, source: &str) {
    assert!(shown.contains(sender), "{sender:?} is not in:\n{shown}");
    let records = shown.replace("\n   | ", "");
    let fifth = records.lines().find(|line| line.contains("203.0.113.7 port 40005 ssh2"));
    let fifth = fifth.unwrap_or_else(|| panic!("the fifth record is not in:\n{shown}"));
    for member in [&format!("\"source\":\"{source}\""), "\"class\":\"authentication\""] {
        assert!(fifth.contains(member), "{member} is not in {fifth}");
    }
}

#[test]
fn tour_brings_a_sender_where_the_machine_has_none() {
    let empty = tempfile::tempdir().unwrap();
    let (code, shown, errors) = demo_with(Some(empty.path()), &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{shown}");
    sent_by(&shown, "This machine reports: attestree ship", "ship");
    assert!(shown.contains("alert/failed-logins: 5 events within a minute"), "{shown}");
}

#[test]
fn receipt_and_evidence_of_the_tour_verify_afterwards() {
    let (code, shown, errors) = demo(&["--json"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_ne!(shown["held_root"], shown["forged_root"]);

    assert_ne!(shown["policy_agreed"], shown["policy_in_force"]);

    let alert = &shown["alert"];
    assert_eq!((&alert["rule"], &alert["count"]), (&"alert/failed-logins".into(), &5.into()));
    assert!(alert["index"].as_u64().unwrap() > 5 && alert["elapsed_ms"].is_u64(), "{alert}");

    let receipt = Receipt::parse(shown["receipt"].as_str().unwrap().as_bytes()).unwrap();
    let vkey = VerifierKey::parse(shown["vkey"].as_str().unwrap()).unwrap();
    let policy = trust_listed(&[vkey]);
    let checkpoint = policy.verify_checkpoint(&receipt.note).unwrap().checkpoint;
    assert_eq!(checkpoint.head().size.get(), shown["entries"].as_u64().unwrap());
    assert_eq!(checkpoint.head().root.to_base64(), shown["held_root"].as_str().unwrap());

    let evidence = Evidence::parse(shown["evidence"].as_str().unwrap().as_bytes()).unwrap();
    assert!(matches!(evidence.judge(&policy), Judgement::Guilty { .. }));
    let roots = evidence.heads().map(|head| head.root.to_base64());
    assert_eq!(roots, ["held_root", "forged_root"].map(|root| shown[root].as_str().unwrap()));
}

#[test]
fn tour_needs_something_to_show() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines");
    fs::write(&file, "one\ntwo\n").unwrap();
    let (code, shown, errors) = demo(&[file.to_str().unwrap()]);
    assert_eq!((code, shown.as_str()), (Some(1), ""));
    assert!(errors.contains("fewer than 8 lines"), "{errors}");
}
