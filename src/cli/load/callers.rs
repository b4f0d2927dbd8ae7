//! Callers that send one request, wait for its answer, and send the next.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use tonic::transport::Channel;

use super::Target;
use super::run::{Run, Turn};
use crate::client::{ClientError, Untrue, verify};
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::proto::{
    Answer, AppendBatchRequest, AppendRequest, AppendResponse, BatchEntry,
    log_service_client::LogServiceClient,
};

/// What each caller sends.
#[derive(Clone)]
pub(super) struct Caller {
    /// The measurement.
    pub(super) run: Arc<Run>,
    /// The log, and its place in the list of logs.
    pub(super) target: Arc<Target>,
    /// How much proof is asked for.
    pub(super) answer: Answer,
    /// Beginning of the idempotency keys, if entries have one.
    pub(super) keys: Option<Bytes>,
}

impl Caller {
    /// Returns the idempotency key of an entry: the run's random bytes and the entry's number.
    pub(super) fn key(&self, number: u64) -> Bytes {
        let Some(prefix) = &self.keys else {
            return Bytes::new();
        };
        [prefix.as_ref(), &number.to_be_bytes()].concat().into()
    }

    /// Checks the answer for the entry with this number.
    pub(super) fn check(&self, number: u64, answer: &AppendResponse) -> Result<(), ClientError> {
        let entry = self.run.payload.entry(number);
        if self.answer != Answer::Receipt {
            return self.check_later(answer.leaf_index, answer.checkpoint.as_ref(), &entry);
        }
        self.target.client.appended(TreeHash::leaf(&entry), answer)?;
        self.run.verified(1);
        Ok(())
    }

    /// Checks an answer with an index only, or with a checkpoint, as far as it goes; the entry is
    /// looked up after the measurement.
    pub(super) fn check_later(
        &self,
        index: u64,
        note: Option<&crate::proto::Checkpoint>,
        entry: &Bytes,
    ) -> Result<(), ClientError> {
        if let Some(checkpoint) = note {
            let head = self.target.client.trust().verify(&checkpoint.note)?.head();
            if index >= head.size.get() {
                return Err(Untrue::Uncovered { size: head.size, needed: index + 1 }.into());
            }
        }
        self.run.verify_later(self.target.number, verify::index("leaf_index", index)?, entry);
        Ok(())
    }

    /// Says what a status of the server means.
    pub(super) fn failed(&self, status: tonic::Status) -> ClientError {
        ClientError::from_status(self.target.client.server().url(), status)
    }
}

/// Appends one entry after another.
pub(super) async fn unary(caller: Caller, channel: Channel) -> anyhow::Result<()> {
    let mut grpc = LogServiceClient::new(channel);
    let payload = &caller.run.payload;
    while let Some(turn) = caller.run.turn(1).await {
        let number = payload.reserve(1);
        // A refusal is answered with the same entry again, so that none is left out.
        let answer = loop {
            let request = AppendRequest {
                log: caller.target.field.clone(),
                entry: payload.entry(number),
                idempotency_key: caller.key(number),
                answer: caller.answer.into(),
                ..AppendRequest::default()
            };
            match grpc.append(request).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => caller.run.refused(caller.failed(status)).await?,
            }
        };
        caller.run.answered(turn.due, 1);
        if caller.run.samples() {
            caller.check(number, &answer)?;
        }
    }
    Ok(())
}

/// Appends one batch after another.
pub(super) async fn batch(caller: Caller, channel: Channel, size: usize) -> anyhow::Result<()> {
    let mut grpc = LogServiceClient::new(channel);
    let payload = &caller.run.payload;
    while let Some(turn) = caller.run.turn(size).await {
        let first = payload.reserve(turn.entries);
        let answer = loop {
            match grpc.append_batch(batch_request(&caller, &turn, first)).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => caller.run.refused(caller.failed(status)).await?,
            }
        };
        caller.run.answered(turn.due, turn.entries);
        if !caller.run.samples() {
            continue;
        }
        let entries = (first..).take(turn.entries).map(|number| payload.entry(number));
        if caller.answer == Answer::Receipt {
            let leaves: Vec<TreeHash> = entries.map(|entry| TreeHash::leaf(&entry)).collect();
            // What `Client::append_batch` does with an answer.
            caller.target.client.placed(&leaves, &answer).map_err(ClientError::from)?;
            caller.run.verified(turn.entries);
        } else if answer.duplicates.is_empty() {
            for (index, entry) in (answer.from..answer.to).zip(entries) {
                caller.check_later(index, answer.checkpoint.as_ref(), &entry)?;
            }
        }
    }
    Ok(())
}

