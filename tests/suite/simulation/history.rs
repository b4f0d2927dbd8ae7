//! Histories: the entries that a log may claim, with everything that can be proved about them.

use std::{collections::BTreeMap, convert::Infallible};

use attestree::core::{
    checkpoint::CheckpointText,
    hash::TreeHash,
    note::{NoteSignature, SignedNote, SigningKey},
    number::{LeafIndex, TreeSize},
    origin::Origin,
    tree::{NodeId, NodeReader, TreeHead, prove_consistency, prove_inclusion, root_at},
};
use bytes::Bytes;

/// A list of entries and the perfect subtrees over them.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    entries: Vec<String>,
    /// The perfect subtrees of each level, from the leaves up.
    levels: Vec<Vec<TreeHash>>,
}

impl History {
    /// Returns the history of these entries.
    pub(super) fn of(entries: impl IntoIterator<Item = String>) -> Self {
        let mut history = Self::default();
        entries.into_iter().for_each(|entry| history.push(entry));
        history
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, entry: String) {
        let mut hash = TreeHash::leaf(entry.as_bytes());
        self.entries.push(entry);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(hash);
            let [.., left, right] = nodes.as_slice() else { break };
            if nodes.len() % 2 == 1 {
                break;
            }
            hash = TreeHash::node(left, right);
        }
    }

    /// Returns how many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entries.
    pub(super) fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Returns the leaves from a position on; none if there are not so many.
    pub(super) fn leaves_from(&self, from: usize) -> Vec<TreeHash> {
        let leaves = self.levels.first().map_or(&[][..], Vec::as_slice);
        leaves.get(from..).unwrap_or_default().to_vec()
    }

    /// Returns the head of all entries.
    pub(super) fn head(&self) -> TreeHead {
        self.head_at(self.len())
    }

    /// Returns the head of the first entries.
    pub(super) fn head_at(&self, len: usize) -> TreeHead {
        let size = tree_size(len);
        TreeHead { size, root: root_at(self, size).expect("a prefix has a root") }
    }

    /// Proves that the first `new` entries extend the first `old`, of which there is at least one.
    pub(super) fn consistency(&self, old: usize, new: usize) -> Vec<TreeHash> {
        prove_consistency(self, tree_size(old), tree_size(new)).expect("a prefix has a proof")
    }

    /// Proves that an entry is among the first `len`.
    pub(super) fn inclusion(&self, index: usize, len: usize) -> Vec<TreeHash> {
        let index = LeafIndex::new(index as u64).expect("a small index");
        prove_inclusion(self, index, tree_size(len)).expect("an entry has a proof")
    }
}

impl NodeReader for History {
    type Error = Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Infallible> {
        let node = |node: &NodeId| self.levels[usize::from(node.level())][node.index() as usize];
        Ok(nodes.iter().map(node).collect())
    }
}

/// A tree over leaf hashes whose entries are not known.
pub(super) struct Leaves(History);

impl Leaves {
    /// Takes the leaf hashes.
    pub(super) fn new(leaves: &[TreeHash]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(pairs) = levels.last().filter(|nodes| nodes.len() > 1) {
            let above = pairs.chunks_exact(2).map(|pair| TreeHash::node(&pair[0], &pair[1]));
            levels.push(above.collect());
        }
        Self(History { entries: vec![String::new(); leaves.len()], levels })
    }
}

impl core::ops::Deref for Leaves {
    type Target = History;

    fn deref(&self) -> &History {
        &self.0
    }
}

/// Takes a number of entries as a size.
pub(super) fn tree_size(len: usize) -> TreeSize {
    TreeSize::new(len as u64).expect("a small size")
}

/// Takes a size as a number of entries.
pub(super) fn len(size: TreeSize) -> usize {
    usize::try_from(size.get()).expect("a small size")
}

/// Returns the checkpoint of a head under a key and whatever other signatures it should carry.
pub(super) fn checkpoint(
    key: &SigningKey,
    origin: &Origin,
    head: TreeHead,
    others: Vec<NoteSignature>,
) -> SignedNote {
    let text = CheckpointText { origin: origin.clone(), head }.to_string();
    let own = key.sign(&text);
    SignedNote::new(text, core::iter::once(own).chain(others).collect()).expect("a short note")
}

/// Returns the bytes of a note.
pub(super) fn bytes(note: &SignedNote) -> Bytes {
    note.to_string().into()
}

/// Every history that was ever signed, as only the simulation knows them.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// The leaves of each signed head; none for a root that was made up.
    signed: BTreeMap<(TreeSize, TreeHash), Option<Vec<TreeHash>>>,
}

impl Truth {
    /// Learns what a signed head stands for.
    pub(super) fn learn(&mut self, head: TreeHead, leaves: Option<Vec<TreeHash>>) {
        self.signed.entry((head.size, head.root)).or_insert(leaves);
    }

    /// Returns the largest size that was ever signed.
    pub(super) fn largest(&self) -> usize {
        self.signed.last_key_value().map_or(0, |((size, _), _)| len(*size))
    }

    /// Returns whether two signed heads can both be true.
    pub(super) fn is_one_history(&self, one: TreeHead, other: TreeHead) -> bool {
        let (old, new) = if one.size <= other.size { (one, other) } else { (other, one) };
        if old == new || old.size == TreeSize::ZERO {
            return true;
        }
        let leaves = |head: TreeHead| {
            let known = self.signed.get(&(head.size, head.root));
            known.expect("only what was signed is compared").as_ref()
        };
        match (leaves(old), leaves(new)) {
            (Some(old), Some(new)) => new.starts_with(old),
            _ => false,
        }
    }
}
