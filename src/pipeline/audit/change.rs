//! A change of policy: approved under the rule in force, appended in one commit, and in force from there on.

use core::fmt;

use super::{
    Governed,
    lane::{AuditLane, POLICY_KIND, Written},
};
use crate::{
    core::{
        number::{LeafIndex, UnixMillis},
        policy::{Bundle, BundleError},
        record::{
            ActivePolicy, Approval, ApprovalRule, Engine, PolicyDigest, PolicyPart, System,
            Timestamp,
        },
    },
    pipeline::{
        Pipeline, Refusal, Ticket,
        cycle::Sequenced,
        log::{Log, LogStatus},
        pool::Permit,
        sequence::Event,
        ticket::{Failure, Outcome, TicketSender},
    },
    store::{Extra, LogKind, SourceKey},
};
use std::sync::Arc;

/// Bytes that a part of a policy takes in the log, as room is reserved for it.
const PART_ROOM_BYTES: u64 = 56_000;

/// A policy that is to be applied.
pub(in crate::pipeline) struct Change {
    digest: PolicyDigest,
    pub(super) parts: Vec<PolicyPart>,
    bytes: u64,
    governed: Governed,
    approvals: Vec<Approval>,
    source: Option<String>,
    replaces: Option<PolicyDigest>,
    ticket: TicketSender,
    permit: Permit,
}

/// How a policy is to be applied.
#[derive(Clone, Debug, Default)]
pub struct Applying<'a> {
    /// The approvals that there are.
    pub approvals: Vec<Approval>,
    /// The principal that applies it, if the transport knows one.
    pub who: Option<&'a str>,
    /// The only policy that it may replace, [`PolicyDigest::NONE`] if it may only be the first; any, if absent.
    pub replaces: Option<PolicyDigest>,
}

