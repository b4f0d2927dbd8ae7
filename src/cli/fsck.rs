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
#[cfg(feature = "server")]
use crate::server::{KeyPlace, fsck};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads every entry, hashes it, and compares every tile, full or partial, and the signed root with what
follows. Names the first entry that is wrong, and what is wrong there; the exit code is then 2. So is the
first entry named that can't be read, as from a failing disk; the exit code is 1 then.

With --data it reads the database of a stopped server or of a backup, and compares besides what only
the database holds: its rows, the identities, the segments, the newest head and the nodes inside tiles.
Of an audit log it reads every record, and checks that what opens each committed field is stored, and that
it does open it, if the keys are there (DIR/keys, with their key-encryption key in DIR.kek or --kek).

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
    /// Key-encryption key of the audit logs of that directory [default: DIR.kek, if it is there]
    #[cfg(feature = "server")]
    #[arg(long, env = "ATTESTREE_KEK", value_name = "FILE", requires = "data")]
    kek: Option<PathBuf>,
}

/// The committed fields of a log that passed, as JSON.
#[cfg(feature = "server")]
#[derive(Debug, Serialize)]
struct PassedFields {
    origin: String,
    fields: u64,
    opened: bool,
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
        return directory(data, args.kek.as_deref(), remote, output);
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
fn directory(
    data: &Path,
    kek: Option<&Path>,
    remote: &Remote,
    output: Output,
) -> anyhow::Result<()> {
    let directory = fsck::Directory::open(data)?;
    // After the database, so that no row is newer than its key.
    let keys = fsck::Keys::open(KeyPlace { data, kek })?;
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
        if let Some(records) = log.check_records()? {
            records.map_err(|finding| unverified(format!("{}: {finding}", log.origin())))?;
        }
        check_fields(&log, keys.as_ref(), output)?;
    }
    anyhow::ensure!(found, "{} holds no such log", data.display());
    Ok(())
}

/// Checks the committed fields of an audit log.
#[cfg(feature = "server")]
fn check_fields(log: &fsck::Log, keys: Option<&fsck::Keys>, output: Output) -> anyhow::Result<()> {
    let Some(checked) = log.check_fields(keys)? else { return Ok(()) };
    let fields = checked.map_err(|finding| unverified(format!("{}: {finding}", log.origin())))?;
    let passed = PassedFields {
        origin: log.origin().to_string(),
        fields: fields.committed,
        opened: fields.opened,
    };
    let count = output::count(passed.fields, "committed field has", "committed fields have");
    let text = match passed.opened {
        true => format!("{}: {count} what opens them, and it does", passed.origin),
        false => format!("{}: {count} what opens them; the keys are not here", passed.origin),
    };
    output.print(&passed, text)
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
