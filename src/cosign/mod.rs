//! The witnesses of the logs of a server: heard before the first signature, and asked after each candidate.
//!
//! One task a log. It begins with the rollback guard ([`crate::pipeline::Examination`]); then, at most
//! once an interval, it takes the newest signed head as a candidate and asks every witness at once to
//! cosign it. Each address is asked for itself: it has its own place to prove from, its own deadline and
//! its own pauses after failures, and at most one request is under way to it, so that one which is slow
//! or dead delays neither the others nor the log.
//!
//! What a witness answers counts only after it was verified: cosignatures under its key, checkpoints
//! that it remembers under the log's.
//!
//! # In scope
//!
//! - [`Endpoint`]: an address and the witnesses behind it.
//! - What is kept of candidates and cosigned heads, and when it is written.
//!
//! # Out of scope
//!
//! - Which candidates there are and what they have got: [`crate::pipeline::Candidates`].
//! - Witnesses that come by themselves: they call `AddCosignature`.

mod ask;
mod endpoint;
mod guard;
mod inspect;
mod keep;
mod log;
mod round;

use core::time::Duration;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

pub use self::endpoint::{Endpoint, endpoints};
use crate::{
    pipeline::{Pipeline, WitnessMeter},
    store::KeptNote,
};

/// How the witnesses are asked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The least time between two candidates of a log.
    pub interval: Duration,
    /// Directory for evidence against the log's own key, made when there is some.
    pub evidence: PathBuf,
}

/// What the tasks of all logs share.
struct Shared {
    pipeline: Pipeline,
    config: Config,
    endpoints: Vec<Endpoint>,
    meter: WitnessMeter,
    kept: mpsc::Sender<KeptNote>,
    seed: [u8; 32],
}

/// Asks the witnesses of all logs.
pub struct Cosigners {
    shared: Arc<Shared>,
    keeping: mpsc::Receiver<KeptNote>,
}

/// How often it is looked for logs that were created while the server runs: by hand, so that a second
/// is soon.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Most notes that wait to be written. Each log has two or three an interval, and what does not fit is
/// written the next time.
const KEPT_WAITING_MAX: usize = 1_024;

impl Cosigners {
    /// Takes what is needed of a server. `seed` is drawn for the pauses after failures.
    pub fn new(
        pipeline: Pipeline,
        config: Config,
        endpoints: Vec<Endpoint>,
        meter: WitnessMeter,
        seed: [u8; 32],
    ) -> Self {
        let (kept, keeping) = mpsc::channel(KEPT_WAITING_MAX);
        let shared = Shared { pipeline, config, endpoints, meter, kept, seed };
        Self { shared: Arc::new(shared), keeping }
    }

    /// Runs for ever; dropping the future ends everything that it began.
    pub async fn run(self) {
        let Self { shared, keeping } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(keep::run(shared.pipeline.store().clone(), keeping));
        let mut known = BTreeSet::new();
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for log in shared.pipeline.logs() {
                if log.witnessed().is_some() && known.insert(log.number()) {
                    tasks.spawn(log::run(Arc::clone(&shared), log));
                }
            }
        }
    }
}
