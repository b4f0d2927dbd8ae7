//! One log of one server over gRPC: connecting, and appending with verified answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Channel;

use super::{BatchTree, ClientError, Refused, Server, Trust, Untrue, verify};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::core::origin::Origin;
use crate::core::receipt::Receipt;
use crate::core::tree::TreeHead;
use crate::core::trust::TrustPolicy;
use crate::proto::{
    self, Answer, AppendBatchRequest, AppendRequest, AppendStreamRequest, BatchEntry,
    ListLogsRequest, append_stream_response::Outcome, event_service_client::EventServiceClient,
    log_service_client::LogServiceClient,
};

/// Most bytes of one answer: 256 entries of 65,535 bytes, and a megabyte for their framing.
const ANSWER_BYTES_MAX: usize = 17 << 20;

/// Most bytes of the answer to a batch of events: 4,096 records that have the bytes which were submitted,
/// 16 MiB, or as many commitments; besides, of each up to 4 KiB of what the server made.
const RECORDS_BYTES_MAX: usize = 2 * (16 << 20) + 4_096 * 4_096;

/// A log on a server. Everything it returns has been verified. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) grpc: LogServiceClient<Channel>,
    pub(super) events: EventServiceClient<Channel>,
    server: Server,
    pub(super) trust: Arc<Trust>,
}

/// An entry to append.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The entry: 1 to 65,535 bytes.
    pub bytes: Bytes,
    /// Its idempotency key; empty for none.
    pub key: Bytes,
}

/// Where one entry is, proved.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Index of the leaf.
    pub index: LeafIndex,
    /// Hash of the leaf.
    pub leaf_hash: TreeHash,
    /// Whether the entry was in the log before.
    pub duplicate: bool,
    /// The checkpoint that covers the entry.
    pub checkpoint: SignedCheckpoint,
    /// Inclusion proof of the leaf in that checkpoint's tree.
    pub proof: Vec<TreeHash>,
    /// Whether the checkpoint has the policy's quorum. It has not, if the witnesses were too slow.
    pub cosigned: bool,
}

/// Where one entry of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// Index of the leaf.
    pub index: LeafIndex,
    /// Whether the entry was in the log, or earlier in the request, before.
    pub duplicate: bool,
}

/// Where the entries of a batch are, proved.
#[derive(Debug)]
pub struct Placed {
    /// Where each entry is, in the order of the request.
    pub places: Vec<BatchPlace>,
    /// The checkpoint that covers all of them.
    pub checkpoint: SignedCheckpoint,
    /// The tree around the new entries, from which their inclusion proofs are made.
    pub tree: BatchTree,
    /// As in [`Appended`].
    pub cosigned: bool,
}

impl Appended {
    /// Returns the receipt to keep.
    pub fn receipt(&self) -> Receipt {
        receipt(self.index, self.proof.clone(), &self.checkpoint)
    }
}

impl Placed {
    /// Returns the receipt of a new entry; `None` for a leaf that was there before the batch.
    pub fn receipt(&self, index: LeafIndex) -> Option<Receipt> {
        Some(receipt(index, self.tree.prove(index)?, &self.checkpoint))
    }
}

/// Puts a receipt together.
pub(super) fn receipt(
    index: LeafIndex,
    proof: Vec<TreeHash>,
    checkpoint: &SignedCheckpoint,
) -> Receipt {
    Receipt { extra: None, index, proof, note: checkpoint.note().clone() }
}

/// Lists a server's logs as it describes them: nothing of this is verified.
pub async fn list(server: &Server, channel: Channel) -> Result<Vec<proto::Log>, ClientError> {
    let mut grpc = LogServiceClient::new(channel);
    let answer = grpc.list_logs(ListLogsRequest {}).await;
    let answer = answer.map_err(|status| ClientError::from_status(server.url(), status))?;
    Ok(answer.into_inner().logs)
}

impl Client {
    /// Connects to a server's log: the one with this origin, or the policy's only one, or the
    /// server's default.
    ///
    /// Without a policy the server is asked for the log's key and that key is believed: trust on
    /// first use, which shows that the server agrees with itself and no more.
    pub async fn connect(
        server: &Server,
        origin: Option<&Origin>,
        policy: Option<TrustPolicy>,
    ) -> Result<Self, ClientError> {
        let channel = server.channel().await?;
        let trust = match policy {
            Some(policy) => Trust::known(policy, origin)?,
            None => first_use(server, channel.clone(), origin).await?,
        };
        Ok(Self::over(server, channel, Arc::new(trust)))
    }

