//! Decides which entries of a batch are new.
//!
//! An identity is strong because only the sequencer decides it: it sees the rows of the database,
//! those of the commit in flight, and those of the batch that it is building.

use std::collections::HashMap;

use super::{
    admit::{Admitted, AdmittedEntry},
    ticket::{Failure, Outcome},
};
use crate::{
    core::number::LeafIndex,
    store::{IdentityKey, IdentityRow, LogIdentity, Store, StoreError},
};

/// The identities of one log that the database does not hold yet, and those looked up for a batch.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Rows of the commit in flight, by the number of its cycle.
    in_flight: HashMap<IdentityKey, (u64, IdentityRow)>,
    /// Rows read from the database for the batch being built.
    stored: HashMap<IdentityKey, IdentityRow>,
    /// Rows that the batch being built adds, in the order of their making.
    added: Vec<(IdentityKey, IdentityRow)>,
    /// Position in `added` by key.
    added_at: HashMap<IdentityKey, usize>,
    /// What the last group adds under keys that lead to other content: the first entry of each, and its own.
    conflicts: Vec<(LeafIndex, LeafIndex)>,
}

/// Returns every identity that an entry is known by: its key first, then its bytes, or that it was counted.
fn keys_of(group: &Admitted, position: usize) -> impl Iterator<Item = IdentityKey> {
    let entry = group.entries.get(position);
    let by_hash = group.log.row().identity == LogIdentity::EntryHash;
    let key = entry.and_then(|entry| entry.key.clone());
    let counted = entry.and_then(counted_key);
    let hash = entry
        .filter(|_| by_hash)
        .map(|entry| IdentityKey::entry_hash(group.log.number(), &entry.leaf_hash));
    key.into_iter().chain(hash).chain(counted)
}

/// Returns the identity under which it is remembered that an entry was counted, if it is one to be counted.
fn counted_key(entry: &AdmittedEntry) -> Option<IdentityKey> {
    let counted = entry.judged.as_ref().is_some_and(|judged| judged.suppressed.is_some());
    entry.key.as_ref().filter(|_| counted).map(|key| key.counted(&entry.tag))
}

/// Takes a number as the index of a new leaf.
fn index(next: u64) -> LeafIndex {
    LeafIndex::new(next).expect("a tree stays below its largest size")
}

impl Identities {
    /// Reads what the database knows of a batch's identities, in one look-up for all of them.
    pub(super) fn load(&mut self, store: &Store, groups: &[Admitted]) -> Result<(), StoreError> {
        self.stored.clear();
        let keys: Vec<IdentityKey> = groups
            .iter()
            .filter(|group| group.has_identity())
            .flat_map(|group| {
                (0..group.entries.len()).flat_map(|position| keys_of(group, position))
            })
            .filter(|key| !self.in_flight.contains_key(key))
            .collect();
        self.read(store, keys)?;
        let conflicting = groups.iter().filter(|group| group.kept).flat_map(|group| &group.entries);
        let conflicting = conflicting.filter_map(|entry| self.conflicting(entry)).collect();
        self.read(store, conflicting)
    }

    /// Reads rows of the database.
    fn read(&mut self, store: &Store, keys: Vec<IdentityKey>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let rows = store.identities(&keys)?;
        self.stored.extend(keys.into_iter().zip(rows).filter_map(|(key, row)| Some((key, row?))));
        Ok(())
    }

    /// Returns under what an entry is known besides its key, if that leads to other content.
    ///
    /// Where the key is as new as the batch, nothing is known of other content under it.
    fn conflicting(&self, entry: &AdmittedEntry) -> Option<IdentityKey> {
        let key = entry.key.as_ref()?;
        let row = self.in_flight.get(key).map(|(_, row)| row).or_else(|| self.stored.get(key))?;
        (row.tag != entry.tag).then(|| key.conflicting(&entry.tag))
    }

    /// Returns what the last group adds under keys that lead to other content: the first entry of each, and its
    /// own.
    pub(super) fn take_conflicts(&mut self) -> Vec<(LeafIndex, LeafIndex)> {
        core::mem::take(&mut self.conflicts)
    }

    /// Finds a row, the newest source first, unless it is older than `oldest`.
    fn find(&self, key: &IdentityKey, oldest: LeafIndex) -> Option<IdentityRow> {
        let added = self.added_at.get(key).and_then(|at| self.added.get(*at)).map(|(_, row)| *row);
        added
            .or_else(|| self.in_flight.get(key).map(|(_, row)| *row))
            .or_else(|| self.stored.get(key).copied())
            .filter(|row| row.index >= oldest)
    }

    fn add(&mut self, key: IdentityKey, row: IdentityRow) {
        self.added_at.insert(key.clone(), self.added.len());
        self.added.push((key, row));
    }

    /// Forgets what was added since `mark`.
    fn undo(&mut self, mark: usize) {
        for (key, _) in self.added.drain(mark..) {
            // A key is added at most once a batch: a second entry with it is a duplicate.
            self.added_at.remove(&key);
        }
    }

