//! What `load` reports.

use core::fmt;
use core::time::Duration;

use serde::Serialize;

use super::histogram::Histogram;
use super::run::Run;
use super::{Args, Mode};

/// All that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The server.
    #[serde(flatten)]
    pub(super) measured: Measured,
    /// What the machine can do at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<Limits>,
}

/// What one measurement gave.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    mode: String,
    answer: String,
    callers: usize,
    connections: usize,
    size: usize,
    batch: usize,
    seconds: f64,
    /// Entries that were answered.
    pub(super) entries: u64,
    /// Entries a second.
    pub(super) entries_per_second: f64,
    megabytes_per_second: f64,
    refused: u64,
    verified: u64,
    latency: Latency,
}

/// Time from submission to receipt, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    requests: u64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

/// The raw limits, measured in the same run with the same bytes.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    /// Synced RocksDB writes of the same bytes, without a log: entries a second.
    pub(super) rocksdb: f64,
    /// The same gRPC messages without a log: entries a second; not for http.
    pub(super) echo: Option<f64>,
    /// Half of the echo's answers took at most this many microseconds.
    pub(super) echo_p50_us: Option<f64>,
    /// Leaf hashes of the same bytes on one core: entries a second.
    pub(super) sha256: f64,
    /// One append of 4 KiB with fdatasync.
    pub(super) fdatasync: Latency,
}

/// Microseconds, with the tenths that a clock gives.
fn micros(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 100.0).round() / 10.0
}

/// Returns the bytes of one of several entries.
fn mean(bytes: u64, entries: u64) -> usize {
    usize::try_from(bytes / entries.max(1)).unwrap_or(usize::MAX)
}

impl Latency {
    /// Reads the percentiles.
    pub(super) fn of(histogram: &Histogram) -> Self {
        Self {
            requests: histogram.count(),
            p50_us: micros(histogram.at(500)),
            p90_us: micros(histogram.at(900)),
            p99_us: micros(histogram.at(990)),
            p999_us: micros(histogram.at(999)),
            max_us: micros(histogram.max()),
        }
    }
}

impl Measured {
    /// Sums a run up.
    pub(super) fn new(args: &Args, run: &Run, seconds: f64) -> Self {
        let name = |value: &dyn fmt::Debug| format!("{value:?}").to_lowercase();
        let tally = run.tally();
        let rate = tally.entries as f64 / seconds;
        Self {
            mode: name(&args.mode),
            answer: if matches!(args.mode, Mode::Http | Mode::Read) {
                "index".to_owned()
            } else {
                name(&args.answer)
            },
            callers: args.callers(),
            connections: args.connections,
            size: if args.mode == Mode::Read {
                mean(tally.bytes, tally.entries)
            } else {
                args.size
            },
            batch: args.request_entries(),
            seconds,
            entries: tally.entries,
            entries_per_second: rate,
            megabytes_per_second: tally.bytes as f64 / seconds / 1e6,
            refused: tally.refused,
            verified: tally.verified,
            latency: Latency::of(&tally.latency),
        }
    }

    /// Returns half of the latencies' bound in microseconds.
    pub(super) const fn p50_us(&self) -> f64 {
        self.latency.p50_us
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = |micros: f64| micros / 1_000.0;
        write!(
            f,
            "p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.3} ms",
            milli(self.p50_us),
            milli(self.p90_us),
            milli(self.p99_us),
            milli(self.p999_us),
            milli(self.max_us)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { mode, answer, callers, connections, size, batch, seconds, .. } =
            &self.measured;
        let measured = &self.measured;
        writeln!(
            f,
            "{mode}, {callers} callers on {connections} connections, {batch} entries of {size} bytes a \
             request, answer {answer}, {seconds:.1} s"
        )?;
        writeln!(
            f,
            "{:.0} entries/s, {:.1} MB/s ({} entries, {} requests refused for a while)",
            measured.entries_per_second,
            measured.megabytes_per_second,
            measured.entries,
            measured.refused
        )?;
        writeln!(f, "submission to receipt: {}", measured.latency)?;
        write!(f, "{} entries verified", measured.verified)?;
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        let rate = measured.entries_per_second;
        write!(f, "\n\n{:<44}{:>14}{:>10}", "raw limit, same bytes, same run", "raw", "ratio")?;
        let mut row =
            |name: &str, raw: f64| write!(f, "\n{name:<44}{raw:>12.0}/s{:>10.2}", rate / raw);
        row("synced RocksDB writes, entries", limits.rocksdb)?;
        if let Some(echo) = limits.echo {
            row("gRPC echo, entries", echo)?;
        }
        row("SHA-256 on one core, entries", limits.sha256)?;
        if let Some(echo) = limits.echo_p50_us {
            write!(f, "\n{:<44}{:>11.3} ms", "gRPC echo, p50", echo / 1_000.0)?;
        }
        write!(f, "\none fdatasync of 4 KiB: {}", limits.fdatasync)
    }
}