    /// Talks to a log over a connection that is there, believing what `trust` accepts.
    pub fn over(server: &Server, channel: Channel, trust: Arc<Trust>) -> Self {
        let events =
            EventServiceClient::new(channel.clone()).max_decoding_message_size(RECORDS_BYTES_MAX);
        let grpc = LogServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        Self { grpc, events, server: server.clone(), trust }
    }

    /// Returns what is believed of the log; shared by the clones of this client.
    pub const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Returns the server.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// The `log` field of every request.
    pub(super) fn origin(&self) -> String {
        self.trust.origin().to_string()
    }

    /// Says what a status of this server means.
    pub(super) fn failed(&self, status: tonic::Status) -> ClientError {
        ClientError::from_status(self.server.url(), status)
    }

    /// Verifies the checkpoint of an answer.
    pub(super) fn checkpoint_of(
        &self,
        checkpoint: Option<&proto::Checkpoint>,
    ) -> Result<SignedCheckpoint, Untrue> {
        let problem = "is missing";
        let missing = Untrue::Malformed { field: "checkpoint", problem };
        self.trust.verify(&checkpoint.ok_or(missing)?.note)
    }

    /// Returns whether the policy asks for witnesses: then appends wait for them, and reads are of
    /// what they have cosigned.
    pub(super) fn has_quorum(&self) -> bool {
        self.trust.policy().has_quorum()
    }

    /// What appends wait for.
    pub(super) fn wait(&self) -> i32 {
        let wait = if self.has_quorum() { proto::Wait::Cosigned } else { proto::Wait::Unspecified };
        wait.into()
    }

    /// Verifies the checkpoint of an append. If the witnesses were too slow, the log's own signature
    /// has to do: the entry is in the log, and its receipt can be upgraded later.
    fn checkpoint_of_append(
        &self,
        checkpoint: Option<&proto::Checkpoint>,
        cosigned: bool,
    ) -> Result<(SignedCheckpoint, bool), Untrue> {
        match checkpoint {
            Some(checkpoint) if self.has_quorum() && !cosigned => {
                Ok((self.trust.verify_signed(&checkpoint.note)?, false))
            }
            checkpoint => Ok((self.checkpoint_of(checkpoint)?, true)),
        }
    }

    /// Appends one entry.
    pub async fn append(&self, entry: NewEntry) -> Result<Appended, ClientError> {
        let leaf = TreeHash::leaf(&entry.bytes);
        let request = AppendRequest {
            log: self.origin(),
            entry: entry.bytes,
            idempotency_key: entry.key,
            answer: Answer::Receipt.into(),
            wait: self.wait(),
            ..AppendRequest::default()
        };
        let answer =
            self.grpc.clone().append(request).await.map_err(|status| self.failed(status))?;
        let answer = answer.into_inner();
        if answer.checkpoint.is_none() && self.has_quorum() {
            return Err(ClientError::Unshown { index: answer.leaf_index });
        }
        Ok(self.appended(leaf, &answer)?)
    }

    /// Verifies the answer for one entry with this leaf hash.
    pub fn appended(
        &self,
        leaf_hash: TreeHash,
        answer: &proto::AppendResponse,
    ) -> Result<Appended, Untrue> {
        let (checkpoint, cosigned) =
            self.checkpoint_of_append(answer.checkpoint.as_ref(), answer.cosigned)?;
        let problem = "is missing";
        let missing = Untrue::Malformed { field: "proof", problem };
        let proof = answer.proof.as_ref().ok_or(missing)?;
        let (index, proof) = verify::inclusion(&leaf_hash, proof, &checkpoint.head())?;
        if answer.leaf_index != index.get() || answer.leaf_hash != leaf_hash.as_bytes()[..] {
            let problem = "is not that of the proof";
            return Err(Untrue::Malformed { field: "leaf_index or leaf_hash", problem });
        }
        let duplicate = answer.duplicate;
        Ok(Appended { index, leaf_hash, duplicate, checkpoint, proof, cosigned })
    }

    /// Appends up to 4,096 entries (16 MiB) atomically.
    pub async fn append_batch(&self, entries: Vec<NewEntry>) -> Result<Placed, ClientError> {
        let leaves: Vec<TreeHash> =
            entries.iter().map(|entry| TreeHash::leaf(&entry.bytes)).collect();
        let request =
            AppendBatchRequest { wait: self.wait(), ..batch_request(self.origin(), entries) };
        let answer =
            self.grpc.clone().append_batch(request).await.map_err(|status| self.failed(status))?;
        let answer = answer.into_inner();
        if answer.checkpoint.is_none() && self.has_quorum() {
            return Err(ClientError::Unshown { index: answer.from });
        }
        Ok(self.placed(&leaves, &answer)?)
    }

