//! What reports failed logins: `logger`, which most machines have, or this program following a file.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::alarm::COUNT;
use super::stage::{AuditScene, PATIENCE};
use crate::cli::ship::{SOURCE, random, time};
use crate::client::Poster;
use crate::ship::{self, Form, SPOOL_BYTES_MIN, Settings};

/// What `logger` has to know for the tour.
const NEEDED: [&str; 5] = ["--rfc5424", "--tcp", "--server", "--port", "--msgid"];

/// What it may know: how long a message is stands before it.
const OCTET_COUNT: &str = "--octet-count";

/// A sender.
pub(super) enum Sender {
    /// `logger` of util-linux.
    Logger {
        /// What it calls itself.
        version: String,
        /// Whether it can say how long a message is.
        counts: bool,
    },
    /// `attestree ship`.
    Ship,
}

impl Sender {
    /// Returns what there is.
    pub(super) async fn of_this_machine() -> Self {
        // Not being there, or being another one, only means that the other sender is taken.
        let Some(usage) = output(&["--help"]).await else { return Self::Ship };
        let version = output(&["--version"]).await;
        let knows = |option: &str| usage.contains(option);
        match version {
            Some(version) if NEEDED.iter().all(|option| knows(option)) => {
                Self::Logger { version: version.trim().to_owned(), counts: knows(OCTET_COUNT) }
            }
            _ => Self::Ship,
        }
    }

    /// Returns its name, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Logger { version, .. } => version.clone(),
            Self::Ship => "attestree ship".to_owned(),
        }
    }

    /// Returns the command as somebody would type it.
    pub(super) fn command(&self, scene: &AuditScene) -> String {
        match self {
            Self::Logger { counts, .. } => {
                format!("logger {} '{}'", options(*counts, scene).join(" "), message(1))
            }
            Self::Ship => format!(
                "attestree ship auth.log --once --state spool --server {}",
                scene.server().url()
            ),
        }
    }

    /// Sends the messages; returns when the last of them began.
    pub(super) async fn send(&self, scene: &AuditScene) -> anyhow::Result<Instant> {
        match self {
            Self::Logger { counts, .. } => log(&options(*counts, scene)).await,
            Self::Ship => follow(scene).await,
        }
    }
}

/// Returns what `logger` prints, if it is there.
async fn output(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("logger");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the options of `logger`: those of a daemon that looks after logins.
fn options(counts: bool, scene: &AuditScene) -> Vec<String> {
    let address = scene.address();
    let (ip, port) = (address.ip(), address.port());
    let mut options = format!(
        "--rfc5424 --tcp --server {ip} --port {port} --priority authpriv.notice --tag sshd --msgid LOGIN"
    );
    if counts {
        options = format!("{options} {OCTET_COUNT}");
    }
    options.split(' ').map(str::to_owned).collect()
}

/// Returns what is said of a login that failed. The address is one for examples (RFC 5737).
fn message(number: u64) -> String {
    format!("Failed password for root from 203.0.113.7 port {} ssh2", 40_000 + number)
}

/// Calls `logger` once for each message.
async fn log(options: &[String]) -> anyhow::Result<Instant> {
    let mut last = Instant::now();
    for number in 1..=COUNT {
        last = Instant::now();
        let mut command = Command::new("logger");
        command.args(options).arg(message(number)).stdin(Stdio::null()).kill_on_drop(true);
        let done = timeout(PATIENCE, command.output()).await.context("wait for logger")?;
        let done = done.context("run logger")?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "logger ended with {}: {}", done.status, said.trim());
    }
    Ok(last)
}

/// Writes a log file and ships it.
async fn follow(scene: &AuditScene) -> anyhow::Result<Instant> {
    let path = scene.beside("auth.log");
    let line = |number| format!("gate sshd[812]: {}\n", message(number));
    let lines: String = (1..=COUNT).map(line).collect();
    std::fs::write(&path, lines).with_context(|| format!("write {}", path.display()))?;
    let poster = Poster::new(scene.server(), SOURCE, None)?;
    let settings = Settings {
        patterns: vec![path],
        form: Form::Text,
        state: scene.beside("spool"),
        spool_bytes_max: SPOOL_BYTES_MIN,
        once: true,
        random,
        now: time,
    };
    let begun = Instant::now();
    let poster = poster.context("find the source of lines")?;
    let done = ship::run(settings, poster, core::future::pending(), &mut |_event| {}).await?;
    ensure!(done.lines == COUNT, "{} of {COUNT} lines are in the log", done.lines);
    Ok(begun)
}
