//! `attestree load`: how many entries a second, and how long until the receipt.
//!
//! One thread, so that what is measured is the server: payloads are made before, an entry costs a
//! reference count, and what all callers share is never contended.

mod baseline;
mod callers;
mod events;
mod histogram;
mod payload;
mod read;
mod report;
mod run;
mod stream;

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::exit::wrong_usage;
use super::output::Output;
use super::remote::{Remote, block_on};
use crate::client::{Client, Server, Trust, list_logs};
use crate::core::entry::ENTRY_BYTES_MAX;
use crate::core::tree::TILE_WIDTH;
use crate::proto;

use callers::Caller;
use payload::{EVENT_BYTES_MIN, Payload};
use report::Report;
use run::{Bound, Run};

/// The options.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Appends random entries and reports entries/s and the time from submission to the verified receipt.
A sample of the receipts is verified; one that is wrong ends the run with exit code 2.

With --baseline DIR the raw limits of this machine are measured in the same run, with the same bytes:
synced RocksDB writes without a log, gRPC without a log, SHA-256 alone, and one fdatasync.

Examples:
  attestree load                                          64 callers, one entry each, 10 seconds
  attestree load --mode batch --callers 8 --batch 1000
  attestree load --mode stream --callers 1 --in-flight 4096 --answer checkpoint
  attestree load --rate 5000 --duration 60                a steady 5,000 entries a second
  attestree load --mode batch --batch 1000 --entries 1000000 --verify-sample 1
  attestree load --mode batch --callers 8 --baseline /var/tmp/raw
  attestree load --events --size 1024 --log example.com/audit
  attestree load --mode read                              reads the log back, bundle by bundle")]
pub(super) struct Args {
    /// How entries are sent, or read
    #[arg(long, value_enum, default_value_t = Mode::Unary)]
    mode: Mode,
    /// Callers that each send and wait [default: 64 for unary and http, 8 for batch, 1 for stream and read]
    #[arg(long, value_name = "N")]
    callers: Option<usize>,
    /// Append audit events, to a log of kind audit, and compare the records that come back
    #[arg(long)]
    events: bool,
    /// Connections that the callers share
    #[arg(long, value_name = "N", default_value_t = 1)]
    connections: usize,
    /// Bytes of an entry
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// Entries of a batch
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    batch: usize,
    /// Entries that a stream may have on their way
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    in_flight: usize,
    /// How much proof is asked for; more than http can answer is looked up afterwards
    #[arg(long, value_enum, default_value_t = Proof::Receipt)]
    answer: Proof,
    /// Entries a second, over all callers [default: as many as possible]
    ///
    /// Latency then counts from when an entry was due, so that a server that stalls can't hide it.
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Seconds to measure
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    duration: f64,
    /// Seconds before the measurement
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    warmup: f64,
    /// Stop after this many entries instead
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warmup"])]
    entries: Option<u64>,
    /// Share of the receipts that is verified; 1 is all
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    verify_sample: f64,
    /// Give each entry an idempotency key
    #[arg(long)]
    keys: bool,
    /// Spread the callers over all logs of the server
    #[arg(long, conflicts_with = "log")]
    all_logs: bool,
    /// Measure the raw limits as well, in this directory, which is created and removed
    #[arg(long, value_name = "DIR")]
    baseline: Option<PathBuf>,
    /// Seed of the random entries
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// How entries are sent, or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Append: one entry a request
    Unary,
    /// `AppendBatch`: many entries a request
    Batch,
    /// `AppendStream`: one entry a message, many on their way
    Stream,
    /// POST /add: one entry a request, over HTTP
    Http,
    /// GET entry bundles, one after another: what is there is read, and nothing appended
    Read,
}

/// How much proof is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Proof {
    /// The index only
    Index,
    /// The signed checkpoint as well
    Checkpoint,
    /// The proof as well
    Receipt,
}

/// A log to append to.
pub(super) struct Target {
    /// Its place in the list of logs.
    number: usize,
    /// The `log` field of requests: empty for the default log, which saves an allocation each.
    field: String,
    /// Verifies what comes back.
    client: Client,
    /// Where its HTTP interface is.
    http_prefix: String,
}

impl Args {
    fn callers(&self) -> usize {
        self.callers.unwrap_or(match self.mode {
            Mode::Unary | Mode::Http => 64,
            Mode::Batch => 8,
            Mode::Stream | Mode::Read => 1,
        })
    }

    /// Returns the entries of one request.
    fn request_entries(&self) -> usize {
        match self.mode {
            Mode::Batch => self.batch,
            Mode::Read => TILE_WIDTH,
            Mode::Unary | Mode::Stream | Mode::Http => 1,
        }
    }

    fn answer(&self) -> proto::Answer {
        match self.answer {
            Proof::Index => proto::Answer::Index,
            Proof::Checkpoint => proto::Answer::Checkpoint,
            Proof::Receipt => proto::Answer::Receipt,
        }
    }

