//! What a refusal becomes on the wire. Nothing outside of this folder chooses a gRPC code.
//!
//! A [`Denial`] is the one form of every "no": it becomes a `tonic::Status` with `google.rpc`
//! details, an [`AppendRefusal`] inside a stream, or the status of an HTTP answer.

mod field;
mod otlp;
mod refusal;
mod source;

use core::time::Duration;
use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub use self::field::Fields;
use super::OperatorError;
use crate::{
    core::{number::LeafIndex, tile::PathError},
    pipeline::{CreateError, NoCandidate, Refusal},
    proto::AppendRefusal,
};

/// The domain of every `ErrorInfo` of this server.
pub const ERROR_DOMAIN: &str = "attestree";

/// How long to stay away from a full pool.
///
/// A pool of 65,536 small entries empties in about 100 ms at full speed; a submitter that waits
/// that long finds room, or a queue that is really longer than the machine can take.
const POOL_RETRY: Duration = Duration::from_millis(100);

/// How long to stay away from a server that stops or waits for its operator: a restart takes
/// about a second.
const RESTART_RETRY: Duration = Duration::from_secs(1);

/// A request that is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    code: Code,
    /// One upper-case word for programs.
    reason: &'static str,
    /// A sentence for people.
    message: String,
    /// The field that was wrong.
    field: Option<Box<str>>,
    /// The entry that has the idempotency key.
    first: Option<LeafIndex>,
    retry_after: Option<Duration>,
    /// What else there is to say to programs, by name.
    details: Vec<(&'static str, String)>,
}

