//! The witness: it cosigns what extends what it has cosigned, and never forgets.
//!
//! A daemon around the pure rules of [`crate::core::witness`], for any log of C2SP: it reads the logs that
//! have an address, takes checkpoints from those that push, and keeps what it has cosigned in a
//! [`journal`] before anyone sees the cosignature.
//!
//! # In scope
//!
//! - [`journal`]: what must survive; [`book`]: the logs in memory; the keeper: the one writer.
//! - [`http`]: `add-checkpoint`, the monitoring address, metrics and health.
//! - [`poll`]: reading logs, and delivering cosignatures to them.
//! - [`alarm`]: evidence, and who is told of it.
//!
//! # Out of scope
//!
//! - What is accepted: [`crate::core::witness`]. Sockets, configuration and time: `crate::server`.

pub mod alarm;
pub mod book;
pub mod http;
pub mod journal;
mod keeper;
mod limit;
mod metrics;
mod operator;
pub mod poll;

use core::{net::IpAddr, time::Duration};
use std::{io, path::PathBuf, sync::Arc, thread};

use tokio::sync::watch;

use self::{
    alarm::{Alarm, Alarms},
    book::{Book, BookError, Log, LogConfig},
    journal::{Journal, Record},
    keeper::{Keeper, NotKept},
    limit::Addresses,
};
pub use self::{
    limit::Rate,
    metrics::Metrics,
    operator::{LogStatus, OperatorError, Order, Status, give_orders},
};
use crate::core::{
    checkpoint::SignedCheckpoint,
    evidence::Evidence,
    note::{CosigningKey, NoteSignature},
    number::UnixMillis,
    tree::TreeHead,
    witness::{AddCheckpoint, AddCheckpointError, Refusal, contradicts, cosigned_beyond, judge},
};

/// How often a request is judged again because another one of its log was faster. Each time the log
/// has moved on, so the second answer is nearly always a conflict.
const TRIES_MAX: u32 = 4;

/// Where the witness takes its time from.
pub trait Clock: Send + Sync + core::fmt::Debug {
    /// Returns the time of day.
    fn now(&self) -> UnixMillis;
    /// Returns the time since some fixed moment.
    fn monotonic(&self) -> Duration;
}

/// What the witness is told besides its logs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Requests of one address.
    pub requests: Rate,
    /// New heads of one log.
    pub advances: Rate,
    /// Requests whose bodies may be read at once.
    pub requests_max: usize,
    /// Where evidence is written.
    pub evidence: PathBuf,
    /// Address that is told of alarms.
    pub webhook: Option<String>,
}

/// Everything that a witness is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its key.
    pub key: CosigningKey,
    /// Its memory, opened.
    pub journal: Journal,
    /// What the memory said.
    pub records: Vec<Record>,
    /// Its logs.
    pub logs: Vec<LogConfig>,
    /// Its limits.
    pub config: Config,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// Seeds the places of addresses.
    pub seed: [u8; 32],
}

/// A witness at work.
#[derive(Debug)]
pub struct Witness {
    key: CosigningKey,
    book: Arc<Book>,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    addresses: Addresses,
    alarms: Alarms,
    config: Config,
}

/// Why a checkpoint is not cosigned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The body is no request.
    #[error(transparent)]
    Body(#[from] AddCheckpointError),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An operator has disabled the log.
    #[error("this witness no longer cosigns for this log")]
    Disabled,
    /// The witness has stopped by itself.
    #[error("this witness has stopped cosigning for this log until its operator acts: {reason}")]
    Frozen {
        /// Why.
        reason: String,
    },
    /// It comes too often.
    #[error("too many requests; wait as long as retry-after says")]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too much is going on.
    #[error("the witness is busy; try again")]
    Busy,
    /// What would have to be remembered can't be written.
    #[error("the witness can't write at the moment, so that it must not cosign; try again later")]
    NotWritten,
    /// The witness is about to stop.
    #[error("the witness stops because a write failed; try again later")]
    Fatal,
}

impl Denial {
    /// Returns the HTTP status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Body(_) => 400,
            Self::Refused(refusal) => refusal.status(),
            Self::Frozen { .. } => 403,
            Self::Disabled => 404,
            Self::TooMany { .. } => 429,
            Self::Busy | Self::NotWritten | Self::Fatal => 503,
        }
    }
}

impl Witness {
    /// Joins the parts and starts the writer, which ends after the witness was dropped.
    pub fn start(parts: Parts) -> Result<(Self, thread::JoinHandle<()>), StartError> {
        let Parts { key, journal, records, logs, config, clock, seed } = parts;
        let book = Arc::new(Book::new(logs, &records)?);
        let metrics = Arc::new(Metrics::new());
        metrics.journal_bytes(journal.length());
        let acts = records.into_iter().filter_map(|record| match record {
            Record::Act(act) => Some(act),
            Record::Cosigned(_) => None,
        });
        let (keeper, thread) = Keeper::start(
            journal,
            acts.collect(),
            Arc::clone(&book),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        )?;
        let addresses = Addresses::new(config.requests, seed);
        let alarms = Alarms::new(&config);
        let witness = Self { key, book, keeper, clock, metrics, addresses, alarms, config };
        Ok((witness, thread))
    }

