//! `/services/collector...`: Splunk's HTTP Event Collector, with its answers and their numbers.
//!
//! ```text
//! /services/collector, /event    objects           {"text":"Success","code":0}
//! /raw                           lines             the same
//! /ack?channel=...               {"acks":[0]}      {"acks":{"0":true}}
//! /health                                          {"text":"HEC is healthy","code":17}
//! ```
//!
//! Shippers drop what is answered with 400, so that no content is; it is kept as it came. With a channel, in
//! `X-Splunk-Request-Channel` or in the query, an answer has an `ackId` besides.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::super::{retry_after, status};
use super::{body, denied, only, source_of, text};
use crate::{
    service::{
        Desk,
        grpc::Denial,
        source::{Source, SourceKind, Unadmitted},
    },
    source::hec,
};

/// The header that names a channel.
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// An answer: its status, number and text.
type Answer = (StatusCode, u8, &'static str);

/// Everything is in the log.
const SUCCESS: Answer = (StatusCode::OK, 0, "Success");
/// Nobody says who is asking.
const TOKEN_REQUIRED: Answer = (StatusCode::UNAUTHORIZED, 2, "Token is required");
/// What says who is asking can't be read.
const INVALID_AUTHORIZATION: Answer = (StatusCode::UNAUTHORIZED, 3, "Invalid authorization");
/// The token is that of no source.
const INVALID_TOKEN: Answer = (StatusCode::FORBIDDEN, 4, "Invalid token");
/// The body has nothing in it.
const NO_DATA: Answer = (StatusCode::BAD_REQUEST, 5, "No data");
/// The body is none that can be read.
const INVALID_FORMAT: Answer = (StatusCode::BAD_REQUEST, 6, "Invalid data format");
/// Something is wrong here.
const INTERNAL: Answer = (StatusCode::INTERNAL_SERVER_ERROR, 8, "Internal server error");
/// The request may come again.
const BUSY: Answer = (StatusCode::SERVICE_UNAVAILABLE, 9, "Server is busy");
/// Nobody says which channel is meant.
const CHANNEL_MISSING: Answer = (StatusCode::BAD_REQUEST, 10, "Data channel is missing");
/// There is a collector.
const HEALTHY: Answer = (StatusCode::OK, 17, "HEC is healthy");

/// Why a request is not done.
enum Refused {
    /// It is nobody's.
    Unadmitted(Unadmitted, Answer),
    /// It is not taken.
    Denied(Denial),
    /// It asks for nothing that there is.
    Answer(Answer),
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

/// Answers one request to a part of the collector.
pub(super) async fn receive(desk: &Desk, part: &str, request: Request) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answered = match part {
        "health" if is_read => return health(desk),
        "health" => return only("GET, HEAD"),
        _ if *request.method() != Method::POST => return only("POST"),
        "ack" => acknowledge(desk, request).await,
        _ => take(desk, part == "raw", request).await,
    };
    answered.unwrap_or_else(Refused::into_response)
}

/// Says that the collector is there. Nobody is asked who he is, as load balancers expect it.
fn health(desk: &Desk) -> Response {
    if desk.sources.has(SourceKind::Hec) {
        answer(HEALTHY, Map::new())
    } else {
        denied(&Unadmitted::Off.into())
    }
}

/// Takes objects or lines.
async fn take(desk: &Desk, is_raw: bool, request: Request) -> Result<Response, Refused> {
    let source = find(desk, &request)?;
    let channel = channel(&request);
    let metadata = hec::Metadata::of_query(request.uri().query().unwrap_or_default());
    let body = body(&source, request).await?;
    let max = source.bounds().items;
    let items = body.items(|body| match is_raw {
        true => hec::decode_raw(body, &metadata, max),
        false => hec::decode(body, max),
    });
    if items.is_empty() {
        return Err(Refused::Answer(NO_DATA));
    }
    desk.take(&source, items).await?;
    let id = channel.and_then(|channel| source.channels().give(&channel));
    let besides = id.map(|id| ("ackId".to_owned(), id.into()));
    Ok(answer(SUCCESS, besides.into_iter().collect()))
}

/// Says which numbers of a channel stand for what is in the log: all that were given.
async fn acknowledge(desk: &Desk, request: Request) -> Result<Response, Refused> {
    let source = find(desk, &request)?;
    let channel = channel(&request).ok_or(Refused::Answer(CHANNEL_MISSING))?;
    let body = body(&source, request).await?.whole(&source)?;
    let asked = hec::decode_acks(&body).ok_or(Refused::Answer(INVALID_FORMAT))?;
    let given = source.channels().given(&channel);
    let acks = asked.into_iter().map(|id| (id.to_string(), Value::from(id < given)));
    let acks: Map<String, Value> = acks.collect();
    Ok(json_response(StatusCode::OK, &json!({ "acks": acks })))
}

/// Finds the source of a request.
fn find(desk: &Desk, request: &Request) -> Result<Arc<Source>, Refused> {
    source_of(desk, SourceKind::Hec, request).map_err(|unadmitted| {
        let says_something = request.headers().contains_key(header::AUTHORIZATION);
        let answer = match unadmitted {
            Unadmitted::Wrong => INVALID_TOKEN,
            _ if says_something => INVALID_AUTHORIZATION,
            _ => TOKEN_REQUIRED,
        };
        Refused::Unadmitted(unadmitted, answer)
    })
}

/// Returns the channel of a request.
fn channel(request: &Request) -> Option<String> {
    let header = request.headers().get(CHANNEL).and_then(|value| value.to_str().ok());
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let query = pairs.filter_map(|pair| pair.strip_prefix("channel=")).next_back();
    header.or(query).filter(|channel| !channel.is_empty()).map(str::to_owned)
}

impl Refused {
    /// Answers as Splunk does: what may come again is told so, whatever the reason.
    fn into_response(self) -> Response {
        match self {
            Self::Unadmitted(Unadmitted::Off, _) => denied(&Unadmitted::Off.into()),
            Self::Unadmitted(_, given) | Self::Answer(given) => answer(given, Map::new()),
            Self::Denied(denial) => {
                let may_come_again = denial.retry_after().is_some()
                    || matches!(denial.code(), Code::Unavailable | Code::ResourceExhausted);
                let (status, number, text) = match denial.code() {
                    _ if may_come_again => BUSY,
                    Code::DeadlineExceeded => BUSY,
                    Code::Internal | Code::Unknown => INTERNAL,
                    _ => (status(&denial), INVALID_FORMAT.1, INVALID_FORMAT.2),
                };
                let why = [("message".to_owned(), Value::from(denial.message()))];
                let mut response = answer((status, number, text), why.into_iter().collect());
                retry_after(&mut response, &denial);
                response
            }
        }
    }
}

/// Answers as Splunk does, with more members if there are any.
fn answer((status, number, text): Answer, mut members: Map<String, Value>) -> Response {
    members.insert("text".to_owned(), text.into());
    members.insert("code".to_owned(), number.into());
    json_response(status, &Value::Object(members))
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = text(status, value.to_string());
    let media_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
