//! What the witness answers over HTTP (c2sp.org/tlog-witness).
//!
//! | | |
//! |---|---|
//! | `POST /add-checkpoint` | the body of [`AddCheckpoint`](crate::core::witness::AddCheckpoint); 200 with the cosignature's line, 409 with the size to prove from, or why not |
//! | `GET /<sha256 of the origin>/checkpoint` | the newest checkpoint that was cosigned, under both signatures |
//! | `GET /metrics`, `/healthz`, `/readyz` | |
//!
//! A second router serves the operator, over a socket that only its owner can open: `GET /status` and
//! `POST /order`, both in JSON.

use core::{net::SocketAddr, time::Duration};
use std::sync::Arc;

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use tokio::{sync::Semaphore, time::timeout};

use super::{Denial, OperatorError, Order, Witness};
use crate::{
    core::{
        note::NoteSignature,
        witness::{ADD_CHECKPOINT_BYTES_MAX, AddCheckpointError, Refusal},
    },
    openmetrics,
};

/// How long a body may take. At its longest it has 68 KB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of an order: a reason in which every character is escaped, and an origin.
const ORDER_BYTES_MAX: usize = 16 * 1_024;

/// The type of a conflict's size.
const SIZE: &str = "text/x.tlog.size";
/// The type of everything else.
const TEXT: &str = "text/plain; charset=utf-8";

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What the handlers share.
#[derive(Clone)]
struct Desk {
    witness: Arc<Witness>,
    /// Bodies that may be read at once.
    room: Arc<Semaphore>,
}

/// Returns the public routes. Each connection adds its [`Peer`].
pub fn router(witness: Arc<Witness>) -> Router {
    let room = Arc::new(Semaphore::new(witness.config.requests_max));
    Router::new().fallback(serve).with_state(Desk { witness, room })
}

/// Returns the routes of one connection.
pub fn connection(router: &Router, peer: SocketAddr) -> Router {
    router.clone().layer(Extension(Peer(peer)))
}

/// Returns the operator's routes.
pub fn operator_router(witness: Arc<Witness>) -> Router {
    Router::new().route("/status", get(status)).route("/order", post(order)).with_state(witness)
}

/// Answers one request.
async fn serve(State(desk): State<Desk>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/add-checkpoint" {
        if request.method() != Method::POST {
            return not_allowed("POST", "this address takes checkpoints by POST only\n");
        }
        let answer = add_checkpoint(&desk, request).await;
        desk.witness.metrics.answered(answer.status().as_u16());
        return answer;
    }
    let witness = &desk.witness;
    let answer = match path {
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" if *witness.fatal().borrow() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "a write failed: the witness stops\n")
        }
        "/readyz" => text(StatusCode::OK, "ready\n"),
        "/metrics" => {
            typed(StatusCode::OK, openmetrics::MEDIA_TYPE, witness.metrics.encode(witness.book()))
        }
        path => match monitored(witness, path) {
            Some(note) => text(StatusCode::OK, note),
            None => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        },
    };
    let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
    if is_read || answer.status() == StatusCode::NOT_FOUND {
        answer
    } else {
        not_allowed("GET, HEAD", "this address is read by GET or HEAD only\n")
    }
}

/// Returns the checkpoint that a path names, if it was ever cosigned.
fn monitored(witness: &Witness, path: &str) -> Option<Bytes> {
    let hash = path.strip_prefix('/')?.strip_suffix("/checkpoint")?;
    let latest = witness.book.log_of_hash(hash)?.state().latest?;
    Some(latest.cosigned_note(&witness.key))
}

/// Reads a body and judges it.
async fn add_checkpoint(desk: &Desk, request: Request) -> Response {
    if let Some(Peer(peer)) = request.extensions().get::<Peer>()
        && let Err(denial) = desk.witness.admit(peer.ip().to_canonical())
    {
        return denied(&denial);
    }
    let Ok(_room) = desk.room.try_acquire() else { return denied(&Denial::Busy) };
    // One byte more than is allowed is enough to know.
    let reading = to_bytes(request.into_body(), ADD_CHECKPOINT_BYTES_MAX + 1);
    let body = match timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let bytes = ADD_CHECKPOINT_BYTES_MAX + 1;
            return denied(&AddCheckpointError::TooLong { bytes }.into());
        }
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
    };
    match desk.witness.add_checkpoint(&body).await {
        Ok(line) => text(StatusCode::OK, lines(&line)),
        Err(denial) => denied(&denial),
    }
}

/// Writes a signature line as a body.
fn lines(line: &NoteSignature) -> String {
    format!("{line}\n")
}

/// Answers with why a checkpoint is not cosigned.
fn denied(denial: &Denial) -> Response {
    let status = StatusCode::from_u16(denial.status()).expect("denials have statuses of HTTP");
    if let Denial::Refused(Refusal::Conflict { latest }) = denial {
        return typed(status, SIZE, format!("{latest}\n"));
    }
    let mut answer = text(status, format!("{denial}\n"));
    let wait = match denial {
        Denial::TooMany { retry_after } => Some(*retry_after),
        Denial::Busy | Denial::NotWritten | Denial::Fatal => Some(Duration::from_secs(1)),
        _ => None,
    };
    if let Some(wait) = wait {
        // HTTP counts whole seconds; a fraction is rounded up.
        let seconds = wait.as_millis().div_ceil(1_000).to_string();
        let seconds = HeaderValue::try_from(seconds).expect("digits are a header value");
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    answer
}

fn not_allowed(allow: &'static str, sentence: &'static str) -> Response {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

/// Answers with plain text.
fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    typed(status, TEXT, body)
}

fn typed(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Answers the operator with JSON.
fn json(value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_string(value).expect("strings and numbers are JSON");
    typed(StatusCode::OK, "application/json", body)
}

async fn status(State(witness): State<Arc<Witness>>) -> Response {
    json(&witness.status())
}

/// Carries out an order, and answers with the status after it.
async fn order(State(witness): State<Arc<Witness>>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), ORDER_BYTES_MAX).await else {
        return text(StatusCode::BAD_REQUEST, "the order is too long\n");
    };
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match witness.order(&order).await {
        Ok(_) => json(&witness.status()),
        Err(error @ OperatorError::Journal(_)) => {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
