//! The records of an audit log in order: what takes more than one of them to be judged.
//!
//! ```text
//! (index, entry) ... -> Chain -> Faults
//! (size, time) of cosignatures ---^
//! ```
//!
//! A [`Chain`] is told every entry from index 0 on, and when witnesses saw which size. It says which rules of
//! audit logs an entry breaks, and then follows what the log claims: one wrong record is one fault, and not
//! one more for each that follows.
//!
//! # What holds of an honest log
//!
//! - Every entry is a record; record 0 is its genesis, and no other is.
//! - `at` rises with every index, and is not further than [`SKEW_MICROS`] outside of what witnesses saw.
//! - `pv` is the policy that the last `policy` record below made active; absent before the first.
//! - A `policy` record directly follows all its parts, which have its digest, and its approvals meet the rule
//!   in force: that of the `policy` record before, for the first that of the genesis.
//! - A `conflict` record about a key names entries below its own.
//!
//! # Out of scope
//!
//! - Whether the verdict is what the policy says: [`crate::manual::records`] calls that replay.
//! - Whether the rule in a `policy` record is the one that its files state, which takes their meaning.
//! - Whether ids are unique: it takes memory of all of them.

mod fault;
mod sight;
mod track;

pub use fault::{Fault, Rule};
pub use sight::{SKEW_MICROS, Sight};

use track::Track;

use crate::core::number::LeafIndex;
use crate::core::origin::Origin;
use crate::core::policy::Bundle;
use crate::core::record::{
    ActivePolicy, ApprovalRule, Body, PolicyDigest, PolicyPart, Record, RecordError, System,
    Timestamp,
};

/// What is known of the records below an index.
#[derive(Clone, Debug)]
pub struct Chain {
    origin: Origin,
    point: Point,
    sight: Sight,
    track: Track,
}

/// How far a log was read, and what held there: enough to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The index that comes next.
    pub next: u64,
    /// The time of the last record.
    pub last: Option<Timestamp>,
    /// The policy that governs the next record.
    pub policy: Option<PolicyDigest>,
    /// Who has to approve the next policy.
    pub rule: ApprovalRule,
    /// The parts of the policy that is on its way, from the first on.
    pub parts: Vec<PolicyPart>,
    /// When a witness saw last that the log ended at or before the next index.
    pub unseen: Option<Timestamp>,
    /// Entries that were read, with their times: those against which later cosignatures are held.
    pub times: Vec<(u64, Timestamp)>,
}

impl Chain {
    /// Begins with the first entry of a log.
    pub fn new(origin: Origin) -> Self {
        let (rule, parts) = (ApprovalRule::NOBODY, Vec::new());
        let times = Vec::new();
        let point = Point { next: 0, last: None, policy: None, rule, parts, unseen: None, times };
        Self::resume(origin, point)
    }

    /// Goes on from a point, which has to be one that [`Chain::point`] gave.
    pub fn resume(origin: Origin, point: Point) -> Self {
        let sight = Sight::new(point.next, point.unseen);
        let track = Track::new(point.times.clone());
        Self { origin, point, sight, track }
    }

    /// Returns where to go on from.
    pub fn point(&self) -> Point {
        let (unseen, times) = (self.sight.unseen(), self.track.samples());
        Point { unseen, times, ..self.point.clone() }
    }

    /// Returns the index that comes next.
    pub const fn next(&self) -> u64 {
        self.point.next
    }

    /// Takes what a witness says: at this second the tree had this size, for all that it knew.
    ///
    /// To be told before the entries are, as far as it is known. What comes later is held against the times of
    /// those that were read, as far as they are remembered; returns which of them it contradicts. What was told
    /// before says nothing.
    pub fn witnessed(&mut self, size: u64, seconds: u64) -> Vec<(u64, Fault)> {
        let Some(time) = self.sight.add(size, seconds) else { return Vec::new() };
        let late = self.track.below(size).filter(|(_, at)| is_late(*at, time));
        let early = self.track.from(size).filter(|(_, at)| is_early(*at, time));
        let late = late.map(|(index, at)| (index, Fault::Late { at, seen: time }));
        let early = early.map(|(index, at)| (index, Fault::Early { at, unseen: time }));
        late.into_iter().chain(early).collect()
    }

    /// Returns whether a first entry is a genesis record: what makes a log an audit log.
    pub fn begins_with(&self, entry: &[u8]) -> bool {
        let record = Record::parse(entry);
        self.point.next == 0
            && matches!(record.as_ref().map(Record::body), Ok(Body::System(System::Genesis { .. })))
    }

    /// Takes the next entry; returns the rules that it breaks.
    ///
    /// # Panics
    ///
    /// If the index is not the next one.
    pub fn take(&mut self, index: LeafIndex, entry: &[u8]) -> Vec<Fault> {
        assert_eq!(index.get(), self.point.next, "entries are taken in order, each once");
        let faults = self.judge(index, entry);
        self.point.next += 1;
        self.sight.pass(self.point.next);
        faults
    }

