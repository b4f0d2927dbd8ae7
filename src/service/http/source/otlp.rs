//! `POST /v1/logs`: logs of OpenTelemetry over HTTP.
//!
//! What can be sent again is answered with 503 and a delay: of the answers that the protocol allows, the one that every
//! client heeds. A refusal has a `google.rpc.Status` as its body, in the encoding of the request.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use prost::Message as _;
use tonic::Code;

use super::{body, source_of};
use crate::{
    service::{Desk, grpc::Denial, http::retry_after, source::SourceKind},
    source::otlp::{self, Encoding},
};

/// Answers a request.
pub(super) async fn receive(desk: &Desk, request: Request) -> Response {
    let encoding = encoding(request.headers());
    if request.method() != Method::POST {
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, encoding, Bytes::new());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    match take(desk, request, encoding).await {
        // Everything was taken: an answer without members.
        Ok(()) => match encoding {
            Some(Encoding::Json) => answer(StatusCode::OK, encoding, "{}".into()),
            _ => answer(StatusCode::OK, encoding, Bytes::new()),
        },
        Err(denial) => refuse(&denial.of_otlp(), encoding),
    }
}

/// Reads the type of a body.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

/// Takes what a request brings.
async fn take(desk: &Desk, request: Request, encoding: Option<Encoding>) -> Result<(), Denial> {
    let source = source_of(desk, SourceKind::Otlp, &request)?;
    let Some(encoding) = encoding else {
        let denial = Denial::no_encoding();
        source.meter().refuse(denial.reason());
        return Err(denial);
    };
    let body = body(&source, request).await?;
    let items = body.items(|body| otlp::decode(body, encoding, source.bounds().items));
    desk.take(&source, items).await.map(|_placed| ())
}

/// Says why nothing was taken.
fn refuse(denial: &Denial, encoding: Option<Encoding>) -> Response {
    let status = match (denial.code(), denial.reason()) {
        (Code::Unimplemented, _) => StatusCode::NOT_FOUND,
        (Code::ResourceExhausted, _) => StatusCode::PAYLOAD_TOO_LARGE,
        (Code::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        _ => super::super::status(denial),
    };
    let (code, message) = (denial.code() as i32, denial.message().to_owned());
    let body = match encoding {
        Some(Encoding::Protobuf) => {
            let said = tonic_types::Status { code, message, details: Vec::new() };
            said.encode_to_vec()
        }
        Some(Encoding::Json) | None => {
            serde_json::json!({ "code": code, "message": message }).to_string().into_bytes()
        }
    };
    let mut response = answer(status, encoding, body.into());
    retry_after(&mut response, denial);
    response
}

/// Answers in an encoding.
fn answer(status: StatusCode, encoding: Option<Encoding>, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let media_type = match encoding {
        Some(Encoding::Protobuf) => "application/x-protobuf",
        Some(Encoding::Json) | None => "application/json",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
