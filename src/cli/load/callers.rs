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
    Answer, AppendBatchRequest, AppendRequest, BatchEntry, log_service_client::LogServiceClient,
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

    fn failed(&self, status: tonic::Status) -> ClientError {
        ClientError::from_status(self.target.client.server().url(), status)
    }
}

/// Appends one entry after another.
pub(super) async fn unary(caller: Caller, channel: Channel) -> anyhow::Result<()> {
    let mut grpc = LogServiceClient::new(channel);
    while let Some(turn) = caller.run.turn(1).await {
        let (number, entry) = caller.run.payload.next();
        let sample = caller.run.samples().then(|| entry.clone());
        let request = AppendRequest {
            log: caller.target.field.clone(),
            entry,
            idempotency_key: caller.key(number),
            answer: caller.answer.into(),
        };
        // A refusal is answered with the same entry again, so that none is left out.
        let answer = loop {
            // Cloning a request costs reference counts and, where a log is named, its name.
            match grpc.append(request.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => caller.run.refused(caller.failed(status)).await?,
            }
        };
        caller.run.answered(turn.due, 1);
        let Some(entry) = sample else {
            continue;
        };
        if caller.answer == Answer::Receipt {
            caller
                .target
                .client
                .appended(TreeHash::leaf(&entry), &answer)
                .map_err(ClientError::from)?;
            caller.run.verified(1);
        } else {
            caller.check_later(answer.leaf_index, answer.checkpoint.as_ref(), &entry)?;
        }
    }
    Ok(())
}

/// Appends one batch after another.
pub(super) async fn batch(caller: Caller, channel: Channel, size: usize) -> anyhow::Result<()> {
    let mut grpc = LogServiceClient::new(channel);
    while let Some(turn) = caller.run.turn(size).await {
        let (request, sample) = batch_request(&caller, &turn);
        let answer = loop {
            match grpc.append_batch(request.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => caller.run.refused(caller.failed(status)).await?,
            }
        };
        caller.run.answered(turn.due, turn.entries);
        if sample.is_empty() {
            continue;
        }
        if caller.answer == Answer::Receipt {
            let leaves: Vec<TreeHash> = sample.iter().map(|entry| TreeHash::leaf(entry)).collect();
            // What `Client::append_batch` does with an answer.
            caller.target.client.placed(&leaves, &answer).map_err(ClientError::from)?;
            caller.run.verified(sample.len());
        } else if answer.duplicates.is_empty() {
            let numbers = answer.from..answer.to;
            for (index, entry) in numbers.zip(&sample) {
                caller.check_later(index, answer.checkpoint.as_ref(), entry)?;
            }
        }
    }
    Ok(())
}

/// Makes a batch; returns its entries too if its proof is to be verified.
fn batch_request(caller: &Caller, turn: &Turn) -> (AppendBatchRequest, Vec<Bytes>) {
    let (log, answer) = (caller.target.field.clone(), caller.answer.into());
    let numbered: Vec<(u64, Bytes)> =
        (0..turn.entries).map(|_| caller.run.payload.next()).collect();
    let sample = match caller.run.samples() {
        true => numbered.iter().map(|(_, entry)| entry.clone()).collect(),
        false => Vec::new(),
    };
    let (mut entries, mut keyed_entries) = (Vec::new(), Vec::new());
    if caller.keys.is_some() {
        let keyed = |(number, entry)| BatchEntry { entry, idempotency_key: caller.key(number) };
        keyed_entries = numbered.into_iter().map(keyed).collect();
    } else {
        entries = numbered.into_iter().map(|(_, entry)| entry).collect();
    }
    (AppendBatchRequest { log, entries, keyed_entries, answer }, sample)
}

/// Posts one entry after another to `/add`.
pub(super) async fn http(caller: Caller, http: reqwest::Client) -> anyhow::Result<()> {
    let url = format!("{}/add", caller.target.http_prefix);
    let prefix = || caller.target.client.server().url().to_owned();
    while let Some(turn) = caller.run.turn(1).await {
        let (_, entry) = caller.run.payload.next();
        let sample = caller.run.samples().then(|| entry.clone());
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
        if let Some(entry) = sample {
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
