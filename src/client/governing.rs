//! Which policy governs an audit log, from the log's own records, each proved.
//!
//! Every record names the policy that governs it, so the `policy` record that put one into force is found by
//! halving: some record that is not governed by it comes right before some that is. A log of n records is asked
//! for twice log2(n) of them. Of a policy that was put into force twice this may be the earlier record, so that for
//! the newest records the server is asked first which one it is, and what it says is checked. One that lies can
//! name the earlier record no more than the halving could find it; the files are the same.
//!
//! # Out of scope
//!
//! - Whether records name the policy that they should: a monitor reads all of them and says so.

use super::{Client, ClientError, Untrue};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::number::LeafIndex;
use crate::core::policy::Bundle;
use crate::core::record::{
    ActivePolicy, ApprovalRule, Body, PART_BYTES, PolicyDigest, Record, System,
};
use crate::proto::ListLogsRequest;

/// A policy that a log has put into force, with its files.
#[derive(Clone, Debug)]
pub struct LoggedPolicy {
    /// Index of its `policy` record: it governs above.
    pub index: LeafIndex,
    /// What that record says.
    pub record: ActivePolicy,
    /// The files, of exactly the record's digest.
    pub bundle: Bundle,
}

/// What governs the next record of a log.
#[derive(Clone, Debug)]
pub struct Governing {
    /// The newest checkpoint: everything else is in its tree.
    pub checkpoint: SignedCheckpoint,
    /// The policy; none before the first.
    pub policy: Option<LoggedPolicy>,
    /// Who has to approve the next one.
    pub rule: ApprovalRule,
}

/// What one record says about policies.
enum Said {
    /// It begins the log.
    Genesis(ApprovalRule),
    /// It puts a policy into force.
    Puts(Box<ActivePolicy>),
    /// It is governed by a policy, or by none.
    Governed(Option<PolicyDigest>),
}

impl Client {
    /// Returns what governs what comes after the newest record.
    pub async fn governing(&self) -> Result<Governing, ClientError> {
        let checkpoint = self.checkpoint().await?;
        let genesis =
            match LeafIndex::new(0).filter(|index| checkpoint.head().size.contains(*index)) {
                Some(index) => self.said(index).await?,
                None => return Err(self.no_policies()),
            };
        let Said::Genesis(first) = genesis else { return Err(self.no_policies()) };
        let size = checkpoint.head().size.get();
        let policy = match self.named_by_server(size).await? {
            Some(policy) => Some(policy),
            None => self.governing_before(size).await?,
        };
        let rule = policy.as_ref().map_or(first, |policy| policy.record.rule.clone());
        Ok(Governing { checkpoint, policy, rule })
    }

    /// Returns the policy of the record that the server says put it into force, if that record does, is in a tree
    /// of this size, and the last record there is governed by it.
    async fn named_by_server(&self, size: u64) -> Result<Option<LoggedPolicy>, ClientError> {
        let answer = self.grpc.clone().list_logs(ListLogsRequest {}).await;
        let logs = answer.map_err(|status| self.failed(status))?.into_inner().logs;
        let log = logs.into_iter().find(|log| log.origin == self.origin());
        let index = log.and_then(|log| log.policy_index).filter(|index| *index < size);
        let last = size.checked_sub(1).and_then(LeafIndex::new);
        let (Some(index), Some(last)) = (index.and_then(LeafIndex::new), last) else {
            return Ok(None);
        };
        let Said::Puts(record) = self.said(index).await? else { return Ok(None) };
        if index < last && self.governs(last).await? != Some(record.digest) {
            return Ok(None);
        }
        self.with_files(index, *record).await.map(Some)
    }

