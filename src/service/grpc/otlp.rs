//! `LogsService.Export` of OpenTelemetry.
//!
//! The service is served by hand, because a request that no message can be made of must be kept: a client drops what
//! it is told to be invalid. So messages are taken as bytes. And before any of them is read, the metadata
//! says whose they are, and with that how many they may be. For the same reason a message that is compressed is
//! decompressed here.
//!
//! # Answers
//!
//! `UNAVAILABLE` with a delay for whatever can be sent again, `RESOURCE_EXHAUSTED` without one for what is too large,
//! and nothing else that a client would try again.

use core::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;
use tonic::{
    Code, Status,
    body::Body,
    codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, UnaryService},
};

use super::status::Denial;
use crate::{
    core::credential,
    service::{
        Desk, Principal,
        source::{Coding, Source, SourceKind, decode},
    },
    source::otlp::{self, Encoding},
};

/// The one method.
const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// The header that says how messages are compressed that are.
const ENCODING: &str = "grpc-encoding";

/// The service of OpenTelemetry's logs.
#[derive(Clone)]
pub(super) struct OtlpServer {
    desk: Desk,
}

impl OtlpServer {
    /// Serves the desk's sources.
    pub(super) const fn new(desk: Desk) -> Self {
        Self { desk }
    }
}

impl NamedService for OtlpServer {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

/// The answer to a request.
type Answering<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl tower::Service<Request<Body>> for OtlpServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let desk = self.desk.clone();
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("there is no such method").into_http());
            }
            Ok(match source_of(&desk, &request) {
                Ok(source) => export(desk, source, request).await,
                Err(denial) => Status::from(desk.metrics.denied(denial)).into_http(),
            })
        })
    }
}

/// Finds the source of a request.
fn source_of(desk: &Desk, request: &Request<Body>) -> Result<Arc<Source>, Denial> {
    let value = request.headers().get(header::AUTHORIZATION);
    let token = value.and_then(|value| credential::of_header(value.as_bytes()));
    let principal = Principal::of(request.extensions());
    let source = desk.source(SourceKind::Otlp, token.as_deref(), &principal);
    source.map_err(|unadmitted| Denial::from(unadmitted).of_otlp())
}

/// Reads a request of a source and answers it.
async fn export(desk: Desk, source: Arc<Source>, request: Request<Body>) -> Response<Body> {
    let mut grpc = Grpc::new(Whole)
        .max_decoding_message_size(source.bounds().body_bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let meter = source.meter().clone();
    let coding = Arc::new(OnceLock::new());
    let request = uncompressed(request, &coding);
    let mut response = grpc.unary(Export { desk, source, coding }, request).await;
    if status_is(response.headers(), Code::OutOfRange) {
        // What is too long stays so: a client that is told OUT_OF_RANGE sends it again.
        meter.refuse("BODY_TOO_LARGE");
        response.headers_mut().insert(Status::GRPC_STATUS, code(Code::ResourceExhausted));
    }
    response
}

/// Returns whether an answer is a refusal with this code.
fn status_is(headers: &HeaderMap, expected: Code) -> bool {
    headers.get(Status::GRPC_STATUS).is_some_and(|value| *value == code(expected))
}

/// Writes a code.
fn code(code: Code) -> HeaderValue {
    HeaderValue::from(code as i32)
}

/// Takes the message of one request.
struct Export {
    desk: Desk,
    source: Arc<Source>,
    /// How it is compressed, known when it has come.
    coding: Arc<OnceLock<Coding>>,
}

impl UnaryService<Bytes> for Export {
    type Response = ExportLogsServiceResponse;
    type Future = Answering<tonic::Response<Self::Response>, Status>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (desk, source) = (self.desk.clone(), Arc::clone(&self.source));
        let coding = self.coding.get().copied().unwrap_or(Coding::Identity);
        Box::pin(async move {
            let body = request.into_inner();
            take(&desk, &source, coding, body)
                .await
                .map_err(|denial| Status::from(denial.of_otlp()))?;
            // Everything was taken, which is said by saying nothing.
            Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
        })
    }
}

/// Takes a body, at the expense of the budget of requests that are being read.
async fn take(desk: &Desk, source: &Source, coding: Coding, came: Bytes) -> Result<(), Denial> {
    let body = decode(source, coding, came);
    let body = body.inspect_err(|denial| source.meter().refuse(denial.reason()))?;
    let max = source.bounds().items;
    let items = body.items(|body| otlp::decode(body, Encoding::Protobuf, max));
    desk.take(source, items).await.map(|_placed| ())
}

/// Takes what says that its message is compressed from a request, and tells `coding`; of a request in another
/// encoding than gzip, nothing.
fn uncompressed(mut request: Request<Body>, coding: &Arc<OnceLock<Coding>>) -> Request<Body> {
    if request.headers().get(ENCODING).is_none_or(|encoding| encoding != "gzip") {
        return request;
    }
    request.headers_mut().remove(ENCODING);
    request.map(|body| Body::new(Uncompressed { body, coding: Arc::clone(coding) }))
}

/// A body whose message is handed on as if it were not compressed.
struct Uncompressed {
    body: Body,
    /// Set by the first byte, which is the flag.
    coding: Arc<OnceLock<Coding>>,
}

impl Uncompressed {
    /// Takes the flag off the first bytes that come.
    fn take(&self, data: Bytes) -> Bytes {
        let Some((flag, rest)) = data.split_first().filter(|_| self.coding.get().is_none()) else {
            return data;
        };
        let is_compressed = *flag == 1;
        let _first = self.coding.set(match is_compressed {
            true => Coding::Gzip,
            false => Coding::Identity,
        });
        if !is_compressed {
            return data;
        }
        let mut uncompressed = BytesMut::with_capacity(data.len());
        uncompressed.extend_from_slice(&[0]);
        uncompressed.extend_from_slice(rest);
        uncompressed.freeze()
    }
}

impl hyper::body::Body for Uncompressed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_ok(|frame| frame.map_data(|data| self.take(data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests as the bytes that they are; answers as messages.
struct Whole;

impl Codec for Whole {
    type Encode = ExportLogsServiceResponse;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Whole {
    type Item = ExportLogsServiceResponse;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|_full| Status::internal("an answer did not fit its buffer"))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Whole {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
