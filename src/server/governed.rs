//! What the records of an audit log say about its policy, read from a data directory and proved to nobody.
//!
//! For the operator, who holds the directory: whoever else asks, asks the log (`crate::client`).

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;

use super::directory::Directory;
use crate::core::number::LeafIndex;
use crate::core::origin::Origin;
use crate::core::policy::Bundle;
use crate::core::record::{
    ActivePolicy, ApprovalRule, Body, PART_BYTES, PolicyDigest, Record, System,
};
use crate::store::{Entry, LogRow};

/// An audit log of a data directory.
pub struct Governed {
    directory: Directory,
    log: LogRow,
    size: u64,
}

/// The policy in force, and who has to approve the next one.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The policy; none before the first.
    pub policy: Option<(ActivePolicy, Bundle)>,
    /// Who has to approve the next one.
    pub rule: ApprovalRule,
}

/// What a record says about policies.
enum Said {
    Genesis(ApprovalRule),
    Puts(ActivePolicy),
    Governed(Option<PolicyDigest>),
}

impl Governed {
    /// Opens a log for reading, beside a running server or not; the empty origin means the first log.
    pub fn open(data: &Path, origin: &str) -> anyhow::Result<Self> {
        let directory = Directory::open_read_only(data)?;
        let log = directory.log(origin)?;
        let head = directory.store.head(log.number)?.map(|row| row.head);
        let size = head.map_or(0, |head| head.size.get());
        Ok(Self { directory, log, size })
    }

    /// Returns the origin.
    pub const fn origin(&self) -> &Origin {
        &self.log.origin
    }

    /// Returns how many entries there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns an entry; `None` if there is none, or nothing is left of it.
    pub fn entry(&self, index: u64) -> anyhow::Result<Option<Bytes>> {
        let Some(index) = LeafIndex::new(index) else { return Ok(None) };
        Ok(match self.directory.store.entry(self.log.number, index)? {
            Some(Entry::Bytes(bytes)) => Some(bytes),
            Some(Entry::Erased(_)) | None => None,
        })
    }

    /// Returns what governs the next record.
    pub fn in_force(&self) -> anyhow::Result<InForce> {
        ensure!(self.size > 0, "{} is empty; it is no audit log", self.log.origin);
        let Said::Genesis(first) = self.said(0)? else {
            bail!("{} is no audit log: it has no policies", self.log.origin)
        };
        let last = self.size - 1;
        let (index, record) = match self.said(last)? {
            Said::Genesis(_) | Said::Governed(None) => {
                return Ok(InForce { policy: None, rule: first });
            }
            Said::Puts(record) => (last, record),
            Said::Governed(Some(digest)) => self.put_before(last, digest)?,
        };
        let bundle = self.files(index, &record)?;
        let rule = record.rule.clone();
        Ok(InForce { policy: Some((record, bundle)), rule })
    }

    /// Finds the record that put a policy into force which governs the one at `high`. See
    /// `crate::client::governing` for commentary.
    fn put_before(
        &self,
        mut high: u64,
        digest: PolicyDigest,
    ) -> anyhow::Result<(u64, ActivePolicy)> {
        let governs = |index| {
            Ok::<_, anyhow::Error>(
                matches!(self.said(index)?, Said::Governed(Some(found)) if found == digest),
            )
        };
        let mut step = 1;
        let mut low = loop {
            let below = high.saturating_sub(step);
            if below == 0 || !governs(below)? {
                break below;
            }
            high = below;
            step *= 2;
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if governs(middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        match self.said(low)? {
            Said::Puts(record) if record.digest == digest => Ok((low, record)),
            _ => bail!(
                "entry {high} names a policy that entry {low} does not put into force; check the directory with `attestree fsck --data`"
            ),
        }
    }

    /// Puts the files of a policy together, from the records before its own.
    fn files(&self, index: u64, record: &ActivePolicy) -> anyhow::Result<Bundle> {
        let from = index.saturating_sub(record.bytes.div_ceil(PART_BYTES as u64));
        let mut parts = Vec::new();
        for index in from..index {
            let entry = self.entry(index)?.with_context(|| format!("read entry {index}"))?;
            let part = Record::parse(&entry).ok().and_then(|record| match record.body() {
                Body::System(System::PolicyPart(part)) => Some(part.clone()),
                _ => None,
            });
            parts.extend(part);
        }
        Bundle::assemble(&parts, record.digest)
            .ok()
            .with_context(|| format!("the files before entry {index} are not its policy's"))
    }

    /// Returns what a record says about policies.
    fn said(&self, index: u64) -> anyhow::Result<Said> {
        let entry = self.entry(index)?.with_context(|| format!("read entry {index}"))?;
        let record = Record::parse(&entry).with_context(|| format!("read entry {index}"))?;
        Ok(match record.body() {
            Body::System(System::Genesis { rule, .. }) => Said::Genesis(rule.clone()),
            Body::System(System::Policy(active)) => Said::Puts(active.clone()),
            _ => Said::Governed(record.policy()),
        })
    }
}
