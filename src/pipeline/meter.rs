//! What the write path counts and times, as Prometheus metrics.

use core::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The labels of what is counted for each witness of a log. Both are named in the trust file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWitness {
    origin: String,
    witness: String,
}

/// What is counted about the witnesses of the logs. Clones share it.
#[derive(Clone, Debug)]
pub struct WitnessMeter {
    latency: Family<OfWitness, Histogram, fn() -> Histogram>,
    failures: Family<OfWitness, Counter>,
    size: Family<OfWitness, Gauge>,
}

impl Default for WitnessMeter {
    fn default() -> Self {
        // 1 ms to 16 s: the same rack on one end, the longest deadline on the other.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        Self {
            latency: Family::new_with_constructor(histogram),
            failures: Family::default(),
            size: Family::default(),
        }
    }
}

impl WitnessMeter {
    /// Shows the counters to Prometheus.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "attestree_witness_latency",
            "From asking a witness to its answer",
            Unit::Seconds,
            self.latency.clone(),
        );
        registry.register(
            "attestree_witness_failures",
            "Times that a witness gave no valid cosignature when it was asked",
            self.failures.clone(),
        );
        registry.register(
            "attestree_witness_size",
            "Entries of the newest head that a witness has cosigned",
            self.size.clone(),
        );
    }

    /// Counts an answer.
    pub fn answered(&self, origin: &str, witness: &str, took: Duration) {
        self.latency.get_or_create(&label(origin, witness)).observe(took.as_secs_f64());
    }

    /// Counts a failure.
    pub fn failed(&self, origin: &str, witness: &str) {
        self.failures.get_or_create(&label(origin, witness)).inc();
    }

    /// Takes note of the newest size that a witness has cosigned.
    pub fn cosigned(&self, origin: &str, witness: &str, size: u64) {
        // No tree of 2^63 entries exists.
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.size.get_or_create(&label(origin, witness)).set(size);
    }
}

fn label(origin: &str, witness: &str) -> OfWitness {
    OfWitness { origin: origin.to_owned(), witness: witness.to_owned() }
}

/// The counters of the write path. Clones share them.
#[derive(Clone, Debug)]
pub struct Meter {
    entries: Counter,
    commits: Counter,
    commit_entries: Histogram,
    sequence_seconds: Histogram,
    commit_seconds: Histogram,
    publish_seconds: Histogram,
}

impl Default for Meter {
    fn default() -> Self {
        // 25 microseconds to 0.8 s: a hash on one end, a stalled disk on the other.
        let seconds = || Histogram::new(exponential_buckets(0.000_025, 2.0, 16));
        Self {
            entries: Counter::default(),
            commits: Counter::default(),
            // 1 to 4,096, the limit of a commit.
            commit_entries: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            sequence_seconds: seconds(),
            commit_seconds: seconds(),
            publish_seconds: seconds(),
        }
    }
}

impl Meter {
    /// Shows the counters to Prometheus.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "attestree_entries",
            "Entries committed and published",
            self.entries.clone(),
        );
        registry.register("attestree_commits", "Synced writes", self.commits.clone());
        registry.register(
            "attestree_commit_entries",
            "Entries of one synced write",
            self.commit_entries.clone(),
        );
        let mut seconds = |name, help, histogram: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        seconds(
            "attestree_sequence",
            "Cutting, integrating and encoding a batch",
            &self.sequence_seconds,
        );
        seconds("attestree_commit", "The synced write of a batch", &self.commit_seconds);
        seconds(
            "attestree_publish",
            "Second root, watermark, signature and answers",
            &self.publish_seconds,
        );
    }

    /// Counts a batch that was handed to the committer.
    pub(super) fn sequenced(&self, took: Duration) {
        self.sequence_seconds.observe(took.as_secs_f64());
    }

    /// Counts a batch that was published.
    pub(super) fn committed(&self, entries: usize, commit: Duration, publish: Duration) {
        self.entries.inc_by(entries as u64);
        self.commits.inc();
        self.commit_entries.observe(entries as f64);
        self.commit_seconds.observe(commit.as_secs_f64());
        self.publish_seconds.observe(publish.as_secs_f64());
    }
}
