//! Refusals of foreign protocols that all of them share.

use core::time::Duration;

use tonic::Code;

use super::{Denial, RESTART_RETRY};
use crate::service::source::Unadmitted;

impl Denial {
    /// A request has more items than its source may bring at once.
    pub fn many_items(max: usize) -> Self {
        let message = format!("the request has more than {max} items; send fewer at once");
        Self::new(Code::InvalidArgument, "TOO_MANY_ITEMS", message)
    }

    /// A source brings more items a second than it may.
    pub fn pace(wait: Duration) -> Self {
        let message = "the source is over its rate; send it again after the given delay";
        Self::new(Code::ResourceExhausted, "RATE", message).with_retry(wait)
    }

    /// A body is coded in a way that is not read.
    pub fn content_encoding() -> Self {
        let message =
            "the content encoding is none that is read here; use gzip, deflate, zstd or none";
        Self::new(Code::InvalidArgument, "CONTENT_ENCODING", message)
    }

    /// A body is not what its content encoding says.
    pub fn undecodable() -> Self {
        let message =
            "the body is not what its content encoding says, or ends early; send it whole";
        Self::new(Code::InvalidArgument, "UNDECODABLE", message)
    }

    /// What is wrong with the log of a source is no fault of the sender, who is to keep what he has until the
    /// operator has acted.
    pub(in crate::service) fn postponed(self) -> Self {
        match self.reason {
            "CLOSED" | "UNKNOWN_LOG" | "OPAQUE_LOG" => {
                let retried = Self::new(Code::Unavailable, "LOG_UNAVAILABLE", self.message);
                retried.with_retry(RESTART_RETRY)
            }
            _ => self,
        }
    }

    /// Returns whether there is no room, which is there again once what waits is in the log.
    pub(in crate::service) fn is_full(&self) -> bool {
        matches!(self.reason, "POOL_FULL" | "LOG_FULL")
    }
}

impl From<Unadmitted> for Denial {
    fn from(unadmitted: Unadmitted) -> Self {
        let (code, message) = match unadmitted {
            Unadmitted::Off => {
                (Code::NotFound, "no source of this kind is configured on this server")
            }
            Unadmitted::Missing => (
                Code::Unauthenticated,
                "send the token of a source in the header authorization, or its client certificate",
            ),
            Unadmitted::Wrong => {
                (Code::Unauthenticated, "the credential is that of no source of this kind")
            }
        };
        Self::new(code, unadmitted.reason(), message)
    }
}