/// Makes the batch of a turn from the entries numbered `first` and up.
fn batch_request(caller: &Caller, turn: &Turn, first: u64) -> AppendBatchRequest {
    let (log, answer) = (caller.target.field.clone(), caller.answer.into());
    let payload = &caller.run.payload;
    let numbers = (first..).take(turn.entries);
    let (mut entries, mut keyed_entries) = (Vec::new(), Vec::new());
    if caller.keys.is_some() {
        let keyed = |number| BatchEntry {
            entry: payload.entry(number),
            idempotency_key: caller.key(number),
        };
        keyed_entries = numbers.map(keyed).collect();
    } else {
        entries = numbers.map(|number| payload.entry(number)).collect();
    }
    AppendBatchRequest { log, entries, keyed_entries, answer, ..AppendBatchRequest::default() }
}

/// Posts one entry after another to `/add`.
pub(super) async fn http(caller: Caller, http: reqwest::Client) -> anyhow::Result<()> {
    let url = format!("{}/add", caller.target.http_prefix);
    let prefix = || caller.target.client.server().url().to_owned();
    while let Some(turn) = caller.run.turn(1).await {
        let entry = caller.run.payload.entry(caller.run.payload.reserve(1));
        let text = loop {
            let answer = http.post(&url).body(entry.clone()).send().await;
            let answer = answer.map_err(|source| ClientError::Unreachable {
                url: prefix(),
                source: Box::new(source),
            })?;
            let status = answer.status();
            if matches!(status.as_u16(), 429 | 503) {
                caller.run.refused_one(busy(&answer)).await?;
                continue;
            }
            if !status.is_success() {
                return Err(ClientError::Http { url, status: status.as_u16() }.into());
            }
            break answer.text().await.context("read the answer to /add")?;
        };
        caller.run.answered(turn.due, 1);
        let index: u64 =
            text.trim_end().parse().context("read the index that /add answers with")?;
        if caller.run.samples() {
            caller.check_later(index, None, &entry)?;
        }
    }
    Ok(())
}

/// Reads `Retry-After`; a server that says no without it is asked again after a second.
fn busy(answer: &reqwest::Response) -> crate::client::Refused {
    let seconds =
        answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    crate::client::Refused {
        code: tonic::Code::ResourceExhausted,
        reason: String::new(),
        message: "the server is busy".to_owned(),
        retry_after: Some(core::time::Duration::from_secs(seconds.unwrap_or(1))),
        first_index: None,
        details: std::collections::HashMap::new(),
    }
}

/// Verifies, after a measurement, entries whose answers proved nothing by themselves.
pub(super) async fn verify_pending(run: &Run, targets: &[Arc<Target>]) -> anyhow::Result<()> {
    let mut pending = core::mem::take(&mut run.tally().pending);
    pending.sort_unstable();
    pending.dedup();
    for log in pending.chunk_by(|(log, ..), (other, ..)| log == other) {
        let target = log.first().and_then(|(number, ..)| targets.get(*number));
        let target = target.context("find the log of an answer")?;
        for part in log.chunks(crate::core::tree::PROOF_BATCH_MAX) {
            let indices: Vec<LeafIndex> = part.iter().map(|(_, index, _)| *index).collect();
            let proved = target.client.prove_inclusion_batch(&indices).await?;
            for ((_, index, leaf), (_, proved)) in part.iter().zip(&proved.leaves) {
                if leaf != proved {
                    return Err(ClientError::from(Untrue::Entry { index: *index }).into());
                }
            }
            run.verified(part.len());
        }
    }
    Ok(())
}
