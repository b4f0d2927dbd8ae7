//! What a log's handle knows of its policy and secrets: all that admission needs, on any thread.

use core::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::{AuditParts, Governed, feed::Feed};
use crate::core::{
    number::LeafIndex,
    policy::{Alert, NoCustom, Policy, Statements, Watch},
    record::{ApprovalRule, PolicyDigest, Secret},
};

/// A policy in force, or none.
#[derive(Clone)]
pub(in crate::pipeline) struct Generation {
    /// Counts the policies since the start. Admission names the one that it judged by.
    pub(in crate::pipeline) number: u64,
    /// The policy and the index of its record.
    pub(in crate::pipeline) active: Option<(PolicyDigest, LeafIndex)>,
    /// The same of the one before it.
    pub(super) before: Option<(PolicyDigest, LeafIndex)>,
    pub(in crate::pipeline) governed: Governed,
}

/// The part of a log's handle that only an audit log has.
pub(in crate::pipeline) struct Audited {
    pub(super) parts: AuditParts,
    /// Under which submissions are recognised.
    pub(in crate::pipeline) secret: Secret,
    /// The newest alerts.
    pub(super) feed: Feed,
    generation: watch::Sender<Arc<Generation>>,
}

impl Generation {
    /// What holds before the first policy: events need a form and nothing else.
    pub(super) fn ungoverned(rule: ApprovalRule) -> Self {
        let policy = Policy::compile(PolicyDigest::NONE, &Statements::default());
        let policy = Arc::new(policy.expect("no statements are a policy"));
        let watch = Watch { alerts: vec![Alert::violation()], ..Watch::default() };
        let governed = Governed { policy, custom: Arc::new(NoCustom), rule, watch };
        Self { number: 0, active: None, before: None, governed }
    }

    /// Returns the digest that records name.
    pub(super) fn digest(&self) -> Option<PolicyDigest> {
        self.active.map(|(digest, _)| digest)
    }

    /// Returns what follows on this one.
    pub(super) fn next(&self, index: LeafIndex, governed: Governed) -> Self {
        Self {
            number: self.number + 1,
            active: Some((governed.policy.digest(), index)),
            before: self.active,
            governed,
        }
    }
}

impl Audited {
    /// Makes the handle of a log under a policy.
    pub(super) fn new(
        parts: AuditParts,
        secret: Secret,
        feed: Feed,
        generation: Arc<Generation>,
    ) -> Self {
        Self { parts, secret, feed, generation: watch::Sender::new(generation) }
    }

    /// Returns what submissions are judged by.
    pub(in crate::pipeline) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation.borrow())
    }

    /// Changes what submissions are judged by. Called by the sequencer alone.
    pub(super) fn govern(&self, generation: Arc<Generation>) {
        self.generation.send_replace(generation);
    }
}

impl fmt::Debug for Audited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audited").field("active", &self.generation().active).finish_non_exhaustive()
    }
}
