//! `attestree monitor`: every entry read, every checkpoint compared.

use core::time::Duration;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use super::exit::{unverified, wrong_usage};
use super::output::{self, Output};
use super::remote::Remote;
use crate::client::{TileClient, WitnessClient};
use crate::core::trust::TrustPolicy;
use crate::monitor::{self, Event, Finding, HOOK_TIMEOUT, Hook, Kind, Settings, Witness};

/// How long a witness may take to show what it remembers: one small file.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Events that wait to be printed; a monitor waits when its terminal does.
const EVENTS_MAX: usize = 64;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads every entry through the log's tiles, hashes it, and compares it with the signed tree; compares each
checkpoint with all it has seen, and with those that the policy's witnesses remember. Where two can't both
be true it writes evidence, which anybody can judge: see `attestree verify-evidence`. What it has seen is
kept in --state and goes on after a crash. Without --follow it looks once.

Findings: guilty (evidence was written; the log is followed no further), inconclusive (two keys of the log
contradict each other), untrue (what is served is not what was signed), rollback (a smaller tree than the
log has signed), invalid (the records of an audit log break its rules: form, reserved, genesis, time, witnessed,
policy, parts, approvals or conflict), unresponsive (nobody answers, which convicts nobody).

Exit code 2 means any of these but the last, 1 that a log or a witness was unresponsive.

A hook gets the finding as one line of JSON on its standard input, and its parts as ATTESTREE_KIND,
ATTESTREE_ORIGIN, ATTESTREE_SOURCE, ATTESTREE_REASON and ATTESTREE_EVIDENCE in its environment. It runs
once for each finding, is killed after a minute, and nothing of the finding is part of its command line.

Examples:
  attestree monitor https://logs.example.com/prod --trust trust.policy --state monitor --follow
  attestree monitor --trust trust.policy --state monitor --json       (logs by their addresses there)
  attestree monitor --trust trust.policy --state monitor --exec /usr/local/bin/page-me")]
pub(super) struct Args {
    /// Tile prefixes of the logs, of any C2SP tlog-tiles server [default: those in the policy]
    urls: Vec<String>,
    /// Directory of what is remembered, and of evidence unless --evidence names another
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Go on looking, until every log is convicted
    #[arg(long)]
    follow: bool,
    /// Check every log as an audit log, also one that does not begin with a genesis record
    #[arg(long)]
    audit: bool,
    /// Seconds between two looks at a log
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// Program to run on each finding
    #[arg(long, value_name = "PROGRAM", conflicts_with = "exec_shell")]
    exec: Option<OsString>,
    /// Argument for the program; may be repeated
    #[arg(long, value_name = "ARG", requires = "exec", allow_hyphen_values = true)]
    exec_arg: Vec<OsString>,
    /// Command for the shell to run on each finding
    #[arg(long, value_name = "COMMAND")]
    exec_shell: Option<OsString>,
    /// Ask for entries as they are, without compression
    #[arg(long)]
    uncompressed: bool,
}

/// Monitors the logs.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let policy = remote.policy()?.ok_or_else(|| {
        wrong_usage("say whom to believe with --trust FILE; see `attestree monitor --help`")
    })?;
    let logs = logs(args, remote, &policy)?;
    let settings = Settings {
        witnesses: witnesses(remote, &policy)?,
        policy,
        state: args.state.clone(),
        evidence: remote.evidence.clone().unwrap_or_else(|| args.state.clone()),
        audit: args.audit,
        follow: args.follow,
        interval: Duration::from_secs(args.interval),
        hook: hook(args),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(async {
        let (send, mut events) = mpsc::channel(EVENTS_MAX);
        let print = async {
            let mut terminal = Terminal::new(output);
            while let Some(event) = events.recv().await {
                terminal.show(&event)?;
            }
            Ok(())
        };
        let monitor =
            async { monitor::run(settings, logs, send).await.map_err(anyhow::Error::from) };
        let (worst, ()) = tokio::try_join!(monitor, print)?;
        match worst {
            None => Ok(()),
            Some(kind) if kind.is_misbehaviour() => {
                Err(unverified("something is wrong with a log: see the findings"))
            }
            Some(_) => Err(anyhow::anyhow!("a log or a witness is unresponsive: see the findings")),
        }
    })
}

/// Returns the logs that are named, or those to which the policy gives an address.
fn logs(args: &Args, remote: &Remote, policy: &TrustPolicy) -> anyhow::Result<Vec<TileClient>> {
    let mut urls: Vec<&str> = args.urls.iter().map(String::as_str).collect();
    if urls.is_empty() {
        urls.extend(policy.logs().iter().filter_map(|log| log.url.as_deref()));
    }
    // A log with two keys is listed twice.
    urls.sort_unstable();
    urls.dedup();
    if urls.is_empty() {
        return Err(wrong_usage("name the logs' addresses, here or in the trust policy"));
    }
    let open = |url: &str| {
        let tiles = TileClient::new(&remote.server_at(url)?)?;
        Ok(if args.uncompressed { tiles.uncompressed() } else { tiles })
    };
    urls.into_iter().map(open).collect()
}

