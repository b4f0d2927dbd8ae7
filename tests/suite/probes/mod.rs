//! Probe vectors: one file for each way in which an input can be wrong.
//!
//! A probe stands in the code that makes it, with the answer that is expected, and as a file under
//! `tests/vectors/note/`, for readers and for other implementations. Each run compares the two and
//! refuses files that nothing uses; see [`crate::vector`] for how they are written again.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::vector::{compare, is_regenerated};

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

    fn path(&self, folder: &str) -> PathBuf {
        path(folder).join(self.name).with_extension("json")
    }

    fn file(&self) -> String {
        let value =
            json!({ "desc": self.desc, "input": self.input, "want_error": self.want_error });
        serde_json::to_string_pretty(&value).unwrap() + "\n"
    }
}

/// Runs every probe and compares it with its file.
pub(crate) fn check(folder: &str, probes: &[Probe], run: impl Fn(&Probe) -> Option<String>) {
    if is_regenerated() {
        fs::remove_dir_all(path(folder)).unwrap();
        fs::create_dir_all(path(folder)).unwrap();
        probes.iter().for_each(|probe| fs::write(probe.path(folder), probe.file()).unwrap());
    }
    let mut files: BTreeSet<PathBuf> =
        fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    for probe in probes {
        assert_eq!(run(probe), probe.want_error, "{folder}/{}: {}", probe.name, probe.desc);
        let file = probe.path(folder);
        compare(&file, probe.file().as_bytes());
        assert!(files.remove(&file), "{}/{} is there twice", folder, probe.name);
    }
    assert!(files.is_empty(), "no probe uses {files:?}");
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/note").join(folder)
}
