//! `attestree policy fmt`: one layout for the files of a policy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::super::exit::{self, Exit};
use super::super::output::{self, Output};
use super::files;
use crate::core::policy::FILE_BYTES_MAX;
use crate::policy::format::{self, FormatError};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
YAML gets two spaces a level, the items of a list further in than its key, one space after a key, no
spaces at the ends of lines; JSON one member a line. Words, comments, quotes and the order of keys stay as
they are: a file whose values or comments would change is left alone and reported. Rego (use `opa fmt`)
and parents/, which is named by its digest, are not touched.

Exit codes:
  0 nothing to change, or changed   1 a file can't be read   2 with --check: files would change

Examples:
  attestree policy fmt policy/
  attestree policy fmt --check policy/
  attestree policy fmt - < policy.yaml")]
pub(super) struct Args {
    /// Directories and files; `-` reads standard input as YAML and writes to standard output
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Change nothing, and say what would change
    #[arg(long)]
    check: bool,
}

/// What came of it, as JSON.
#[derive(Debug, Default, Serialize)]
struct Shown {
    changed: Vec<String>,
    unchanged: usize,
    refused: Vec<Refused>,
}

/// A file whose layout stays as it is.
#[derive(Debug, Serialize)]
struct Refused {
    file: String,
    reason: String,
}

/// Lays files out.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    if args.paths == [Path::new("-")] {
        return filter(args.check);
    }
    let mut shown = Shown::default();
    for path in &args.paths {
        for file in files(path)? {
            one(&file, args.check, &mut shown)?;
        }
    }
    let mut lines = shown.changed.clone();
    lines.extend(shown.refused.iter().map(|Refused { file, reason }| format!("{file}: {reason}")));
    if output.is_json() {
        output.print(&shown, "")?;
    } else if !lines.is_empty() {
        Output::line(lines.join("\n"))?;
    }
    match (shown.refused.is_empty(), shown.changed.is_empty()) {
        (false, _) => Err(exit::quietly(Exit::Failed)),
        (true, false) if args.check => Err(exit::quietly(Exit::Different)),
        (true, _) => Ok(()),
    }
}

/// Reads standard input and writes standard output.
fn filter(check: bool) -> anyhow::Result<()> {
    let text = read(Path::new("-"))?;
    let out = format::yaml(&text).context("lay standard input out")?;
    if !check {
        return Output::bytes(out.as_bytes());
    }
    if out == text { Ok(()) } else { Err(exit::quietly(Exit::Different)) }
}

/// Returns the files that a path means.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !fs::metadata(path).with_context(|| format!("read {}", path.display()))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let bundle = files::read(path)?;
    let ours = bundle.files().keys().filter(|file| is_ours(file));
    Ok(ours.map(|file| path.join(file)).collect())
}

/// Returns whether the layout of a bundle's file is ours to change.
fn is_ours(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    !file.starts_with("parents/") && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Lays one file out.
fn one(path: &Path, check: bool, shown: &mut Shown) -> anyhow::Result<()> {
    let text = read(path)?;
    let name = path.strip_prefix(".").unwrap_or(path).display().to_string();
    let out = match path.extension().is_some_and(|extension| extension == "json") {
        true => format::json(&text),
        false => format::yaml(&text),
    };
    match out {
        Ok(out) if out == text => shown.unchanged += 1,
        Ok(out) => {
            if !check {
                output::write(path, out.as_bytes())?;
            }
            shown.changed.push(name);
        }
        Err(error @ (FormatError::Beyond | FormatError::Unread { .. })) => {
            shown.refused.push(Refused { file: name, reason: error.to_string() });
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = output::read_at_most(path, FILE_BYTES_MAX)?;
    String::from_utf8(bytes).with_context(|| format!("read {} as UTF-8", path.display()))
}
