//! A log service that answers at once, for `load --baseline`: what gRPC costs without a log.
//!
//! It keeps nothing and proves nothing. Its answers are as long as those of a log of a million
//! entries, so that what is measured beside it is the same work but for the log.

use core::{net::SocketAddr, pin::Pin};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::proto::{
    self, Answer, AppendBatchRequest, AppendBatchResponse, AppendRequest, AppendResponse,
    AppendStreamRequest, AppendStreamResponse,
    append_stream_response::Outcome,
    log_service_server::{LogService, LogServiceServer},
};

/// Hashes of an inclusion proof in a tree of a million entries.
const PROOF_HASHES: usize = 20;

/// Bytes of a checkpoint with one signature and an origin of usual length.
const NOTE_BYTES: usize = 200;

/// Most bytes of one request, as the real service takes them.
const REQUEST_BYTES_MAX: usize = 32 << 20;

/// A running echo, on a thread of its own.
pub struct Echo {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Starts an echo on a free port of the loopback interface. Each answer holds as much as a log's.
pub fn start(answer: Answer) -> anyhow::Result<Echo> {
    let runtime =
        Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let listener = runtime
        .block_on(TcpListener::bind((core::net::Ipv4Addr::LOCALHOST, 0)))
        .context("bind a port")?;
    let address = listener.local_addr().context("read the bound address")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let service =
        LogServiceServer::new(Canned::new(answer)).max_decoding_message_size(REQUEST_BYTES_MAX);
    let thread = thread::spawn(move || {
        let server = tonic::transport::Server::builder().tcp_nodelay(true).add_service(service);
        let stopped = async move {
            // A dropped sender means the same as one that sends.
            let _stop = stopped.await;
        };
        let incoming = TcpListenerStream::new(listener)
            .map(|stream| stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream)));
        // It ends when it is told to; an error of its last connections is of no interest.
        let _ended = runtime.block_on(server.serve_with_incoming_shutdown(incoming, stopped));
    });
    Ok(Echo { address, stop, thread })
}

impl Echo {
    /// Returns the address that the echo listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the echo.
    pub fn stop(self) {
        // The thread may have ended by itself.
        let _ended = self.stop.send(());
        self.thread.join().expect("the echo's thread does not panic");
    }
}

/// The answers, made before.
struct Canned {
    single: AppendResponse,
    checkpoint: Option<proto::Checkpoint>,
    range_proof: Vec<Bytes>,
}

impl Canned {
    /// Makes answers that hold as much as was asked for.
    fn new(answer: Answer) -> Self {
        let hash = Bytes::from_static(&[0x5A; 32]);
        let checkpoint = (answer != Answer::Index).then(|| proto::Checkpoint {
            note: Bytes::from(vec![b'n'; NOTE_BYTES]),
            tree_size: 1_000_000,
            root_hash: hash.clone(),
        });
        let hashes = match answer {
            Answer::Receipt => vec![hash.clone(); PROOF_HASHES],
            Answer::Unspecified | Answer::Index | Answer::Checkpoint => Vec::new(),
        };
        let proof = (answer == Answer::Receipt).then(|| proto::InclusionProof {
            leaf_index: 500_000,
            tree_size: 1_000_000,
            hashes: hashes.clone(),
        });
        let single = AppendResponse {
            leaf_index: 500_000,
            leaf_hash: hash,
            duplicate: false,
            checkpoint: checkpoint.clone(),
            proof,
            cosigned: false,
        };
        Self { single, checkpoint, range_proof: hashes }
    }
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What an echo says to everything that it is not asked by `load`.
fn unknown<T>() -> Result<T, Status> {
    Err(Status::unimplemented("an echo only answers appends"))
}

#[tonic::async_trait]
impl LogService for Canned {
    type AppendStreamStream = Answers<AppendStreamResponse>;
    type WatchCheckpointsStream = Answers<proto::WatchCheckpointsResponse>;
    type ReadEntriesStream = Answers<proto::ReadEntriesResponse>;

    async fn append(
        &self,
        _request: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        Ok(Response::new(self.single.clone()))
    }

    async fn append_batch(
        &self,
        request: Request<AppendBatchRequest>,
    ) -> Result<Response<AppendBatchResponse>, Status> {
        let request = request.get_ref();
        let count = request.entries.len() + request.keyed_entries.len();
        Ok(Response::new(AppendBatchResponse {
            from: 0,
            to: u64::try_from(count).expect("a usize fits in 64 bits"),
            duplicates: Vec::new(),
            checkpoint: self.checkpoint.clone(),
            range_proof: self.range_proof.clone(),
            duplicates_proof: Vec::new(),
            cosigned: false,
        }))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let single = self.single.clone();
        let answers = request.into_inner().map(move |request| {
            let _entry = request?;
            Ok(AppendStreamResponse { outcome: Some(Outcome::Appended(single.clone())) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_checkpoint(
        &self,
        _request: Request<proto::GetCheckpointRequest>,
    ) -> Result<Response<proto::GetCheckpointResponse>, Status> {
        unknown()
    }

    async fn add_cosignature(
        &self,
        _request: Request<proto::AddCosignatureRequest>,
    ) -> Result<Response<proto::AddCosignatureResponse>, Status> {
        unknown()
    }

    async fn watch_checkpoints(
        &self,
        _request: Request<proto::WatchCheckpointsRequest>,
    ) -> Result<Response<Self::WatchCheckpointsStream>, Status> {
        unknown()
    }

    async fn list_logs(
        &self,
        _request: Request<proto::ListLogsRequest>,
    ) -> Result<Response<proto::ListLogsResponse>, Status> {
        unknown()
    }

    async fn prove_inclusion(
        &self,
        _request: Request<proto::ProveInclusionRequest>,
    ) -> Result<Response<proto::ProveInclusionResponse>, Status> {
        unknown()
    }

    async fn prove_inclusion_batch(
        &self,
        _request: Request<proto::ProveInclusionBatchRequest>,
    ) -> Result<Response<proto::ProveInclusionBatchResponse>, Status> {
        unknown()
    }

    async fn prove_consistency(
        &self,
        _request: Request<proto::ProveConsistencyRequest>,
    ) -> Result<Response<proto::ProveConsistencyResponse>, Status> {
        unknown()
    }

    async fn get_entry(
        &self,
        _request: Request<proto::GetEntryRequest>,
    ) -> Result<Response<proto::GetEntryResponse>, Status> {
        unknown()
    }

    async fn read_entries(
        &self,
        _request: Request<proto::ReadEntriesRequest>,
    ) -> Result<Response<Self::ReadEntriesStream>, Status> {
        unknown()
    }
}
