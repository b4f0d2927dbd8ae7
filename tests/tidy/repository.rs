//! Rules about the repository as a whole: what stands where, and what is used.

use std::{collections::BTreeSet, fs};

use crate::source::{Finding, Source, relative, root, walk};

/// What may stand at the top level, and what a clone collects there without committing it.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".dockerignore",
    ".git",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "benches",
    "build.rs",
    "deploy",
    "proto",
    "src",
    "tests",
];

/// What `.gitignore` keeps out.
const IGNORED: &[&str] = &["target", "attestree-data", "attestree-dev"];

/// Packages that must not come in, with why.
const UNWANTED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls with aws-lc-rs, everywhere"),
    ("native-tls", "TLS is rustls with aws-lc-rs, everywhere"),
    ("rsa", "RUSTSEC-2023-0071; the log signs with Ed25519"),
    ("serde_yaml", "no longer maintained"),
    ("protobuf", "messages are prost's"),
];

/// Most lines of README.md.
const README_LINES_MAX: usize = 150;

/// Finds entries of the top level that are not listed.
pub(crate) fn top_level() -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let ignored = IGNORED.iter().any(|start| name.starts_with(start));
        if !ignored && !TOP_LEVEL.contains(&name.as_str()) {
            findings.push(Finding::new(
                &name,
                0,
                "is not listed for the top level; name it in TOP_LEVEL or move it",
            ));
        }
    }
    findings
}

/// Finds test vectors that no test names: the file, its name without extension, or the folder that it is read from.
pub(crate) fn unused_vectors(files: &[Source]) -> Vec<Finding> {
    let mut paths = Vec::new();
    walk(&root().join("tests/vectors"), &mut paths);
    let reads = |name: &str| {
        let mut readers = files.iter().filter(|file| file.is_rust() || file.path.ends_with(".py"));
        readers.any(|file| file.text.contains(name))
    };
    let unused = paths.iter().map(|path| relative(path)).filter(|path| {
        let parts: Vec<&str> = path.split('/').collect();
        let [.., folder, name] = parts.as_slice() else { return true };
        let stem = name.split('.').next().unwrap_or(name);
        // The folder of all vectors is named by every test that reads any.
        let whole = *folder != "vectors"
            && (reads(&format!("\"{folder}\"")) || reads(&format!("vectors/{folder}")));
        !reads(name) && !reads(&format!("\"{stem}\"")) && !whole
    });
    unused.map(|path| Finding::new(&path, 0, "no test reads this vector")).collect()
}

/// Finds pages of the manual that are not part of the documentation, and a README that is too long.
pub(crate) fn documents(files: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let read = |path: &str| {
        files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    };
    let index = read("src/manual/mod.rs");
    for page in files.iter().filter_map(|file| file.path.strip_prefix("src/manual/")) {
        if page.ends_with(".md") && !index.contains(page) {
            findings.push(Finding::new(page, 0, "src/manual/mod.rs does not include this page"));
        }
    }
    let lines = read("README.md").lines().count();
    if !(20..=README_LINES_MAX).contains(&lines) {
        let text =
            format!("has {lines} lines; one screen of use and pointers fit in {README_LINES_MAX}");
        findings.push(Finding::new("README.md", 0, text));
    }
    findings
}

/// Finds unwanted packages among all that are locked.
pub(crate) fn unwanted_packages() -> Vec<Finding> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains("attestree"), "Cargo.lock was not understood");
    let found = UNWANTED.iter().filter(|(name, _)| names.contains(name));
    found.map(|(name, why)| Finding::new("Cargo.lock", 0, format!("{name}: {why}"))).collect()
}