/// Returns the witnesses to which the policy gives an address.
fn witnesses(remote: &Remote, policy: &TrustPolicy) -> anyhow::Result<Vec<Witness>> {
    let mut witnesses = Vec::new();
    for witness in policy.witnesses() {
        let Some(url) = &witness.url else { continue };
        let client = WitnessClient::new(&remote.server_at(url)?, WITNESS_TIMEOUT)?;
        witnesses.push(Witness { name: witness.name.clone(), key: witness.key.clone(), client });
    }
    Ok(witnesses)
}

fn hook(args: &Args) -> Option<Hook> {
    if let Some(command) = &args.exec_shell {
        let arguments = vec!["-c".into(), command.clone()];
        return Some(Hook { program: "sh".into(), arguments, patience: HOOK_TIMEOUT });
    }
    let (arguments, patience) = (args.exec_arg.clone(), HOOK_TIMEOUT);
    args.exec.clone().map(|program| Hook { program, arguments, patience })
}

/// Where events are shown: lines on standard output, and a bar for each log on a terminal.
struct Terminal {
    output: Output,
    bars: MultiProgress,
    logs: HashMap<String, Bar>,
}

/// How far the reading of a log is.
struct Bar {
    bar: ProgressBar,
    /// Entries and bytes that had been read when the bar was made.
    before: (u64, u64),
}

impl Terminal {
    fn new(output: Output) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(10),
            false => ProgressDrawTarget::hidden(),
        };
        Self { output, bars: MultiProgress::with_draw_target(target), logs: HashMap::new() }
    }

    /// Shows one event.
    fn show(&mut self, event: &Event) -> anyhow::Result<()> {
        let text = match event {
            Event::Resumed { origin, size } => {
                Some(format!("{origin}: {} were read before", output::entries(*size)))
            }
            Event::Checkpoint { origin, size, quorum, .. } => {
                self.begin(origin, *size);
                (*quorum == Some(false)).then(|| {
                    let entries = output::entries(*size);
                    format!("{origin}: the checkpoint of {entries} lacks the policy's quorum")
                })
            }
            Event::Progress { origin, read, .. } => {
                if let Some(log) = self.logs.get(origin) {
                    log.bar.set_position(*read);
                }
                None
            }
            Event::Read { origin, size, root, entries, bytes } => {
                Some(self.read(origin, *size, root, (*entries, *bytes)))
            }
            Event::Finding(finding) => Some(found(finding)),
            Event::Recovered { origin, source } => {
                Some(format!("{origin}: {source} is well again"))
            }
            Event::Hook { reason } => Some(reason.clone()),
        };
        if !self.output.is_json() && text.is_none() {
            return Ok(());
        }
        // Lines and bars share the terminal.
        self.bars.suspend(|| self.output.print(event, text.unwrap_or_default()))
    }

    /// Begins to show how far the reading of a log is.
    fn begin(&mut self, origin: &str, size: u64) {
        let before = self.logs.get(origin).map_or((0, 0), |log| log.before);
        let bar = self.bars.add(ProgressBar::new(size));
        let template = "{prefix} {wide_bar} {human_pos}/{human_len} entries, {per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        bar.set_prefix(origin.to_owned());
        self.logs.insert(origin.to_owned(), Bar { bar, before });
    }

    /// Ends the bar of a log, and says how fast it was read.
    fn read(&mut self, origin: &str, size: u64, root: &str, tally: (u64, u64)) -> String {
        let mut text =
            format!("{origin}: all {} agree with the root {root}", output::entries(size));
        if let Some(log) = self.logs.get_mut(origin) {
            // A rate over no measurable time would be infinite.
            let seconds = log.bar.elapsed().max(Duration::from_micros(1)).as_secs_f64();
            log.bar.finish_and_clear();
            let (entries, bytes) = (tally.0 - log.before.0, tally.1 - log.before.1);
            let (each, mega) = (entries as f64 / seconds, bytes as f64 / seconds / 1e6);
            let new = output::count(entries, "new one", "new ones");
            text = format!("{text} ({new}, {each:.0} entries/s, {mega:.1} MB/s)");
            log.before = tally;
        }
        text
    }
}

/// Writes a finding as a line.
fn found(finding: &Finding) -> String {
    let Finding { origin, kind, source, reason, evidence } = finding;
    let kind = match kind {
        Kind::Guilty => "guilty",
        Kind::Inconclusive => "inconclusive",
        Kind::Untrue => "untrue",
        Kind::Rollback => "rollback",
        Kind::Invalid => "invalid",
        Kind::Unresponsive => "unresponsive",
    };
    let evidence = evidence.as_ref();
    let evidence = evidence.map(|path| format!("; the evidence is in {}", path.display()));
    format!("{origin}: {kind} ({source}): {reason}{}", evidence.unwrap_or_default())
}