    /// Refuses what can't be measured.
    fn check(&self) -> anyhow::Result<()> {
        let refuse = |message: &str| Err(wrong_usage(message));
        match self {
            Self { size, .. } if !(1..=ENTRY_BYTES_MAX).contains(size) => {
                refuse("--size takes 1 to 65535 bytes")
            }
            Self { batch, .. } if !(1..=4_096).contains(batch) => {
                refuse("--batch takes 1 to 4096 entries")
            }
            Self { in_flight: 0, .. } => refuse("--in-flight takes at least 1"),
            Self { connections: 0, .. } | Self { callers: Some(0), .. } => {
                refuse("--callers and --connections take at least 1")
            }
            Self { verify_sample, .. } if !(0.0..=1.0).contains(verify_sample) => {
                refuse("--verify-sample takes 0 to 1")
            }
            Self { duration, warmup, .. }
                if !(0.001..=1e6).contains(duration) || !(0.0..=1e6).contains(warmup) =>
            {
                refuse("--duration and --warmup take seconds, at most a million")
            }
            Self { mode: Mode::Read, baseline: Some(_), .. } => {
                refuse("--baseline is for the modes that append")
            }
            Self { events: true, mode, .. } if !matches!(mode, Mode::Unary | Mode::Batch) => {
                refuse("--events is for --mode unary and batch")
            }
            Self { events: true, size, .. } if *size < EVENT_BYTES_MIN => {
                refuse("--events takes a --size of at least 256 bytes")
            }
            Self { rate: Some(0), .. } | Self { entries: Some(0), .. } => {
                refuse("--rate and --entries take at least 1")
            }
            _ => Ok(()),
        }
    }

    fn bound(&self) -> Bound {
        match self.entries {
            Some(entries) => Bound::Entries(entries),
            None => Bound::Time {
                warmup: Duration::from_secs_f64(self.warmup),
                duration: Duration::from_secs_f64(self.duration),
            },
        }
    }
}

/// Measures the server, and the raw limits if asked.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    args.check()?;
    let measured = block_on(async {
        let server = remote.server()?;
        let targets = targets(args, remote, &server).await?;
        measure(args, &server, &targets).await
    })?;
    let limits = match &args.baseline {
        Some(dir) => Some(baseline::measure(args, dir)?),
        None => None,
    };
    let report = Report { measured, limits };
    output.print(&report, &report)
}

/// Finds the logs to append to, with the keys to verify under.
async fn targets(
    args: &Args,
    remote: &Remote,
    server: &Server,
) -> anyhow::Result<Vec<Arc<Target>>> {
    let channel = server.channel().await?;
    let logs = list_logs(server, channel.clone()).await?;
    let mut targets = Vec::new();
    for log in &logs {
        let wanted = args.all_logs
            || match &remote.log {
                Some(origin) => log.origin == origin.as_str(),
                None => targets.is_empty(),
            };
        if !wanted {
            continue;
        }
        let trust = match remote.policy()? {
            Some(policy) => Trust::known(policy, Some(&super::remote::origin(&log.origin)?))?,
            None => Trust::listed(log)?,
        };
        let default = logs.first().is_some_and(|first| first.origin == log.origin);
        targets.push(Arc::new(Target {
            number: targets.len(),
            field: if default { String::new() } else { log.origin.clone() },
            client: Client::over(server, channel.clone(), Arc::new(trust)),
            http_prefix: format!("{}{}", server.url(), log.prefix.trim_end_matches('/')),
        }));
    }
    ensure!(!targets.is_empty(), "{} has no such log; see `attestree logs`", server.url());
    Ok(targets)
}

/// A prefix of idempotency keys that no other run has.
fn random_keys() -> anyhow::Result<Bytes> {
    let mut prefix = [0; 16];
    getrandom::fill(&mut prefix).context("ask the system for randomness")?;
    Ok(Bytes::copy_from_slice(&prefix))
}

/// Runs all callers to the end and verifies what is left to verify.
async fn measure(
    args: &Args,
    server: &Server,
    targets: &[Arc<Target>],
) -> anyhow::Result<report::Measured> {
    let mut channels: Vec<Channel> = Vec::new();
    for _ in 0..args.connections {
        channels.push(server.channel().await?);
    }
    let http = server.http()?;
    let keys = args.keys.then(random_keys).transpose()?;
    let payload = if args.events {
        Payload::events(args.seed, args.size)
    } else {
        Payload::new(args.seed, args.size)
    };
    let entries = args.request_entries();
    let run = Run::start(payload, args.bound(), args.rate, entries, args.verify_sample);
    let mut callers = JoinSet::new();
    let channels = channels.iter().cycle();
    for (target, channel) in targets.iter().cycle().zip(channels).take(args.callers()) {
        let http_only = matches!(args.mode, Mode::Http | Mode::Read);
        let answer = if http_only { proto::Answer::Index } else { args.answer() };
        let (run, target, keys) = (Arc::clone(&run), Arc::clone(target), keys.clone());
        let caller = Caller { run, target, answer, keys };
        let channel = channel.clone();
        match args.mode {
            Mode::Unary if args.events => callers.spawn(events::unary(caller, channel)),
            Mode::Batch if args.events => callers.spawn(events::batch(caller, channel, args.batch)),
            Mode::Unary => callers.spawn(callers::unary(caller, channel)),
            Mode::Batch => callers.spawn(callers::batch(caller, channel, args.batch)),
            Mode::Stream => callers.spawn(stream::stream(caller, channel, args.in_flight)),
            Mode::Http => callers.spawn(callers::http(caller, http.clone())),
            Mode::Read => callers.spawn(read::bundles(caller, http.clone())),
        };
    }
    while let Some(ended) = callers.join_next().await {
        ended.context("run a caller")??;
    }
    let seconds = run.seconds();
    callers::verify_pending(&run, targets).await?;
    Ok(report::Measured::new(args, &run, seconds))
}
