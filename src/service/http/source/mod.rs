//! Foreign protocols over HTTP: which path is whose, who may send there, and how a body is read.
//!
//! ```text
//! /v1/logs           OTLP                    /services/collector...   Splunk HEC
//! /v1/kubernetes     Kubernetes              /v1/opa/logs             OPA
//! /v1/cloudevents    CloudEvents             /v1/ship                 attestree ship
//! ```
//!
//! They are served at the root alone: the credential finds the source, and with it the log. Each protocol has a
//! file here, with the answers that its senders understand.

mod body;
mod cloudevents;
mod hec;
mod kubernetes;
mod opa;
mod otlp;
mod ship;

use std::{borrow::Cow, sync::Arc};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

pub(super) use self::body::body;
use super::{denied, text};
use crate::{
    core::credential,
    service::{
        Desk, Principal,
        source::{Source, SourceKind, Unadmitted},
    },
};

/// What a path names of a foreign protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Logs of OpenTelemetry.
    Otlp,
    /// The audit webhook of Kubernetes.
    Kubernetes,
    /// `CloudEvents`.
    CloudEvents,
    /// The HTTP event collector of Splunk, and what of it, without a version: empty for the collector itself,
    /// `event`, `raw`, `health` or `ack`.
    Hec(String),
    /// Decision logs of the Open Policy Agent.
    Opa,
    /// Lines of files.
    Ship,
}

impl Door {
    /// Finds what a path without its first slash names.
    pub(super) fn find(path: &str) -> Option<Self> {
        match path {
            "v1/logs" => Some(Self::Otlp),
            "v1/kubernetes" => Some(Self::Kubernetes),
            "v1/cloudevents" => Some(Self::CloudEvents),
            "v1/opa/logs" => Some(Self::Opa),
            "v1/ship" => Some(Self::Ship),
            _ => {
                let rest = path.strip_prefix("services/collector")?;
                let rest = rest.strip_suffix("/1.0").unwrap_or(rest);
                match rest {
                    "" => Some(Self::Hec(String::new())),
                    "/event" | "/raw" | "/health" | "/ack" => {
                        Some(Self::Hec(rest.trim_start_matches('/').to_owned()))
                    }
                    _ => None,
                }
            }
        }
    }
}

/// Answers a request of a foreign protocol. Which methods it takes is the protocol's.
pub(super) async fn serve(desk: &Desk, door: Door, request: Request) -> Response {
    match door {
        Door::Otlp => otlp::receive(desk, request).await,
        Door::Kubernetes => kubernetes::receive(desk, request).await,
        Door::CloudEvents => cloudevents::receive(desk, request).await,
        Door::Hec(part) => hec::receive(desk, &part, request).await,
        Door::Opa => opa::receive(desk, request).await,
        Door::Ship => ship::receive(desk, request).await,
    }
}

/// Refuses a method other than the one that an address takes.
pub(super) fn only(allowed: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this address takes another method\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Finds the source of a request: by the token in `authorization`, or by the client's certificate.
pub(super) fn source_of(
    desk: &Desk,
    kind: SourceKind,
    request: &Request,
) -> Result<Arc<Source>, Unadmitted> {
    let token = token(request.headers());
    desk.source(kind, token.as_deref(), &Principal::of(request.extensions()))
}

/// Returns the token in `authorization`: behind `Bearer` or `Splunk`, or as the password of `Basic`.
pub(super) fn token(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    credential::of_header(headers.get(header::AUTHORIZATION)?.as_bytes())
}
