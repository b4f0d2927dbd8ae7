//! What travels from the sequencer to the committer.

use std::sync::Arc;

use super::{
    head::Signer,
    log::{Log, Published},
    pool::Permit,
    ticket::{Failure, Outcome, Receipted, Recorded, TicketSender},
};
use crate::{
    core::{
        hash::TreeHash,
        number::LogNumber,
        tree::{Edge, SecondHead, SecondMismatch},
    },
    store::LogRows,
};

/// One group of entries that is answered when its batch is published.
#[derive(Debug)]
pub(super) struct Sequenced {
    pub(super) ticket: TicketSender,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) leaf_hashes: Vec<TreeHash>,
    /// What was made of events; empty on opaque logs.
    pub(super) records: Vec<Option<Recorded>>,
    /// Held until the answer is sent, so that the pool bounds what is in memory.
    pub(super) permit: Permit,
}

/// The batch of one log inside a cycle.
#[derive(Debug)]
pub(super) struct LogBatch {
    pub(super) log: Arc<Log>,
    /// What is committed; `None` if the groups hold duplicates only.
    pub(super) rows: Option<Arc<LogRows>>,
    /// The right edge after the batch.
    pub(super) edge: Edge,
    pub(super) groups: Vec<Sequenced>,
    /// Number of new leaves.
    pub(super) entries: usize,
}

/// What is committed with one synced write.
#[derive(Debug)]
pub(super) struct Cycle {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) batches: Vec<LogBatch>,
}

/// What the sequencer tells the committer, in this order for each cycle.
#[derive(Debug)]
pub(super) enum Order {
    /// A log was opened; later cycles may hold it.
    Open(Box<Signer>),
    /// Halt a log, and write down why.
    Halt(Arc<Log>, String),
    /// Commit this.
    Commit(Cycle),
    /// The second computation of the roots of the cycle before, one for each batch with rows.
    Verdict(Vec<(LogNumber, Result<SecondHead, SecondMismatch>)>),
}

/// Answers that are sent before their tasks run, where a runtime sends them.
///
/// A connection writes the answers of one turn with one system call. With more than 8 the client has
/// nothing to do while they are made: 16 a turn cost 64 unary callers a tenth of their throughput,
/// and all at once a sixth (`attestree load`).
const ANSWERS_A_TURN: usize = 8;

/// The answers of one cycle, ready to be sent.
///
/// Sending wakes every submitter. Where that happens matters: woken one by one from another thread,
/// the submitters of a connection each write to its socket; woken a few at a time on their own
/// runtime, they share one write.
#[derive(Debug, Default)]
pub struct Answers {
    groups: Vec<(Sequenced, Arc<Published>)>,
}

impl Answers {
    /// Adds every group of a published batch.
    pub(super) fn add(&mut self, batch: LogBatch, published: &Arc<Published>) {
        self.groups.extend(batch.groups.into_iter().map(|group| (group, Arc::clone(published))));
    }

    /// Sends them all.
    pub fn send(self) {
        for (group, published) in self.groups {
            group.answer(published);
        }
    }

    /// Sends them on a runtime, a few a turn.
    pub async fn send_in_turns(self) {
        for (position, (group, published)) in self.groups.into_iter().enumerate() {
            if position > 0 && position % ANSWERS_A_TURN == 0 {
                tokio::task::yield_now().await;
            }
            group.answer(published);
        }
    }
}

/// Who sends the answers of a cycle, called by the committer. [`Answers::send`] itself will do where
/// the submitters share no connection.
pub type Answerer = Box<dyn Fn(Answers) + Send>;

impl Sequenced {
    /// Answers the submitter with a failure.
    pub(super) fn fail(self, failure: Failure) {
        // The submitter may be gone; its entries are then in the log without an answer.
        let _gone = self.ticket.send(Err(failure));
    }

    /// Answers the submitter with its outcomes.
    fn answer(self, published: Arc<Published>) {
        let Self { ticket, outcomes, leaf_hashes, records, permit } = self;
        drop(permit);
        let _gone = ticket.send(Ok(Receipted { outcomes, leaf_hashes, records, published }));
    }
}
