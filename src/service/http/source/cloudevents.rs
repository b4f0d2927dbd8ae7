//! `POST /v1/cloudevents`: 204 once the events are in the log.
//!
//! `OPTIONS` is a sender's question whether it may send here (HTTP 1.1 Web Hooks for Event Delivery 1.0, section 4):
//! 200 to whoever has a credential of the source.
//!
//! Any other 4xx than one about who is asking makes a sender drop its event, so that what is none is kept as it
//! came. 429 and 503 say when to come again.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
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
    match *request.method() {
        Method::POST => {}
        Method::OPTIONS => return consent(desk, &request).unwrap_or_else(|denial| denied(&denial)),
        _ => return only("OPTIONS, POST"),
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

/// Says how often the origin that asks may send: it is named in the answer, which is no answer to anybody else.
fn consent(desk: &Desk, request: &Request) -> Result<Response, Denial> {
    let source = source_of(desk, SourceKind::CloudEvents, request)?;
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    if let Some(origin) = request.headers().get("webhook-request-origin") {
        headers.insert("webhook-allowed-origin", origin.clone());
        // Of requests in a minute. The source counts events in a second, and a request has one at least.
        let rate = source.bounds().rate.map(|rate| HeaderValue::from(u64::from(rate) * 60));
        let unlimited = HeaderValue::from_static("*");
        headers.insert("webhook-allowed-rate", rate.unwrap_or(unlimited));
    }
    Ok(response)
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
