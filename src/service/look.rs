//! Reads that both protocols need: which log, which snapshot, which size.

use std::sync::Arc;

use super::{
    Desk,
    grpc::{Denial, Fields},
};
use crate::{
    core::{
        checkpoint::SignedCheckpoint,
        hash::TreeHash,
        number::{LeafIndex, TreeSize},
        tree::ProveError,
    },
    pipeline::{Log, LogStatus, Publish, Published, Refusal, Submission, Ticket},
    store::{IdentityKey, LogReader},
};

impl Desk {
    /// Returns the log of an origin; the empty origin means the default log.
    pub(super) fn log(&self, origin: &str) -> Result<Arc<Log>, Denial> {
        self.pipeline.log(origin).map_err(|refusal| match refusal {
            Refusal::UnknownLog => Denial::unknown_log(origin),
            other => Denial::refused(&other, Fields::Single),
        })
    }

    /// Submits entries to a log; a refusal by its policy names the policy.
    pub(super) fn submit(
        &self,
        log: &Arc<Log>,
        submission: Submission,
        fields: Fields,
    ) -> Result<Ticket, Denial> {
        self.pipeline.submit(log, submission).map_err(|refusal| {
            let denial = Denial::refused(&refusal, fields);
            let is_verdict = matches!(refusal, Refusal::Rejected { .. });
            match self.pipeline.active_policy(log).filter(|_| is_verdict) {
                Some((policy, _)) => denial.with_policy(&policy),
                None => denial,
            }
        })
    }
}

/// Returns the size that a request names, or the newest one.
pub(super) fn size(
    asked: Option<u64>,
    published: &Published,
    field: &'static str,
) -> Result<TreeSize, Denial> {
    let head = published.head().size;
    let Some(asked) = asked else {
        return Ok(head);
    };
    TreeSize::new(asked)
        .filter(|size| *size <= head)
        .ok_or_else(|| Denial::beyond_head(field, asked, head.get()))
}

/// Returns an index if the tree of `size` leaves holds it.
pub(super) fn index(asked: u64, size: TreeSize, field: &'static str) -> Result<LeafIndex, Denial> {
    LeafIndex::new(asked)
        .filter(|index| size.contains(*index))
        .ok_or_else(|| Denial::beyond_head(field, asked, size.get()))
}

/// Maps an error of the server's own storage: logged here, without details in the answer.
pub(super) fn unreadable(error: &dyn core::error::Error) -> Denial {
    tracing::error!(error = %error, "a read failed");
    Denial::internal()
}

/// Maps an error of a proof whose arguments were checked: only reading can fail.
pub(super) fn unprovable<E: core::error::Error + 'static>(error: &ProveError<E>) -> Denial {
    unreadable(error)
}

impl Desk {
    /// Returns a reader of the tree as it was published.
    pub(super) fn prover<'a>(&'a self, log: &Log, published: &'a Published) -> LogReader<'a> {
        self.pipeline.reader().nodes(log.number(), &published.edge)
    }

    /// Finds the first entry with a leaf hash in a log that keeps that index.
    pub(super) fn find(&self, log: &Log, hash: &TreeHash) -> Result<Option<LeafIndex>, Denial> {
        let key = IdentityKey::entry_hash(log.number(), hash);
        let rows = self.pipeline.store().identities(&[key]).map_err(|error| unreadable(&error))?;
        Ok(rows.into_iter().next().flatten().map(|row| row.index))
    }
}

/// Runs a read that may have to wait for the disk, away from the threads that serve connections.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Denial> {
    tokio::task::spawn_blocking(read).await.map_err(|error| unreadable(&error))
}

/// Returns the checkpoint that witnesses are shown: the newest candidate, with the cosignatures that it
/// has. A log without witnesses has its newest one instead, and so has one that shows no others.
pub(super) fn candidate(log: &Log) -> SignedCheckpoint {
    let witnessed = log.witnessed().filter(|witnessed| witnessed.publish() == Publish::Signed);
    let newest = witnessed
        .and_then(|all| all.candidates().newest().map(|newest| newest.checkpoint().clone()));
    newest.unwrap_or_else(|| log.published().checkpoint.clone())
}

/// Returns the newest head with a quorum.
pub(super) fn cosigned(log: &Log) -> Result<Arc<Published>, Denial> {
    let witnessed = log.witnessed().ok_or_else(Denial::no_witnesses)?;
    let cosigned = witnessed.candidates().cosigned().cloned();
    // Nobody will cosign a log that halted, so that waiting is of no use.
    let is_halted = log.status() == LogStatus::Halted;
    let refused = || Denial::refused(&Refusal::Halted, Fields::Single);
    cosigned.ok_or_else(|| if is_halted { refused() } else { Denial::not_cosigned() })
}

/// Returns the first checkpoint with a quorum that is kept and covers an index.
pub(super) fn covering(desk: &Desk, log: &Log, index: u64) -> Result<SignedCheckpoint, Denial> {
    let newest = cosigned(log)?;
    let covered = |index: &LeafIndex| newest.head().size.contains(*index);
    let index = LeafIndex::new(index).filter(covered).ok_or_else(|| Denial::not_covered(index))?;
    let kept = desk.pipeline.store().note_covering(log.number(), index);
    let Some(note) = kept.map_err(|error| unreadable(&error))? else {
        return Ok(newest.checkpoint.clone());
    };
    let key = log.row().vkeys.last().expect("an open log has a key");
    SignedCheckpoint::verify(&note, key).map_err(|error| unreadable(&error))
}
