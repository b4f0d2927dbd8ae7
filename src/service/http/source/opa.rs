//! `POST /v1/opa/logs`: 200 once the decisions are in the log; anything else makes OPA send them again.

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    response::Response,
};

use super::{body, denied, only, source_of, text};
use crate::{
    service::{Desk, grpc::Denial, source::SourceKind},
    source::opa,
};

/// Answers one upload.
pub(super) async fn receive(desk: &Desk, request: Request) -> Response {
    if *request.method() != Method::POST {
        return only("POST");
    }
    match take(desk, request).await {
        Ok(()) => text(StatusCode::OK, "taken\n"),
        Err(denial) => denied(&denial),
    }
}

/// Takes the decisions of an upload.
async fn take(desk: &Desk, request: Request) -> Result<(), Denial> {
    let source = source_of(desk, SourceKind::Opa, &request)?;
    let body = body(&source, request).await?;
    let items = body.items(|body| opa::decode(body, source.bounds().items));
    desk.take(&source, items).await.map(drop)
}
