//! The monitor of the simulation: reads every leaf, and compares what others hold with what it was shown.

use std::collections::BTreeMap;

use attestree::core::{
    checkpoint::{CheckpointText, SignedCheckpoint},
    evidence::Evidence,
    hash::TreeHash,
    note::{SignedNote, VerifierKey},
    tree::{Frontier, TreeHead},
};

use super::history::{Leaves, len};

/// The monitor. What it knows is on its disk; what it is in the middle of is not.
#[derive(Debug)]
pub(super) struct Monitor {
    key: VerifierKey,
    frontier: Frontier,
    newest: Option<SignedCheckpoint>,
    /// Every checkpoint that it saw, whoever showed it, by size.
    seen: BTreeMap<usize, SignedCheckpoint>,
    /// Those that it has not compared with the leaves yet, by size.
    open: BTreeMap<usize, SignedCheckpoint>,
    /// Whether the leaves it was shown don't continue what it read. In memory.
    puzzled: bool,
    pub(super) is_up: bool,
}

impl Monitor {
    /// Makes a monitor of the log that has this key.
    pub(super) fn new(key: VerifierKey) -> Self {
        Self {
            key,
            frontier: Frontier::new(),
            newest: None,
            seen: BTreeMap::new(),
            open: BTreeMap::new(),
            puzzled: false,
            is_up: true,
        }
    }

    /// Returns the newest head whose leaves it has all read.
    pub(super) fn head(&self) -> Option<TreeHead> {
        self.newest.as_ref().map(SignedCheckpoint::head)
    }

    /// Returns every checkpoint that it holds.
    pub(super) fn held(&self) -> impl Iterator<Item = &SignedCheckpoint> {
        self.seen.values()
    }

    /// Returns whether something that it saw is still without an explanation: it calls the log
    /// unresponsive, and never guilty, for that alone.
    pub(super) fn has_doubts(&self) -> bool {
        self.puzzled || !self.open.is_empty()
    }

    /// Returns the position from which it wants to read: all leaves if it has to compare.
    pub(super) fn reads_from(&self) -> usize {
        if self.has_doubts() { 0 } else { len(self.frontier.size()) }
    }

    /// Dies and forgets what it was in the middle of.
    pub(super) fn crash(&mut self) {
        self.is_up = false;
        self.puzzled = false;
    }

    /// Takes a checkpoint that somebody else holds.
    pub(super) fn hear(&mut self, note: &[u8]) -> Option<Evidence> {
        let said = SignedNote::parse(note).ok()?;
        let said = CheckpointText::parse(said.text()).ok()?.head;
        if self.seen.get(&len(said.size)).is_some_and(|seen| seen.head() == said) {
            return None;
        }
        let heard = SignedCheckpoint::verify(note, &self.key).ok()?;
        self.remember(&heard)
    }

    /// Takes what the log shows: its newest checkpoint, and the leaves from a position on.
    pub(super) fn read(
        &mut self,
        note: &[u8],
        from: usize,
        leaves: &[TreeHash],
    ) -> Option<Evidence> {
        // A checkpoint that the log's key has not signed is no statement of the log.
        let shown = SignedCheckpoint::verify(note, &self.key).ok()?;
        if let Some(evidence) = self.remember(&shown) {
            return Some(evidence);
        }
        let size = len(self.frontier.size());
        if from == size && from + leaves.len() == len(shown.head().size) {
            let mut frontier = self.frontier.clone();
            leaves.iter().for_each(|leaf| frontier.push_leaf(*leaf));
            if frontier.root() == shown.head().root {
                self.accept(shown, frontier);
                return None;
            }
        }
        if from != 0 {
            self.puzzled |= from == size;
            return None;
        }
        self.compare(shown, leaves)
    }

    /// Compares everything that is open with the leaves of a whole tree.
    fn compare(&mut self, shown: SignedCheckpoint, leaves: &[TreeHash]) -> Option<Evidence> {
        let tree = Leaves::new(leaves);
        if tree.head() != shown.head() {
            // Not the signed leaves: the log does not answer.
            self.puzzled = true;
            return None;
        }
        let mut older: Vec<SignedCheckpoint> = self.open.values().cloned().collect();
        older.extend(self.newest.clone());
        for older in older {
            let (old, new) = (len(older.head().size), tree.len());
            if old == 0 || old > new {
                continue;
            }
            if tree.head_at(old) == older.head() {
                self.open.remove(&old);
                continue;
            }
            let (root, proof) = (tree.head_at(old).root, tree.consistency(old, new));
            let evidence = Evidence::prefix(&older, &shown, root, proof);
            return evidence.or_else(|| Evidence::same_size(&older, &shown));
        }
        if self.newest.as_ref().is_none_or(|newest| newest.head().size <= shown.head().size) {
            let mut frontier = Frontier::new();
            leaves.iter().for_each(|leaf| frontier.push_leaf(*leaf));
            self.accept(shown, frontier);
        }
        None
    }

    /// Goes on from a checkpoint whose leaves it has read.
    fn accept(&mut self, shown: SignedCheckpoint, frontier: Frontier) {
        frontier.check();
        self.open.remove(&len(shown.head().size));
        self.frontier = frontier;
        self.newest = Some(shown);
        self.puzzled = false;
    }

    /// Keeps a checkpoint, unless it convicts the log at once.
    fn remember(&mut self, heard: &SignedCheckpoint) -> Option<Evidence> {
        let size = len(heard.head().size);
        if size == 0 {
            return None;
        }
        match self.seen.get(&size) {
            Some(seen) => Evidence::same_size(seen, heard),
            None => {
                self.seen.insert(size, heard.clone());
                self.open.insert(size, heard.clone());
                None
            }
        }
    }
}
