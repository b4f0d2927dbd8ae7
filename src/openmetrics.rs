//! What both daemons do with their counters: they count open connections, and answer in the OpenMetrics
//! text format.

use prometheus_client::{encoding::text, metrics::gauge::Gauge, registry::Registry};

/// The media type of the format.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The number of open connections.
#[derive(Clone, Debug, Default)]
pub struct Connections(Gauge);

/// One open connection; dropped when it ends.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Connections {
    /// Puts the number into a registry, under a name.
    pub fn register(&self, registry: &mut Registry, name: &str) {
        registry.register(name, "Open connections", self.0.clone());
    }

    /// Counts a connection until the returned guard is dropped.
    pub fn open(&self) -> Connected {
        self.0.inc();
        Connected(self.0.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Returns a count as a gauge has it. Gauges are signed; nothing that is counted comes near 2^63.
pub fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns everything in a registry as text.
pub fn encode(registry: &Registry) -> String {
    let mut encoded = String::new();
    text::encode(&mut encoded, registry).expect("writing to a string does not fail");
    encoded
}
