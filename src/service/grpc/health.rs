//! The gRPC health service: what `/readyz` says, in gRPC's own words (`grpc.health.v1`).

use core::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio_stream::{Stream, wrappers::WatchStream};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::{Answered, status::Denial};
use crate::service::{Desk, NotReady, receiving::Share};

/// The services whose health is told: the server as a whole, and the log.
const SERVICES: [&str; 2] = ["", "attestree.v1.LogService"];

/// The health of a server.
#[derive(Clone)]
pub(super) struct HealthFace {
    desk: Desk,
}

/// Returns the health service.
pub(super) fn server(desk: &Desk) -> HealthServer<HealthFace> {
    HealthServer::new(HealthFace { desk: desk.clone() })
}

/// Returns the message of a state.
fn response(reason: Option<NotReady>) -> HealthCheckResponse {
    let status = match reason {
        None => ServingStatus::Serving,
        Some(_) => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthFace {
    type WatchStream = States;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Answered<HealthCheckResponse> {
        let service = request.into_inner().service;
        if !SERVICES.contains(&service.as_str()) {
            return Err(Denial::unknown_service().into());
        }
        Ok(Response::new(response(self.desk.ready.reason())))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Answered<States> {
        let service = request.into_inner().service;
        let share = self.desk.receiving.open();
        share.check()?;
        Ok(Response::new(States {
            known: SERVICES.contains(&service.as_str()),
            changes: WatchStream::new(self.desk.ready.watch()),
            closing: Box::pin(self.desk.closing.clone().cancelled_owned()),
            _share: share,
        }))
    }
}

/// The state of a service and each change of it, until the server stops.
pub(super) struct States {
    known: bool,
    changes: WatchStream<Option<NotReady>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    _share: Share,
}

impl Stream for States {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The last change is that the server stops; it is told before the stream ends.
        if let Poll::Ready(change) = Pin::new(&mut self.changes).poll_next(context) {
            return Poll::Ready(change.map(|reason| {
                // The protocol's answer for a service that may yet come; none ever does.
                let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
                Ok(if self.known { response(reason) } else { unknown })
            }));
        }
        self.closing.as_mut().poll(context).map(|()| None)
    }
}
