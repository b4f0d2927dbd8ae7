//! The signals that end a daemon in order, and the one that makes it read secrets again.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, which no longer end the process by themselves.
///
/// To be made before a daemon says that it runs: whoever waits for that may end it at once.
#[derive(Debug)]
pub(super) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP, which no longer ends the process by itself.
#[derive(Debug)]
pub(super) struct Hangup(Signal);

impl Hangup {
    /// Begins to listen. Has to be called on a runtime.
    pub(super) fn listen() -> anyhow::Result<Self> {
        signal(SignalKind::hangup()).map(Self).context("listen for SIGHUP")
    }

    /// Waits for the next one.
    pub(super) async fn come(&mut self) {
        let _none_without_a_runtime = self.0.recv().await;
    }
}

impl Ending {
    /// Begins to listen. Has to be called on a runtime.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
        })
    }

    /// Waits for the first of them.
    pub(super) async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: it stops"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: it stops"),
        }
    }
}
