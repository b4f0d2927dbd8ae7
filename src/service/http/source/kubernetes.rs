//! `POST /v1/kubernetes`: the audit webhook of a Kubernetes API server.
//!
//! The server sends a batch again after any error, five times at most, and then loses it: so no content is ever
//! refused. An answer of success has no body and no type, both of which it would only look at to find fault.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::{body, source_of};
use crate::{
    service::{
        Desk,
        grpc::Denial,
        http::{denied, text},
        source::SourceKind,
    },
    source::kubernetes,
};

/// Answers a request.
pub(super) async fn receive(desk: &Desk, request: Request) -> Response {
    if request.method() != Method::POST {
        let sentence = "this address takes audit events by POST only\n";
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    match take(desk, request).await {
        Ok(()) => Response::default(),
        Err(denial) => denied(&denial),
    }
}

/// Takes a batch.
async fn take(desk: &Desk, request: Request) -> Result<(), Denial> {
    let source = source_of(desk, SourceKind::Kubernetes, &request)?;
    let body = body(&source, request).await?;
    let items =
        body.items(|body| kubernetes::decode(body, source.cluster(), source.bounds().items));
    desk.take(&source, items).await.map(|_placed| ())
}
