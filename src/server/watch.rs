//! Looks after the process: free space, halted logs, and with them whether it is ready.

use core::time::Duration;
use std::path::{Path, PathBuf};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    pipeline::{LogStatus, Pipeline, Refusal},
    service::{Desk, NotReady, Ready},
    store,
};

/// How often it looks. At a gigabyte a second, faster than any disk this runs on, a second costs a
/// gibibyte: the default floor.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks once a second, for ever.
pub(super) async fn run(desk: Desk, data: PathBuf) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fatal = desk.pipeline.fatal();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // The sender lives as long as the write path; without it there is nothing to look after.
            changed = fatal.changed() => if changed.is_err() { return },
        }
        look(&desk.pipeline, &desk.ready, &data);
    }
}

/// Looks once.
pub(super) fn look(pipeline: &Pipeline, ready: &Ready, data: &Path) {
    match store::free_space(data) {
        Ok(bytes) => pipeline.report_free_space(bytes),
        Err(error) => tracing::warn!(error = %error, "the free space could not be read"),
    }
    if ready.reason() == Some(NotReady::ShuttingDown) {
        return;
    }
    let default = match pipeline.log("") {
        Ok(log) => log.status(),
        Err(Refusal::Unshown) => LogStatus::Waiting,
        Err(_) => LogStatus::Halted,
    };
    ready.set(if *pipeline.fatal().borrow() {
        Some(NotReady::Fatal)
    } else if pipeline.is_short_of_space() {
        Some(NotReady::NoSpace)
    } else if default == LogStatus::Halted {
        Some(NotReady::Halted)
    } else if matches!(default, LogStatus::Waiting | LogStatus::ClockDoubted) {
        Some(NotReady::Waiting)
    } else {
        None
    });
}
