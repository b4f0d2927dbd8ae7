//! HTTP: the static log of c2sp.org/tlog-tiles, `POST /add`, `POST /v1/events`, metrics and health.
//!
//! Every log is served under the path part of its origin, and the default log at the root as well.
//! Logs come while the server runs, so paths are matched here against the logs that there are.

mod add;
mod events;
mod route;
mod source;
mod tiles;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use tonic::Code;
use tower_http::{CompressionLevel, compression::CompressionLayer};

pub(in crate::service) use self::add::wait_for_checkpoint;
use self::route::Target;
use super::{Desk, grpc::Denial};
use crate::openmetrics;

/// Marks a response that is worth compressing. Hashes are not.
#[derive(Clone, Copy, Debug)]
struct Compressible;

/// Returns the routes of everything that is served over plain HTTP.
pub fn router(desk: Desk) -> Router {
    let worth_it = |_: StatusCode, _, _: &_, extensions: &axum::http::Extensions| {
        extensions.get::<Compressible>().is_some()
    };
    // The fastest level: bundles are compressed on the way out, each time they are asked for.
    let compression =
        CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it);
    Router::new().fallback(serve).layer(compression).with_state(desk)
}

/// Answers one request.
async fn serve(State(desk): State<Desk>, request: Request) -> Response {
    let target = match route::find(&desk, request.uri().path()) {
        Ok(target) => target,
        Err(denial) => return denied(&denial),
    };
    if let Target::Source(door) = target {
        return source::serve(&desk, door, request).await;
    }
    let method = request.method();
    let allowed = match target {
        Target::Add(_) | Target::Events(_) => *method == Method::POST,
        _ => *method == Method::GET || *method == Method::HEAD,
    };
    if !allowed {
        return not_allowed(&target);
    }
    match target {
        Target::Add(log) => add::add(&desk, &log, request).await,
        Target::Events(log) => events::append(&desk, &log, request).await,
        Target::Resource(log, resource) => {
            let file = tiles::serve(&desk, &log, resource, request.uri().query()).await;
            file.map_or_else(
                |denial| denied(&denial),
                |file| file.answer(request.method(), request.headers()),
            )
        }
        Target::Health => text(StatusCode::OK, "alive\n"),
        Target::Ready => match desk.ready.reason() {
            None => text(StatusCode::OK, "ready\n"),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        Target::Metrics => metrics(&desk),
        Target::Source(_) => unreachable!("a protocol judges the method itself"),
    }
}

fn metrics(desk: &Desk) -> Response {
    let mut response = text(StatusCode::OK, desk.metrics.encode(&desk.pipeline));
    let media_type = HeaderValue::from_static(openmetrics::MEDIA_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// Answers with plain text.
fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn not_allowed(target: &Target) -> Response {
    let (allow, sentence) = match target {
        Target::Add(_) => ("POST", "this address takes entries by POST only\n"),
        Target::Events(_) => ("POST", "this address takes events by POST only\n"),
        _ => ("GET, HEAD", "this address is read by GET or HEAD only\n"),
    };
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Returns the HTTP status of a refusal.
fn status(denial: &Denial) -> StatusCode {
    match (denial.code(), denial.reason()) {
        (
            Code::InvalidArgument,
            "ENTRY_TOO_LONG" | "EVENT_TOO_LONG" | "BODY_TOO_LARGE" | "TOO_MANY_LINES"
            | "TOO_MANY_ITEMS",
        ) => StatusCode::PAYLOAD_TOO_LARGE,
        (Code::InvalidArgument, "MEDIA_TYPE" | "CONTENT_ENCODING") => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        (Code::InvalidArgument, _) => StatusCode::BAD_REQUEST,
        (Code::NotFound | Code::OutOfRange, _) => StatusCode::NOT_FOUND,
        (Code::FailedPrecondition, "POLICY") => StatusCode::UNPROCESSABLE_ENTITY,
        (Code::AlreadyExists | Code::FailedPrecondition, _) => StatusCode::CONFLICT,
        (Code::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (Code::DeadlineExceeded, _) => StatusCode::REQUEST_TIMEOUT,
        (Code::ResourceExhausted, _) => StatusCode::TOO_MANY_REQUESTS,
        (Code::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Answers with why a request is not done.
fn denied(denial: &Denial) -> Response {
    let mut response = text(status(denial), format!("{}\n", denial.message()));
    retry_after(&mut response, denial);
    response
}

/// Says when to come back, where that makes sense.
fn retry_after(response: &mut Response, denial: &Denial) {
    if let Some(after) = denial.retry_after() {
        // HTTP counts whole seconds; a fraction is rounded up.
        let seconds = after.as_millis().div_ceil(1_000);
        let seconds =
            HeaderValue::try_from(seconds.to_string()).expect("digits are a header value");
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
}
