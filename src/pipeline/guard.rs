//! The rollback guard: who has to be heard before a log with witnesses signs after a start.
//!
//! A database that was restored from an older copy, together with its watermark, knows nothing of what
//! was signed since. The witnesses do. So before the first signature after a start they are asked what
//! they have cosigned last, and the log signs only if a set of them has answered that has a member in
//! every quorum, and none has cosigned more than the log holds: whatever a quorum has ever cosigned,
//! one of those that answered has.
//!
//! [`Guarded`] is the permit; the signer of a log can't be had without it.
//!
//! # Out of scope
//!
//! - Asking: `crate::cosign`.
//! - Heads that were signed and that no quorum has cosigned: with `publish = "signed"` a guard can't
//!   know of them.

use std::sync::Arc;

use crate::{
    core::{
        number::{LogNumber, TreeSize, UnixMillis},
        trust::TrustPolicy,
    },
    store::{Store, StoreError},
};

/// Permission to sign the heads of one log.
#[derive(Debug)]
pub struct Guarded {
    log: LogNumber,
}

impl Guarded {
    /// A log without a quorum: there is nobody whose memory could speak against it.
    pub(super) fn without_quorum(log: LogNumber) -> Self {
        Self { log }
    }

    /// A log whose key was drawn a moment ago: it can't have signed anything yet.
    pub(super) fn new_log(log: LogNumber) -> Self {
        Self { log }
    }

    /// An operator's explicit leave, which is written down, synced, before it counts.
    pub(super) fn overridden(
        store: &Store,
        log: LogNumber,
        now: UnixMillis,
        reason: &str,
    ) -> Result<Self, StoreError> {
        store.record_override(log, now, reason)?;
        Ok(Self { log })
    }

    /// Returns the log.
    pub(super) fn log(&self) -> LogNumber {
        self.log
    }
}

/// What the witnesses of a log have said since the start.
#[derive(Clone, Debug)]
pub struct Examination {
    log: LogNumber,
    trust: Arc<TrustPolicy>,
    /// Size of the tree that the log holds.
    ours: TreeSize,
    /// The newest size that each witness says it has cosigned.
    heard: Vec<Option<TreeSize>>,
}

/// Why a log does not sign yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// Too few have answered.
    #[error(
        "{heard} of {witnesses} witnesses have answered: too few to have a member in every quorum"
    )]
    Few {
        /// Number of witnesses that have answered.
        heard: usize,
        /// Number of witnesses in the policy.
        witnesses: usize,
    },
    /// A witness says that it has cosigned a larger tree, and shows no signature for it.
    #[error("a witness says that it has cosigned {size} entries, and the log holds {ours}")]
    Ahead {
        /// The size that the witness names.
        size: TreeSize,
        /// The size that the log holds.
        ours: TreeSize,
    },
}

impl Examination {
    /// Begins to listen to the witnesses of a log that holds a tree of this size.
    pub fn new(log: LogNumber, trust: Arc<TrustPolicy>, ours: TreeSize) -> Self {
        let heard = vec![None; trust.witnesses().len()];
        Self { log, trust, ours, heard }
    }

    /// Takes note of the newest size that a witness, by its position in the policy, says it has
    /// cosigned. What it said before no longer counts.
    pub fn hear(&mut self, witness: usize, size: TreeSize) {
        if let Some(heard) = self.heard.get_mut(witness) {
            *heard = Some(size);
        }
    }

    /// Returns why the log does not sign yet; `None` if it may.
    pub fn unproven(&self) -> Option<Unproven> {
        let ours = self.ours;
        if let Some(size) = self.heard.iter().flatten().copied().max().filter(|size| *size > ours) {
            return Some(Unproven::Ahead { size, ours });
        }
        let names: Vec<&str> = self
            .trust
            .witnesses()
            .iter()
            .zip(&self.heard)
            .filter(|(_, heard)| heard.is_some())
            .map(|(witness, _)| &*witness.name)
            .collect();
        let met = self.trust.meets_every_quorum(|witness| names.contains(&&*witness.name));
        let witnesses = self.trust.witnesses().len();
        (!met).then_some(Unproven::Few { heard: names.len(), witnesses })
    }

    /// Returns the permit, if enough witnesses were heard and none is ahead.
    pub fn conclude(&self) -> Result<Guarded, Unproven> {
        match self.unproven() {
            Some(unproven) => Err(unproven),
            None => Ok(Guarded { log: self.log }),
        }
    }
}
