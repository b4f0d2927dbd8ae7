//! `attestree policy diff`: what a change of a policy means.

use std::fs;
use std::path::{Path, PathBuf};

use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::super::exit::{self, Exit};
use super::super::output::{Output, count};
use super::Show;
use super::files;
use super::git::Revision;
use super::load::{self, compile, environment};
use super::report::Report;
use crate::core::policy::Bundle;
use crate::policy::diff::{Change, Direction, diff, files as compare_files};
use crate::policy::{Diagnostic, Severity};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Compares what two policies say, not how they are written. Each change is weaker (less is demanded,
recorded, kept or hidden, or more people may do something), stricter, neutral, or unclear: no direction can
be shown, as between two regular expressions or two versions of a Rego module.

What is not there as a file or directory is taken as a revision of git, or as two: REV1..REV2 [DIR], or REV [DIR].
Their files are read from git's objects; nothing is checked out.

Exit codes:
  0 no change   1 a policy can't be read   2 changes; with --weakening, weaker or unclear ones

Examples:
  attestree policy diff main policy                      (a revision of git, and the directory as it is)
  attestree policy diff main...HEAD policy --weakening   (two revisions; with three dots, since they parted)
  attestree policy diff old-policy policy
  attestree policy diff policy policy --env staging..production
  attestree policy diff old new --format github")]
pub(super) struct Args {
    /// The older policy: a directory, a file, its encoded form, or a revision; or two revisions, REV1..REV2
    old: PathBuf,
    /// The newer policy, which also says where in the revisions it lies [default: the working directory]
    new: Option<PathBuf>,
    /// Let only what is weaker or unclear count as a change for the exit code
    #[arg(long)]
    weakening: bool,
    /// Environment whose overlay is applied, or two: `staging..production`
    #[arg(long, value_name = "NAME[..NAME]")]
    env: Option<String>,
    #[command(flatten)]
    show: Show,
}

/// The changes, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    old: String,
    new: String,
    changes: Vec<One>,
}

/// A change, as JSON.
#[derive(Debug, Serialize)]
struct One {
    direction: &'static str,
    subject: String,
    what: String,
    file: String,
    line: usize,
}

/// Compares two policies.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let (old_env, new_env) = match args.env.as_deref() {
        Some(env) => {
            let (old, new) = env.split_once("..").unwrap_or((env, env));
            (Some(old), Some(new))
        }
        None => (None, None),
    };
    let new_path = args.new.clone().unwrap_or_else(|| PathBuf::from("."));
    let (old, new) = bundles(args, &new_path)?;
    let old = environment(old, &args.old, old_env)?;
    let new = environment(new, &new_path, new_env)?;
    let old = compile("diff", &args.old, old, args.show, output)?;
    let new = compile("diff", &new_path, new, args.show, output)?;
    let mut changes = diff(&old.compiled.document, &new.compiled.document);
    changes.extend(compare_files(&old.bundle, &new.bundle));
    changes.sort_by_key(|change| change.direction);
    let digests = (old.bundle.digest().to_string(), new.bundle.digest().to_string());
    let is_same = digests.0 == digests.1;
    let report = || {
        let findings = changes.iter().map(finding).collect();
        Report { findings, ..load::report("diff", &new_path, &new.bundle) }
    };
    args.show.tell(&shown(digests, &changes), || text(&changes, is_same), report, output)?;
    let counts = |change: &Change| !args.weakening || change.direction.may_weaken();
    if changes.iter().any(counts) { Err(exit::quietly(Exit::Different)) } else { Ok(()) }
}

/// Reads the two policies, of which either may be that of a revision.
fn bundles(args: &Args, new: &Path) -> anyhow::Result<(Bundle, Bundle)> {
    // What is there is what is meant.
    let name = args.old.to_str().filter(|_| fs::metadata(&args.old).is_err());
    let Some(name) = name else { return Ok((files::read(&args.old)?, files::read(new)?)) };
    let (old, other, since) = match name.split_once("..") {
        Some((old, other)) => {
            let other_name = other.strip_prefix('.').unwrap_or(other);
            (old, Some(other_name), other.starts_with('.'))
        }
        None => (name, None, false),
    };
    let named = |name: &str| Revision::find(if name.is_empty() { "HEAD" } else { name }, new);
    let old = named(old)?;
    let Some(other) = other else { return Ok((old.read()?, files::read(new)?)) };
    let other = named(other)?;
    let old = if since { old.merge_base(&other)? } else { old };
    Ok((old.read()?, other.read()?))
}

fn shown((old, new): (String, String), changes: &[Change]) -> Shown {
    let one = |change: &Change| One {
        direction: change.direction.name(),
        subject: change.subject.clone(),
        what: change.what.clone(),
        file: change.place.file.clone(),
        line: change.place.line,
    };
    Shown { old, new, changes: changes.iter().map(one).collect() }
}

/// Writes the changes for people: the sign, what it is about, and what happens to it.
pub(super) fn text(changes: &[Change], is_same: bool) -> String {
    if changes.is_empty() {
        let why = if is_same { "the files are the same" } else { "only words that mean nothing" };
        return format!("no change: {why}");
    }
    let mut lines: Vec<String> = changes.iter().map(line).collect();
    let of = |direction| changes.iter().filter(|change| change.direction == direction).count();
    let directions =
        [Direction::Weaker, Direction::Unclear, Direction::Stricter, Direction::Neutral];
    let there = directions.into_iter().filter(|direction| of(*direction) > 0);
    let parts: Vec<String> = there.map(|way| format!("{} {way}", of(way))).collect();
    let total = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    lines.push(format!("{}: {}", count(total, "change", "changes"), parts.join(", ")));
    lines.join("\n")
}

fn line(change: &Change) -> String {
    let Change { direction, subject, what, .. } = change;
    let text = format!("{direction:8}  {subject}: {what}");
    match direction {
        Direction::Weaker => text.red().to_string(),
        Direction::Unclear => text.yellow().to_string(),
        Direction::Stricter => text.green().to_string(),
        Direction::Neutral => text,
    }
}

/// Makes a finding of a change: a weakening is an error to those who read findings.
pub(super) fn finding(change: &Change) -> Diagnostic {
    let (severity, code) = match change.direction {
        Direction::Weaker => (Severity::Error, "policy/weaker"),
        Direction::Unclear => (Severity::Warning, "policy/unclear"),
        Direction::Stricter => (Severity::Note, "policy/stricter"),
        Direction::Neutral => (Severity::Note, "policy/neutral"),
    };
    let place = change.place.clone();
    let file = if place.file.is_empty() { "policy.yaml".to_owned() } else { place.file };
    Diagnostic {
        severity,
        code,
        message: format!("{}: {}", change.subject, change.what),
        help: None,
        file: Path::new(&file).display().to_string(),
        line: place.line,
        column: place.column,
        length: place.length,
    }
}
