//! What a submitter holds while it waits, and what it gets.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{log::Published, vault::VaultError};
use crate::core::{
    hash::TreeHash,
    number::LeafIndex,
    record::{Opening, PolicyDigest, Verdict},
};

/// Where one entry of a submission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The entry is a new leaf.
    Sequenced {
        /// Its index.
        index: LeafIndex,
    },
    /// The entry was submitted before, in an earlier submission or earlier in this one.
    Duplicate {
        /// The index of the first.
        index: LeafIndex,
    },
    /// The idempotency key belongs to another entry. Only in submissions that are not atomic.
    Conflict {
        /// The index of the entry that has the key.
        first: LeafIndex,
    },
    /// The event was counted and not recorded, as the policy's rule wants. Only on audit logs.
    Suppressed,
}

/// What became of an event that was recorded.
#[derive(Debug)]
pub struct Recorded {
    /// The exact bytes of the entry.
    pub entry: Bytes,
    /// What opens the commitments in it, by field number.
    pub openings: Vec<Opening>,
    /// What the policy said.
    pub verdict: Verdict,
    /// The first entry under its key, if that is another one; a `conflict` record follows.
    pub conflicts_with: Option<LeafIndex>,
}

/// The answer to a submission: every entry that is not in conflict is durable and covered by
/// `published`.
#[derive(Debug)]
pub struct Receipted {
    /// One outcome an entry, in the order of the submission.
    pub outcomes: Vec<Outcome>,
    /// One leaf hash an entry, in the order of the submission. On audit logs that of a new record; of
    /// anything else zeros, because only the log knows the bytes.
    pub leaf_hashes: Vec<TreeHash>,
    /// One record an entry where a new one was made, in the order of the submission; empty on opaque logs.
    pub records: Vec<Option<Recorded>>,
    /// The head that covers them.
    pub published: Arc<Published>,
}

/// Why a submission that was admitted was not answered with indices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An idempotency key of an atomic submission belongs to another entry. Nothing was appended.
    #[error("the idempotency key of entry {position} was used for another entry, at index {first}")]
    Conflict {
        /// Position of the entry in the submission.
        position: usize,
        /// The index of the entry that has the key.
        first: LeafIndex,
    },
    /// The policy that governs by now refuses the event. Nothing of its submission was appended.
    #[error("the policy refuses entry {position}: {}", rules.join(", "))]
    Rejected {
        /// Position of the entry in the submission.
        position: usize,
        /// The rules that refuse it.
        rules: Vec<String>,
    },
    /// Not enough of those who have to approve a policy do. Nothing was appended.
    #[error(
        "the policy needs {threshold} approvals by keys of the rule in force, for this log, the policy that \
         governs now and the new one, that are not over"
    )]
    Unapproved {
        /// How many have to approve.
        threshold: usize,
    },
    /// Another policy governs than the one that was to be replaced. Nothing was appended.
    #[error("the policy {active} is in force, and not the one that was to be replaced")]
    PolicyReplaced {
        /// The one in force; [`PolicyDigest::NONE`] if none is.
        active: PolicyDigest,
    },
    /// The policy governs already. Nothing was appended.
    #[error("the policy governs the log already, by the record at index {index}")]
    PolicyActive {
        /// The index of its record.
        index: LeafIndex,
    },
    /// The clock can't be trusted, so that nothing is sequenced. Nothing was appended.
    #[error("the log's clock can't be trusted; nothing is recorded until an operator confirms it")]
    ClockDoubted,
    /// Keys of fields can't be had. Nothing was appended.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The log stopped itself because its two roots differ. Nothing was signed.
    #[error("the log halted itself because a check failed; its operator has to act")]
    Halted,
    /// The write failed or its result is not known; the server stops.
    #[error("the write may or may not have happened; send it again with the same idempotency key")]
    Uncertain,
}

/// The future of an answer.
#[derive(Debug)]
pub struct Ticket {
    answer: oneshot::Receiver<Result<Receipted, Failure>>,
}

/// The end of a ticket that answers it. Dropping it answers [`Failure::Uncertain`].
pub(super) type TicketSender = oneshot::Sender<Result<Receipted, Failure>>;

impl Ticket {
    /// Makes a ticket and the end that answers it.
    pub(super) fn new() -> (TicketSender, Self) {
        let (sender, answer) = oneshot::channel();
        (sender, Self { answer })
    }
}

impl Future for Ticket {
    type Output = Result<Receipted, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(Failure::Uncertain)))
    }
}