    /// Returns the key.
    pub fn key(&self) -> &CosigningKey {
        &self.key
    }

    /// Returns the logs and what is remembered of them.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Returns what is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sees when a write failed, after which the process has to end.
    pub fn fatal(&self) -> watch::Receiver<bool> {
        self.keeper.fatal()
    }

    /// Takes one request of an address out of its limit.
    pub fn admit(&self, address: IpAddr) -> Result<(), Denial> {
        let taken = self.addresses.take(address, self.clock.monotonic());
        taken.map_err(|retry_after| Denial::TooMany { retry_after })
    }

    /// Judges the body of an `add-checkpoint`; what it returns is durable.
    pub async fn add_checkpoint(&self, body: &[u8]) -> Result<NoteSignature, Denial> {
        let request = AddCheckpoint::parse(body)?;
        let (_, text) = request.checkpoint().map_err(Refusal::Malformed)?;
        let unknown = || Refusal::UnknownOrigin { origin: text.origin.clone() };
        let log = self.book.log(&text.origin).ok_or_else(unknown)?;
        self.cosign(log, &request).await
    }

    /// Judges a request for one log; what it returns is durable.
    pub(super) async fn cosign(
        &self,
        log: &Log,
        request: &AddCheckpoint,
    ) -> Result<NoteSignature, Denial> {
        for _ in 0..TRIES_MAX {
            let state = log.state();
            if state.disabled {
                return Err(Denial::Disabled);
            }
            if let Some(reason) = state.frozen {
                return Err(Denial::Frozen { reason });
            }
            let known = state.head();
            let judged = judge(&log.witnessed, known.as_ref(), request);
            if !matches!(
                judged,
                Err(Refusal::Malformed(_) | Refusal::UnknownOrigin { .. } | Refusal::Signature(_))
            ) {
                self.look_for_misbehaviour(log, known.as_ref(), request).await?;
            }
            let checkpoint = judged?.into_checkpoint();
            if known != Some(checkpoint.head()) {
                let taken = log.advances.take(self.config.advances, self.clock.monotonic());
                taken.map_err(|retry_after| Denial::TooMany { retry_after })?;
            }
            match self.keeper.cosign(log.position, known, checkpoint).await {
                Ok(latest) => return Ok(latest.line(&self.key).clone()),
                Err(NotKept::Moved | NotKept::Barred) => {}
                Err(NotKept::Busy) => return Err(Denial::Busy),
                Err(NotKept::NotWritten) => return Err(Denial::NotWritten),
                Err(NotKept::Fatal) => return Err(Denial::Fatal),
            }
        }
        Err(Denial::Busy)
    }

    /// Stops for a log if a checkpoint that it has signed shows that two histories exist, or that this
    /// witness has cosigned what it does not remember.
    ///
    /// The request that shows a fork is answered as the specification says, later ones as frozen.
    async fn look_for_misbehaviour(
        &self,
        log: &Log,
        known: Option<&TreeHead>,
        request: &AddCheckpoint,
    ) -> Result<(), Denial> {
        if let Some(head) = cosigned_beyond(self.key.verifier_key(), known, request) {
            let reason = format!(
                "a checkpoint of size {} carries a cosignature of this witness that it does not remember: its \
                 state was lost, or its key is used elsewhere",
                head.size
            );
            self.freeze(log, reason.clone(), None).await;
            return Err(Denial::Frozen { reason });
        }
        if let Some(latest) = known
            && let Some(second) = contradicts(&log.witnessed, latest, request)
        {
            self.accuse_of_fork(log, &second).await;
        }
        Ok(())
    }

    /// Keeps what convicts a log of two trees of one size, and stops for it.
    async fn accuse_of_fork(&self, log: &Log, second: &SignedCheckpoint) {
        let size = second.head().size;
        let first = log.state().latest.and_then(|latest| log.verified(&latest));
        let evidence = first.and_then(|first| Evidence::same_size(&first, second));
        self.freeze(
            log,
            format!("the log has signed two different trees of size {size}"),
            evidence,
        )
        .await;
    }

    /// Stops for a log, durably, and tells everyone.
    pub(super) async fn freeze(&self, log: &Log, reason: String, evidence: Option<Evidence>) {
        let alarm = Alarm::new(log.origin(), reason, evidence);
        // What convicts is on disk before the log is frozen; a log that is frozen already was accused.
        if log.state.borrow().frozen.is_some() {
            return;
        }
        let reason = self.alarms.keep(&alarm).await;
        match self.keeper.act(journal::ActKind::Freeze, log.origin(), reason.clone()).await {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                let error = format!("{error:?}");
                tracing::error!(origin = %log.origin(), error, "a log could not be frozen durably");
            }
        }
        tracing::error!(origin = %log.origin(), error = %reason, "a log is frozen until an operator acts");
        self.alarms.tell(alarm);
    }
}

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logs and memory don't go together.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The writer's thread could not be started.
    #[error("start the writer: {0}")]
    Thread(#[from] io::Error),
}
