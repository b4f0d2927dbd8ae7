//! Findings reach people: alerts are read out of the logs and brought to where somebody looks.
//!
//! ```text
//! alert record -AlertLog::read-> RecordedAlert -Notice::of-> Notice -Outlet::send-> receiver
//!                                                                               -> Cursor moves
//! ```
//!
//! One task for each sink and log. An alert is delivered once readers may see its record, at least once, in
//! order for each log, and with nothing of the events but what the record shows. A receiver that hangs delays
//! nobody but itself.
//!
//! # In scope
//!
//! - What each kind of receiver is sent: pure functions of a [`Notice`], one file each.
//! - Tries, pauses, and what is kept of how far a sink is.
//!
//! # Out of scope
//!
//! - When an alert is recorded: [`crate::core::policy::Watching`].
//! - Files of secrets and of certificates, and the configuration: whoever makes the sinks.

mod aside;
mod cursor;
mod failure;
mod http;
mod lane;
pub mod mail;
mod meter;
mod notice;
mod outlet;
pub mod pagerduty;
mod pause;
pub mod slack;
mod stream;
pub mod syslog;
mod text;
pub mod webhook;

use core::time::Duration;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{
    cursor::Cursor,
    lane::{Channel, Lane},
};
pub use self::{
    cursor::CursorError,
    failure::Failure,
    meter::AlertMeter,
    notice::{Kind, Notice},
    outlet::{Encryption, HostPort, MailRoute, Outlet, OutletError},
};
use crate::{
    core::{
        number::{LeafIndex, TreeSize},
        origin::Origin,
    },
    pipeline::{AlertLog, Entropy, Pipeline},
};

/// How often it is looked for logs that were created while the server runs. An alert of such a log waits no
/// longer than that for its first look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Somebody who is told of alerts.
#[derive(Debug)]
pub struct Sink {
    /// Its name, by which policies send alerts to it.
    pub name: String,
    /// The one log that it is told of; without one it is told of all.
    pub log: Option<Origin>,
    /// Where it is.
    pub outlet: Outlet,
    /// How long a message may take.
    pub patience: Duration,
}

/// Why alerts can't be delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// A sink is to be told of a log that is not there.
    #[error("alerts.{sink}: this server has no audit log {origin}")]
    UnknownLog {
        /// The sink.
        sink: String,
        /// The log.
        origin: Origin,
    },
    /// What was kept of a sink can't be used.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

/// What the tasks share.
struct Shared {
    pipeline: Pipeline,
    dir: PathBuf,
    channels: Vec<Arc<Channel>>,
    meter: AlertMeter,
    entropy: Arc<dyn Entropy>,
}

/// Brings the alerts of all logs to all sinks.
pub struct Deliveries {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    known: BTreeSet<u32>,
}

impl Sink {
    fn is_told_of(&self, origin: &Origin) -> bool {
        self.log.as_ref().is_none_or(|log| log == origin)
    }
}

impl Shared {
    /// Draws a number for a pause.
    fn draw(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// Returns whether a sink is told when a rule of a log fires: everybody is, where the rule names nobody
    /// who is configured. A name that is misspelt must not be a way to hear nothing.
    fn is_for(&self, sink: &Sink, log: &AlertLog, rule: &str) -> bool {
        let recipients = log.recipients(rule);
        let is_named = |sink: &Sink| recipients.contains(&sink.name);
        let mut told = self.channels.iter().map(|channel| &channel.sink);
        if told.any(|sink| sink.is_told_of(log.origin()) && is_named(sink)) {
            return is_named(sink);
        }
        if !recipients.is_empty() {
            let (origin, sink, named) = (log.origin().as_str(), &sink.name, recipients.join(", "));
            tracing::warn!(
                origin,
                rule,
                named,
                sink,
                "an alert names no sink that is configured, so all are told"
            );
        }
        true
    }

    /// Makes the lanes of a log; `begin` is where a sink begins that has no place in it yet.
    fn lanes(
        self: &Arc<Self>,
        log: &AlertLog,
        begin: Option<LeafIndex>,
    ) -> Result<Vec<Lane>, CursorError> {
        let told = self.channels.iter().filter(|channel| channel.sink.is_told_of(log.origin()));
        let lane = |channel: &Arc<Channel>| {
            let (name, number, origin) = (&channel.sink.name, log.number(), log.origin());
            let mut cursor = Cursor::open(&self.dir, name, number, origin)?;
            if let (None, Some(begin)) = (&cursor, begin) {
                tracing::info!(origin = origin.as_str(), sink = name, "a sink begins");
                cursor = Some(Cursor::create(&self.dir, name, number, origin, begin)?);
            }
            Ok(Lane::new(Arc::clone(self), Arc::clone(channel), log.clone(), cursor))
        };
        told.map(lane).collect()
    }
}

impl Deliveries {
    /// Takes up where every sink is. A sink that is new begins with what comes after this, durably.
    ///
    /// What is kept of sinks is in `dir`, which has to be there. Blocks on the disk.
    pub fn open(
        pipeline: Pipeline,
        sinks: Vec<Sink>,
        dir: PathBuf,
        meter: AlertMeter,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, DeliveryError> {
        let logs = pipeline.alert_logs();
        for sink in &sinks {
            let Some(origin) = &sink.log else { continue };
            if !logs.iter().any(|log| log.origin() == origin) {
                let (sink, origin) = (sink.name.clone(), origin.clone());
                return Err(DeliveryError::UnknownLog { sink, origin });
            }
        }
        let channels = sinks.into_iter().map(Channel::new).map(Arc::new).collect();
        let shared = Arc::new(Shared { pipeline, dir, channels, meter, entropy });
        let mut lanes = Vec::new();
        for log in &logs {
            lanes.extend(shared.lanes(log, log.size().map(TreeSize::next_index))?);
        }
        let known = logs.iter().map(|log| log.number().0).collect();
        Ok(Self { shared, lanes, known })
    }

    /// Runs for ever; dropping the future ends everything that it began.
    pub async fn run(self) {
        let Self { shared, lanes, mut known } = self;
        let mut tasks = JoinSet::new();
        lanes.into_iter().for_each(|lane| drop(tasks.spawn(lane.run())));
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // A log that is halted is read to its end, and its lanes end there.
                Some(_ended) = tasks.join_next(), if !tasks.is_empty() => continue,
            }
            for log in shared.pipeline.alert_logs() {
                if known.contains(&log.number().0) {
                    continue;
                }
                // It was created while its sinks were there: they are told of it from its beginning. A crash
                // before this leaves the log to the next start, which begins with what comes then.
                match shared.lanes(&log, Some(LeafIndex::default())) {
                    Ok(lanes) => {
                        known.insert(log.number().0);
                        lanes.into_iter().for_each(|lane| drop(tasks.spawn(lane.run())));
                    }
                    Err(error) => {
                        let origin = log.origin().as_str();
                        tracing::error!(origin, error = %error, "alerts of a new log can't be delivered");
                    }
                }
            }
        }
    }
}
