//! `POST /v1/cloudevents`: 204 once the events are in the log.
//!
//! Any other 4xx than one about who is asking makes a sender drop its event, so that what is none is kept as it
//! came. 429 and 503 say when to come again.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};

use super::{body, denied, only, source_of, text};
use crate::{
    service::{
        Desk,
        grpc::Denial,
        source::{Body, SourceKind},
    },
    source::cloudevents,
};

/// Answers one request.
pub(super) async fn receive(desk: &Desk, request: Request) -> Response {
    if *request.method() != Method::POST {
        return only("POST");
    }
    match take(desk, request).await {
        Ok(0) => text(StatusCode::BAD_REQUEST, "the request holds no event\n"),
        Ok(_) => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(denial) => denied(&denial),
    }
}

/// Takes the events of a request; returns how many.
async fn take(desk: &Desk, request: Request) -> Result<usize, Denial> {
    let source = source_of(desk, SourceKind::CloudEvents, &request)?;
    let headers = request.headers().clone();
    let body = body(&source, request).await?;
    let items = match body {
        Body::Whole(body) => cloudevents::decode(&pairs(&headers), &body, source.bounds().items),
        Body::Broken(came) => cloudevents::undecoded(&pairs(&headers), &came),
    };
    Ok(desk.take(&source, items).await?.len())
}

/// Returns the headers by their names in lower case.
fn pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
