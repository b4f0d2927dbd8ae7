//! `fsck` of a data directory: everything that the database holds, re-derived from the entries.
//!
//! Two threads: one reads segments and hashes their entries, the other integrates the hashes and
//! compares what follows with what is stored. Memory is bounded by `PARTS_AHEAD` segments and the
//! right edge, whatever the log's size.
//!
//! # What is compared
//!
//! - Segments: each entry is in exactly one, none crosses a bundle, none lies beyond the head.
//! - Tiles: all 287 hashes of each, in the order in which they became full, none missing or left
//!   over.
//! - The head row: size, root, and the head before the last batch.
//! - Identities: each leads to an entry with its tag; with entry-hash identity each entry has one.
//! - Records of audit logs, and what opens their committed fields; see [`Log::check_fields`].
//!
//! # Out of scope
//!
//! - Signatures: a database holds none. The same check over HTTP compares with a checkpoint.

use core::iter::Peekable;
use std::{path::Path, sync::mpsc, thread};

use anyhow::Context as _;

use super::{
    fields::{self, FieldFinding, Fields},
    files,
    keys::KeyPlace,
};
use crate::{
    client::audit::Progress,
    core::{
        bundle::{self, BundleError, StoredEntry},
        hash::{HASH_BYTES, TreeHash},
        number::{LeafIndex, TreeSize},
        origin::Origin,
        tree::{Edge, TILE_HEIGHT, TILE_WIDTH, Tile, TileId, TreeHead},
    },
    store::{
        HeadRow, IdentityKey, LogIdentity, LogKind, LogRow, Segments, Store, StoreConfig,
        StoreError, TileReader, Tiles, keys::KeyStore,
    },
};

/// Segments that are read and hashed ahead of the one that is integrated.
const PARTS_AHEAD: usize = 64;

/// A data directory that is only read.
#[derive(Debug)]
pub struct Directory {
    store: Store,
}

/// The keys of a data directory, or of a copy, that are only read.
#[derive(Debug)]
pub struct Keys(KeyStore);

impl Keys {
    /// Opens the keys: nothing if they, or the file of the key-encryption key beside them, are not there.
    pub fn open(place: KeyPlace<'_>) -> anyhow::Result<Option<Self>> {
        Ok(place.open_if_there()?.map(Self))
    }
}

/// Either how many fields there are, or the first thing that is wrong with one.
pub type FieldsChecked = Result<Fields, FieldFinding>;

/// One log of a data directory.
#[derive(Debug)]
pub struct Log {
    pub(super) store: Store,
    pub(super) row: LogRow,
}

/// The first thing that is wrong with a stored log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The log has no head row.
    #[error("the row with its head is missing")]
    NoHead,
    /// No segment holds the entry.
    #[error("entry {index}: no segment holds it; the next one begins at {next}")]
    Gap {
        /// The first entry that is missing.
        index: LeafIndex,
        /// Where the next segment begins.
        next: LeafIndex,
    },
    /// The segments end before the head does.
    #[error("entry {index}: no segment holds it, but the head says {size} entries")]
    End {
        /// The first entry that is missing.
        index: LeafIndex,
        /// Size of the head.
        size: TreeSize,
    },
    /// A segment begins inside the one before it.
    #[error("entry {index}: a second segment holds it")]
    Overlap {
        /// The first entry that two segments hold.
        index: LeafIndex,
    },
    /// A segment holds entries of two bundles, or entries beyond the head.
    #[error("entry {index}: the segment from {first} must not hold it")]
    Beyond {
        /// The first entry too many.
        index: LeafIndex,
        /// First entry of the segment.
        first: LeafIndex,
    },
    /// A segment is not the encoding of entries.
    #[error("entry {index}: its segment is damaged: {source}")]
    Segment {
        /// The first entry that can't be read.
        index: LeafIndex,
        /// What is wrong.
        source: BundleError,
    },
    /// A full tile is not stored.
    #[error("entries from {index}: tile {} of level {} is missing", tile.index, tile.level)]
    NoTile {
        /// First leaf below the tile.
        index: LeafIndex,
        /// The tile.
        tile: TileId,
    },
    /// A tile is stored that can't be full yet.
    #[error("tile {} of level {} is stored, but is not full at this size", tile.index, tile.level)]
    TileBeyond {
        /// The tile.
        tile: TileId,
    },
    /// A hash of a tile is not what follows from the entries.
    #[error(
        "entries from {index}: tile {} of level {} holds {found} at height {height}, position \
         {position}; the entries give {expected}", tile.index, tile.level
    )]
    Node {
        /// First leaf below the hash.
        index: LeafIndex,
        /// The tile.
        tile: TileId,
        /// Height inside the tile: 0 for its 256 hashes.
        height: u8,
        /// Position among those of the height.
        position: usize,
        /// What is stored.
        found: TreeHash,
        /// What has to be.
        expected: TreeHash,
    },
    /// A tile does not have the length of one.
    #[error("entries from {index}: tile {} of level {} has {bytes} bytes", tile.index, tile.level)]
    TileLength {
        /// First leaf below the tile.
        index: LeafIndex,
        /// The tile.
        tile: TileId,
        /// Its length.
        bytes: usize,
    },
    /// The head row's root is not that of the entries.
    #[error("the head row says root {} for {} entries, but they make {computed}", stored.root, stored.size)]
    Root {
        /// The head that is stored.
        stored: TreeHead,
        /// The root over the entries.
        computed: TreeHash,
    },
    /// The head before the last batch does not fit.
    #[error("the head row names {} entries with root {} before its last batch; that tree never was", previous.size, previous.root)]
    Previous {
        /// The head before the last batch, as stored.
        previous: TreeHead,
    },
    /// An identity leads to no entry, or to another one.
    #[error("an identity leads to entry {index}, which is not the one it was given for")]
    Identity {
        /// Where it leads.
        index: LeafIndex,
    },
    /// An entry has no identity on a log that gives one to each.
    #[error("entry {index}: its leaf hash leads to no entry, or to a later one")]
    NoIdentity {
        /// The entry.
        index: LeafIndex,
    },
}

