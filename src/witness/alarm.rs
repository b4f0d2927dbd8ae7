//! What is done when a log is caught: evidence on disk, and a word to whoever wants to know.

use std::path::PathBuf;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Config;
use crate::{
    client::{Hook, keep_evidence},
    core::{evidence::Evidence, origin::Origin},
};

/// Alarms that may wait for the webhook. Each log gives one, and then is frozen.
const QUEUE_MAX: usize = 1_024;

/// That a log is frozen, as the webhook is told.
#[derive(Clone, Debug, Serialize)]
pub struct Alarm {
    /// Always `frozen`.
    event: &'static str,
    /// The log.
    origin: String,
    /// Why.
    reason: String,
    /// The evidence file, whole, if the log is convicted.
    evidence: Option<String>,
    #[serde(skip)]
    proof: Option<Evidence>,
}

impl Alarm {
    /// Says that a log is frozen, and what convicts it.
    pub(super) fn new(origin: &Origin, reason: String, proof: Option<Evidence>) -> Self {
        let text = |proof: &Evidence| String::from_utf8_lossy(&proof.format()).into_owned();
        let evidence = proof.as_ref().map(text);
        Self { event: "frozen", origin: origin.to_string(), reason, evidence, proof }
    }
}

/// Where alarms go.
#[derive(Debug)]
pub(super) struct Alarms {
    dir: PathBuf,
    queue: Option<mpsc::Sender<Alarm>>,
    waiting: std::sync::Mutex<Option<mpsc::Receiver<Alarm>>>,
}

impl Alarms {
    /// Takes where evidence is written, and whether anyone is to be told.
    pub(super) fn new(config: &Config) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let queue = config.webhook.as_ref().map(|_| queue);
        Self { dir: config.evidence.clone(), queue, waiting: Some(waiting).into() }
    }

    /// Writes the evidence, durably; returns the reason with the place of the file.
    ///
    /// What can't be written is logged: the log is frozen all the same.
    pub(super) async fn keep(&self, alarm: &Alarm) -> String {
        let Some(proof) = alarm.proof.clone() else { return alarm.reason.clone() };
        let dir = self.dir.clone();
        let writing = tokio::task::spawn_blocking(move || keep_evidence(&dir, &proof));
        match writing.await {
            Ok(Ok(path)) => format!("{}; the evidence is {}", alarm.reason, path.display()),
            Ok(Err(error)) => {
                tracing::error!(origin = alarm.origin, error = %error, "evidence could not be written");
                format!("{}; the evidence could not be written: {error}", alarm.reason)
            }
            Err(error) => {
                tracing::error!(origin = alarm.origin, error = %error, "evidence could not be written");
                alarm.reason.clone()
            }
        }
    }

    /// Tells the webhook, if there is one.
    pub(super) fn tell(&self, alarm: Alarm) {
        if let Some(queue) = &self.queue
            && queue.try_send(alarm).is_err()
        {
            tracing::error!("the webhook does not keep up: an alarm was not sent");
        }
    }

    /// Takes the receiving end, once.
    pub(super) fn receiver(&self) -> Option<mpsc::Receiver<Alarm>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

impl super::Witness {
    /// Sends alarms to the webhook until `closing`; returns at once if there is none.
    pub async fn send_alarms(&self, hook: &Hook, closing: &CancellationToken) {
        let Some(mut alarms) = self.alarms.receiver() else { return };
        while let Some(Some(alarm)) = closing.run_until_cancelled(alarms.recv()).await {
            let body = serde_json::to_string(&alarm).expect("strings are JSON");
            let sent = closing.run_until_cancelled(hook.post(body)).await;
            if let Some(Err(error)) = sent {
                tracing::error!(origin = alarm.origin, error = %error, "the webhook took no alarm");
            }
        }
    }
}