    /// Verifies the answer for a batch with these leaf hashes.
    pub fn placed(
        &self,
        leaves: &[TreeHash],
        answer: &proto::AppendBatchResponse,
    ) -> Result<Placed, Untrue> {
        let (checkpoint, cosigned) =
            self.checkpoint_of_append(answer.checkpoint.as_ref(), answer.cosigned)?;
        let TreeHead { size, .. } = checkpoint.head();
        let proved = verify::batch(leaves, answer, &checkpoint.head())?;
        let tree = BatchTree::new(proved.from, proved.new, size, &proved.range_proof);
        Ok(Placed { places: proved.places, checkpoint, tree, cosigned })
    }

    /// Appends entries one after another over one stream.
    ///
    /// Answers come in the order of the entries, and one refusal does not end the stream. It ends
    /// after the last answer, or with the first error.
    pub async fn append_stream<S>(
        &self,
        entries: S,
    ) -> Result<
        impl Stream<Item = Result<Result<Appended, Refused>, ClientError>> + use<S>,
        ClientError,
    >
    where
        S: Stream<Item = NewEntry> + Send + 'static,
    {
        // The leaf hashes of what was sent and not answered, oldest first.
        let sent = Arc::new(Mutex::new(VecDeque::new()));
        let sending = Arc::clone(&sent);
        let origin = self.origin();
        let (mut first, waits) = (true, self.wait());
        let requests = entries.map(move |entry| {
            let leaf = TreeHash::leaf(&entry.bytes);
            sending.lock().unwrap_or_else(PoisonError::into_inner).push_back(leaf);
            // The first message says for all of them which log is meant and what to answer with.
            let (log, answer, wait) = if core::mem::take(&mut first) {
                (origin.clone(), Answer::Receipt.into(), waits)
            } else {
                (String::new(), Answer::Unspecified.into(), 0)
            };
            AppendStreamRequest {
                log,
                answer,
                entry: entry.bytes,
                idempotency_key: entry.key,
                wait,
                ..AppendStreamRequest::default()
            }
        });
        let answers = self
            .grpc
            .clone()
            .append_stream(requests)
            .await
            .map_err(|status| self.failed(status))?;
        let client = self.clone();
        Ok(answers.into_inner().map(move |answer| {
            let answer = answer.map_err(|status| client.failed(status))?;
            let leaf = sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let problem = "has more answers than entries were sent";
            let leaf = leaf.ok_or(Untrue::Malformed { field: "stream", problem })?;
            match answer.outcome {
                Some(Outcome::Appended(appended)) => Ok(Ok(client.appended(leaf, &appended)?)),
                Some(Outcome::Refused(refusal)) => Ok(Err(Refused::from_refusal(refusal))),
                None => {
                    let problem = "is missing";
                    Err(Untrue::Malformed { field: "outcome", problem }.into())
                }
            }
        }))
    }
}

/// Puts the request for a batch together, in the short form if no entry has a key.
pub fn batch_request(log: String, entries: Vec<NewEntry>) -> AppendBatchRequest {
    let answer = Answer::Receipt.into();
    if entries.iter().all(|entry| entry.key.is_empty()) {
        let entries = entries.into_iter().map(|entry| entry.bytes).collect();
        return AppendBatchRequest { log, entries, answer, ..AppendBatchRequest::default() };
    }
    let keyed = |entry: NewEntry| BatchEntry { entry: entry.bytes, idempotency_key: entry.key };
    let keyed_entries = entries.into_iter().map(keyed).collect();
    AppendBatchRequest { log, keyed_entries, answer, ..AppendBatchRequest::default() }
}

/// Believes the keys that the server lists for the log.
async fn first_use(
    server: &Server,
    channel: Channel,
    origin: Option<&Origin>,
) -> Result<Trust, ClientError> {
    let logs = list(server, channel).await?;
    let wanted = |log: &&proto::Log| origin.is_none_or(|origin| log.origin == origin.as_str());
    let log = logs.iter().find(wanted).ok_or_else(|| ClientError::UnknownLog {
        url: server.url().to_owned(),
        origin: origin.map_or_else(String::new, ToString::to_string),
    })?;
    Ok(Trust::listed(log)?)
}