/// Either what was looked for, or the first thing that is wrong.
type Checked<T> = anyhow::Result<Result<T, Finding>>;

/// Takes the value out of a check, or leaves with the finding.
macro_rules! found {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(finding) => return Ok(Err(finding)),
        }
    };
}

impl Directory {
    /// Opens a data directory for reading. A running server does not mind.
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        let database = files::database(data);
        let store = Store::open_read_only(&database, &StoreConfig::default());
        let store = store.with_context(|| format!("open {}", data.display()))?;
        Ok(Self { store })
    }

    /// Returns the logs, in the order of their creation.
    pub fn logs(&self) -> anyhow::Result<Vec<Log>> {
        let rows = self.store.logs().context("read the logs")?;
        Ok(rows.into_iter().map(|row| Log { store: self.store.clone(), row }).collect())
    }
}

/// Leaf hashes of consecutive entries, at most one bundle.
struct Part {
    leaves: Vec<TreeHash>,
    bytes: u64,
}

impl Log {
    /// Returns the log's origin.
    pub fn origin(&self) -> &Origin {
        &self.row.origin
    }

    /// Returns the stored head; that of the empty tree if there is none.
    pub fn head(&self) -> anyhow::Result<TreeHead> {
        let row = self.store.head(self.row.number).context("read the head")?;
        Ok(row.map_or_else(TreeHead::empty, |row| row.head))
    }

    /// Checks everything that is stored of the log and reports progress after each segment.
    pub fn check(&self, progress: impl FnMut(Progress)) -> Checked<Progress> {
        let head = self.store.head(self.row.number).context("read the head")?;
        let Some(head) = head else {
            return Ok(Err(Finding::NoHead));
        };
        let swept = thread::scope(|scope| {
            let (sender, parts) = mpsc::sync_channel(PARTS_AHEAD);
            scope.spawn(move || read_parts(&self.store, &self.row, head.head.size, &sender));
            self.integrate(&head, parts.into_iter(), progress)
        });
        let (done, edge) = found!(swept?);
        found!(self.check_rest(head.head.size)?);
        found!(self.check_identities(&edge)?);
        Ok(Ok(done))
    }

    /// Checks that what opens the committed fields of an audit log is there, opens each if the keys are, and
    /// returns how many there are; nothing for an opaque log.
    pub fn check_fields(&self, keys: Option<&Keys>) -> anyhow::Result<Option<FieldsChecked>> {
        if self.row.kind != LogKind::Audit {
            return Ok(None);
        }
        let size = self.head()?.size;
        fields::check(&self.store, &self.row, size, keys.map(|keys| &keys.0)).map(Some)
    }

