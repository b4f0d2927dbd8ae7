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
    receiving::{Receiving, Received},
};

/// The path of every method of the log's service.
const LOG_SERVICE: &str = "/attestree.v1.LogService/";

/// The one method whose requests are not a single message.
const APPEND_STREAM: &str = "AppendStream";

/// Everything that is served to the network. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    log: LogServer,
    grpc: Router,
    http: Router,
    receiving: Receiving,
}

impl Front {
    /// Joins both protocols over one desk.
    pub fn new(desk: &Desk, health: grpc::HealthService, receiving: Receiving) -> Self {
        Self {
            log: grpc::log_server(desk),
            grpc: grpc::others(health).into_axum_router(),
            http: web::router(desk.clone()),
            receiving,
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
        if !is_grpc(request.headers()) {
            return Box::pin(self.front.http.clone().call(request));
        }
        match request.uri().path().strip_prefix(LOG_SERVICE) {
            None => Box::pin(self.front.grpc.clone().call(request)),
            Some(APPEND_STREAM) => {
                let response = self.front.log.clone().call(request);
                Box::pin(async move { response.await.map(|response| response.map(Body::new)) })
            }
            Some(_) => {
                let request = request.map(|body| Received::new(body, self.front.receiving.clone()));
                let response = self.front.log.clone().call(request);
                Box::pin(async move { response.await.map(|response| response.map(Body::new)) })
            }
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
