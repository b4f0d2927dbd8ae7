//! A served log, and what of it was acknowledged.

use std::collections::BTreeMap;

use attestree::{
    core::{
        checkpoint::SignedCheckpoint,
        hash::TreeHash,
        note::VerifierKey,
        tree::{Frontier, TreeHead},
    },
    proto::{self, log_service_client::LogServiceClient},
};
use bytes::Bytes;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::server::{NewLog, Server};

/// The log that is ill-treated.
pub(crate) const ORIGIN: &str = "log.example/hostile";

/// A client without a will of its own.
pub(crate) type Client = LogServiceClient<Channel>;

/// Messages of `ReadEntries` hold up to 256 entries of 64 KiB.
const MESSAGE_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// A served log, and what of it was acknowledged.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) client: Client,
    key: VerifierKey,
    accepted: BTreeMap<u64, Bytes>,
    checks: u32,
}

impl Site {
    /// Serves one empty log, with further flags of `serve`.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let server = Server::start(&[NewLog { origin: ORIGIN, flags: &[] }], flags);
        let client = connect(&server).await;
        let key = VerifierKey::parse(&server.vkeys()[0]).unwrap();
        Self { server, client, key, accepted: BTreeMap::new(), checks: 0 }
    }

    /// Returns a client on a connection of its own.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.server).await
    }

    /// Notes that the server said where an entry is.
    pub(crate) fn accepted(&mut self, index: u64, entry: impl Into<Bytes>) {
        let entry = entry.into();
        let before = self.accepted.insert(index, entry.clone());
        assert!(
            before.is_none_or(|before| before == entry),
            "two entries were promised index {index}"
        );
    }

    /// Appends an entry that the server has to take.
    pub(crate) async fn append(&mut self, entry: impl Into<Bytes>) -> u64 {
        let entry = entry.into();
        let answer = self.client.append(append(entry.clone())).await.unwrap().into_inner();
        self.accepted(answer.leaf_index, entry);
        answer.leaf_index
    }

    /// Appends `count` entries of `bytes` bytes in batches.
    pub(crate) async fn fill(&mut self, count: usize, bytes: usize) {
        let batch = (8 * 1_024 * 1_024 / bytes).clamp(1, 4_096);
        let mut left = count;
        while left > 0 {
            let fillers = (0..=u8::MAX).cycle().take(left.min(batch));
            let entries: Vec<Bytes> = fillers.map(|filler| vec![filler; bytes].into()).collect();
            left -= entries.len();
            let request =
                proto::AppendBatchRequest { entries: entries.clone(), ..Default::default() };
            let answer = self.client.append_batch(request).await.unwrap().into_inner();
            for (index, entry) in (answer.from..answer.to).zip(entries) {
                self.accepted(index, entry);
            }
        }
    }

    /// Returns the newest checkpoint's head, verified.
    pub(crate) async fn head(&mut self) -> TreeHead {
        let answer =
            self.client.get_checkpoint(proto::GetCheckpointRequest::default()).await.unwrap();
        let note = answer.into_inner().checkpoint.unwrap().note;
        SignedCheckpoint::verify(&note, &self.key).unwrap().head()
    }

    /// The law: a stranger can append, all that was acknowledged is there, and the root is theirs.
    pub(crate) async fn check(&mut self) {
        assert!(self.server.is_running(), "the server ended: {}", self.server.stderr());
        self.client = self.connect().await;
        self.checks += 1;
        self.append(format!("check {}", self.checks)).await;

        let head = self.head().await;
        let request = proto::ReadEntriesRequest { to: Some(head.size.get()), ..Default::default() };
        let mut stream = self.client.read_entries(request).await.unwrap().into_inner();
        let mut frontier = Frontier::new();
        let mut accepted = self.accepted.iter().peekable();
        while let Some(message) = stream.message().await.unwrap() {
            assert_eq!(message.from, frontier.size().get(), "no gaps");
            for entry in message.entries {
                let index = frontier.size().get();
                if let Some((_, promised)) = accepted.next_if(|(at, _)| **at == index) {
                    assert_eq!(*promised, entry, "the entry at {index} was acknowledged");
                }
                frontier.push_leaf(TreeHash::leaf(&entry));
            }
        }
        assert_eq!(accepted.next(), None, "an acknowledged entry is gone");
        assert_eq!((frontier.size(), frontier.root()), (head.size, head.root));
    }
}

async fn connect(server: &Server) -> Client {
    let client = Client::connect(format!("http://{}", server.address())).await.unwrap();
    client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(usize::MAX)
}

/// Asks to append an entry.
pub(crate) fn append(entry: impl Into<Bytes>) -> proto::AppendRequest {
    proto::AppendRequest { entry: entry.into(), ..Default::default() }
}

/// Requires a refusal with this code, which names a field and says what to do in a sentence.
pub(crate) fn refused<T>(answer: Result<T, Status>, code: Code, field: &str) -> Status {
    let status = answer.map(|_| ()).expect_err("the request is refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().len() > 10, "a refusal says what is wrong: {status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("a refusal has a reason: {status:?}"));
    assert_eq!(info.domain, "attestree");
    let violations = details.bad_request().map(|request| request.field_violations.clone());
    let fields: Vec<String> =
        violations.unwrap_or_default().into_iter().map(|wrong| wrong.field).collect();
    assert_eq!(fields, [field], "{status:?}");
    status
}
