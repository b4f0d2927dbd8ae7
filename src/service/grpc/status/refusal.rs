//! Refusals of the write path: of a submission, of one of its entries or events, and of a policy.

use tonic::Code;

use super::{Denial, Fields, POOL_RETRY, RESTART_RETRY};
use crate::{
    core::{
        entry::EntryError,
        number::LeafIndex,
        record::{PolicyDigest, SUBMISSION_LIMITS},
    },
    pipeline::{Failure, IDEMPOTENCY_KEY_BYTES_MAX, PolicyRefusal, Refusal},
};

impl Denial {
    /// A submission was refused.
    pub fn refused(refusal: &Refusal, fields: Fields) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Empty => {
                Self::new(Code::InvalidArgument, "NO_ENTRIES", message).with_field(fields.all())
            }
            Refusal::Entry { position, error } => Self::entry(*position, *error, fields),
            Refusal::EventLength { position, .. } => {
                Self::new(Code::InvalidArgument, "EVENT_TOO_LONG", message)
                    .with_field(fields.entry(*position))
            }
            Refusal::TooMany { .. } => {
                Self::new(Code::InvalidArgument, "TOO_MANY_ENTRIES", message)
                    .with_field(fields.all())
            }
            Refusal::TooLarge { .. } => {
                Self::new(Code::InvalidArgument, "BATCH_TOO_LARGE", message)
                    .with_field(fields.all())
            }
            Refusal::KeyLength { position, bytes } => Self::key_length(*position, *bytes, fields),
            Refusal::UnknownLog => {
                Self::new(Code::NotFound, "UNKNOWN_LOG", message).with_field("log")
            }
            Refusal::AuditLog => Self::new(Code::FailedPrecondition, "AUDIT_LOG", message),
            Refusal::OpaqueLog => Self::new(Code::FailedPrecondition, "OPAQUE_LOG", message),
            Refusal::Malformed { position, offset, line, column, .. } => {
                Self::new(Code::InvalidArgument, "MALFORMED", message)
                    .at(*position, fields)
                    .with_detail("line", line)
                    .with_detail("column", column)
                    .with_detail("offset", offset)
            }
            Refusal::Rejected { position, rules } => {
                Self::rejected(message, *position, rules, fields)
            }
            Refusal::Vault(_) => {
                Self::new(Code::Unavailable, "VAULT", message).with_retry(RESTART_RETRY)
            }
            Refusal::ClockDoubted => {
                Self::new(Code::Unavailable, "CLOCK_DOUBTED", message).with_retry(RESTART_RETRY)
            }
            Refusal::PoolFull => {
                Self::new(Code::ResourceExhausted, "POOL_FULL", message).with_retry(POOL_RETRY)
            }
            Refusal::LogFull => {
                Self::new(Code::ResourceExhausted, "LOG_FULL", message).with_retry(POOL_RETRY)
            }
            Refusal::NoSpace => {
                Self::new(Code::Unavailable, "NO_SPACE", message).with_retry(RESTART_RETRY)
            }
            Refusal::Closed => Self::new(Code::FailedPrecondition, "CLOSED", message),
            Refusal::Waiting | Refusal::Unshown => {
                Self::new(Code::Unavailable, "WAITING", message).with_retry(RESTART_RETRY)
            }
            Refusal::Halted => {
                Self::new(Code::Unavailable, "HALTED", message).with_retry(RESTART_RETRY)
            }
            Refusal::ShuttingDown => {
                Self::new(Code::Unavailable, "SHUTTING_DOWN", message).with_retry(RESTART_RETRY)
            }
        }
    }

    /// The policy rejects an event.
    fn rejected(message: String, position: usize, rules: &[String], fields: Fields) -> Self {
        Self::new(Code::FailedPrecondition, "POLICY", message)
            .at(position, fields)
            .with_detail("rules", rules.join(" "))
    }

    /// Names the entry that is at fault.
    fn at(self, position: usize, fields: Fields) -> Self {
        let denial = self.with_field(fields.entry(position));
        if fields.is_one() { denial } else { denial.with_detail("position", position) }
    }

    /// Names the policy that rejects what was submitted.
    pub(in crate::service) fn with_policy(self, policy: &PolicyDigest) -> Self {
        self.with_detail("policy", policy)
    }

    /// Returns whether one of the entries that were submitted together is at fault, and not the others.
    pub(in crate::service) fn is_about_one(&self) -> bool {
        matches!(self.reason, "MALFORMED" | "POLICY")
    }

    /// An event is longer than any.
    pub fn long_event(position: usize, bytes: usize, fields: Fields) -> Self {
        let max = SUBMISSION_LIMITS.bytes;
        let message = format!("the event has {bytes} bytes; send at most {max}");
        Self::new(Code::InvalidArgument, "EVENT_TOO_LONG", message).at(position, fields)
    }

    /// There are no bytes where an event should be.
    pub fn no_event(position: usize, fields: Fields) -> Self {
        let message = "there is no event; send one JSON object";
        Self::new(Code::InvalidArgument, "NO_EVENT", message).at(position, fields)
    }

    /// The body of a request is not of a type that is read.
    pub fn media_type() -> Self {
        let message = "send one event as application/json, or one a line as application/x-ndjson, in \
            UTF-8 and without a content encoding";
        Self::new(Code::InvalidArgument, "MEDIA_TYPE", message)
    }

    /// A body is larger than what is read of it.
    pub fn large_body(max: usize) -> Self {
        let message = format!("the body has more than {max} bytes; send fewer events at once");
        Self::new(Code::InvalidArgument, "BODY_TOO_LARGE", message)
    }

    /// A body has more lines than one request may.
    pub fn many_lines(max: usize) -> Self {
        let message = format!("the body has more than {max} lines; send fewer events at once");
        Self::new(Code::InvalidArgument, "TOO_MANY_LINES", message)
    }

    /// One entry can't be a leaf.
    pub fn entry(position: usize, error: EntryError, fields: Fields) -> Self {
        let reason = match error {
            EntryError::Empty => "ENTRY_EMPTY",
            EntryError::TooLong { .. } => "ENTRY_TOO_LONG",
        };
        Self::new(Code::InvalidArgument, reason, error.to_string())
            .with_field(fields.entry(position))
    }

    /// One idempotency key is too long.
    pub fn key_length(position: usize, bytes: usize, fields: Fields) -> Self {
        let message =
            format!("the idempotency key has {bytes} bytes; use 1 to {IDEMPOTENCY_KEY_BYTES_MAX}");
        Self::new(Code::InvalidArgument, "KEY_LENGTH", message).with_field(fields.key(position))
    }

    /// An idempotency key belongs to another entry.
    pub fn conflict(position: usize, first: LeafIndex, fields: Fields) -> Self {
        let message = format!(
            "the idempotency key belongs to another entry, at index {first}; use a key of its own"
        );
        let denial = Self::new(Code::AlreadyExists, "KEY_CONFLICT", message)
            .with_field(fields.key(position));
        Self { first: Some(first), ..denial }
    }

    /// A submission that was admitted was not answered with indices.
    pub fn failed(failure: &Failure, fields: Fields) -> Self {
        match failure {
            Failure::Conflict { position, first } => Self::conflict(*position, *first, fields),
            Failure::Rejected { position, rules } => {
                Self::rejected(failure.to_string(), *position, rules, fields)
            }
            Failure::Unapproved { .. } => {
                Self::new(Code::FailedPrecondition, "UNAPPROVED", failure.to_string())
            }
            Failure::PolicyReplaced { active } => {
                Self::new(Code::FailedPrecondition, "POLICY_REPLACED", failure.to_string())
                    .with_detail("active", active)
            }
            Failure::PolicyActive { .. } => {
                Self::new(Code::AlreadyExists, "POLICY_ACTIVE", failure.to_string())
            }
            Failure::ClockDoubted => {
                Self::new(Code::Unavailable, "CLOCK_DOUBTED", failure.to_string())
                    .with_retry(RESTART_RETRY)
            }
            Failure::Vault(_) => {
                Self::new(Code::Unavailable, "VAULT", failure.to_string()).with_retry(RESTART_RETRY)
            }
            Failure::Halted => Self::new(Code::Unavailable, "HALTED", failure.to_string())
                .with_retry(RESTART_RETRY),
            Failure::Uncertain => Self::new(Code::Unavailable, "UNCERTAIN", failure.to_string())
                .with_retry(RESTART_RETRY),
        }
    }

    /// What [`Denial::failed`] is to one of several entries that were submitted together, each for itself.
    pub fn failed_at(failure: &Failure, position: usize, fields: Fields) -> Self {
        match failure {
            // It was admitted, and then a stricter policy came into force: the others were not at fault.
            Failure::Rejected { position: at, .. } if *at != position => {
                let message = "the policy changed while the event was on its way; send it again";
                Self::new(Code::Unavailable, "POLICY_CHANGED", message).with_retry(POOL_RETRY)
            }
            failure => Self::failed(failure, fields),
        }
    }

    /// A policy is not applied. The operator is told everything.
    pub fn not_applied(refusal: &PolicyRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            PolicyRefusal::Refused(refusal) => Self::refused(refusal, Fields::Single),
            PolicyRefusal::Uncompiled { .. } | PolicyRefusal::Bundle(_) => {
                Self::new(Code::InvalidArgument, "POLICY_INVALID", message).with_field("bundle")
            }
            PolicyRefusal::Digest => Self::new(Code::Internal, "NOT_DONE", message),
        }
    }
}
