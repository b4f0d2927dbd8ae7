//! The verbs: keys, disclose, verify, fsck and backup, as an operator runs them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use super::archive::{Archive, LOG};

const ADA: &str =
    r#"{"act":"a","actor":{"email":"ada@example.com","id":"u_1"},"ctx":{"token":"t"}}"#;

/// Runs the program in a directory; returns exit code, standard output and standard error.
fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_attestree"))
        .current_dir(dir)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the program, which has to succeed; returns standard output.
fn done(dir: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = run(dir, arguments);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    out
}

/// Runs the program, which has to fail with a code; returns standard error.
fn failed(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let (found, out, error) = run(dir, arguments);
    assert_eq!(found, code, "{arguments:?}: {out}{error}");
    error
}

fn filled() -> Archive {
    let mut archive = Archive::new();
    archive.append(&[ADA]);
    archive
}

#[test]
fn a_field_is_disclosed_and_verified_offline() {
    let archive = filled();
    let dir = archive.root();
    let (receipt, trust) = archive.receipt();
    fs::write(dir.join("0.tlog-proof"), receipt).unwrap();
    fs::write(dir.join("trust.policy"), trust).unwrap();
    fs::write(dir.join("0.entry"), &archive.entries[0]).unwrap();
    let field = done(&dir, &["disclose", "0", "--data", "data", "--path", "/actor/email"]);
    assert!(field.starts_with(r#"{"path":"/actor/email","salt":""#), "{field}");
    assert!(field.ends_with("\"value\":\"ada@example.com\"}\n"), "{field}");
    fs::write(dir.join("email.json"), &field).unwrap();
    let verify = |disclosure| {
        [
            "verify",
            "0.tlog-proof",
            "--entry",
            "0.entry",
            "--trust",
            "trust.policy",
            "--disclosure",
            disclosure,
        ]
    };
    let said = done(&dir, &verify("email.json"));
    assert!(said.contains("its fields /actor/email are as disclosed"), "{said}");
    fs::write(dir.join("forged.json"), field.replace("ada", "eve")).unwrap();
    let said = failed(&dir, 2, &verify("forged.json"));
    assert!(said.contains("/actor/email"), "{said}");
    fs::write(dir.join("junk.json"), "junk").unwrap();
    failed(&dir, 64, &verify("junk.json"));

    let said = failed(&dir, 1, &["disclose", "0", "--data", "data", "--path", "/ctx/token"]);
    assert!(said.contains("/actor/email"), "{said}");
    failed(&dir, 64, &["disclose", "0", "--data", "data", "--path", "actor"]);
    fs::rename(archive.kek(), dir.join("away")).unwrap();
    let said = failed(&dir, 1, &["disclose", "0", "--data", "data"]);
    assert!(said.contains("data.kek"), "{said}");
    done(&dir, &["disclose", "0", "--data", "data", "--kek", "away"]);
    fs::set_permissions(dir.join("away"), fs::Permissions::from_mode(0o640)).unwrap();
    let said = failed(&dir, 1, &["disclose", "0", "--data", "data", "--kek", "away"]);
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn names_of_keys_are_shown_only_when_asked_for() {
    let archive = filled();
    let dir = archive.root();
    let said = done(&dir, &["keys", "list", "--data", "data"]);
    assert_eq!(
        said,
        "log.example/audit: 1 subject key\nlog.example/audit: 2 token keys of epoch 692\n"
    );
    let json = done(&dir, &["keys", "list", "--data", "data", "--json"]);
    assert_eq!(
        json.lines().next().unwrap(),
        r#"{"origin":"log.example/audit","kind":"subject","keys":1}"#
    );
    assert!(!json.contains("u_1"));
    let named = done(&dir, &["keys", "list", "--data", "data", "--subjects"]);
    assert!(named.contains("subject key subject/u_1\n"), "{named}");
    assert!(named.contains("token key of epoch 692 /ctx/token\n"), "{named}");
}

#[test]
fn the_kek_is_turned_and_the_old_one_opens_nothing() {
    let archive = filled();
    let dir = archive.root();
    let before = done(&dir, &["disclose", "0", "--data", "data"]);
    let inside =
        failed(&dir, 1, &["keys", "rotate-kek", "--data", "data", "--new-kek", "data/kek"]);
    assert!(inside.contains("inside the data directory"), "{inside}");
    let said = done(&dir, &["keys", "rotate-kek", "--data", "data", "--new-kek", "new.kek"]);
    assert!(said.contains("wrapped 3 keys") && said.contains("--kek new.kek"), "{said}");
    let mode = fs::metadata(dir.join("new.kek")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = failed(&dir, 1, &["disclose", "0", "--data", "data"]);
    assert!(said.contains("are wrapped under the key-encryption key"), "{said}");
    assert_eq!(done(&dir, &["disclose", "0", "--data", "data", "--kek", "new.kek"]), before);
    let again =
        ["keys", "rotate-kek", "--data", "data", "--kek", "new.kek", "--new-kek", "new.kek"];
    assert!(failed(&dir, 1, &again).contains("is in use"));
}

#[test]
fn epochs_are_destroyed_once_they_are_over() {
    let archive = filled();
    let dir = archive.root();
    let said = failed(&dir, 1, &["keys", "destroy-epoch", "4000000", "--data", "data"]);
    assert!(said.contains("is not over"), "{said}");
    let said = done(&dir, &["keys", "destroy-epoch", "600", "--data", "data", "--json"]);
    assert_eq!(said, "{\"epoch\":600,\"destroyed\":0}\n");
    let keys = archive.keys(3);
    let path = attestree::core::record::Path::parse("/ctx/token").unwrap();
    let ask = |epoch| keys.token_key(LOG, &path, epoch);
    assert!(ask(600).unwrap_err().to_string().contains("destroyed"));
    ask(601).unwrap();
}

#[test]
fn backups_have_keys_only_when_asked_and_open_with_the_kek_alone() {
    let mut archive = Archive::founded();
    archive.append(&[ADA]);
    let dir = archive.root();
    done(&dir, &["backup", "plain", "--data", "data"]);
    assert!(!dir.join("plain/keys").exists());
    let said = done(&dir, &["fsck", "--data", "plain"]);
    assert!(
        said.contains("1 committed field has what opens them; the keys are not here"),
        "{said}"
    );
    done(&dir, &["backup", "whole", "--data", "data", "--with-keys"]);
    assert!(dir.join("whole/keys/CURRENT").exists());
    let said = done(&dir, &["fsck", "--data", "whole", "--kek", "data.kek"]);
    assert!(said.contains("and it does"), "{said}");
    let said = done(&dir, &["fsck", "--data", "data", "--json"]);
    assert!(said.ends_with("\"fields\":1,\"opened\":true}\n"), "{said}");

    // A directory restored without its keys says so, and goes on with new ones if it has to.
    fs::rename(dir.join("data/keys"), dir.join("lost")).unwrap();
    let said = failed(&dir, 1, &["disclose", "1", "--data", "data"]);
    assert!(said.contains("attestree keys create"), "{said}");
    done(&dir, &["keys", "create", "--data", "data"]);
    let said = failed(&dir, 1, &["disclose", "1", "--data", "data"]);
    assert!(said.contains("its key was destroyed, or is in another key store"), "{said}");
    let said = failed(&dir, 2, &["fsck", "--data", "data"]);
    assert!(said.contains("not in the key store"), "{said}");
    fs::remove_dir_all(dir.join("data/keys")).unwrap();
    fs::rename(dir.join("whole/keys"), dir.join("data/keys")).unwrap();
    done(&dir, &["disclose", "1", "--data", "data"]);
}
