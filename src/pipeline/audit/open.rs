//! Takes up an audit log where its records end: the time, the policy, and what is remembered of sources.

use std::sync::Arc;

use super::{
    AuditParts,
    feed::Feed,
    handle::{Audited, Generation},
    lane::{AuditLane, POLICY_KIND},
    stamp::Stamper,
};
use crate::{
    core::{
        number::{LeafIndex, LogNumber, TreeSize},
        policy::{Bundle, Watching},
        record::{
            ActivePolicy, ApprovalRule, ApproverKey, Body, PolicyDigest, Record, System, Timestamp,
        },
    },
    pipeline::{open::OpenError, vault::VaultError},
    store::{Entry, Extra, LogRow, SourceKey, Store, StoreError},
};

/// Kind of the row that holds who approves the first policy, until `genesis` says it.
const FIRST_RULE_KIND: u8 = 0;

/// Why an audit log can't be taken up.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// This program was not given what audit logs need.
    #[error("this program was started without what audit logs need; start it as their server")]
    Unsupported,
    /// Nothing says who approves the first policy.
    #[error(
        "nothing says who approves its first policy: the row that its creation wrote is gone; create a log \
         under another origin"
    )]
    FirstRule,
    /// An entry is no record, or not the one that it has to be.
    #[error("entry {index} is not {wanted}; check the log with `attestree fsck`")]
    Record {
        /// Its index.
        index: LeafIndex,
        /// What it has to be.
        wanted: &'static str,
    },
    /// What is remembered of its sources has no form.
    #[error("what is remembered of its sources can't be read; check the log with `attestree fsck`")]
    Sources,
    /// The active policy does not compile.
    #[error(
        "its active policy does not compile with this program: {}; use the version that it was applied with",
        findings.join("; ")
    )]
    Policy {
        /// What is wrong with it.
        findings: Vec<String>,
    },
    /// A secret can't be had.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store can't be read.
    #[error("read the database: {0}")]
    Store(#[from] StoreError),
}

/// Returns the row that says who approves the first policy of a new log. Its creation writes it.
pub fn first_rule(log: LogNumber, rule: &ApprovalRule) -> (Extra, Vec<u8>, Vec<u8>) {
    let threshold = u8::try_from(rule.threshold()).expect("a rule has at most 64 keys");
    let keys: Vec<String> = rule.keys().iter().map(ToString::to_string).collect();
    let content = [&[threshold], keys.join(" ").as_bytes()].concat();
    let key = SourceKey { log, kind: FIRST_RULE_KIND, rest: Vec::new() };
    (Extra::Source, key.encode(), SourceKey::row(&content))
}

/// Takes the content of that row.
fn parse_first_rule(content: &[u8]) -> Option<ApprovalRule> {
    let (threshold, keys) = content.split_first()?;
    let keys = str::from_utf8(keys).ok()?.split_terminator(' ');
    let keys: Vec<ApproverKey> = keys.map(ApproverKey::parse).collect::<Option<_>>()?;
    ApprovalRule::new(keys, usize::from(*threshold))
}

/// What is remembered of a log.
#[derive(Default)]
struct Remembered {
    first_rule: Option<ApprovalRule>,
    policy: Option<LeafIndex>,
    watching: Watching,
}

impl Remembered {
    /// Reads the rows of a log.
    fn read(store: &Store, log: LogNumber) -> Result<Self, AuditError> {
        let mut remembered = Self::default();
        for (SourceKey { kind, rest, .. }, content) in store.sources(log)? {
            let taken = match kind {
                FIRST_RULE_KIND => {
                    remembered.first_rule = parse_first_rule(&content);
                    remembered.first_rule.is_some()
                }
                POLICY_KIND => {
                    let index = content.as_slice().try_into().map(u64::from_be_bytes).ok();
                    remembered.policy = index.and_then(LeafIndex::new);
                    remembered.policy.is_some()
                }
                kind => remembered.watching.restore(kind, &rest, &content).is_some(),
            };
            if !taken {
                return Err(AuditError::Sources);
            }
        }
        Ok(remembered)
    }
}

/// Reads the records of one log.
struct Records<'s> {
    store: &'s Store,
    log: LogNumber,
}

