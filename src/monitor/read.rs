//! Every entry of a signed tree, bundle by bundle, hashed and compared with the tree.
//!
//! Bundles are read ahead and hashed on the runtime's threads while others are on their way; they
//! are handed out in order. The root over the 256 leaves of a full bundle has to be the hash that
//! the level-1 tile holds for it, and each leaf of the last, partial one that of the level-0 tile;
//! [`TileTree`] verifies those tiles up to the signature. So nothing is handed out that the log has
//! not signed, and reading on later needs no more than the frontier at the last full bundle.
//!
//! Memory is bounded by `BUNDLES_AHEAD` bundles, the right edge and the level-1 tiles of
//! `REOPEN_BUNDLES` bundles, whatever the log's size.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::{ClientError, TileClient, TileTree};
use crate::core::bundle::{BundleError, StoredEntry, decode, parse_bundle};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};
use crate::core::tile::Resource;
use crate::core::tree::{Frontier, NodeId, TILE_HEIGHT, TILE_WIDTH};

/// Bundles that are read ahead of the one that is handed out: a round trip of 20 ms is filled at 800
/// bundles (200,000 entries) a second, and they hold at most 16 * 16 MiB.
const BUNDLES_AHEAD: u64 = 16;

/// Entries of a full bundle.
pub(super) const WIDE: u64 = 256;

/// Bundles after which the tree is opened again, which drops the tiles that were verified: 2^24
/// entries, 256 level-1 tiles, 2.4 MB.
const REOPEN_BUNDLES: u64 = 1 << 16;

/// Looks at the entries of a log.
///
/// The seam for checks of what entries say; the monitor itself looks at their hashes alone.
pub trait Look: Send {
    /// Takes the next entry, which is known to be in the signed tree. Indices rise by one, and each is
    /// shown once, except that a monitor that was killed shows those again that it had not kept.
    fn look(&mut self, index: LeafIndex, entry: &[u8]);
}

/// Counts entries and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries that were looked at.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Look for Tally {
    fn look(&mut self, _index: LeafIndex, entry: &[u8]) {
        self.entries += 1;
        self.bytes += u64::try_from(entry.len()).expect("an entry has at most 64 KiB");
    }
}

/// Why entries could not be read, or are not those that were signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// Nobody answered, or with something else than tiles of the signed tree.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A bundle is not the encoding of its entries.
    #[error("entry {index}: {resource} is damaged: {source}")]
    Bundle {
        /// First entry of the bundle.
        index: LeafIndex,
        /// The bundle.
        resource: Resource,
        /// What is wrong with it.
        source: BundleError,
    },
    /// An entry is not the one whose hash was signed.
    #[error(
        "entry {index}: the bytes that are served hash to {entry}, but the signed leaf is {leaf}"
    )]
    Entry {
        /// The entry.
        index: LeafIndex,
        /// Hash of the bytes.
        entry: TreeHash,
        /// The leaf in the signed tree.
        leaf: TreeHash,
    },
    /// What was kept of the log is not part of the signed tree, although it was compared when it was
    /// kept.
    #[error("the kept frontier of {size} entries is not that of the signed tree")]
    Frontier {
        /// Size of the frontier.
        size: TreeSize,
    },
}

/// A bundle whose entries are those of the signed tree.
#[derive(Debug)]
pub(super) struct Bundle {
    first: u64,
    bytes: Bytes,
    hashes: Hashes,
}

/// What the entries of a bundle hash to.
#[derive(Debug)]
enum Hashes {
    /// The root of a full bundle.
    Full(TreeHash),
    /// The leaves of a partial one.
    Partial(Vec<TreeHash>),
}

/// The bundles of a signed tree from some full bundle on.
pub(super) struct Bundles {
    client: TileClient,
    target: SignedCheckpoint,
    tree: TileTree,
    /// Number of the bundle that is handed out next.
    wanted: u64,
    /// Number of the bundle that is asked for next.
    started: u64,
    reading: JoinSet<(u64, Result<Bundle, ReadError>)>,
    waiting: BTreeMap<u64, Result<Bundle, ReadError>>,
}

impl Bundles {
    /// Begins to read after what a frontier of full bundles covers.
    pub(super) async fn open(
        client: &TileClient,
        target: &SignedCheckpoint,
        frontier: &Frontier,
    ) -> Result<Self, ReadError> {
        let size = frontier.size();
        assert!(size.get().is_multiple_of(WIDE), "what is kept ends with a full bundle");
        let tree = TileTree::open(client, target).await?;
        if size > TreeSize::ZERO && tree.root_at(size).await? != frontier.root() {
            return Err(ReadError::Frontier { size });
        }
        let wanted = size.get() / WIDE;
        Ok(Self {
            client: client.clone(),
            target: target.clone(),
            tree,
            wanted,
            started: wanted,
            reading: JoinSet::new(),
            waiting: BTreeMap::new(),
        })
    }

