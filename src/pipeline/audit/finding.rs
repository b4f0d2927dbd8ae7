//! Alerts as they are read back: published records of one log, in order, from an index on.

use std::sync::Arc;

use tokio::sync::watch;

use super::handle::Audited;
use crate::{
    core::{
        bundle::{self, StoredEntry},
        hash::TreeHash,
        number::{LeafIndex, LogNumber, TreeSize},
        origin::Origin,
        record::{AlertCause, Body, PolicyDigest, Record, System, Tally, Timestamp},
    },
    pipeline::{Log, Pipeline, Published},
    store::{Entry, LogKind, Store, StoreError},
};

/// How the record of an alert ends: its members are sorted, and none but its version comes after its type.
const ENDING: &[u8] = br#""t":"alert","v":1}"#;

/// Most alerts of one look: with 512 bytes of a source each, 64 KiB.
const ALERTS_MAX: usize = 64;

/// Most entries that one look searches: 256 bundles, a few milliseconds each 64 MiB of entries.
const SEARCHED_ENTRIES_MAX: u64 = 65_536;

/// A log whose alerts can be read: open, closed or halted. Cheap to clone.
#[derive(Clone)]
pub struct AlertLog {
    store: Store,
    number: LogNumber,
    origin: Origin,
    place: Placed,
}

/// Where the end of a log is known from.
#[derive(Clone)]
enum Placed {
    /// It is open or closed, or has halted since the start.
    Here(Arc<Log>, Arc<Audited>),
    /// It was not opened; so many of its entries were signed.
    Halted(TreeSize),
}

/// An alert that a log has recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAlert {
    /// Where its record is.
    pub index: LeafIndex,
    /// The hash of the record's leaf.
    pub leaf_hash: TreeHash,
    /// When it was recorded.
    pub at: Timestamp,
    /// The policy that governs its index.
    pub policy: Option<PolicyDigest>,
    /// What it is about.
    pub cause: AlertCause,
    /// What was counted.
    pub tally: Tally,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsRead {
    /// The alerts, in order.
    pub alerts: Vec<RecordedAlert>,
    /// Everything below was looked at.
    pub next: LeafIndex,
}

/// Why alerts can't be read.
#[derive(Debug, thiserror::Error)]
pub enum AlertReadError {
    /// The store can't be read.
    #[error("read the database: {0}")]
    Store(#[from] StoreError),
    /// An entry is no record, or is not there.
    #[error("entry {index} can't be read as a record; check the log with `attestree fsck`")]
    Record {
        /// Its index.
        index: LeafIndex,
    },
}

impl Pipeline {
    /// Returns every audit log, also those that were not opened because they are halted.
    pub fn alert_logs(&self) -> Vec<AlertLog> {
        let log = |number, origin: &Origin, place| AlertLog {
            store: self.store().clone(),
            number,
            origin: origin.clone(),
            place,
        };
        let mut logs: Vec<AlertLog> = Vec::new();
        for here in self.logs() {
            if let Some(audited) = here.audited().cloned() {
                let row = here.row();
                logs.push(log(row.number, &row.origin, Placed::Here(Arc::clone(&here), audited)));
            }
        }
        for row in self.halted_logs().iter().filter(|row| row.kind == LogKind::Audit) {
            // Beyond what was signed there may be the batch whose check failed, which nobody was shown.
            let mark = self.shared.watermark.get(row.number).unwrap_or_else(|error| {
                let origin = row.origin.as_str();
                tracing::error!(origin, error = %error, "the alerts of a halted log can't be read");
                None
            });
            let size = mark.map_or(TreeSize::ZERO, |mark| mark.head.size);
            logs.push(log(row.number, &row.origin, Placed::Halted(size)));
        }
        logs
    }
}

impl AlertLog {
    /// Returns the log's number.
    pub fn number(&self) -> LogNumber {
        self.number
    }

    /// Returns the log's origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the size that readers may see; `None` while they may see none.
    pub fn size(&self) -> Option<TreeSize> {
        match &self.place {
            Placed::Here(log, _) => log.is_readable().then(|| log.published().head().size),
            Placed::Halted(size) => Some(*size),
        }
    }

    /// Returns a receiver that is told of each new size, of a log that may have one.
    pub fn watch(&self) -> Option<watch::Receiver<Arc<Published>>> {
        match &self.place {
            Placed::Here(log, _) => Some(log.watch()),
            Placed::Halted(_) => None,
        }
    }

