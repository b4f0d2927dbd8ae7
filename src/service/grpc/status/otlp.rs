//! Refusals as the clients of OpenTelemetry understand them.

use tonic::Code;

use super::{Denial, RESTART_RETRY};

impl Denial {
    /// The body of a request over HTTP is in neither encoding.
    pub(in crate::service) fn no_encoding() -> Self {
        let message = "send logs as application/x-protobuf or application/json";
        Self::new(Code::InvalidArgument, "MEDIA_TYPE", message)
    }

    /// Says the same in the codes of the protocol.
    ///
    /// `UNAVAILABLE` with a delay is what every client sends again. `RESOURCE_EXHAUSTED` without one is what is too
    /// large, and is dropped, as is what brings no token: so those alone are answered like that whose repeat could
    /// never succeed.
    pub(in crate::service) fn of_otlp(self) -> Self {
        let code = match (self.code, self.reason) {
            (Code::NotFound, "NO_SOURCE") => Code::Unimplemented,
            (Code::InvalidArgument, "BODY_TOO_LARGE" | "TOO_MANY_ITEMS") => Code::ResourceExhausted,
            (
                code @ (Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied),
                _,
            ) => code,
            _ => {
                let retry_after = self.retry_after.or(Some(RESTART_RETRY));
                return Self { code: Code::Unavailable, retry_after, ..self };
            }
        };
        Self { code, retry_after: None, ..self }
    }
}
