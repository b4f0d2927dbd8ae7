//! `attestree ship`: lines of files into the log, across rotations, crashes and a server that is away.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::clock::now;
use super::exit::wrong_usage;
use super::output::{Output, count};
use super::remote::{Remote, block_on};
use crate::client::Poster;
use crate::core::record::Timestamp;
use crate::ship::{self, Done, Event, Form, SPOOL_BYTES_MIN, Seen, Settings};

/// The path of the source that takes lines.
pub(super) const SOURCE: &str = "/v1/ship";

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line becomes an event: with --format text it stands in it, with json it is an object that stands in it, with
event it is the event. The server needs a source of kind \"ship\"; `attestree token` makes the token of its
sender, and --cert and --key show a certificate instead.

Lines are first kept in the directory of --state, synced, and sent from there in order: what ends this process, the
machine or the server loses none, and doubles none in the log. Files may be renamed and made anew, copied and
truncated, or deleted meanwhile; what a program writes between the last look (four in a second) and a truncation
is lost to everybody. While the server is away lines gather in the directory, up to --spool-bytes-max; then reading
stops, and the files keep what they have.

A pattern is taken as it is, so that it names files that come later: put it in quotes. `*` and `?` stand for parts of
a file's name. SIGTERM ends it when what was read is sent, or the server does not answer.

Examples:
  attestree ship /var/log/auth.log --state /var/lib/ship --server https://log.example:6962 --token-file ship.token
  attestree ship '/var/log/app/*.json' --format json --state spool --token-file ship.token
  attestree ship batch.log --once --state spool --token-file ship.token      (to the end of the file, for cron)")]
pub(super) struct Args {
    /// Files, and patterns of files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Directory of the spool; the same for the same files, and for no other process
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// File with the token of the source, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What a line is
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Most bytes that wait on disk
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(SPOOL_BYTES_MIN..))]
    spool_bytes_max: u64,
    /// End when all files were read to their ends, and everything is in the log
    #[arg(long)]
    once: bool,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A text
    Text,
    /// A JSON object of any kind
    Json,
    /// An event, as `attestree append --event` takes it
    Event,
}

/// What happens, as JSON.
#[derive(Debug, Default, Serialize)]
struct Told<'t> {
    event: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

/// Ships the files.
pub(super) fn run(args: Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let token = args.token_file.as_deref().map(token).transpose()?;
    let server = remote.server()?;
    let poster = Poster::new(&server, SOURCE, token.as_deref())?;
    let poster = poster.ok_or_else(|| wrong_usage("the file of --token-file holds no token"))?;
    let settings = Settings {
        patterns: args.files,
        form: match args.format {
            Format::Text => Form::Text,
            Format::Json => Form::Json,
            Format::Event => Form::Event,
        },
        state: args.state,
        spool_bytes_max: args.spool_bytes_max,
        once: args.once,
        random,
        now: time,
    };
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let ending = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let mut closed = Ok(());
        let mut tell = |event: Event| {
            let told = tell(output, &event);
            if closed.is_ok() {
                closed = told;
            }
        };
        let done = ship::run(settings, poster, ending, &mut tell).await?;
        closed?;
        finish(output, done)
    })
}

/// Reads a token; the file has to be its owner's alone.
fn token(path: &Path) -> anyhow::Result<String> {
    let named = || format!("read the token {}", path.display());
    let mode = fs::metadata(path).with_context(named)?.mode() & 0o777;
    ensure!(
        mode & 0o077 == 0,
        "{} has mode {mode:04o}, so others can read or change it; run: chmod 600 {}",
        path.display(),
        path.display(),
    );
    let token = fs::read_to_string(path).with_context(named)?.trim().to_owned();
    ensure!(!token.is_empty(), "{} is empty", path.display());
    Ok(token)
}

/// Says when it is. A clock that shows no year of a record's is shown as 1970.
pub(super) fn time() -> Timestamp {
    now().unwrap_or_default()
}

/// Makes the name of a segment.
pub(super) fn random() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(id)
}

/// Says what happens: as JSON everything, as text what a person wants to know.
fn tell(output: Output, event: &Event) -> anyhow::Result<()> {
    let shown = |path: &Path| path.display().to_string();
    let named = |event, path| Told { event, path: Some(shown(path)), ..Told::default() };
    let (told, text) = match event {
        Event::File(Seen::Opened { path, offset }) => (
            Told { offset: Some(*offset), ..named("opened", path) },
            Some(format!("{}: read from byte {offset}", path.display())),
        ),
        Event::File(Seen::Truncated { path }) => (
            named("truncated", path),
            Some(format!("{}: it was truncated, and is read from its beginning", path.display())),
        ),
        Event::File(Seen::Gone { path, offset }) => (
            Told { offset: Some(*offset), ..named("gone", path) },
            Some(format!(
                "{}: it was deleted while nobody read it; what it held behind byte {offset} is not in the log",
                path.display()
            )),
        ),
        Event::File(Seen::Unreadable { path, error }) => (
            Told { reason: Some(error), ..named("unreadable", path) },
            Some(format!("{}: {error}", path.display())),
        ),
        Event::Full => (
            Told { event: "full", ..Told::default() },
            Some("the spool is full; the files are read again when there is room".to_owned()),
        ),
        Event::Room => {
            (Told { event: "room", ..Told::default() }, Some("the spool has room again".to_owned()))
        }
        Event::Away { reason } => (
            Told { event: "away", reason: Some(reason), ..Told::default() },
            Some(format!("lines wait in the spool: {reason}")),
        ),
        Event::Back => (
            Told { event: "back", ..Told::default() },
            Some("the server takes lines again".to_owned()),
        ),
        Event::Sent { lines } => {
            (Told { event: "sent", lines: Some(*lines), ..Told::default() }, None)
        }
    };
    match text {
        None if !output.is_json() => Ok(()),
        text => output.print(&told, text.unwrap_or_default()),
    }
}

/// Says what was done.
fn finish(output: Output, done: Done) -> anyhow::Result<()> {
    let Done { lines, bytes, waiting } = done;
    let told = Told {
        event: "done",
        lines: Some(lines),
        bytes: Some(bytes),
        waiting: Some(waiting),
        ..Told::default()
    };
    let mut text = format!("shipped {} ({bytes} bytes)", count(lines, "line", "lines"));
    if waiting > 0 {
        text = format!("{text}; {} in the spool", count(waiting, "waits", "wait"));
    }
    output.print(&told, text)
}