    /// Returns the next bundle; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Bundle>, ReadError> {
        let size = self.target.head().size.get();
        let end = size.div_ceil(WIDE);
        if self.wanted == end {
            return Ok(None);
        }
        while self.started < end.min(self.wanted + BUNDLES_AHEAD) {
            let (client, number) = (self.client.clone(), self.started);
            let width = (size - number * WIDE).min(WIDE);
            self.reading.spawn(async move { (number, read(&client, number, width).await) });
            self.started += 1;
        }
        let bundle = loop {
            if let Some(bundle) = self.waiting.remove(&self.wanted) {
                break bundle?;
            }
            let read = self.reading.join_next().await.expect("the wanted bundle is being read");
            let (number, bundle) = read.expect("reading a bundle does not panic");
            self.waiting.insert(number, bundle);
        };
        if self.wanted.is_multiple_of(REOPEN_BUNDLES) && self.wanted > 0 {
            self.tree = TileTree::open(&self.client, &self.target).await?;
        }
        self.verify(&bundle).await?;
        self.wanted += 1;
        Ok(Some(bundle))
    }

    /// Compares a bundle with the signed tree.
    async fn verify(&self, bundle: &Bundle) -> Result<(), ReadError> {
        if let Hashes::Full(root) = &bundle.hashes {
            let node = NodeId::new(TILE_HEIGHT, bundle.first / WIDE);
            let node = node.expect("the bundle is in a signed tree");
            if self.tree.node(node).await? == *root {
                return Ok(());
            }
        }
        // One leaf at least is another, or this is the last bundle and each is compared.
        for (index, entry) in (bundle.first..).zip(bundle.leaves()) {
            let node = NodeId::new(0, index).expect("the leaf is in a signed tree");
            let leaf = self.tree.node(node).await?;
            if leaf != entry {
                let index = LeafIndex::new(index).expect("the leaf is in a signed tree");
                return Err(ReadError::Entry { index, entry, leaf });
            }
        }
        Ok(())
    }
}

impl Bundle {
    /// Returns the size of the tree that ends with this bundle.
    pub(super) fn end(&self) -> u64 {
        self.first
            + match &self.hashes {
                Hashes::Full(_) => WIDE,
                Hashes::Partial(leaves) => {
                    u64::try_from(leaves.len()).expect("a bundle has at most 256 entries")
                }
            }
    }

    /// Appends a full bundle to the frontier, or returns the leaves of a partial one.
    pub(super) fn integrate(&self, frontier: &mut Frontier) -> &[TreeHash] {
        match &self.hashes {
            Hashes::Full(root) => {
                frontier.push_subtree(TILE_HEIGHT, *root);
                &[]
            }
            Hashes::Partial(leaves) => leaves,
        }
    }

    /// Shows each entry from an index on.
    pub(super) fn show(&self, from: u64, look: &mut impl Look) {
        for (index, entry) in (self.first..self.end()).zip(self.entries()) {
            if index >= from {
                look.look(LeafIndex::new(index).expect("the leaf is in a signed tree"), entry);
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        decode(&self.bytes).map(|entry| match entry {
            Ok(StoredEntry::Bytes(entry)) => entry,
            Ok(StoredEntry::Erased(_)) | Err(_) => unreachable!("the bundle was parsed before"),
        })
    }

    fn leaves(&self) -> impl Iterator<Item = TreeHash> {
        (self.first..self.end()).zip(self.entries()).map(|(_, entry)| TreeHash::leaf(entry))
    }
}

/// Reads one bundle and hashes its entries.
async fn read(client: &TileClient, number: u64, width: u64) -> Result<Bundle, ReadError> {
    let first = number * WIDE;
    let width = u16::try_from(width).expect("at most 256");
    let resource = Resource::Entries { index: number, width };
    let bytes = client.fetch_or_full(&resource).await?;
    let entries = match parse_bundle(&bytes, usize::from(width)) {
        // A full bundle may have come in the place of a partial one.
        Err(BundleError::Trailing { .. }) => parse_bundle(&bytes, TILE_WIDTH),
        entries => entries,
    };
    let entries = entries.map_err(|source| {
        let index = LeafIndex::new(first).expect("the leaf is in a signed tree");
        ReadError::Bundle { index, resource, source }
    })?;
    let leaves: Vec<TreeHash> =
        entries.iter().take(usize::from(width)).map(|entry| TreeHash::leaf(entry)).collect();
    let hashes = match u64::from(width) == WIDE {
        true => Hashes::Full(perfect_root(&leaves)),
        false => Hashes::Partial(leaves),
    };
    Ok(Bundle { first, bytes, hashes })
}

/// Returns the root of the 256 leaves of a full bundle.
fn perfect_root(leaves: &[TreeHash]) -> TreeHash {
    let mut row = leaves.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| TreeHash::node(left, right)).collect();
    }
    row.pop().expect("a bundle has leaves")
}
