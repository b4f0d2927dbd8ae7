//! The raw limits of the machine, with the bytes of the measurement.

use core::time::Duration;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

use super::histogram::Histogram;
use super::payload::Payload;
use super::report::{Latency, Limits, Measured};
use super::run::Bound;
use super::{Args, Mode, Target};
use crate::cli::remote::block_on;
use crate::client::{Client, Server, Trust, trust_listed};
use crate::core::hash::TreeHash;
use crate::core::note::{KeyName, SigningKey};
use crate::core::origin::Origin;
use crate::server::{baseline, echo};

/// How long each limit is measured at most; long enough for several flushes of the database.
const DURATION_MAX: Duration = Duration::from_secs(5);

/// How long hashing is measured: it has no variance to average out.
const HASHING: Duration = Duration::from_secs(1);

/// How many single syncs are measured.
const SYNCS: usize = 1_000;

/// Most entries of one commit of the log (`pipeline::BATCH_ENTRIES_MAX`).
const COMMIT_ENTRIES_MAX: usize = 4_096;

/// Measures all limits in a new directory, which is removed afterwards.
pub(super) fn measure(args: &Args, dir: &Path) -> anyhow::Result<Limits> {
    ensure!(
        !dir.exists(),
        "{} exists already; --baseline takes a directory to create",
        dir.display()
    );
    fs::create_dir(dir).with_context(|| format!("create {}", dir.display()))?;
    let limits = measure_in(args, dir);
    fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    limits
}

/// Measures all limits in a directory that is there.
fn measure_in(args: &Args, dir: &Path) -> anyhow::Result<Limits> {
    let payload = Payload::new(args.seed, args.size);
    // As many entries at once as the log's group commit can find waiting.
    let waiting = match args.mode {
        Mode::Stream => args.callers() * args.in_flight,
        Mode::Unary | Mode::Batch | Mode::Http | Mode::Read => {
            args.callers() * args.request_entries()
        }
    };
    let commit = waiting.clamp(1, COMMIT_ENTRIES_MAX);
    let rocksdb =
        baseline::synced_writes(&dir.join("rocksdb"), commit, limit_duration(args), || {
            payload.entry(payload.reserve(1))
        })?;
    let echo = match args.mode {
        Mode::Http | Mode::Read => None,
        Mode::Unary | Mode::Batch | Mode::Stream => Some(measure_echo(args)?),
    };
    Ok(Limits {
        rocksdb,
        echo: echo.as_ref().map(|echo| echo.entries_per_second),
        echo_p50_us: echo.as_ref().map(Measured::p50_us),
        sha256: hashing(&payload, limit_duration(args).min(HASHING)),
        fdatasync: syncs(&dir.join("synced"))?,
    })
}

/// Returns how long a limit is measured: as long as the server was, within reason.
fn limit_duration(args: &Args) -> Duration {
    Duration::from_secs_f64(args.duration).min(DURATION_MAX)
}

/// Sends the same messages to a server of this process that answers at once.
fn measure_echo(args: &Args) -> anyhow::Result<Measured> {
    let echo = echo::start(args.answer())?;
    let mut args = args.clone();
    args.verify_sample = 0.0;
    args.rate = None;
    args.entries = None;
    (args.duration, args.warmup) = (limit_duration(&args).as_secs_f64(), args.warmup.min(0.5));
    let measured = block_on(async {
        let server = Server::parse(&format!("http://{}", echo.address()))?;
        // Nothing is verified, so any key will do.
        let origin = Origin::parse("example.com/echo").context("name the echo")?;
        let name = KeyName::parse(origin.as_str()).context("name the echo's key")?;
        let key = SigningKey::from_seed(name, &[0; 32]).verifier_key().clone();
        let trust = Trust::new(trust_listed(&[key]), origin);
        let client = Client::over(&server, server.channel().await?, trust.into());
        let target = Target { number: 0, field: String::new(), client, http_prefix: String::new() };
        debug_assert!(matches!(args.bound(), Bound::Time { .. }), "an echo is bounded by time");
        super::measure(&args, &server, &[target.into()]).await
    });
    echo.stop();
    measured
}

/// Hashes leaves on one core and returns how many a second.
fn hashing(payload: &Payload, duration: Duration) -> f64 {
    let started = Instant::now();
    let mut hashed = 0_u64;
    while started.elapsed() < duration {
        // The clock is read after every 1,024 leaves, so that it is not what is measured.
        for _ in 0..1_024 {
            let entry = payload.entry(payload.reserve(1));
            black_box(TreeHash::leaf(&entry));
        }
        hashed += 1_024;
    }
    hashed as f64 / started.elapsed().as_secs_f64()
}

/// Appends 4 KiB and syncs, again and again.
fn syncs(path: &Path) -> anyhow::Result<Latency> {
    let mut file = File::create_new(path).with_context(|| format!("create {}", path.display()))?;
    let block = [0x5A; 4_096];
    let mut histogram = Histogram::new();
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&block)
            .and_then(|()| file.sync_data())
            .with_context(|| format!("write {}", path.display()))?;
        histogram.record(started.elapsed());
    }
    Ok(Latency::of(&histogram))
}
