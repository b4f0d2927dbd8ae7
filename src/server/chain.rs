//! The records of a stored audit log, read in order: what holds of them together.

use anyhow::Context as _;

use super::fsck::Log;
use crate::{
    core::{
        bundle::{self, StoredEntry},
        chain::{Chain, Fault},
        number::LeafIndex,
    },
    store::LogKind,
};

/// The first record that does not follow those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {index}: {fault}")]
pub struct ChainFinding {
    /// The entry.
    pub index: LeafIndex,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Log {
    /// Checks that every entry of an audit log is a record that follows those before it, and returns how many
    /// there are; nothing for an opaque log. It ends at the first segment that is damaged, which is for the check
    /// of segments.
    pub fn check_records(&self) -> anyhow::Result<Option<Result<u64, ChainFinding>>> {
        if self.row.kind != LogKind::Audit {
            return Ok(None);
        }
        let size = self.head()?.size;
        let mut chain = Chain::new(self.row.origin.clone());
        for segment in self.store.segments(self.row.number, LeafIndex::default(), size)? {
            let (first, segment) = segment.context("read a segment")?;
            for (index, entry) in (first.get()..).zip(bundle::decode(&segment)) {
                let index = LeafIndex::new(index).context("an index beyond the largest tree")?;
                let Ok(StoredEntry::Bytes(entry)) = entry else {
                    return Ok(Some(Ok(chain.next())));
                };
                if let Some(fault) = chain.take(index, entry).into_iter().next() {
                    return Ok(Some(Err(ChainFinding { index, fault })));
                }
            }
        }
        let last = LeafIndex::new(size.get().saturating_sub(1)).unwrap_or_default();
        Ok(Some(
            chain.end().map_or(Ok(size.get()), |fault| Err(ChainFinding { index: last, fault })),
        ))
    }
}
