//! Probe vectors: one file for each way in which an input can be wrong.
//!
//! A probe stands in the code that makes it, with the answer that is expected, and as a file under
//! `tests/vectors/note/`, for readers and for other implementations. Each run compares the two and
//! refuses files that nothing uses. `cargo test --release --test suite -- --ignored regenerate_note_probes`
//! writes the files again; a change in them is a change of format or of message.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

mod checkpoint;
pub(crate) mod key;
pub(crate) mod note;
mod origin;
mod policy;
pub(crate) mod receipt;
mod tile_path;

/// One input and the answer that it gets.
pub(crate) struct Probe {
    /// Name of the file, without its ending.
    pub(crate) name: &'static str,
    /// What is wrong, or right, with the input.
    pub(crate) desc: &'static str,
    /// Everything that the answer depends on.
    pub(crate) input: Value,
    /// The message, or none if the input is good.
    pub(crate) want_error: Option<String>,
}

impl Probe {
    /// Makes a probe that must get this message.
    pub(crate) fn bad(name: &'static str, desc: &'static str, input: Value, error: &str) -> Self {
        Self { name, desc, input, want_error: Some(error.to_owned()) }
    }

    /// Makes a probe that must pass.
    pub(crate) fn good(name: &'static str, desc: &'static str, input: Value) -> Self {
        Self { name, desc, input, want_error: None }
    }

    /// Returns a text of the input.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.input[key].as_str().unwrap()
    }

    fn file(&self) -> String {
        let value =
            json!({ "desc": self.desc, "input": self.input, "want_error": self.want_error });
        serde_json::to_string_pretty(&value).unwrap() + "\n"
    }
}

/// Runs every probe and compares it with its file.
pub(crate) fn check(folder: &str, probes: &[Probe], run: impl Fn(&Probe) -> Option<String>) {
    let mut files: BTreeSet<PathBuf> =
        fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    for probe in probes {
        assert_eq!(run(probe), probe.want_error, "{folder}/{}: {}", probe.name, probe.desc);
        let file = path(folder).join(probe.name).with_extension("json");
        assert_eq!(fs::read_to_string(&file).unwrap(), probe.file(), "{}", file.display());
        assert!(files.remove(&file), "{}/{} is there twice", folder, probe.name);
    }
    assert!(files.is_empty(), "no probe uses {files:?}");
}

/// Writes every probe to its file and removes the others.
pub(crate) fn write(folder: &str, probes: &[Probe]) {
    let path = path(folder);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    for probe in probes {
        fs::write(path.join(probe.name).with_extension("json"), probe.file()).unwrap();
    }
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/note").join(folder)
}

#[test]
#[ignore = "writes tests/vectors/note"]
fn regenerate_note_probes() {
    write("signed-note", &note::probes());
    write("vkey", &key::probes());
    write("checkpoint", &checkpoint::probes());
    write("policy", &policy::probes());
    write("receipt", &receipt::probes());
    write("tile-path", &tile_path::probes());
    write("origin", &origin::probes());
}
