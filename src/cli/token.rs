//! `attestree token`: tokens by which senders show who they are.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use zeroize::Zeroizing;

use super::output::Output;
use crate::core::credential::{Fingerprint, TOKEN_SEED_BYTES, parse_fingerprints, token};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes a token of 32 random bytes and prints it, this once: give it to the sender, who shows it as
`Authorization: Bearer TOKEN` or as its protocol has it. The server keeps its SHA-256 alone, a line of the file
that `tokens` of a [[sources]] in its configuration names. The file is readable by its owner only, or the server
does not start.

A file can hold several tokens of one source: to replace one, add another, give it to the senders, and take the
old line out. The server reads the file when it starts, and again at SIGHUP.

Examples:
  attestree token --file /etc/attestree/cluster-a.tokens
  attestree token --file cluster-a.tokens --note 'kube-apiserver, 2026-11'
  attestree token                              the token, and the line on standard error to keep")]
pub(super) struct Args {
    /// File to which the fingerprint of the token is appended; made if there is none
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What to write above it, as a comment
    #[arg(long, value_name = "TEXT", requires = "file")]
    note: Option<String>,
}

/// A token, as JSON.
#[derive(Serialize)]
struct Made<'a> {
    token: &'a str,
    fingerprint: String,
}

/// Makes a token.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let mut seed = Zeroizing::new([0; TOKEN_SEED_BYTES]);
    getrandom::fill(seed.as_mut_slice()).context("ask the system for randomness")?;
    let token = Zeroizing::new(token(&seed));
    let fingerprint = Fingerprint::of(token.as_bytes()).to_string();
    match &args.file {
        Some(path) => append(path, args.note.as_deref(), &fingerprint)?,
        None if output.is_json() => {}
        None => eprintln!("{fingerprint}"),
    }
    output.print(&Made { token: &token, fingerprint }, &*token)
}

/// Appends a fingerprint to a file, durably; a file of something else is left alone.
fn append(path: &Path, note: Option<&str>, fingerprint: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(|| format!("open {}", path.display()))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o777;
        let path = path.display();
        ensure!(
            mode & 0o077 == 0,
            "{path} has mode {mode:04o}, so others could put a token of theirs in; run: chmod 600 {path}"
        );
    }
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut text))
        .with_context(|| format!("read {}", path.display()))?;
    let known = parse_fingerprints(&text);
    if let Err((line, error)) = known {
        anyhow::bail!("{} is no file of tokens; line {line}: {error}", path.display());
    }
    ensure!(
        note.is_none_or(|note| !note.contains(['\n', '\r'])),
        "the note has to be one line; leave line feeds out"
    );
    let ended = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let note = note.map_or_else(String::new, |note| format!("# {note}\n"));
    // One write, so that a file that a server reads meanwhile has a whole line or none.
    file.write_all(format!("{ended}{note}{fingerprint}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("write {}", path.display()))
}