    /// Integrates the leaf hashes and compares tiles and heads.
    fn integrate(
        &self,
        row: &HeadRow,
        parts: impl Iterator<Item = Checked<Part>>,
        mut progress: impl FnMut(Progress),
    ) -> Checked<(Progress, Edge)> {
        let mut tiles = self.store.tiles(self.row.number).peekable();
        let mut edge = Edge::empty();
        let mut done = Progress::default();
        let mut previous = (row.previous.size == TreeSize::ZERO).then(|| edge.head());
        for part in parts {
            let part = found!(part?);
            if self.row.identity == LogIdentity::EntryHash {
                found!(self.check_entry_hashes(edge.size(), &part.leaves)?);
            }
            // A batch may begin inside a part only if its segment does, but a damaged row may say
            // anything.
            let before = row.previous.size.get().saturating_sub(edge.size().get());
            let before = usize::try_from(before).unwrap_or(usize::MAX).min(part.leaves.len());
            let (first, rest) = part.leaves.split_at(before);
            for leaves in [first, rest].into_iter().filter(|leaves| !leaves.is_empty()) {
                let integration = edge.append(leaves);
                edge = integration.edge;
                for (id, tile) in &integration.tiles {
                    found!(compare_tile(*id, tile, &mut tiles)?);
                    done.tiles += 1;
                }
                if edge.size() == row.previous.size {
                    previous = Some(edge.head());
                }
            }
            done.entries += u64::try_from(part.leaves.len()).expect("at most 256");
            done.bytes += part.bytes;
            progress(done);
        }
        if edge.size() != row.head.size {
            let index = edge.size().next_index();
            return Ok(Err(Finding::End { index, size: row.head.size }));
        }
        if let Some(tile) = tiles.next() {
            let (tile, _) = tile.context("read a tile")?;
            return Ok(Err(Finding::TileBeyond { tile }));
        }
        if edge.head() != row.head {
            let computed = edge.head().root;
            return Ok(Err(Finding::Root { stored: row.head, computed }));
        }
        if previous != Some(row.previous) {
            return Ok(Err(Finding::Previous { previous: row.previous }));
        }
        Ok(Ok((done, edge)))
    }

    /// Looks for segments behind the head.
    fn check_rest(&self, size: TreeSize) -> Checked<()> {
        let behind = size.next_index();
        let segments = self.store.segments(self.row.number, behind, TreeSize::MAX);
        for segment in segments.context("read behind the head")? {
            let (first, _) = segment.context("read behind the head")?;
            // The scan begins with the segment that could hold the entry, which was read before.
            if first >= behind {
                return Ok(Err(Finding::Beyond { index: first, first }));
            }
        }
        Ok(Ok(()))
    }

    /// Checks that the leaf hashes from `from` on are identities of these entries or earlier ones.
    fn check_entry_hashes(&self, from: TreeSize, leaves: &[TreeHash]) -> Checked<()> {
        let number = self.row.number;
        let keys: Vec<IdentityKey> =
            leaves.iter().map(|leaf| IdentityKey::entry_hash(number, leaf)).collect();
        let rows = self.store.identities(&keys).context("read identities")?;
        for (index, row) in (from.get()..).zip(rows) {
            if row.is_none_or(|row| row.index.get() > index) {
                return Ok(Err(Finding::NoIdentity { index: leaf_index(index) }));
            }
        }
        Ok(Ok(()))
    }

    /// Checks that every identity leads to the entry it was given for.
    fn check_identities(&self, edge: &Edge) -> Checked<()> {
        let reader = TileReader::new(self.store.clone(), TileReader::CACHE_BYTES_DEFAULT);
        let wide = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
        for identity in self.store.identity_rows(self.row.number) {
            let (key, row) = identity.context("read an identity")?;
            let wrong = Finding::Identity { index: row.index };
            let is_below = if key.is_counted() {
                // Nothing stands at the index of what was counted.
                row.index.get() <= edge.size().get()
            } else {
                edge.size().contains(row.index)
            };
            if !is_below {
                return Ok(Err(wrong));
            }
            // The tag of a submission says nothing to who has not the log's secret.
            if self.row.kind == LogKind::Audit {
                continue;
            }
            let (tile, offset) = (row.index.get() / wide, row.index.get() % wide);
            let offset = usize::try_from(offset).expect("below 256");
            let leaf = if (tile + 1) * wide <= edge.size().get() {
                let id = TileId { level: 0, index: tile };
                Some(reader.tile(self.row.number, id).context("read a tile")?.node(0, offset))
            } else {
                edge.partial(0).get(offset).copied()
            };
            let named = key.leaf_hash().unwrap_or(row.tag);
            if leaf != Some(row.tag) || named != row.tag {
                return Ok(Err(wrong));
            }
        }
        Ok(Ok(()))
    }
}

