//! What a running server counts, in the OpenMetrics text format.
//!
//! The write path counts for itself ([`Meter`]); this adds what only the services see, and reads
//! the gauges when somebody asks.

use core::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{grpc::Denial, source::SourceMeters};
use crate::{
    openmetrics::{self, Connected, Connections, gauge},
    pipeline::{LogStatus, Meter, Pipeline, WitnessMeter},
};

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
    connections: Connections,
    candidate_size: Family<OfLog, Gauge>,
    cosigned_size: Family<OfLog, Gauge>,
    quorum_age: Family<OfLog, Gauge>,
    waiting: Family<OfLog, Gauge>,
    halted: Family<OfLog, Gauge>,
    watermark_age: Gauge<f64, AtomicU64>,
    sources: SourceMeters,
}

impl Metrics {
    /// Makes the registry, with the counters of the write path and of the witnesses in it.
    pub fn new(meter: &Meter, witnesses: &WitnessMeter) -> Self {
        let mut registry = Registry::default();
        meter.register(&mut registry);
        witnesses.register(&mut registry);
        let mut metrics = Self {
            registry,
            refused: Family::default(),
            inclusion_proofs: Counter::default(),
            consistency_proofs: Counter::default(),
            tree_size: Family::default(),
            pool_entries: Gauge::default(),
            pool_bytes: Gauge::default(),
            connections: Connections::default(),
            candidate_size: Family::default(),
            cosigned_size: Family::default(),
            quorum_age: Family::default(),
            waiting: Family::default(),
            halted: Family::default(),
            watermark_age: Gauge::default(),
            sources: SourceMeters::default(),
        };
        metrics.register();
        metrics
    }

    /// Adds what is counted elsewhere.
    #[must_use]
    pub fn with(mut self, register: impl FnOnce(&mut Registry)) -> Self {
        register(&mut self.registry);
        self
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
        self.connections.register(registry, "attestree_connections");
        registry.register(
            "attestree_candidate_size",
            "Entries of the newest head that the witnesses are shown",
            self.candidate_size.clone(),
        );
        registry.register(
            "attestree_cosigned_size",
            "Entries of the newest head that the quorum has cosigned",
            self.cosigned_size.clone(),
        );
        registry.register_with_unit(
            "attestree_quorum_age",
            "Since the quorum was last met or refreshed",
            Unit::Seconds,
            self.quorum_age.clone(),
        );
        registry.register(
            "attestree_log_waiting",
            "1 while the log takes no entries because of its witnesses, else 0",
            self.waiting.clone(),
        );
        registry.register(
            "attestree_log_halted",
            "1 if the log halted because a check failed, else 0",
            self.halted.clone(),
        );
        registry.register_with_unit(
            "attestree_watermark_age",
            "Time since the watermark was last made durable; half a second while all is well",
            Unit::Seconds,
            self.watermark_age.clone(),
        );
        self.sources.register(registry);
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

    /// Returns the counters of sources.
    pub fn sources(&self) -> &SourceMeters {
        &self.sources
    }

    /// Counts a connection until the returned guard is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.open()
    }

    /// Returns all metrics as text.
    pub(super) fn encode(&self, pipeline: &Pipeline) -> String {
        for log in pipeline.logs() {
            let label = OfLog { origin: log.origin().to_owned() };
            self.tree_size.get_or_create(&label).set(gauge(log.published().head().size.get()));
            let status = log.status();
            self.halted.get_or_create(&label).set((status == LogStatus::Halted).into());
            let Some(witnessed) = log.witnessed() else { continue };
            self.waiting.get_or_create(&label).set((status == LogStatus::Waiting).into());
            let candidates = witnessed.candidates();
            if let Some(newest) = candidates.newest() {
                let size = newest.checkpoint().head().size.get();
                self.candidate_size.get_or_create(&label).set(gauge(size));
            }
            if let Some(cosigned) = candidates.cosigned() {
                self.cosigned_size.get_or_create(&label).set(gauge(cosigned.head().size.get()));
                let age = pipeline.clock().now().0.saturating_sub(candidates.cosigned_at().0);
                self.quorum_age.get_or_create(&label).set(gauge(age / 1_000));
            }
        }
        for row in pipeline.halted_logs() {
            self.halted.get_or_create(&OfLog { origin: row.origin.to_string() }).set(1);
        }
        let (entries, bytes) = pipeline.waiting();
        self.pool_entries.set(gauge(entries));
        self.pool_bytes.set(gauge(bytes));
        self.watermark_age.set(pipeline.watermark_age().as_secs_f64());
        openmetrics::encode(&self.registry)
    }
}