/// Why a policy is not applied. Nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum PolicyRefusal {
    /// The log takes nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bundle makes no policy.
    #[error("the bundle makes no policy: {}", findings.join("; "))]
    Uncompiled {
        /// What is wrong with it.
        findings: Vec<String>,
    },
    /// The bundle was compiled as another one.
    #[error("the bundle was compiled under another digest; this is a bug")]
    Digest,
    /// The files are too large.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl Change {
    /// Answers whoever asked for it.
    pub(super) fn fail(self, failure: Failure) {
        let _gone = self.ticket.send(Err(failure));
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl AuditLane {
    /// Appends a policy, if enough of those whom the rule in force names approve it.
    pub(super) fn switch(
        &mut self,
        log: &Log,
        change: Change,
        wall: UnixMillis,
        written: &mut Written,
    ) {
        let rule = &self.generation.governed.rule;
        let old = self.generation.digest().unwrap_or(PolicyDigest::NONE);
        if let Some((_, index)) =
            self.generation.active.filter(|(digest, _)| *digest == change.digest)
        {
            return change.fail(Failure::PolicyActive { index });
        }
        if change.replaces.is_some_and(|replaces| replaces != old) {
            return change.fail(Failure::PolicyReplaced { active: old });
        }
        // The record's time is no later: what is counted is told first, and then come the parts.
        let counted = self.generation.governed.watch.suppressions.len();
        let at = self.stamper.after(counted as u64 + change.parts.len() as u64);
        let threshold = rule.threshold();
        let approvals = approvals(change.approvals.clone(), rule.keys(), at);
        if !rule.is_met(&log.row().origin, old, change.digest, &approvals, at) {
            return change.fail(Failure::Unapproved { threshold });
        }
        for system in self.watching.end() {
            self.say(&system, wall, written);
        }
        let Change { digest, parts, bytes, governed, source, ticket, permit, .. } = change;
        for part in parts {
            self.say(&System::PolicyPart(part), wall, written);
        }
        let index = written.next();
        let rule = governed.rule.clone();
        let policy = ActivePolicy { digest, bytes, engine: engine(), rule, approvals, source };
        let hash = self.say(&System::Policy(policy), wall, written);
        self.generation = Arc::new(self.generation.next(index, governed));
        self.audited.govern(Arc::clone(&self.generation));
        self.watching.begin(&self.generation.governed.watch, self.stamper.present());
        let key = SourceKey { log: log.number(), kind: POLICY_KIND, rest: Vec::new() };
        let row = SourceKey::row(&index.get().to_be_bytes());
        written.extra.push((Extra::Source, key.encode(), row));
        written.sequenced.push(Sequenced {
            ticket,
            outcomes: vec![Outcome::Sequenced { index }],
            leaf_hashes: vec![hash],
            records: Vec::new(),
            permit,
        });
    }
}

/// Returns the approvals that can count: one for each key of the rule, sorted, and not over.
fn approvals(
    mut given: Vec<Approval>,
    keys: &[crate::core::record::ApproverKey],
    at: Timestamp,
) -> Vec<Approval> {
    given.retain(|approval| keys.contains(&approval.key) && approval.expires > at);
    given.sort_by_key(|approval| approval.key);
    given.dedup_by(|one, other| one.key == other.key);
    given
}

/// Returns the engine that decides by policies here: replaying a verdict needs the same.
fn engine() -> Engine {
    Engine {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

impl Pipeline {
    /// Applies a policy to an audit log. Compiles it here, which takes a while; the answer's one outcome is
    /// the index of the `policy` record.
    ///
    /// Every record above that index is governed by it, and none below.
    pub fn apply_policy(
        &self,
        log: &Arc<Log>,
        bundle: &Bundle,
        how: Applying<'_>,
    ) -> Result<Ticket, PolicyRefusal> {
        self.check_open()?;
        let audited = log.audited().ok_or(Refusal::OpaqueLog)?;
        log.check_takes()?;
        let governed = audited.parts.governor.compile(bundle);
        let governed = governed.map_err(|findings| PolicyRefusal::Uncompiled { findings })?;
        let digest = bundle.digest();
        if governed.policy.digest() != digest {
            return Err(PolicyRefusal::Digest);
        }
        let parts = bundle.parts();
        let bytes = parts.iter().map(|part| part.bytes.len() as u64).sum();
        let count = parts.len() as u64 + 1;
        let permit = self.reserve(log, count, count * PART_ROOM_BYTES)?;
        let (ticket, answer) = Ticket::new();
        let Applying { approvals, who, replaces } = how;
        let source = who.map(str::to_owned);
        let change =
            Change { digest, parts, bytes, governed, approvals, source, replaces, ticket, permit };
        self.tell(Event::Apply(Arc::clone(log), Box::new(change)))?;
        Ok(answer)
    }

    /// Returns the policy that governs what is appended next, and the index of its record: that of the
    /// newest signed head.
    pub fn active_policy(&self, log: &Log) -> Option<(PolicyDigest, LeafIndex)> {
        let generation = log.audited()?.generation();
        let size = log.signed().head().size;
        [generation.active, generation.before]
            .into_iter()
            .flatten()
            .find(|(_, index)| size.contains(*index))
    }

    /// Returns who has to approve the next policy of an audit log.
    pub fn approval_rule(&self, log: &Log) -> Option<ApprovalRule> {
        Some(log.audited()?.generation().governed.rule.clone())
    }

    /// Takes the clock as right, because an operator says so: a log that doubted it takes events again.
    pub fn confirm_clock(&self, log: &Arc<Log>) -> Result<(), Refusal> {
        if log.row().kind != LogKind::Audit {
            return Err(Refusal::OpaqueLog);
        }
        // The order of the channel puts the confirmation before any later event.
        self.tell(Event::Confirm(log.number()))?;
        if log.status() == LogStatus::ClockDoubted {
            crate::pipeline::waiting::settle(log);
        }
        Ok(())
    }

    /// Records what time alone has made worth recording: silences, and counts of what was suppressed.
    ///
    /// It is done twice a second; a caller that moves the clock itself need not wait for that.
    pub fn look_at_clock(&self) -> Result<(), Refusal> {
        self.tell(Event::Tick)
    }
}
