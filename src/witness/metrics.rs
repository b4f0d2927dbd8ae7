//! What the witness counts, in the OpenMetrics text format.

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

use super::book::Book;
use crate::{
    core::origin::Origin,
    openmetrics::{self, Connected, Connections, gauge},
};

/// The label of what is counted for each log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLog {
    origin: String,
}

/// The label of answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: u16,
}

/// The counters and their registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<OfStatus, Counter>,
    cosigned_size: Family<OfLog, Gauge>,
    cosigned_time: Family<OfLog, Gauge>,
    frozen: Family<OfLog, Gauge>,
    poll_failures: Family<OfLog, Counter>,
    delivery_failures: Family<OfLog, Counter>,
    records: Counter,
    sync: Histogram,
    journal: Gauge,
    connections: Connections,
}

/// Upper bounds of the sync's histogram: from 50 microseconds, twelve times doubled, to 0.2 seconds.
fn sync_buckets() -> impl Iterator<Item = f64> {
    exponential_buckets(50e-6, 2.0, 13)
}

impl Metrics {
    /// Makes the registry.
    pub(super) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            cosigned_size: Family::default(),
            cosigned_time: Family::default(),
            frozen: Family::default(),
            poll_failures: Family::default(),
            delivery_failures: Family::default(),
            records: Counter::default(),
            sync: Histogram::new(sync_buckets()),
            journal: Gauge::default(),
            connections: Connections::default(),
        };
        metrics.register();
        metrics
    }

    /// Puts everything into the registry.
    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register(
            "attestree_witness_requests",
            "Answers to add-checkpoint, by status",
            self.requests.clone(),
        );
        registry.register(
            "attestree_witness_cosigned_size",
            "Size of the newest tree that was cosigned",
            self.cosigned_size.clone(),
        );
        registry.register_with_unit(
            "attestree_witness_cosigned_time",
            "Time of the newest cosignature, since 1970",
            Unit::Seconds,
            self.cosigned_time.clone(),
        );
        registry.register(
            "attestree_witness_frozen",
            "Whether the witness has stopped cosigning for the log by itself",
            self.frozen.clone(),
        );
        registry.register(
            "attestree_witness_poll_failures",
            "Times that a log could not be read, or did not answer with what it has signed",
            self.poll_failures.clone(),
        );
        registry.register(
            "attestree_witness_delivery_failures",
            "Cosignatures that a log did not take",
            self.delivery_failures.clone(),
        );
        registry.register(
            "attestree_witness_journal_records",
            "Records written to the journal",
            self.records.clone(),
        );
        registry.register_with_unit(
            "attestree_witness_journal_sync",
            "Time of one write and sync of the journal; its count is the number of syncs",
            Unit::Seconds,
            self.sync.clone(),
        );
        registry.register_with_unit(
            "attestree_witness_journal",
            "Length of the journal",
            Unit::Bytes,
            self.journal.clone(),
        );
        self.connections.register(registry, "attestree_witness_connections");
    }

    /// Counts an answer to `add-checkpoint`.
    pub(super) fn answered(&self, status: u16) {
        self.requests.get_or_create(&OfStatus { status }).inc();
    }

    /// Counts a log that could not be read.
    pub(super) fn poll_failed(&self, origin: &Origin) {
        self.poll_failures.get_or_create(&of(origin)).inc();
    }

    /// Counts a cosignature that a log did not take.
    pub(super) fn delivery_failed(&self, origin: &Origin) {
        self.delivery_failures.get_or_create(&of(origin)).inc();
    }

    /// Counts one write of the journal.
    pub(super) fn wrote(&self, records: usize, elapsed: Duration, length: u64) {
        self.records.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
        self.sync.observe(elapsed.as_secs_f64());
        self.journal_bytes(length);
    }

    /// Sets the length of the journal.
    pub(super) fn journal_bytes(&self, length: u64) {
        self.journal.set(gauge(length));
    }

    /// Counts a connection until the returned guard is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.open()
    }

    /// Returns all metrics as text.
    pub(super) fn encode(&self, book: &Book) -> String {
        for log in book.logs() {
            let (state, label) = (log.state(), of(log.origin()));
            self.frozen.get_or_create(&label).set(i64::from(state.frozen.is_some()));
            if let Some(latest) = &state.latest {
                let size = gauge(latest.head().size.get());
                self.cosigned_size.get_or_create(&label).set(size);
                self.cosigned_time.get_or_create(&label).set(gauge(latest.time().get()));
            }
        }
        openmetrics::encode(&self.registry)
    }
}

fn of(origin: &Origin) -> OfLog {
    OfLog { origin: origin.to_string() }
}
