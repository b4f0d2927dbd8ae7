//! The first look at a request: which protocol it is.
//!
//! gRPC and HTTP share one port, and both are HTTP requests; the content type tells them apart. Calls
//! of the log's own service, the hot path, go straight to it; everything else takes a router.

use core::{convert::Infallible, future::Future, pin::Pin};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, Response, header},
};
use hyper::body::Incoming;
use tower::Service as _;

use super::{
    Desk, Principal,
    grpc::{self, EventServer, LogServer},
    http as web,
    receiving::{Received, Receiving},
};

/// The path of every method of the log's service.
const LOG_SERVICE: &str = "/attestree.v1.LogService/";

/// The path of every method of the service of audit logs.
const EVENT_SERVICE: &str = "/attestree.v1.EventService/";

/// The methods whose requests are not a single message.
const STREAMS: [&str; 2] = ["AppendStream", "AppendEventStream"];

/// A service of logs, for requests that are one message and for streams.
#[derive(Clone)]
struct Served<S> {
    calls: S,
    streams: S,
}

/// Everything that is served to the network. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    log: Served<LogServer>,
    events: Served<EventServer>,
    grpc: Router,
    http: Router,
    receiving: Receiving,
}

impl Front {
    /// Joins both protocols over one desk.
    pub fn new(desk: &Desk) -> Self {
        Self {
            log: Served { calls: grpc::log_server(desk), streams: grpc::stream_server(desk) },
            events: Served {
                calls: grpc::event_server(desk),
                streams: grpc::event_stream_server(desk),
            },
            grpc: grpc::others(desk).into_axum_router(),
            http: web::router(desk.clone()),
            receiving: desk.receiving.clone(),
        }
    }

    /// Returns the service of one connection.
    pub fn connection(&self, principal: Option<Principal>) -> Connection {
        Connection { front: self.clone(), principal }
    }
}

/// The service of one connection: all its requests have the same principal.
#[derive(Clone)]
pub struct Connection {
    front: Front,
    principal: Option<Principal>,
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(principal) = &self.principal {
            request.extensions_mut().insert(principal.clone());
        }
        let Front { log, events, grpc, http, receiving } = &self.front;
        if !is_grpc(request.headers()) {
            let request = request.map(|body| Received::whole(body, receiving));
            return Box::pin(http.clone().call(request));
        }
        let path = request.uri().path();
        if let Some(method) = path.strip_prefix(LOG_SERVICE) {
            let streams = STREAMS.contains(&method);
            return log.call(streams, request, receiving);
        }
        if let Some(method) = path.strip_prefix(EVENT_SERVICE) {
            let streams = STREAMS.contains(&method);
            return events.call(streams, request, receiving);
        }
        let request = request.map(|body| Received::stream(body, receiving));
        Box::pin(grpc.clone().call(request))
    }
}

/// The answer to a request.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Served<S>
where
    S: Clone
        + Send
        + tower::Service<
            Request<Received>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future: Send + 'static,
        >,
{
    /// Calls the service with a request that is one message, or a stream of them.
    fn call(&self, streams: bool, request: Request<Incoming>, receiving: &Receiving) -> Answering {
        let (mut service, request) = if streams {
            let request = request.map(|body| Received::stream(body, receiving));
            (self.streams.clone(), request)
        } else {
            (self.calls.clone(), request.map(|body| Received::whole(body, receiving)))
        };
        let response = service.call(request);
        Box::pin(async move { response.await.map(|response| response.map(Body::new)) })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
