//! Python beside the tests: an interpreter with what a script of `tests/interop` needs, and a script that is asked.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::needs::skip;

/// Returns an interpreter that has these modules; says so where there is none.
#[expect(clippy::disallowed_methods, reason = "the tests' own settings, not the server's")]
pub(crate) fn python(test: &str, modules: &str) -> Option<PathBuf> {
    let named = std::env::var_os("ATTESTREE_PYTHON").map(PathBuf::from);
    let interpreter = named.clone().unwrap_or_else(|| "python3".into());
    let import = format!("import {modules}");
    let imported = Command::new(&interpreter).args(["-c", &import]).stderr(Stdio::null()).status();
    if imported.is_ok_and(|status| status.success()) {
        return Some(interpreter);
    }
    assert!(
        named.is_none(),
        "{}, named by ATTESTREE_PYTHON, can't import {modules}",
        interpreter.display()
    );
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !ci,
        "CI runs {test}: install {modules} for python3, or name an interpreter by ATTESTREE_PYTHON"
    );
    skip(format_args!("{test}: python3 with {modules} is not here; ./deploy/test installs them"));
    None
}

/// Runs a script of `tests/interop` that reads JSON to its end; returns what it printed.
pub(crate) fn ask(python: &Path, script: &str, question: &Value) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let mut child = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(folder.join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let question = serde_json::to_vec(question).unwrap();
    let writer = thread::spawn(move || input.write_all(&question));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(done.status.success(), "{script} failed");
    String::from_utf8(done.stdout).unwrap()
}