    /// Returns where to go on if it is known, without any reading, that there is no alert from an index on.
    pub fn none_since(&self, from: LeafIndex) -> Option<LeafIndex> {
        let Some(size) = self.size().filter(|size| size.contains(from)) else { return Some(from) };
        let Placed::Here(_, audited) = &self.place else { return None };
        let newest = audited.feed.newest(from, size, 1)?;
        newest.is_empty().then(|| size.next_index())
    }

    /// Counts the alerts from an index on that are known without any reading.
    pub fn count_since(&self, from: LeafIndex) -> u64 {
        match (&self.place, self.size()) {
            (Placed::Here(_, audited), Some(size)) => audited.feed.count(from, size),
            _ => 0,
        }
    }

    /// Reads alerts from an index on. Blocks on the disk; reads a bounded part at a time.
    pub fn read(&self, from: LeafIndex) -> Result<AlertsRead, AlertReadError> {
        let Some(size) = self.size().filter(|size| size.contains(from)) else {
            return Ok(AlertsRead { alerts: Vec::new(), next: from });
        };
        // The size was taken before the feed is asked: what it covers has been told.
        match &self.place {
            Placed::Here(_, audited) => match audited.feed.newest(from, size, ALERTS_MAX) {
                Some(indices) => self.fetch(&indices, size),
                None => self.search(from, size),
            },
            Placed::Halted(_) => self.search(from, size),
        }
    }

    /// Reads the entries that were told.
    fn fetch(&self, indices: &[LeafIndex], size: TreeSize) -> Result<AlertsRead, AlertReadError> {
        let mut alerts = Vec::with_capacity(indices.len());
        for index in indices {
            let Some(Entry::Bytes(bytes)) = self.store.entry(self.number, *index)? else {
                return Err(AlertReadError::Record { index: *index });
            };
            alerts.extend(alert(*index, &bytes)?);
        }
        let full = indices.last().filter(|_| indices.len() == ALERTS_MAX);
        let next = full.and_then(|last| LeafIndex::new(last.get() + 1));
        Ok(AlertsRead { alerts, next: next.unwrap_or(size.next_index()) })
    }

    /// Searches the entries.
    fn search(&self, from: LeafIndex, size: TreeSize) -> Result<AlertsRead, AlertReadError> {
        let to = size.get().min(from.get().saturating_add(SEARCHED_ENTRIES_MAX));
        let to = TreeSize::new(to).expect("at most the size of the tree");
        let mut read = AlertsRead { alerts: Vec::new(), next: from };
        for segment in self.store.segments(self.number, from, to)? {
            let (first, segment) = segment?;
            for (at, entry) in (first.get()..).zip(bundle::decode(&segment)) {
                let index = LeafIndex::new(at).ok_or(AlertReadError::Record { index: first })?;
                let entry = entry.map_err(|_not_entries| AlertReadError::Record { index })?;
                if at < read.next.get() {
                    continue;
                }
                if at >= to.get() || read.alerts.len() == ALERTS_MAX {
                    return Ok(read);
                }
                if at > read.next.get() {
                    return Err(AlertReadError::Record { index: read.next });
                }
                if let StoredEntry::Bytes(bytes) = entry {
                    read.alerts.extend(alert(index, bytes)?);
                }
                read.next = LeafIndex::new(at + 1).ok_or(AlertReadError::Record { index })?;
            }
        }
        if read.next == to.next_index() {
            return Ok(read);
        }
        Err(AlertReadError::Record { index: read.next })
    }

    /// Returns who is to be told by a rule, as the active policy says: everybody if it names nobody, or has
    /// no such rule any more.
    pub fn recipients(&self, rule: &str) -> Vec<String> {
        let Placed::Here(_, audited) = &self.place else { return Vec::new() };
        let generation = audited.generation();
        let alerts = &generation.governed.watch.alerts;
        let alert = alerts.iter().find(|alert| alert.rule == rule);
        alert.map_or_else(Vec::new, |alert| alert.to.clone())
    }
}

/// Takes an entry, if it is the record of an alert.
fn alert(index: LeafIndex, bytes: &[u8]) -> Result<Option<RecordedAlert>, AlertReadError> {
    if !bytes.ends_with(ENDING) {
        return Ok(None);
    }
    let record = Record::parse(bytes).map_err(|_form| AlertReadError::Record { index })?;
    let Body::System(System::Alert(cause, tally)) = record.body() else { return Ok(None) };
    Ok(Some(RecordedAlert {
        index,
        leaf_hash: TreeHash::leaf(bytes),
        at: record.at(),
        policy: record.policy(),
        cause: *cause,
        tally: tally.clone(),
    }))
}
