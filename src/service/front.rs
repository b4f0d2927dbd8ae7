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
    grpc::{self, LogServer},
    http as web,
    receiving::{Received, Receiving},
};

/// The path of every method of the log's service.
const LOG_SERVICE: &str = "/attestree.v1.LogService/";

/// The one method whose requests are not a single message.
const APPEND_STREAM: &str = "AppendStream";

/// Everything that is served to the network. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    log: LogServer,
    streams: LogServer,
    grpc: Router,
    http: Router,
    receiving: Receiving,
}

impl Front {
    /// Joins both protocols over one desk.
    pub fn new(desk: &Desk) -> Self {
        Self {
            log: grpc::log_server(desk),
            streams: grpc::stream_server(desk),
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
        let Front { log, streams, grpc, http, receiving } = &self.front;
        if !is_grpc(request.headers()) {
            let request = request.map(|body| Received::whole(body, receiving));
            return Box::pin(http.clone().call(request));
        }
        let mut log = match request.uri().path().strip_prefix(LOG_SERVICE) {
            None => {
                let request = request.map(|body| Received::stream(body, receiving));
                return Box::pin(grpc.clone().call(request));
            }
            Some(APPEND_STREAM) => {
                let request = request.map(|body| Received::stream(body, receiving));
                let response = streams.clone().call(request);
                return Box::pin(
                    async move { response.await.map(|response| response.map(Body::new)) },
                );
            }
            Some(_) => log.clone(),
        };
        let response = log.call(request.map(|body| Received::whole(body, receiving)));
        Box::pin(async move { response.await.map(|response| response.map(Body::new)) })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
