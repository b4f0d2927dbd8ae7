//! `attestree fsck`: everything re-derived from the entries.

use core::time::Duration;
use std::io::IsTerminal as _;
#[cfg(feature = "server")]
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::exit::unverified;
use super::output::{self, Output, base64};
use super::remote::Remote;
use crate::client::audit::{Progress, audit};
use crate::core::tree::TreeHead;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads every entry, hashes it, and compares every tile, full or partial, and the signed root with what
follows. Names the first entry that is wrong, and what is wrong there; the exit code is then 2.

With --data it reads the database of a stopped server or of a backup, and compares besides what only
the database holds: its rows, the identities, the segments, the newest head and the nodes inside tiles.

Examples:
  attestree fsck
  attestree fsck https://logs.example.com/prod --trust trust.policy
  attestree fsck --data attestree-data")]
pub(super) struct Args {
    /// Tile prefix of the log, of any C2SP tlog-tiles server [default: derived from --server]
    url: Option<String>,
    /// Data directory to read instead
    #[cfg(feature = "server")]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
}

/// A log that passed, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Passed {
    pub(super) origin: String,
    pub(super) entries: u64,
    pub(super) root: String,
    pub(super) bytes: u64,
    pub(super) tiles: u64,
    pub(super) seconds: f64,
}

/// Checks the log.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    #[cfg(feature = "server")]
    if let Some(data) = &args.data {
        return directory(data, remote, output);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    runtime.block_on(async {
        let (client, trust) = remote.tiles(args.url.as_deref()).await?;
        let checkpoint = client.checkpoint(&trust).await?;
        let head = checkpoint.head();
        let meter = Meter::start(&head);
        let progress = audit(&client, &checkpoint, |progress| meter.show(&progress)).await?;
        let progress = progress.map_err(|finding| unverified(finding.to_string()))?;
        meter.passed(trust.origin().as_str(), &head, &progress, output)
    })
}

/// Checks the logs of a data directory: all of them, or the one that is named.
#[cfg(feature = "server")]
fn directory(data: &Path, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let directory = crate::server::fsck::Directory::open(data)?;
    let mut found = false;
    for log in directory.logs()? {
        if remote.log.as_ref().is_some_and(|origin| origin != log.origin()) {
            continue;
        }
        found = true;
        let head = log.head()?;
        let meter = Meter::start(&head);
        let progress = log.check(|progress| meter.show(&progress))?;
        let progress =
            progress.map_err(|finding| unverified(format!("{}: {finding}", log.origin())))?;
        meter.passed(log.origin().as_str(), &head, &progress, output)?;
    }
    anyhow::ensure!(found, "{} holds no such log", data.display());
    Ok(())
}

/// Shows how far a check is, and how fast.
pub(super) struct Meter {
    bar: ProgressBar,
}

impl Meter {
    /// Begins to measure.
    pub(super) fn start(head: &TreeHead) -> Self {
        let bar = ProgressBar::new(head.size.get());
        if std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = "{wide_bar} {human_pos}/{human_len} entries, {per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        Self { bar }
    }

    /// Shows progress.
    pub(super) fn show(&self, progress: &Progress) {
        self.bar.set_position(progress.entries);
    }

    /// Reports a log that passed.
    pub(super) fn passed(
        &self,
        origin: &str,
        head: &TreeHead,
        progress: &Progress,
        output: Output,
    ) -> anyhow::Result<()> {
        // Rates of a check that took no measurable time would be infinite.
        let elapsed = self.bar.elapsed().max(Duration::from_micros(1)).as_secs_f64();
        self.bar.finish_and_clear();
        let passed = Passed {
            origin: origin.to_owned(),
            entries: progress.entries,
            root: base64(&head.root),
            bytes: progress.bytes,
            tiles: progress.tiles,
            seconds: elapsed,
        };
        let text = format!(
            "{origin}: {} and {} agree with the root {} ({:.0} entries/s, {:.1} MB/s)",
            output::entries(passed.entries),
            output::count(passed.tiles, "tile", "tiles"),
            passed.root,
            passed.entries as f64 / elapsed,
            passed.bytes as f64 / elapsed / 1e6,
        );
        output.print(&passed, text)
    }
}
