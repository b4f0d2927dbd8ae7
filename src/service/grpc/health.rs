//! The gRPC health service, kept in step with what the server is ready for.

use tonic_health::{ServingStatus, server::HealthReporter};

use crate::service::{NotReady, Ready};

/// The services whose health is told: the server as a whole, and the log.
const SERVICES: [&str; 2] = ["", "attestree.v1.LogService"];

/// Reports each change of readiness, until the server stops.
pub async fn report(ready: Ready, reporter: HealthReporter) {
    let mut changes = ready.watch();
    loop {
        let status = match *changes.borrow_and_update() {
            None => ServingStatus::Serving,
            Some(_) => ServingStatus::NotServing,
        };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
        // Both are the end: the process stops.
        if matches!(ready.reason(), Some(NotReady::ShuttingDown | NotReady::Fatal)) {
            return;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
