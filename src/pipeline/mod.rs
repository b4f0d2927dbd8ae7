//! The write path: from a submission to a published checkpoint.
//!
//! ```text
//! Submission -admit-> Admitted -sequence-> Cycle -commit-> CommittedHead -raise-> RaisedHead -sign-> SignedCheckpoint -publish-> readers
//! ```
//!
//! Each arrow is one function and each type is made in one place, so that the order of effects is
//! kept by the compiler: nothing is signed that is not durable, was not computed twice, or is not
//! covered by the watermark.
//!
//! # Threads
//!
//! - Submitters (any thread): [`Pipeline::submit`] checks and hashes a submission, reserves its
//!   room in the pool, and hands it over. It never blocks.
//! - `sequencer` (one): owns the queues, the right edges and the identities in flight. It cuts a
//!   batch, integrates it, hands it to the committer, and computes the root a second time while
//!   the committer waits for the disk.
//! - `committer` (one): owns the keys. It commits, compares the roots, raises the watermark, signs,
//!   publishes and answers.
//! - `watermark` (one): makes the watermark durable once a second.
//!
//! # Out of scope
//!
//! - Which bytes go into the database: [`crate::store`].
//! - Translation from and to gRPC and HTTP: [`crate::service`].

mod admit;
mod audit;
mod candidate;
mod commit;
mod cycle;
mod guard;
mod head;
mod identity;
mod inbox;
mod log;
mod meter;
mod open;
mod pool;
mod queue;
mod sequence;
mod task;
mod ticket;
mod vault;
mod waiting;

pub use self::{
    admit::{Content, Namespace, NewEntry, Refusal, Submission},
    audit::{
        AlertLog, AlertReadError, AlertsRead, Applying, AuditError, AuditParts, Entropy, Governed,
        Governor, PolicyRefusal, RecordedAlert, first_rule,
    },
    candidate::{CANDIDATES_MAX, Candidate, Candidates, NoCandidate, Publish, Taken, Witnessed},
    commit::Ledger,
    cycle::{Answerer, Answers},
    guard::{Examination, Guarded, Unproven},
    head::{CommittedHead, RaisedHead, RootMismatch},
    log::{Log, LogStatus, Published},
    meter::{Meter, WitnessMeter},
    open::{CreateError, OpenError, Parts, next_log},
    pool::Limits,
    task::{Pipeline, Stopped, create_log},
    ticket::{Failure, Outcome, Receipted, Recorded, Ticket},
    vault::{Vault, VaultError},
    waiting::WitnessPlan,
};

use core::time::Duration;

use crate::core::number::UnixMillis;

/// Most entries of one commit, and so of one atomic batch.
///
/// One synced write costs about the same for 1 as for 256 small entries; at 4,096 the bytes
/// dominate the sync by ten to one and a larger batch only adds latency (`benches/store.rs`).
pub const BATCH_ENTRIES_MAX: usize = 4_096;

/// Most bytes of one commit, and so of one atomic batch.
///
/// 4,096 entries of 4 KiB. It bounds the memory of a commit to three copies of this: the
/// submissions, the encoded rows and the write batch.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most logs of one commit.
///
/// Each log of a commit costs a second root and a signature, together about 150 microseconds
/// (`benches/tree.rs`, `tree/second_root/1`): 64 logs keep a commit under 10 ms, so that a log that
/// waits for the next one is answered within 20.
pub const BATCH_LOGS_MAX: usize = 64;

/// Most bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// Where the write path takes its time from.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall clock.
    fn now(&self) -> UnixMillis;

    /// Returns the time since some fixed moment of this process; it never goes back.
    fn monotonic(&self) -> Duration;
}
