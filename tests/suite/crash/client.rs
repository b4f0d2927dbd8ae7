//! Clients of a log that write down what they are promised, and check every promise as it comes.

use std::collections::VecDeque;

use attestree::{
    core::{
        hash::TreeHash,
        number::LeafIndex,
        tree::{TreeHead, verify_inclusion},
    },
    proto::{self, append_stream_response::Outcome, log_service_client::LogServiceClient},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use super::{ledger::Book, random::Random};

/// Most bytes of the random part of an entry: several entries share a sector, some fill two.
const FILLER_BYTES_MAX: u64 = 700;

/// Entries that a stream has under way.
const STREAM_DEPTH: usize = 16;

/// Why a client stopped.
pub(crate) type Ended = Result<(), Status>;

/// A connection of one writer or reader.
#[derive(Clone)]
pub(crate) struct Client {
    /// The generated client.
    pub(crate) grpc: LogServiceClient<Channel>,
    book: Book,
}

impl Client {
    /// Connects to a server.
    pub(crate) async fn connect(url: &str, book: &Book) -> Result<Self, tonic::transport::Error> {
        let grpc = LogServiceClient::connect(url.to_owned()).await?;
        let grpc = grpc.max_decoding_message_size(64 * 1024 * 1024);
        Ok(Self { grpc, book: book.clone() })
    }

    /// Appends one entry, with an idempotency key or without, and verifies the receipt.
    pub(crate) async fn append(&mut self, origin: &str, entry: Vec<u8>, key: Vec<u8>) -> Ended {
        let number = self.book.send(origin, vec![entry.clone()], key.clone());
        self.repeat(origin, number, entry, key).await.map(drop)
    }

    /// Sends a submission of one entry once more; tells whether it was a duplicate.
    pub(crate) async fn repeat(
        &mut self,
        origin: &str,
        number: usize,
        entry: Vec<u8>,
        key: Vec<u8>,
    ) -> Result<bool, Status> {
        let leaf = TreeHash::leaf(&entry);
        let request = proto::AppendRequest {
            log: origin.to_owned(),
            entry: entry.into(),
            idempotency_key: key.into(),
            answer: proto::Answer::Receipt.into(),
            ..Default::default()
        };
        let answer = self.grpc.append(request).await?.into_inner();
        let head = self.see(origin, answer.checkpoint.as_ref());
        let proof = answer.proof.as_ref().expect("a receipt holds a proof");
        let index = LeafIndex::new(answer.leaf_index).unwrap();
        verify_inclusion(&leaf, index, &head, &hashes(&proof.hashes))
            .expect("the receipt verifies");
        self.book.answer(origin, number, answer.leaf_index);
        Ok(answer.duplicate)
    }

    /// Appends a batch, atomically.
    pub(crate) async fn append_batch(&mut self, origin: &str, entries: Vec<Vec<u8>>) -> Ended {
        let number = self.book.send(origin, entries.clone(), Vec::new());
        self.repeat_batch(origin, number, entries).await
    }

    /// Sends a batch once more. It must be there as a whole or not at all.
    pub(crate) async fn repeat_batch(
        &mut self,
        origin: &str,
        number: usize,
        entries: Vec<Vec<u8>>,
    ) -> Ended {
        let count = entries.len() as u64;
        let request = proto::AppendBatchRequest {
            log: origin.to_owned(),
            entries: entries.into_iter().map(Into::into).collect(),
            answer: proto::Answer::Checkpoint.into(),
            ..Default::default()
        };
        let answer = self.grpc.append_batch(request).await?.into_inner();
        let head = self.see(origin, answer.checkpoint.as_ref());
        let first = answer.duplicates.first().map_or(answer.from, |duplicate| duplicate.leaf_index);
        if let Some(duplicate) = answer.duplicates.first() {
            assert_eq!(
                duplicate.position, 0,
                "an atomic batch is a duplicate as a whole or not at all"
            );
            assert_eq!(answer.duplicates.len() as u64, count, "as above");
            let indices = answer.duplicates.iter().map(|duplicate| duplicate.leaf_index);
            assert!(indices.eq(first..first + count), "the entries of a batch are contiguous");
        } else {
            assert_eq!(answer.to - answer.from, count, "each entry of the batch has a leaf");
        }
        assert!(head.size.get() >= first + count, "the checkpoint covers the batch");
        self.book.answer(origin, number, first);
        Ok(())
    }

    /// Streams `count` keyed entries, several under way at a time.
    pub(crate) async fn stream(&mut self, origin: &str, count: usize, maker: &mut Maker) -> Ended {
        let (requests, queue) = mpsc::channel(STREAM_DEPTH);
        let mut waiting = VecDeque::new();
        let first = proto::AppendStreamRequest {
            log: origin.to_owned(),
            answer: proto::Answer::Checkpoint.into(),
            ..Default::default()
        };
        requests.send(first).await.expect("the queue is read by the call below");
        let mut answers = self.grpc.append_stream(ReceiverStream::new(queue)).await?.into_inner();
        let mut unsent = count;
        while unsent > 0 || !waiting.is_empty() {
            while unsent > 0 && waiting.len() < STREAM_DEPTH {
                let (entry, key) = maker.keyed();
                waiting.push_back(self.book.send(origin, vec![entry.clone()], key.clone()));
                let request = proto::AppendStreamRequest {
                    entry: entry.into(),
                    idempotency_key: key.into(),
                    ..Default::default()
                };
                let gone = |_| Status::unavailable("the stream is gone");
                requests.send(request).await.map_err(gone)?;
                unsent -= 1;
            }
            let Some(answer) = answers.message().await? else {
                return Err(Status::unavailable("the stream ended early"));
            };
            let number = waiting.pop_front().expect("answers come for what was sent");
            match answer.outcome.expect("an answer says something") {
                Outcome::Appended(appended) => {
                    let head = self.see(origin, appended.checkpoint.as_ref());
                    assert!(
                        head.size.get() > appended.leaf_index,
                        "the checkpoint covers the entry"
                    );
                    self.book.answer(origin, number, appended.leaf_index);
                }
                Outcome::Refused(refusal) => {
                    return Err(Status::new(tonic::Code::from_i32(refusal.code), refusal.message));
                }
            }
        }
        Ok(())
    }

    /// Notes every checkpoint that the server sends, until it sends no more.
    pub(crate) async fn watch(&mut self, origin: &str) -> Ended {
        let request = proto::WatchCheckpointsRequest { log: origin.to_owned(), kind: 0 };
        let mut checkpoints = self.grpc.watch_checkpoints(request).await?.into_inner();
        while let Some(message) = checkpoints.message().await? {
            self.see(origin, message.checkpoint.as_ref());
        }
        Ok(())
    }

    fn see(&self, origin: &str, checkpoint: Option<&proto::Checkpoint>) -> TreeHead {
        let checkpoint = checkpoint.expect("the answer holds a checkpoint");
        self.book.see(origin, &checkpoint.note)
    }
}

/// Takes the hashes of a message.
pub(crate) fn hashes(bytes: &[bytes::Bytes]) -> Vec<TreeHash> {
    bytes.iter().map(|hash| TreeHash::from_slice(hash).expect("a hash has 32 bytes")).collect()
}

/// Makes entries that no other maker makes.
#[derive(Debug)]
pub(crate) struct Maker {
    name: String,
    made: u64,
    random: Random,
}

impl Maker {
    /// Names the entries, with a part of chance so that no two rounds make the same.
    pub(crate) fn new(writer: &str, random: &mut Random) -> Self {
        let mut random = random.fork();
        Self { name: format!("{writer}-{:016x}", random.next()), made: 0, random }
    }

    /// Returns a new entry.
    pub(crate) fn entry(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut entry = format!("{} {} ", self.name, self.made).into_bytes();
        let filler = self.random.below(FILLER_BYTES_MAX) as usize;
        entry.extend(self.random.bytes(filler));
        entry
    }

    /// Returns a new entry and a key for it.
    pub(crate) fn keyed(&mut self) -> (Vec<u8>, Vec<u8>) {
        let entry = self.entry();
        (entry, format!("{}#{}", self.name, self.made).into_bytes())
    }

    /// Returns 1 to `max` new entries.
    pub(crate) fn batch(&mut self, max: u64) -> Vec<Vec<u8>> {
        let count = 1 + self.random.below(max);
        (0..count).map(|_| self.entry()).collect()
    }
}