    /// Judges the next entry.
    fn judge(&mut self, index: LeafIndex, entry: &[u8]) -> Vec<Fault> {
        let record = match Record::parse(entry) {
            Ok(record) => record,
            Err(error) => {
                let mut faults = vec![Fault::from(error)];
                faults.extend(self.interrupt());
                if index.get() == 0 {
                    faults.push(Fault::NoGenesis);
                }
                return faults;
            }
        };
        let mut faults = self.time(record.at());
        let is_genesis = matches!(record.body(), Body::System(System::Genesis { .. }));
        if !is_genesis && record.policy() != self.point.policy {
            let (expected, found) = (self.point.policy, record.policy());
            faults.push(Fault::Policy { expected, found });
        }
        if index.get() == 0 && !is_genesis {
            faults.push(Fault::NoGenesis);
        }
        match record.body() {
            Body::System(System::PolicyPart(part)) => faults.extend(self.part(part)),
            Body::System(System::Policy(policy)) => faults.extend(self.policy(policy, record.at())),
            Body::System(System::Genesis { origin, rule }) => {
                faults.extend(self.interrupt());
                faults.extend(self.genesis(index, origin, rule));
            }
            Body::System(System::KeyConflict(conflict)) => {
                faults.extend(self.interrupt());
                let found = conflict.index;
                faults.extend((found >= index).then_some(Fault::Conflict { found }));
            }
            Body::System(_) | Body::Event(_) => faults.extend(self.interrupt()),
        }
        faults
    }

    /// Takes the end of a signed tree: a policy and its parts are in one commit, so that none ends between.
    pub fn end(&mut self) -> Option<Fault> {
        self.track.end();
        self.interrupt()
    }

    /// Compares a time with the one before, and with what witnesses saw.
    fn time(&mut self, at: Timestamp) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(last) = self.point.last.replace(at).filter(|last| at <= *last) {
            faults.push(Fault::Time { last, at });
        }
        let (unseen, seen) = self.sight.bounds();
        if let Some(seen) = seen.filter(|seen| is_late(at, *seen)) {
            faults.push(Fault::Late { at, seen });
        }
        if let Some(unseen) = unseen.filter(|unseen| is_early(at, *unseen)) {
            faults.push(Fault::Early { at, unseen });
        }
        self.track.take(self.point.next, at);
        faults
    }

    /// Takes a genesis record, which gives the first rule.
    fn genesis(&mut self, index: LeafIndex, origin: &Origin, rule: &ApprovalRule) -> Option<Fault> {
        if index.get() > 0 {
            // It changes nothing, or whoever makes one would make the rule.
            return Some(Fault::SecondGenesis);
        }
        self.point.rule = rule.clone();
        let found = origin.clone();
        (*origin != self.origin).then_some(Fault::Origin { found })
    }

    /// Takes a part, which has to be the next one of the same policy.
    fn part(&mut self, part: &PolicyPart) -> Option<Fault> {
        let number = u64::try_from(self.point.parts.len()).expect("a policy has few parts");
        let follows = self
            .point
            .parts
            .first()
            .is_none_or(|first| (first.digest, first.parts) == (part.digest, part.parts));
        let is_next = follows && part.part == number && number < part.parts;
        if !is_next {
            self.point.parts.clear();
        }
        // A policy that begins anew is followed.
        if is_next || part.part == 0 {
            self.point.parts.push(part.clone());
        }
        (!is_next).then_some(Fault::Parts)
    }

    /// Takes a `policy` record, which governs every index above its own.
    fn policy(&mut self, policy: &ActivePolicy, at: Timestamp) -> Vec<Fault> {
        let mut faults = Vec::new();
        let parts = core::mem::take(&mut self.point.parts);
        let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
        let is_size = u64::try_from(bytes).is_ok_and(|bytes| bytes == policy.bytes);
        if !is_size || Bundle::assemble(&parts, policy.digest).is_err() {
            faults.push(Fault::Parts);
        }
        let old = self.point.policy.unwrap_or(PolicyDigest::NONE);
        let rule = &self.point.rule;
        if !rule.is_met(&self.origin, old, policy.digest, &policy.approvals, at) {
            faults.push(Fault::Approvals { threshold: rule.threshold() });
        }
        self.point.policy = Some(policy.digest);
        self.point.rule = policy.rule.clone();
        faults
    }

    /// Forgets the parts of a policy that did not follow.
    fn interrupt(&mut self) -> Option<Fault> {
        let is_open = !self.point.parts.is_empty();
        self.point.parts.clear();
        is_open.then_some(Fault::Parts)
    }
}

/// Returns whether a record states a time after one at which it was seen.
const fn is_late(at: Timestamp, seen: Timestamp) -> bool {
    at.micros() > seen.micros().saturating_add(SKEW_MICROS)
}

/// Returns whether a record states a time before one at which it was not seen.
const fn is_early(at: Timestamp, unseen: Timestamp) -> bool {
    at.micros().saturating_add(SKEW_MICROS) < unseen.micros()
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        if error == RecordError::Reserved { Self::Reserved } else { Self::Form(error) }
    }
}