/// Reads the segments in order, hashes their entries and sends the leaf hashes. Ends with the
/// first thing that is wrong, or when nobody listens any more.
fn read_parts(
    store: &Store,
    row: &LogRow,
    size: TreeSize,
    sender: &mpsc::SyncSender<Checked<Part>>,
) {
    let mut next = LeafIndex::default();
    let segments = match store.segments(row.number, next, size) {
        Ok(segments) => segments,
        Err(error) => {
            // Without a listener there is nobody to tell.
            let unread = anyhow::Error::from(error).context("entry 0: its segment can't be read");
            let _gone = sender.send(Err(unread));
            return;
        }
    };
    let parts = Parts { segments, next: &mut next, size };
    for part in parts {
        let last = !matches!(part, Ok(Ok(_)));
        if sender.send(part).is_err() || last {
            return;
        }
    }
}

/// Segments, checked to follow one another, as leaf hashes.
struct Parts<'a> {
    segments: Segments,
    next: &'a mut LeafIndex,
    size: TreeSize,
}

impl Iterator for Parts<'_> {
    type Item = Checked<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        let segment = self.segments.next()?;
        Some(self.part(segment))
    }
}

impl Parts<'_> {
    /// Checks one segment against the one before it, and hashes its entries.
    fn part(&mut self, segment: Result<(LeafIndex, bytes::Bytes), StoreError>) -> Checked<Part> {
        let next = *self.next;
        let (first, segment) =
            segment.with_context(|| format!("entry {next}: its segment can't be read"))?;
        if first > next {
            return Ok(Err(Finding::Gap { index: next, next: first }));
        }
        if first < next {
            return Ok(Err(Finding::Overlap { index: first }));
        }
        let wide = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
        let end = self.size.get().min((first.get() / wide + 1) * wide);
        let mut part = Part { leaves: Vec::with_capacity(TILE_WIDTH), bytes: 0 };
        for (index, entry) in (first.get()..).zip(bundle::decode(&segment)) {
            let index = leaf_index(index);
            let entry = found!(entry.map_err(|source| Finding::Segment { index, source }));
            if index.get() >= end {
                return Ok(Err(Finding::Beyond { index, first }));
            }
            if let StoredEntry::Bytes(bytes) = entry {
                part.bytes += u64::try_from(bytes.len()).expect("an entry is short");
            }
            part.leaves.push(entry.leaf_hash());
        }
        let count = u64::try_from(part.leaves.len()).expect("at most 256");
        *self.next = leaf_index(first.get() + count);
        Ok(Ok(part))
    }
}

/// Compares a tile that became full with the next one that is stored.
fn compare_tile(id: TileId, expected: &Tile, stored: &mut Peekable<Tiles>) -> Checked<()> {
    let below = |position: u64, height: u8| {
        let wide = u64::try_from(TILE_WIDTH).expect("a tile has 256 hashes");
        leaf_index((id.index * (wide >> height) + position) << (TILE_HEIGHT * id.level + height))
    };
    let index = below(0, 0);
    let next = match stored.peek() {
        Some(Ok((found, _))) if *found < id => {
            return Ok(Err(Finding::TileBeyond { tile: *found }));
        }
        Some(Ok((found, _))) if *found > id => None,
        _ => stored.next(),
    };
    let Some(next) = next else { return Ok(Err(Finding::NoTile { index, tile: id })) };
    let (_, bytes) =
        next.with_context(|| format!("entries from {index}: their tile can't be read"))?;
    if *bytes == *expected.encoded() {
        return Ok(Ok(()));
    }
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if bytes.len() != Tile::ENCODED_BYTES || !rest.is_empty() {
        return Ok(Err(Finding::TileLength { index, tile: id, bytes: bytes.len() }));
    }
    // The encoding holds heights 0 and 4 to 8, each from left to right.
    let places = [0, 4, 5, 6, 7, 8]
        .into_iter()
        .flat_map(|height: u8| (0..TILE_WIDTH >> height).map(move |position| (height, position)));
    for ((height, position), found) in places.zip(hashes) {
        let (found, expected) = (TreeHash::from_bytes(*found), expected.node(height, position));
        if found != expected {
            let index = below(u64::try_from(position).expect("below 256"), height);
            return Ok(Err(Finding::Node { index, tile: id, height, position, found, expected }));
        }
    }
    unreachable!("tiles with different bytes differ in a hash")
}

fn leaf_index(index: u64) -> LeafIndex {
    LeafIndex::new(index).expect("a stored key is below the largest size")
}