impl Records<'_> {
    /// Returns the bytes of an entry.
    fn bytes(&self, index: LeafIndex) -> Result<bytes::Bytes, AuditError> {
        match self.store.entry(self.log, index)? {
            Some(Entry::Bytes(bytes)) => Ok(bytes),
            _ => Err(AuditError::Record { index, wanted: "there" }),
        }
    }

    /// Returns what a record of the system says.
    fn system(&self, index: LeafIndex) -> Result<Option<System>, AuditError> {
        let bytes = self.bytes(index)?;
        Ok(match parse(&bytes, index)?.body() {
            Body::System(system) => Some(system.clone()),
            Body::Event(_) => None,
        })
    }

    /// Returns the `policy` record of a digest, if it stands at an index.
    fn policy(
        &self,
        index: LeafIndex,
        digest: PolicyDigest,
    ) -> Result<Option<ActivePolicy>, AuditError> {
        Ok(match self.system(index)? {
            Some(System::Policy(policy)) if policy.digest == digest => Some(policy),
            _ => None,
        })
    }

    /// Finds the last `policy` record of a digest below a size: where it is remembered, or by reading back.
    fn find(
        &self,
        digest: PolicyDigest,
        size: TreeSize,
        remembered: Option<LeafIndex>,
    ) -> Result<(LeafIndex, ActivePolicy), AuditError> {
        if let Some(index) = remembered.filter(|index| size.contains(*index))
            && let Some(policy) = self.policy(index, digest)?
        {
            return Ok((index, policy));
        }
        for index in (0..size.get()).rev() {
            let index = LeafIndex::new(index).expect("an index below a tree's size");
            if let Some(policy) = self.policy(index, digest)? {
                return Ok((index, policy));
            }
        }
        Err(AuditError::Record {
            index: LeafIndex::default(),
            wanted: "before its policy's record",
        })
    }

    /// Puts the files of a policy together again, from the records before its own.
    fn bundle(&self, index: LeafIndex, policy: &ActivePolicy) -> Result<Bundle, AuditError> {
        let wrong = AuditError::Record { index, wanted: "preceded by the files of its policy" };
        let count = policy.bytes.div_ceil(crate::core::record::PART_BYTES as u64);
        let Some(from) = index.get().checked_sub(count) else { return Err(wrong) };
        let mut parts = Vec::new();
        for index in from..index.get() {
            let index = LeafIndex::new(index).expect("an index below another");
            match self.system(index)? {
                Some(System::PolicyPart(part)) => parts.push(part),
                _ => return Err(wrong),
            }
        }
        Bundle::assemble(&parts, policy.digest).map_err(|_parts| wrong)
    }
}

/// Parses a record.
fn parse(bytes: &[u8], index: LeafIndex) -> Result<Record<'_>, AuditError> {
    Record::parse(bytes).map_err(|_form| AuditError::Record { index, wanted: "a record" })
}

/// Takes up a log with a tree of this size. The active policy is that of its records: the last one names it,
/// and its files make its digest.
pub(in crate::pipeline) fn take_up(
    row: &LogRow,
    store: &Store,
    size: TreeSize,
    parts: Option<&AuditParts>,
) -> Result<AuditLane, OpenError> {
    let failed = |error| OpenError::Audit { origin: row.origin.to_string(), error };
    let parts = parts.ok_or(AuditError::Unsupported).map_err(failed)?;
    read_back(row, store, size, parts).map_err(failed)
}

/// Reads back what the next record has to follow.
fn read_back(
    row: &LogRow,
    store: &Store,
    size: TreeSize,
    parts: &AuditParts,
) -> Result<AuditLane, AuditError> {
    let Remembered { first_rule, policy, watching } = Remembered::read(store, row.number)?;
    let records = Records { store, log: row.number };
    let last = size.get().checked_sub(1).and_then(LeafIndex::new);
    let (last_at, first_rule, generation) = match last {
        None => {
            let rule = first_rule.ok_or(AuditError::FirstRule)?;
            let ungoverned = Generation::ungoverned(rule.clone());
            (Timestamp::default(), Some(rule), ungoverned)
        }
        Some(last) => {
            let bytes = records.bytes(last)?;
            let record = parse(&bytes, last)?;
            let governing = match record.body() {
                Body::System(System::Policy(policy)) => Some(policy.digest),
                _ => record.policy(),
            };
            let generation = match governing {
                None => Generation::ungoverned(genesis_rule(&records)?),
                Some(digest) => governed(&records, digest, size, policy, parts)?,
            };
            (record.at(), None, generation)
        }
    };
    let secret = parts.vault.identity_secret(row.number)?;
    let generation = Arc::new(generation);
    let audited =
        Arc::new(Audited::new(parts.clone(), secret, Feed::new(size), Arc::clone(&generation)));
    let stamper = Stamper::new(last_at);
    Ok(AuditLane { audited, generation, stamper, watching, first_rule, changes: Vec::new() })
}

/// Returns who approves the first policy, as the first record says.
fn genesis_rule(records: &Records<'_>) -> Result<ApprovalRule, AuditError> {
    let index = LeafIndex::default();
    match records.system(index)? {
        Some(System::Genesis { rule, .. }) => Ok(rule),
        _ => Err(AuditError::Record { index, wanted: "the log's genesis" }),
    }
}

/// Makes the policy of a digest ready again.
fn governed(
    records: &Records<'_>,
    digest: PolicyDigest,
    size: TreeSize,
    remembered: Option<LeafIndex>,
    parts: &AuditParts,
) -> Result<Generation, AuditError> {
    let (index, policy) = records.find(digest, size, remembered)?;
    let bundle = records.bundle(index, &policy)?;
    let mut governed =
        parts.governor.compile(&bundle).map_err(|findings| AuditError::Policy { findings })?;
    // What the record says is what was approved.
    governed.rule = policy.rule;
    Ok(Generation { number: 0, active: Some((digest, index)), before: None, governed })
}
