//! Audit events from a producer to a record that it verifies, over real sockets.

mod busy;
mod client;
mod hostile;
mod http;
mod load;
mod policy;
mod stream;
mod unary;
mod watched;

use std::path::PathBuf;

use attestree::{
    core::{
        policy::Bundle,
        record::{Body, Record, Verdict},
    },
    proto::{
        Answer, AppendEventRequest, ApplyPolicyRequest, ApplyPolicyResponse,
        admin_service_client::AdminServiceClient, event_service_client::EventServiceClient,
    },
    server::config::RawConfig,
};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};

use crate::served::Served;

/// A policy that hides, demands and refuses.
pub const POLICY: &str = "\
apiVersion: attestree/v1
kind: Policy
classes:
  authentication:
    match: {action: 'auth.*'}
    require: [actor.id, outcome]
  deployment:
    match: {action: 'deploy.*'}
    require: [ctx.approval]
    enforce: reject
rules:
  - {name: reasons, classes: [authentication], require: [ctx.reason], enforce: warn}
redact:
  - {path: actor.email, action: commit, subject: actor.id}
  - {path: ctx.password, action: drop}
  - {path: ctx.phone, action: token}
  - {detect: pan, action: mask, keep_last: 4}
";

/// An event that the policy accepts, with everything that it hides.
pub const LOGIN: &str = r#"{"act":"auth.login","out":"failure","actor":{"id":"u_1","email":"a@example.com"},
"ctx":{"reason":"r","password":"hunter2","phone":"+49 30 1","note":"card 4111 1111 1111 1111"},"source":"web-7"}"#;

/// Starts a server with an audit log.
pub fn start() -> Served {
    Served::audit(RawConfig::default())
}

/// Starts a server with an audit log that is governed by [`POLICY`].
pub async fn governed() -> Served {
    let served = start();
    apply(&served, POLICY).await.unwrap();
    served
}

/// Connects to the service of events.
pub async fn events(served: &Served) -> EventServiceClient<Channel> {
    let endpoint = Endpoint::try_from(served.url("")).unwrap().tcp_nodelay(true);
    let channel = endpoint.connect().await.unwrap();
    EventServiceClient::new(channel).max_decoding_message_size(64 << 20)
}

/// Connects to the administrator's socket.
pub async fn admin(served: &Served) -> AdminServiceClient<Channel> {
    admin_at(served.data().join("admin.sock")).await.unwrap()
}

async fn admin_at(path: PathBuf) -> Result<AdminServiceClient<Channel>, tonic::transport::Error> {
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://admin.invalid");
    Ok(AdminServiceClient::new(endpoint.connect_with_connector(connect).await?))
}

/// The bundle of one document.
pub fn bundle(document: &str) -> Bundle {
    Bundle::new([("policy.yaml".to_owned(), document.as_bytes().to_vec())]).unwrap()
}

/// Puts a policy into force.
pub async fn apply(served: &Served, document: &str) -> Result<ApplyPolicyResponse, Status> {
    apply_at(served.data().join("admin.sock"), document).await
}

/// Puts a policy into force on the server of a socket.
pub async fn apply_at(socket: PathBuf, document: &str) -> Result<ApplyPolicyResponse, Status> {
    let bundle = bundle(document).encode().into();
    let request = ApplyPolicyRequest { bundle, ..Default::default() };
    let gone = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let mut admin = admin_at(socket).await.map_err(gone)?;
    admin.apply_policy(request).await.map(tonic::Response::into_inner)
}

/// Asks for a receipt of one event.
pub fn one(event: impl Into<Bytes>) -> AppendEventRequest {
    AppendEventRequest { event: event.into(), answer: Answer::Receipt.into(), ..Default::default() }
}

/// Returns verdict and rules of a record.
pub fn verdict(entry: &[u8]) -> (Verdict, Vec<String>) {
    let record = Record::parse(entry).unwrap();
    let Body::Event(event) = record.body() else { panic!("not the record of an event") };
    (event.verdict(), event.rules().to_vec())
}
