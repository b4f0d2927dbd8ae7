//! Why a remote operation did not give a verified value, sorted by who is at fault.

use core::time::Duration;
use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::core::bundle::BundleError;
use crate::core::evidence::Evidence;
use crate::core::note::KeyError;
use crate::core::number::{LeafIndex, TreeSize};
use crate::core::origin::OriginError;
use crate::core::record::EchoError;
use crate::core::tile::Resource;
use crate::core::tree::{ProofError, ProveError, TreeHead};
use crate::core::trust::TrustError;
use crate::proto::AppendRefusal;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The caller gave an address that can't be one.
    #[error("{url:?} is no server address; write it as http://HOST:PORT or https://HOST:PORT")]
    Address {
        /// What was given.
        url: String,
    },
    /// A certificate or a key of the caller can't be used.
    #[error("the certificates given for {url} can't be used")]
    Certificates {
        /// The server they were for.
        url: String,
        /// What the TLS library says.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// No connection, or it broke.
    #[error("no answer from {url}; is a server running there?")]
    Unreachable {
        /// The server.
        url: String,
        /// What the transport says.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The server understood and said no.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// The entry is in the log, which shows no checkpoint that covers it yet.
    #[error(
        "the entry is in the log at index {index}, and the quorum of the log's witnesses has not cosigned \
         it yet: do not append it again, ask for its receipt later"
    )]
    Unshown {
        /// Index of the entry, or of the first one.
        index: u64,
    },
    /// A web server answered with something else than the resource.
    #[error("{url} answered with status {status}")]
    Http {
        /// Address of the resource.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// A web server's answer is larger than the resource can be.
    #[error("{url} sent more than the {limit} bytes that it may have")]
    TooLong {
        /// Address of the resource.
        url: String,
        /// Most bytes that the resource can have.
        limit: usize,
    },
    /// The server lists no log of that origin, or none at all.
    #[error("{url} has no log {origin:?}; `attestree logs` lists those it has")]
    UnknownLog {
        /// The server.
        url: String,
        /// The origin that was asked for.
        origin: String,
    },
    /// The log does not begin as audit logs do.
    #[error("{origin:?} is no audit log, so it has no policies; name another with --log ORIGIN")]
    NoPolicies {
        /// The log.
        origin: String,
    },
    /// The trust policy names several logs and the caller none.
    #[error("the trust policy names {logs} logs; say which one with --log ORIGIN")]
    WhichLog {
        /// How many logs the policy names.
        logs: usize,
    },
    /// The caller asked for something that can't be proved.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The server's answer is not what it has to be.
    #[error(transparent)]
    Untrue(Box<Untrue>),
}

/// A question without an answer, whoever is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The leaf is not in the tree.
    #[error("entry {index} is not in the log, which has {size} entries; use an index below that")]
    Index {
        /// The leaf that was asked for.
        index: LeafIndex,
        /// Size of the tree.
        size: TreeSize,
    },
    /// The sizes are not those of an older and a newer tree.
    #[error("no proof leads from size {old} to size {new}; use 1 <= old size <= new size")]
    Sizes {
        /// Size of the older tree.
        old: TreeSize,
        /// Size of the newer tree.
        new: TreeSize,
    },
    /// The number is larger than any log grows.
    #[error("{number} is beyond the largest size a log can have")]
    Number {
        /// What was given.
        number: u64,
    },
}

/// A server's "no".
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server refused: {message} ({code:?})")]
pub struct Refused {
    /// The gRPC code.
    pub code: Code,
    /// The reason, one upper-case word; empty if the server gave none.
    pub reason: String,
    /// What was wrong and what to do about it.
    pub message: String,
    /// How long to wait before another try; absent if none makes sense.
    pub retry_after: Option<Duration>,
    /// With `ALREADY_EXISTS`: the index of the entry that has the idempotency key.
    pub first_index: Option<u64>,
    /// What else there is for programs: `rules` and `policy` of an event that the policy rejects, `line`,
    /// `column` and `offset` of one that is malformed.
    pub details: HashMap<String, String>,
}

impl Refused {
    /// Reads the details of a gRPC status.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let first_index = info.and_then(|info| info.metadata.get("first_index")?.parse().ok());
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            first_index,
            details: info.map(|info| info.metadata.clone()).unwrap_or_default(),
        }
    }

    /// Returns whether the log's policy rejects what was submitted.
    pub fn is_verdict(&self) -> bool {
        self.reason == "POLICY"
    }

    /// Reads the refusal of one entry of a stream.
    pub fn from_refusal(refusal: AppendRefusal) -> Self {
        let retry_after = match refusal.retry_after_ms {
            0 => None,
            wait => Some(Duration::from_millis(wait.into())),
        };
        Self {
            code: Code::from_i32(refusal.code),
            reason: refusal.reason,
            message: refusal.message,
            retry_after,
            first_index: refusal.first_index,
            details: refusal.details,
        }
    }
}

