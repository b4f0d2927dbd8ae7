//! What the write path counts and times, as Prometheus metrics.

use core::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

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
