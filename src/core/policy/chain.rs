//! What holds of the records of an audit log together, read in order.
//!
//! # Rules
//!
//! - Record 0, and no other, is `genesis`, and names the log.
//! - `at` rises strictly.
//! - `pv` is the policy of the last `policy` record below, and absent where there is none.
//! - A `policy` record follows the parts of its files, which make its digest; enough of those approve it whom
//!   the rule in force names.

use super::bundle::Bundle;
use crate::core::origin::Origin;
use crate::core::record::{
    ActivePolicy, ApprovalRule, Body, PolicyDigest, PolicyPart, Record, RecordError, System,
    Timestamp,
};

/// How far the records of a log have been read.
#[derive(Clone, Debug)]
pub struct Chain {
    origin: Origin,
    /// The time of the last record.
    at: Option<Timestamp>,
    active: Option<PolicyDigest>,
    rule: ApprovalRule,
    /// The parts that were read last, one after another.
    parts: Vec<PolicyPart>,
}

/// What is wrong with a record among those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// It is no record.
    #[error("it is no record: {0}")]
    Record(#[from] RecordError),
    /// The first is not the log's genesis, or another one is.
    #[error("it is the first record and not the log's genesis, or a genesis and not the first")]
    Genesis,
    /// Its time is not later.
    #[error("its time {at} is not later than that of the record before it")]
    Time {
        /// Its time.
        at: Timestamp,
    },
    /// It names another policy than the one in force.
    #[error("it is not under the policy that is in force")]
    Policy,
    /// It applies a policy whose files are not before it.
    #[error("it applies a policy whose files do not stand before it")]
    Parts,
    /// It applies a policy that was not approved.
    #[error("it applies a policy that too few approve of those who have to")]
    Unapproved,
}

impl Chain {
    /// Begins before the first record of a log.
    pub fn new(origin: Origin) -> Self {
        Self { origin, at: None, active: None, rule: ApprovalRule::NOBODY, parts: Vec::new() }
    }

    /// Returns the policy that governs the next record.
    pub const fn active(&self) -> Option<PolicyDigest> {
        self.active
    }

    /// Returns the time of the last record.
    pub const fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Reads the next entry. After a fault, whatever can be compared still is.
    pub fn read<'e>(&mut self, entry: &'e [u8]) -> Result<Record<'e>, ChainFault> {
        let record = Record::parse(entry)?;
        let (last, at) = (self.at.replace(record.at()), record.at());
        let parts = core::mem::take(&mut self.parts);
        let policy = record.policy();
        let governed = policy == self.active;
        let is_genesis = matches!(
            record.body(),
            Body::System(System::Genesis { origin, .. }) if *origin == self.origin
        );
        let genesis = matches!(record.body(), Body::System(System::Genesis { .. }));
        let says = match record.body() {
            Body::System(System::Genesis { rule, .. }) => {
                self.rule = rule.clone();
                Ok(())
            }
            Body::System(System::PolicyPart(part)) => {
                self.parts = parts;
                self.parts.push(part.clone());
                Ok(())
            }
            Body::System(System::Policy(policy)) => self.apply(policy, &parts, at),
            _ => Ok(()),
        };
        if (last.is_none() && !is_genesis) || (last.is_some() && genesis) {
            return Err(ChainFault::Genesis);
        }
        if last.is_some_and(|last| at <= last) {
            return Err(ChainFault::Time { at });
        }
        if !governed {
            return Err(ChainFault::Policy);
        }
        says?;
        Ok(record)
    }

    /// Takes a policy as the one in force, whatever is wrong with how it came to be.
    fn apply(
        &mut self,
        policy: &ActivePolicy,
        parts: &[PolicyPart],
        at: Timestamp,
    ) -> Result<(), ChainFault> {
        let old = self.active.replace(policy.digest).unwrap_or(PolicyDigest::NONE);
        let rule = core::mem::replace(&mut self.rule, policy.rule.clone());
        // The parts of another policy, whose record never came, may stand before.
        let of = |part: &&PolicyPart| part.digest == policy.digest;
        let own = parts.iter().rev().take_while(of).count();
        let own = parts.get(parts.len() - own..).unwrap_or_default();
        let bytes: usize = own.iter().map(|part| part.bytes.len()).sum();
        let is_whole = u64::try_from(bytes).is_ok_and(|bytes| bytes == policy.bytes);
        if !is_whole || Bundle::assemble(own, policy.digest).is_err() {
            return Err(ChainFault::Parts);
        }
        if !rule.is_met(&self.origin, old, policy.digest, &policy.approvals, at) {
            return Err(ChainFault::Unapproved);
        }
        Ok(())
    }
}