/// An answer that contradicts itself, its checkpoint, or an earlier answer.
///
/// A network that mangles bytes can cause one; a server that lies has to. Either way the value must
/// not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Untrue {
    /// The checkpoint is not one that the trust policy accepts.
    #[error("the checkpoint is not acceptable: {0}")]
    Checkpoint(#[from] TrustError),
    /// The checkpoint is another log's.
    #[error("the checkpoint is of log {found:?}, not of {expected:?}")]
    Origin {
        /// The log that was asked.
        expected: String,
        /// The log that the checkpoint is of.
        found: String,
    },
    /// A proof does not verify.
    #[error("the {what} does not verify against the signed tree of {} entries", head.size)]
    Proof {
        /// What was to be proved.
        what: &'static str,
        /// The tree head it was checked against.
        head: TreeHead,
    },
    /// A field that has to be there is missing or has an impossible value.
    #[error("the answer is malformed: {field} {problem}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The entry's bytes are not those of the leaf.
    #[error("the bytes served for entry {index} do not have the hash that the tree holds there")]
    Entry {
        /// The leaf.
        index: LeafIndex,
    },
    /// The record of an event is not what was submitted.
    #[error("the log changed the event: {0}")]
    Echo(#[from] Box<EchoError>),
    /// The signed tree is smaller than what the answer says it covers.
    #[error("the signed tree of {size} entries does not cover {needed} entries")]
    Uncovered {
        /// Size of the signed tree.
        size: TreeSize,
        /// Size that it has to have.
        needed: u64,
    },
    /// Two signed checkpoints can't both be true.
    #[error("the log {evidence}")]
    SplitView {
        /// Both of them, and why.
        evidence: Box<Evidence>,
    },
    /// A tile is not the part of the signed tree that it has to be.
    #[error("{resource} is not part of the signed tree of {size} entries")]
    Tile {
        /// The tile or bundle.
        resource: Resource,
        /// Size of the signed tree.
        size: TreeSize,
    },
    /// An entry bundle does not parse.
    #[error("{resource}: {source}")]
    Bundle {
        /// The bundle.
        resource: Resource,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The server lists a log whose origin or key does not parse.
    #[error("the server lists a log with a bad origin: {0}")]
    ListedOrigin(#[from] OriginError),
    /// The server lists a log whose key does not parse.
    #[error("the server lists a log with a bad key: {0}")]
    ListedKey(#[from] KeyError),
}

impl From<Untrue> for ClientError {
    fn from(untrue: Untrue) -> Self {
        Self::Untrue(Box::new(untrue))
    }
}

impl Untrue {
    /// Names what a failed proof was for.
    pub(super) fn proof(what: &'static str, head: TreeHead) -> impl Fn(ProofError) -> Self {
        move |_| Self::Proof { what, head }
    }
}

impl ClientError {
    /// Sorts a gRPC status into an unreachable server and a refusal.
    pub fn from_status(url: &str, status: Status) -> Self {
        // Without a source the code came over the wire; with one, the transport made it up.
        if core::error::Error::source(&status).is_some()
            && status.get_details_error_info().is_none()
        {
            return Self::Unreachable { url: url.to_owned(), source: Box::new(status) };
        }
        Self::Refused(Box::new(Refused::from_status(&status)))
    }

    /// Returns whether the server's answer failed verification.
    pub const fn is_untrue(&self) -> bool {
        matches!(self, Self::Untrue(_))
    }

    /// Returns the evidence if the log has signed two checkpoints that can't both be true.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Untrue(untrue) => match &**untrue {
                Untrue::SplitView { evidence } => Some(evidence),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns how long to wait before the same request may be sent again; `None` if never.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::Unreachable { .. } => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// Turns the refusal of a local proof into a question without an answer, or passes on why
    /// reading the nodes failed.
    pub(super) fn from_prove(error: ProveError<Self>) -> Self {
        match error {
            ProveError::Read(error) => error,
            ProveError::Index { index, size } => AskError::Index { index, size }.into(),
            ProveError::Sizes { old, new } => AskError::Sizes { old, new }.into(),
            ProveError::NodeCount { .. }
            | ProveError::Range { .. }
            | ProveError::BatchCount { .. }
            | ProveError::BatchOrder { .. } => {
                unreachable!("tiles answer each node, and only single proofs are made from them")
            }
        }
    }
}