    /// Decides the outcome of each entry of a group whose first new entry gets `next`.
    ///
    /// Identities that are older than `oldest` count as unknown. A conflict in an atomic group
    /// refuses the group and leaves no trace of it. What was counted before under its key stays suppressed and is
    /// not to be counted again: its judgement names no suppression any more.
    pub(super) fn resolve(
        &mut self,
        group: &mut Admitted,
        next: u64,
        oldest: LeafIndex,
    ) -> Result<Vec<Outcome>, Failure> {
        if group.is_plain() {
            let count = group.entries.len() as u64;
            return Ok((next..next + count)
                .map(|next| Outcome::Sequenced { index: index(next) })
                .collect());
        }
        let mark = self.added.len();
        self.conflicts.clear();
        let mut next = next;
        let mut outcomes = Vec::with_capacity(group.entries.len());
        for position in 0..group.entries.len() {
            let outcome = self.resolve_one(group, position, next, oldest);
            match outcome {
                Outcome::Sequenced { .. } => next += 1,
                Outcome::Conflict { first } if group.atomic => {
                    self.undo(mark);
                    return Err(Failure::Conflict { position, first });
                }
                Outcome::Duplicate { .. } | Outcome::Conflict { .. } | Outcome::Suppressed => {}
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Decides what becomes of one entry of a group.
    fn resolve_one(
        &mut self,
        group: &mut Admitted,
        position: usize,
        next: u64,
        oldest: LeafIndex,
    ) -> Outcome {
        let index = index(next);
        let entry = group.entries.get(position).expect("positions run over the group's entries");
        let by_key = entry.key.as_ref().and_then(|key| self.find(key, oldest));
        if let Some(row) = by_key {
            return match (row.tag == entry.tag, group.kept) {
                (true, _) => Outcome::Duplicate { index: row.index },
                (false, true) => self.keep(group, position, row.index, index, oldest),
                (false, false) => Outcome::Conflict { first: row.index },
            };
        }
        if entry.judged.as_ref().is_some_and(|judged| judged.suppressed.is_some()) {
            return self.count_once(group, position, index, oldest);
        }
        let hash = (group.log.row().identity == LogIdentity::EntryHash)
            .then(|| IdentityKey::entry_hash(group.log.number(), &entry.leaf_hash));
        let by_hash = hash.as_ref().and_then(|key| self.find(key, oldest));
        let row = IdentityRow { index: by_hash.map_or(index, |row| row.index), tag: entry.tag };
        // The key of a repeated entry is kept as well, so that its reuse for another is noticed.
        if let Some(key) = &entry.key {
            self.add(key.clone(), row);
        }
        if by_hash.is_some() {
            return Outcome::Duplicate { index: row.index };
        }
        if let Some(key) = hash {
            self.add(key, row);
        }
        Outcome::Sequenced { index }
    }

    /// Decides what becomes of an entry whose key leads to other content, which is at `first`.
    fn keep(
        &mut self,
        group: &mut Admitted,
        position: usize,
        first: LeafIndex,
        index: LeafIndex,
        oldest: LeafIndex,
    ) -> Outcome {
        let entry = group.entries.get(position).expect("positions run over the group's entries");
        let (key, tag) = (entry.key.as_ref().expect("its key was found"), entry.tag);
        let key = key.conflicting(&tag);
        if let Some(row) = self.find(&key, oldest) {
            return Outcome::Duplicate { index: row.index };
        }
        if entry.judged.as_ref().is_some_and(|judged| judged.suppressed.is_some()) {
            return self.count_once(group, position, index, oldest);
        }
        self.add(key, IdentityRow { index, tag });
        self.conflicts.push((first, index));
        Outcome::Sequenced { index }
    }

    /// Remembers of an entry that it is counted, unless it was before.
    ///
    /// It has no index that its key could lead to, so that the key stays free for something that is recorded.
    fn count_once(
        &mut self,
        group: &mut Admitted,
        position: usize,
        index: LeafIndex,
        oldest: LeafIndex,
    ) -> Outcome {
        let entry =
            group.entries.get_mut(position).expect("positions run over the group's entries");
        if let Some(key) = counted_key(entry) {
            if self.find(&key, oldest).is_none() {
                self.add(key, IdentityRow { index, tag: entry.tag });
            } else if let Some(judged) = &mut entry.judged {
                judged.suppressed = None;
            }
        }
        Outcome::Suppressed
    }

    /// Takes the rows of the finished batch and keeps them findable until its cycle has committed.
    pub(super) fn take(&mut self, cycle: u64) -> Vec<(IdentityKey, IdentityRow)> {
        self.stored.clear();
        self.added_at.clear();
        let added = core::mem::take(&mut self.added);
        self.in_flight.extend(added.iter().map(|(key, row)| (key.clone(), (cycle, *row))));
        added
    }

    /// Forgets the rows of cycles that have committed: the database finds them.
    pub(super) fn committed(&mut self, cycle: u64) {
        if !self.in_flight.is_empty() {
            self.in_flight.retain(|_, (of, _)| *of > cycle);
        }
    }
}
