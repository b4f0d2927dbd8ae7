//! What is done when a log is caught: evidence on disk, and a word to whoever wants to know.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Config, journal};
use crate::{
    client::Hook,
    core::{evidence::Evidence, hash::TreeHash, origin::Origin, witness::origin_hash_hex},
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
    file: Option<String>,
}

impl Alarm {
    /// Says that a log is frozen, and what convicts it.
    pub(super) fn new(origin: &Origin, reason: String, evidence: Option<&Evidence>) -> Self {
        let bytes = evidence.map(Evidence::format);
        let file = bytes.as_ref().map(|bytes| {
            // Two of one log never get the same name.
            let sum = TreeHash::digest(bytes);
            let (sum, _) = sum.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
            format!("{}-{:016x}.evidence", origin_hash_hex(origin), u64::from_be_bytes(*sum))
        });
        let evidence = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self { event: "frozen", origin: origin.to_string(), reason, evidence, file }
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
        let (Some(bytes), Some(file)) = (alarm.evidence.clone(), &alarm.file) else {
            return alarm.reason.clone();
        };
        let (dir, path) = (self.dir.clone(), self.dir.join(file));
        let kept = format!("{}; the evidence is {}", alarm.reason, path.display());
        let writing = tokio::task::spawn_blocking(move || write(&dir, &path, bytes.as_bytes()));
        match writing.await {
            Ok(Ok(())) => kept,
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

fn write(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    journal::replace(dir, path, bytes)
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
