//! What is counted about the delivery of alerts, as Prometheus metrics.

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

use crate::{core::number::UnixMillis, openmetrics::gauge};

/// The label of what is counted for each sink. Sinks are named in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSink {
    sink: String,
}

/// The labels of what is counted for each log of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLog {
    sink: String,
    origin: String,
}

/// The labels of a failure. The reasons are a closed list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    sink: String,
    reason: &'static str,
}

/// The counters of the delivery. Clones share them.
#[derive(Clone, Debug)]
pub struct AlertMeter {
    delivered: Family<OfSink, Counter>,
    failed: Family<OfReason, Counter>,
    undelivered: Family<OfSink, Counter>,
    waiting: Family<OfLog, Gauge>,
    last_success: Family<OfSink, Gauge>,
    delay: Family<OfSink, Histogram, fn() -> Histogram>,
}

impl Default for AlertMeter {
    fn default() -> Self {
        // 1 ms to 9 hours: the same rack on one end, a receiver that is down over night on the other.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 4.0, 13));
        Self {
            delivered: Family::default(),
            failed: Family::default(),
            undelivered: Family::default(),
            waiting: Family::default(),
            last_success: Family::default(),
            delay: Family::new_with_constructor(histogram),
        }
    }
}

impl AlertMeter {
    /// Shows the counters to Prometheus.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "attestree_alert_delivered",
            "Alerts that a sink has taken",
            self.delivered.clone(),
        );
        registry.register(
            "attestree_alert_failed",
            "Times that a sink has not taken an alert, by reason",
            self.failed.clone(),
        );
        registry.register(
            "attestree_alert_undelivered",
            "Alerts that were set aside because a sink will never take them",
            self.undelivered.clone(),
        );
        registry.register(
            "attestree_alert_waiting",
            "Alerts of a log that are known to wait for a sink",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "attestree_alert_last_success_timestamp",
            "When a sink last took an alert, since 1970",
            Unit::Seconds,
            self.last_success.clone(),
        );
        registry.register_with_unit(
            "attestree_alert_delay",
            "From the record of an alert to its delivery",
            Unit::Seconds,
            self.delay.clone(),
        );
    }

    /// Shows a sink that has not delivered anything.
    pub(super) fn begin(&self, sink: &str, origin: &str) {
        let label = of(sink);
        self.delivered.get_or_create(&label).inc_by(0);
        self.undelivered.get_or_create(&label).inc_by(0);
        self.waiting(sink, origin, 0);
    }

    /// Counts an alert that was recorded and then taken.
    pub(super) fn delivered(&self, sink: &str, recorded: UnixMillis, now: UnixMillis) {
        let delay = Duration::from_millis(now.0.saturating_sub(recorded.0));
        self.delivered.get_or_create(&of(sink)).inc();
        self.last_success.get_or_create(&of(sink)).set(gauge(now.0 / 1_000));
        self.delay.get_or_create(&of(sink)).observe(delay.as_secs_f64());
    }

    /// Counts an alert that was not taken.
    pub(super) fn failed(&self, sink: &str, reason: &'static str) {
        self.failed.get_or_create(&OfReason { sink: sink.to_owned(), reason }).inc();
    }

    /// Counts an alert that was set aside.
    pub(super) fn set_aside(&self, sink: &str) {
        self.undelivered.get_or_create(&of(sink)).inc();
    }

    /// Takes note of how many alerts wait.
    pub(super) fn waiting(&self, sink: &str, origin: &str, alerts: u64) {
        let label = OfLog { sink: sink.to_owned(), origin: origin.to_owned() };
        self.waiting.get_or_create(&label).set(gauge(alerts));
    }
}

fn of(sink: &str) -> OfSink {
    OfSink { sink: sink.to_owned() }
}
