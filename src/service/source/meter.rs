//! What is counted of each source.

use core::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The label of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

/// The labels of items.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfItems {
    source: String,
    result: &'static str,
}

/// The labels of a request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    source: String,
    reason: &'static str,
}

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It came.
    Received,
    /// It was recorded in the clear.
    Admitted,
    /// It was recorded as a commitment.
    Quarantined,
    /// It was in the log before.
    Duplicate,
    /// It was counted, as the policy's rule wants.
    Suppressed,
    /// It was recorded, though its key was another's; counted besides what else it is.
    Conflict,
    /// It was not taken, and its sender was told so.
    Refused,
}

impl Became {
    /// Everything that can become of an item.
    const ALL: [Self; 7] = [
        Self::Received,
        Self::Admitted,
        Self::Quarantined,
        Self::Duplicate,
        Self::Suppressed,
        Self::Conflict,
        Self::Refused,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Admitted => "admitted",
            Self::Quarantined => "quarantined",
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
        }
    }
}

/// The counters of all sources. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SourceMeters {
    items: Family<OfItems, Counter>,
    refused: Family<OfRefusal, Counter>,
    lag: Family<OfSource, Gauge<f64, AtomicU64>>,
}

impl SourceMeters {
    /// Puts the counters into a registry.
    pub(in crate::service) fn register(&self, registry: &mut Registry) {
        registry.register(
            "attestree_source_items",
            "Items of foreign protocols, by what became of them",
            self.items.clone(),
        );
        registry.register(
            "attestree_source_requests_refused",
            "Requests of foreign protocols that were refused, by reason; without a source those of strangers",
            self.refused.clone(),
        );
        registry.register_with_unit(
            "attestree_source_lag",
            "From when the newest item of the last request occurred, or came, to when it was in the log",
            Unit::Seconds,
            self.lag.clone(),
        );
    }

    /// Returns the counters of a source.
    pub(super) fn of(&self, source: &str) -> SourceMeter {
        SourceMeter { meters: self.clone(), source: source.to_owned() }
    }
}

/// The counters of one source.
#[derive(Clone, Debug)]
pub struct SourceMeter {
    meters: SourceMeters,
    source: String,
}

impl SourceMeter {
    /// Shows that nothing has come yet, so that a source that is configured and silent is seen.
    pub(super) fn show(&self) {
        for became in Became::ALL {
            self.count(became, 0);
        }
    }

    /// Counts items.
    pub fn count(&self, became: Became, items: usize) {
        let label = OfItems { source: self.source.clone(), result: became.as_str() };
        let items = u64::try_from(items).expect("a length fits 64 bits");
        self.meters.items.get_or_create(&label).inc_by(items);
    }

    /// Counts a request that was refused. The reasons are a closed list.
    pub fn refuse(&self, reason: &'static str) {
        let label = OfRefusal { source: self.source.clone(), reason };
        self.meters.refused.get_or_create(&label).inc();
    }

    /// Sets how far the source lags behind.
    pub(super) fn lag(&self, lag: Duration) {
        let label = OfSource { source: self.source.clone() };
        self.meters.lag.get_or_create(&label).set(lag.as_secs_f64());
    }
}
