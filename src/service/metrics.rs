//! What a running server counts, in the OpenMetrics text format.
//!
//! The write path counts for itself ([`Meter`]); this adds what only the services see, and reads
//! the gauges when somebody asks.

use core::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::grpc::Denial;
use crate::pipeline::{Meter, Pipeline};

/// The label of what is counted for each log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLog {
    origin: String,
}

/// The label of a refusal. The reasons are a closed list, so that clients can't make new series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// The counters of the services, and the registry of all.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    refused: Family<OfReason, Counter>,
    inclusion_proofs: Counter,
    consistency_proofs: Counter,
    tree_size: Family<OfLog, Gauge>,
    pool_entries: Gauge,
    pool_bytes: Gauge,
    connections: Gauge,
    watermark_age: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Makes the registry, with the write path's counters in it.
    pub fn new(meter: &Meter) -> Self {
        let mut registry = Registry::default();
        meter.register(&mut registry);
        let mut metrics = Self {
            registry,
            refused: Family::default(),
            inclusion_proofs: Counter::default(),
            consistency_proofs: Counter::default(),
            tree_size: Family::default(),
            pool_entries: Gauge::default(),
            pool_bytes: Gauge::default(),
            connections: Gauge::default(),
            watermark_age: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    /// Puts the services' own counters into the registry.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "attestree_refused",
            "Submissions refused, by reason",
            self.refused.clone(),
        );
        registry.register(
            "attestree_inclusion_proofs",
            "Entries proved to be included",
            self.inclusion_proofs.clone(),
        );
        registry.register(
            "attestree_consistency_proofs",
            "Consistency proofs made",
            self.consistency_proofs.clone(),
        );
        registry.register(
            "attestree_tree_size",
            "Entries that the newest checkpoint covers",
            self.tree_size.clone(),
        );
        registry.register(
            "attestree_pool_entries",
            "Entries admitted and not yet answered",
            self.pool_entries.clone(),
        );
        registry.register_with_unit(
            "attestree_pool",
            "Bytes of entries admitted and not yet answered",
            Unit::Bytes,
            self.pool_bytes.clone(),
        );
        registry.register("attestree_connections", "Open connections", self.connections.clone());
        registry.register_with_unit(
            "attestree_watermark_age",
            "Time since the watermark was last made durable; half a second while all is well",
            Unit::Seconds,
            self.watermark_age.clone(),
        );
    }

    /// Counts a refusal and passes it on.
    pub(super) fn denied(&self, denial: Denial) -> Denial {
        self.refused.get_or_create(&OfReason { reason: denial.reason() }).inc();
        denial
    }

    /// Counts entries that were proved to be included.
    pub(super) fn proved_inclusion(&self, entries: u64) {
        self.inclusion_proofs.inc_by(entries);
    }

    /// Counts a consistency proof.
    pub(super) fn proved_consistency(&self) {
        self.consistency_proofs.inc();
    }

    /// Counts a connection until the returned guard is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected { connections: self.connections.clone() }
    }

    /// Returns all metrics as text.
    pub(super) fn encode(&self, pipeline: &Pipeline) -> String {
        // Gauges are signed; no count of this server comes near 2^63.
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for log in pipeline.logs() {
            let label = OfLog { origin: log.origin().to_owned() };
            self.tree_size.get_or_create(&label).set(gauge(log.published().head().size.get()));
        }
        let (entries, bytes) = pipeline.waiting();
        self.pool_entries.set(gauge(entries));
        self.pool_bytes.set(gauge(bytes));
        self.watermark_age.set(pipeline.watermark_age().as_secs_f64());
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry).expect("writing to a string does not fail");
        encoded
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Connected {
    connections: Gauge,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.connections.dec();
    }
}
