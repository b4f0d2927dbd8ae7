//! The gRPC services: the log's public face and, on the administrator's socket, the operator's.
//!
//! One file a concern; this one names the methods and hands each to its file.

mod admin;
mod answer;
mod append;
mod batch;
mod checkpoint;
pub(super) mod event;
mod health;
mod otlp;
mod policy;
mod prove;
mod read;
mod status;
mod stream;
pub(super) mod wait;

use tonic::{Request, Response, Status, Streaming, service::Routes};

pub use self::{
    admin::{Admin, Operator, OperatorError},
    status::{Denial, ERROR_DOMAIN, Fields},
};
use super::Desk;
use crate::{
    core::{entry::ENTRY_BYTES_MAX, record::SUBMISSION_LIMITS},
    pipeline::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, IDEMPOTENCY_KEY_BYTES_MAX},
    proto::{self, event_service_server::EventServiceServer, log_service_server::LogServiceServer},
};

/// Most bytes of one request message: the largest batch, and for each of its entries the key and
/// at most 16 bytes of tags and lengths. The kibibyte is for the log's origin and the answer field.
pub const MESSAGE_BYTES_MAX: usize =
    BATCH_BYTES_MAX + BATCH_ENTRIES_MAX * (IDEMPOTENCY_KEY_BYTES_MAX + 16) + 1_024;

/// Most bytes of one message of a stream: twice the longest entry, so that an entry that is a little
/// too long is refused in its place. A longer message ends its stream.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 2 * (ENTRY_BYTES_MAX + 1);

/// Most bytes of one message of a stream of events, likewise.
pub const EVENT_STREAM_MESSAGE_BYTES_MAX: usize = 2 * SUBMISSION_LIMITS.bytes;

/// Most bytes of a request to another service; a name is all that they hold.
const OTHER_MESSAGE_BYTES_MAX: usize = 64 * 1_024;

/// The answer of a unary call.
type Answered<T> = Result<Response<T>, Status>;

/// The log's own service.
pub type LogServer = LogServiceServer<LogFace>;

/// Returns the log's own service, for requests that are one message.
pub fn log_server(desk: &Desk) -> LogServer {
    LogServiceServer::new(LogFace { desk: desk.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Returns the log's own service, for streams of requests.
pub fn stream_server(desk: &Desk) -> LogServer {
    log_server(desk).max_decoding_message_size(STREAM_MESSAGE_BYTES_MAX)
}

/// The service of audit logs.
pub type EventServer = EventServiceServer<EventFace>;

/// Returns the service of audit logs, for requests that are one message.
pub fn event_server(desk: &Desk) -> EventServer {
    EventServiceServer::new(EventFace { desk: desk.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Returns the service of audit logs, for streams of requests.
pub fn event_stream_server(desk: &Desk) -> EventServer {
    event_server(desk).max_decoding_message_size(EVENT_STREAM_MESSAGE_BYTES_MAX)
}

/// Returns the routes of the other services on the network: health, reflection and logs of OpenTelemetry.
pub fn others(desk: &Desk) -> Routes {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("attestree.v1.LogService")
        .with_service_name("attestree.v1.EventService")
        .with_service_name("grpc.health.v1.Health")
        .build_v1()
        .expect("the built descriptor sets decode")
        .max_decoding_message_size(OTHER_MESSAGE_BYTES_MAX);
    Routes::new(health::server(desk).max_decoding_message_size(OTHER_MESSAGE_BYTES_MAX))
        .add_service(reflection)
        .add_service(otlp::OtlpServer::new(desk.clone()))
        .prepare()
}

/// `LogService`, method by method.
#[derive(Clone)]
pub struct LogFace {
    desk: Desk,
}

#[tonic::async_trait]
impl proto::log_service_server::LogService for LogFace {
    type AppendStreamStream = stream::Appends<stream::Entries>;
    type WatchCheckpointsStream = checkpoint::Checkpoints;
    type ReadEntriesStream = read::Entries;

    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Answered<proto::AppendResponse> {
        append::append(&self.desk, request).await
    }

    async fn append_batch(
        &self,
        request: Request<proto::AppendBatchRequest>,
    ) -> Answered<proto::AppendBatchResponse> {
        batch::append_batch(&self.desk, request).await
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<proto::AppendStreamRequest>>,
    ) -> Answered<stream::Appends<stream::Entries>> {
        Ok(Response::new(stream::Appends::new(self.desk.clone(), request)))
    }

    async fn get_checkpoint(
        &self,
        request: Request<proto::GetCheckpointRequest>,
    ) -> Answered<proto::GetCheckpointResponse> {
        checkpoint::get(&self.desk, &request.into_inner())
    }

    async fn add_cosignature(
        &self,
        request: Request<proto::AddCosignatureRequest>,
    ) -> Answered<proto::AddCosignatureResponse> {
        checkpoint::add_cosignature(&self.desk, &request.into_inner())
    }

    async fn watch_checkpoints(
        &self,
        request: Request<proto::WatchCheckpointsRequest>,
    ) -> Answered<checkpoint::Checkpoints> {
        checkpoint::watch(&self.desk, &request.into_inner())
    }

    async fn list_logs(
        &self,
        _request: Request<proto::ListLogsRequest>,
    ) -> Answered<proto::ListLogsResponse> {
        Ok(checkpoint::logs(&self.desk))
    }

    async fn prove_inclusion(
        &self,
        request: Request<proto::ProveInclusionRequest>,
    ) -> Answered<proto::ProveInclusionResponse> {
        prove::inclusion(&self.desk, request.into_inner())
    }

    async fn prove_inclusion_batch(
        &self,
        request: Request<proto::ProveInclusionBatchRequest>,
    ) -> Answered<proto::ProveInclusionBatchResponse> {
        prove::inclusion_batch(&self.desk, request.into_inner()).await
    }

    async fn prove_consistency(
        &self,
        request: Request<proto::ProveConsistencyRequest>,
    ) -> Answered<proto::ProveConsistencyResponse> {
        prove::consistency(&self.desk, &request.into_inner())
    }

    async fn get_entry(
        &self,
        request: Request<proto::GetEntryRequest>,
    ) -> Answered<proto::GetEntryResponse> {
        read::entry(&self.desk, &request.into_inner())
    }

    async fn read_entries(
        &self,
        request: Request<proto::ReadEntriesRequest>,
    ) -> Answered<read::Entries> {
        read::entries(&self.desk, &request.into_inner())
    }
}

/// `EventService`, method by method.
#[derive(Clone)]
pub struct EventFace {
    desk: Desk,
}

#[tonic::async_trait]
impl proto::event_service_server::EventService for EventFace {
    type AppendEventStreamStream = stream::Appends<event::Events>;

    async fn append_event(
        &self,
        request: Request<proto::AppendEventRequest>,
    ) -> Answered<proto::AppendEventResponse> {
        event::append(&self.desk, request).await
    }

    async fn append_event_batch(
        &self,
        request: Request<proto::AppendEventBatchRequest>,
    ) -> Answered<proto::AppendEventBatchResponse> {
        event::append_batch(&self.desk, request).await
    }

    async fn append_event_stream(
        &self,
        request: Request<Streaming<proto::AppendEventStreamRequest>>,
    ) -> Answered<stream::Appends<event::Events>> {
        Ok(Response::new(stream::Appends::new(self.desk.clone(), request)))
    }
}