impl Denial {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            field: None,
            first: None,
            retry_after: None,
            details: Vec::new(),
        }
    }

    fn with_detail(mut self, name: &'static str, value: impl ToString) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    fn with_field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into().into_boxed_str()), ..self }
    }

    fn with_retry(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// A field of the request is malformed.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, "FIELD", message).with_field(field)
    }

    /// No log has this origin.
    pub fn unknown_log(origin: &str) -> Self {
        // The origin is the client's text; only its beginning is repeated.
        let shown: String = origin.chars().take(255).collect();
        let message = format!("no log has the origin {shown:?}; ListLogs names those that exist");
        Self::new(Code::NotFound, "UNKNOWN_LOG", message).with_field("log")
    }

    /// The health of a service that there is not was asked for.
    pub fn unknown_service() -> Self {
        let message =
            "there is no such service; ask for attestree.v1.LogService, or for the empty name";
        Self::new(Code::NotFound, "UNKNOWN_SERVICE", message).with_field("service")
    }

    /// An index or a size lies beyond the newest published head.
    pub fn beyond_head(field: &'static str, asked: u64, head: u64) -> Self {
        let message = format!("{field} {asked} lies beyond the published tree of {head} entries");
        Self::new(Code::OutOfRange, "BEYOND_HEAD", message).with_field(field)
    }

    /// A range ends before it begins, or a larger size comes first.
    pub fn reversed(field: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, "REVERSED", message).with_field(field)
    }

    /// The log can't look entries up by their hash.
    pub fn no_hash_index() -> Self {
        let message = "this log keeps no index of leaf hashes; ask by leaf_index, \
            or use a log whose identity is the entry hash";
        Self::new(Code::FailedPrecondition, "NO_HASH_INDEX", message).with_field("leaf_hash")
    }

    /// No published entry has this leaf hash.
    pub fn unknown_hash() -> Self {
        let message = "no entry of the published tree has this leaf hash";
        Self::new(Code::NotFound, "UNKNOWN_HASH", message).with_field("leaf_hash")
    }

    /// The log has no witnesses, so that nothing of it is ever cosigned.
    pub fn no_witnesses() -> Self {
        let message = "this log has no witnesses, so none of its checkpoints is cosigned; its operator \
            names them in the server's trust file";
        Self::new(Code::FailedPrecondition, "NO_WITNESSES", message)
    }

    /// No checkpoint of the log has a quorum yet.
    pub fn not_cosigned() -> Self {
        let message = "no checkpoint of this log has the quorum of its witnesses yet; come back after the delay";
        Self::new(Code::Unavailable, "NOT_COSIGNED", message).with_retry(RESTART_RETRY)
    }

    /// No checkpoint with a quorum covers an index yet.
    pub fn not_covered(index: u64) -> Self {
        let message = format!("no cosigned checkpoint covers index {index} yet");
        Self::new(Code::OutOfRange, "NOT_COVERED", message).with_field("covering")
    }

    /// Cosignatures are for a head that is no candidate.
    pub fn no_candidate(error: &NoCandidate) -> Self {
        let message = format!("{error}; read its newest one and cosign that");
        Self::new(Code::NotFound, "NO_CANDIDATE", message).with_field("tree_size")
    }

    /// The entry was erased; its leaf hash is still in the tree.
    pub fn erased(index: u64) -> Self {
        let message =
            format!("the entry at index {index} was erased; its leaf hash can still be proved");
        Self::new(Code::NotFound, "ERASED", message)
    }

    /// An operator's call was not done. The operator is told everything about his own machine.
    pub fn not_operated(error: &OperatorError) -> Self {
        let message = error.to_string();
        match error {
            OperatorError::Create(CreateError::Exists { .. }) => {
                Self::new(Code::AlreadyExists, "LOG_EXISTS", message).with_field("origin")
            }
            OperatorError::Create(CreateError::Prefix { .. }) => {
                Self::new(Code::AlreadyExists, "PREFIX_TAKEN", message).with_field("origin")
            }
            OperatorError::Create(CreateError::Raced) => {
                Self::new(Code::Aborted, "RACED", message).with_retry(POOL_RETRY)
            }
            OperatorError::Create(CreateError::ShuttingDown) => Self::shutting_down(),
            OperatorError::Create(CreateError::Store(_) | CreateError::Open(_))
            | OperatorError::Files(_) => Self::new(Code::Internal, "NOT_DONE", message),
        }
    }

    /// A log has no policies.
    pub fn no_policies() -> Self {
        let message = "an opaque log has no policy; name a log of kind audit";
        Self::new(Code::FailedPrecondition, "OPAQUE_LOG", message).with_field("log")
    }

    /// Nothing is served under a path.
    pub fn nothing_here() -> Self {
        let message = "nothing is served here; a log has checkpoint, tile/<L>/<N>, tile/entries/<N> and add \
            under the path part of its origin";
        Self::new(Code::NotFound, "NO_RESOURCE", message)
    }

    /// A path below a log is malformed.
    pub fn no_resource(error: &PathError) -> Self {
        Self::new(Code::NotFound, "NO_RESOURCE", error.to_string())
    }

    /// A tile or bundle is not in the published tree, or not that wide.
    pub fn no_tile(head: u64) -> Self {
        let message =
            format!("the published tree of {head} entries has no such tile; see its checkpoint");
        Self::new(Code::NotFound, "NO_TILE", message)
    }

    /// The requests that are being read hold as much memory as is set aside for them.
    pub fn receiving() -> Self {
        let message = "the server is reading as many large requests as it can hold; send it again after the delay";
        Self::new(Code::ResourceExhausted, "RECEIVING", message).with_retry(POOL_RETRY)
    }

    /// The answers under way hold as much memory as is set aside for them.
    pub fn sending() -> Self {
        let message = "the server is sending as much as it can hold to other readers; come back after the delay";
        Self::new(Code::ResourceExhausted, "SENDING", message).with_retry(RESTART_RETRY)
    }

    /// A request did not arrive in time.
    pub fn too_slow() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            "TOO_SLOW",
            "the request did not arrive in time; send it whole",
        )
    }

    /// The body of a request could not be read: too slow, too much at once, or its client is gone.
    pub fn unread(error: axum::Error) -> Self {
        let error = error.into_inner();
        match error.downcast_ref::<Status>().map(Status::code) {
            Some(Code::DeadlineExceeded) => Self::too_slow(),
            Some(Code::ResourceExhausted) => Self::receiving(),
            _ => Self::new(
                Code::InvalidArgument,
                "CUT_OFF",
                "the request ended early; send it whole",
            ),
        }
    }

    /// The server is at fault. Details are in its log, not in the answer.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "INTERNAL",
            "the server could not read its own data; its log has the details",
        )
    }

    /// The server stops.
    pub fn shutting_down() -> Self {
        Self::refused(&Refusal::ShuttingDown, Fields::Single)
    }

    /// Returns the gRPC code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the reason, the label under which refusals are counted.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns the sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns how long to wait before the next try, where one makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns what else there is to say to programs, by name.
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.details
    }

    /// Returns the entry that has the idempotency key.
    pub fn first(&self) -> Option<LeafIndex> {
        self.first
    }

    /// Returns the form that a stream answers one entry with.
    pub fn into_refusal(self) -> AppendRefusal {
        let retry_after_ms = self.retry_after.map_or(0, |after| {
            u32::try_from(after.as_millis()).expect("delays are a second at most")
        });
        AppendRefusal {
            code: self.code.into(),
            message: self.message,
            first_index: self.first.map(LeafIndex::get),
            retry_after_ms,
            reason: self.reason.to_owned(),
            details: named(self.details),
        }
    }
}

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        let first = denial.first.map(|first| ("first_index", first.to_string()));
        let metadata = named(denial.details.into_iter().chain(first));
        let mut details = ErrorDetails::with_error_info(denial.reason, ERROR_DOMAIN, metadata);
        if let Some(field) = denial.field {
            details.add_bad_request_violation(field, denial.message.clone());
        }
        if denial.retry_after.is_some() {
            details.set_retry_info(denial.retry_after);
        }
        Self::with_error_details(denial.code, denial.message, details)
    }
}

/// Returns details as messages hold them.
fn named(details: impl IntoIterator<Item = (&'static str, String)>) -> HashMap<String, String> {
    details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