    /// Returns the policy that governs the record at `end`, whether or not the log has grown so far.
    pub async fn governing_before(&self, end: u64) -> Result<Option<LoggedPolicy>, ClientError> {
        let Some(last) = end.checked_sub(1).and_then(LeafIndex::new) else { return Ok(None) };
        match self.said(last).await? {
            Said::Puts(record) => self.with_files(last, *record).await.map(Some),
            Said::Genesis(_) | Said::Governed(None) => Ok(None),
            Said::Governed(Some(digest)) => self.put_before(last, digest).await.map(Some),
        }
    }

    /// Returns the policy that a `policy` record puts into force, with its files.
    pub async fn with_files(
        &self,
        index: LeafIndex,
        record: ActivePolicy,
    ) -> Result<LoggedPolicy, ClientError> {
        let parts_of_it = record.bytes.div_ceil(PART_BYTES as u64);
        let untrue = |problem| Untrue::Malformed { field: "policy-part", problem };
        let from = index.get().checked_sub(parts_of_it).and_then(LeafIndex::new);
        let from = from.ok_or(untrue("is missing"))?;
        let mut parts = Vec::new();
        self.read(from, index, |_, entry| {
            if let Ok(record) = Record::parse(entry)
                && let Body::System(System::PolicyPart(part)) = record.body()
            {
                parts.push(part.clone());
            }
        })
        .await?;
        let bundle = Bundle::assemble(&parts, record.digest);
        let bundle = bundle.map_err(|_| untrue("does not make the policy that the log names"))?;
        Ok(LoggedPolicy { index, record, bundle })
    }

    /// Finds what put a policy into force that governs the record at `high`.
    async fn put_before(
        &self,
        mut high: LeafIndex,
        digest: PolicyDigest,
    ) -> Result<LoggedPolicy, ClientError> {
        // In steps that double, so that a recent change is found soon, and not an earlier one like it.
        let mut step = 1;
        let mut low = loop {
            let below = high.get().saturating_sub(step);
            let index = LeafIndex::new(below).expect("it is below an index");
            if below == 0 || self.governs(index).await? != Some(digest) {
                break below;
            }
            high = index;
            step *= 2;
        };
        // The record at `high` is governed by the policy, that at `low` is not.
        while high.get() - low > 1 {
            let middle = low + (high.get() - low) / 2;
            let index = LeafIndex::new(middle).expect("it is below an index");
            if self.governs(index).await? == Some(digest) {
                high = index;
            } else {
                low = middle;
            }
        }
        let index = LeafIndex::new(low).expect("it is below an index");
        match self.said(index).await? {
            Said::Puts(record) if record.digest == digest => self.with_files(index, *record).await,
            _ => {
                let problem = "names a policy that the record before it does not put into force";
                Err(Untrue::Malformed { field: "pv", problem }.into())
            }
        }
    }

    /// Returns the policy that a record names as the one that governs it.
    async fn governs(&self, index: LeafIndex) -> Result<Option<PolicyDigest>, ClientError> {
        let entry = self.entry(index).await?;
        Ok(Record::parse(&entry.bytes).map_err(|_| no_record())?.policy())
    }

    /// Returns what a record says about policies.
    async fn said(&self, index: LeafIndex) -> Result<Said, ClientError> {
        let entry = self.entry(index).await?;
        let record = match Record::parse(&entry.bytes) {
            Ok(record) => record,
            // Whoever asks a log of bytes has asked the wrong log, and was not lied to.
            Err(_) if index.get() == 0 => return Err(self.no_policies()),
            Err(_) => return Err(no_record().into()),
        };
        Ok(match record.body() {
            Body::System(System::Genesis { rule, .. }) => Said::Genesis(rule.clone()),
            Body::System(System::Policy(active)) => Said::Puts(Box::new(active.clone())),
            _ => Said::Governed(record.policy()),
        })
    }

    /// Says that the log is of another kind.
    fn no_policies(&self) -> ClientError {
        ClientError::NoPolicies { origin: self.origin() }
    }
}

/// Says that something in an audit log is no record.
fn no_record() -> Untrue {
    Untrue::Malformed { field: "entry", problem: "is no record of an audit log" }
}
