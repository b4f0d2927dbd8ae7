//! The whole log over HTTP, re-derived from its entries.
//!
//! Every entry is hashed; every tile, from the leaves to the top, full or not, is compared with what
//! follows from those hashes; and the root with the signed one. What passes is the log that the
//! checkpoint commits to, complete and readable.
//!
//! Memory is bounded by `BUNDLES_AHEAD` bundles and the right edge, whatever the log's size.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::tile::parse_tile;
use super::{ClientError, TileClient};
use crate::core::bundle::{BundleError, parse_bundle};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::core::tile::Resource;
use crate::core::tree::{Edge, TILE_HEIGHT, TILE_WIDTH, Tile, TileId, TreeHead};

/// Bundles that are read ahead of the one that is integrated: enough to keep two cores and a
/// network busy, and at most 16 * 16 MiB.
const BUNDLES_AHEAD: u64 = 16;

/// Entries of a full bundle.
const WIDE: u64 = 256;

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries that were read, hashed and integrated.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tiles that were compared.
    pub tiles: u64,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// An entry and the leaf hash in its tile differ.
    #[error("entry {index}: its bytes hash to {entry}, but the level-0 tile holds {tile}")]
    Leaf {
        /// The entry.
        index: LeafIndex,
        /// Hash of the bytes in the bundle.
        entry: TreeHash,
        /// Hash in the tile.
        tile: TreeHash,
    },
    /// A bundle is not the encoding of its entries.
    #[error("entry {index}: {resource} is damaged: {source}")]
    Bundle {
        /// First entry of the bundle that can't be read.
        index: LeafIndex,
        /// The bundle.
        resource: Resource,
        /// What is wrong with it.
        source: BundleError,
    },
    /// A tile does not have the length it must have.
    #[error("entry {index}: {resource} does not hold {width} hashes")]
    Length {
        /// First leaf below the tile.
        index: LeafIndex,
        /// The tile.
        resource: Resource,
        /// How many hashes it has to hold.
        width: u16,
    },
    /// A hash in a tile is not the root of what lies below it.
    #[error(
        "entries from {index}: hash {position} of {resource} is {found}, but the tiles below it give {expected}"
    )]
    Node {
        /// First leaf below the hash.
        index: LeafIndex,
        /// The tile.
        resource: Resource,
        /// Position in the tile.
        position: usize,
        /// What the tile holds.
        found: TreeHash,
        /// What it has to hold.
        expected: TreeHash,
    },
    /// A resource that the checkpoint promises is not there.
    #[error("entry {index}: {resource} is missing (status {status})")]
    Missing {
        /// First leaf below the resource.
        index: LeafIndex,
        /// The tile or bundle.
        resource: Resource,
        /// The HTTP status.
        status: u16,
    },
    /// Entries and tiles agree with each other and not with the signature.
    #[error(
        "the entries make the root {computed}, but the signed root of {} entries is {}",
        signed.size, signed.root
    )]
    Root {
        /// The root over the entries.
        computed: TreeHash,
        /// The signed tree head.
        signed: TreeHead,
    },
}

/// A bundle whose leaf hashes were compared with its tile.
struct Bundle {
    leaves: Vec<TreeHash>,
    bytes: u64,
}

/// Either what was looked for, the first thing that is wrong, or a failure to look.
type Checked<T> = Result<Result<T, Finding>, ClientError>;

/// Takes the value out of a check, or leaves with the finding.
macro_rules! found {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(finding) => return Ok(Err(finding)),
        }
    };
}

/// Audits the tree of a signed checkpoint and reports progress after each bundle.
pub async fn audit(
    client: &TileClient,
    checkpoint: &SignedCheckpoint,
    mut progress: impl FnMut(Progress),
) -> Checked<Progress> {
    let head = checkpoint.head();
    let bundles = head.size.get().div_ceil(WIDE);
    let mut edge = Edge::empty();
    let mut done = Progress::default();
    let mut started = 0;
    let mut reading = JoinSet::new();
    let mut waiting = BTreeMap::new();
    for wanted in 0..bundles {
        while started < bundles.min(wanted + BUNDLES_AHEAD) {
            let (client, number) = (client.clone(), started);
            reading.spawn(async move { (number, check_bundle(&client, &head, number).await) });
            started += 1;
        }
        let bundle = loop {
            if let Some(bundle) = waiting.remove(&wanted) {
                break bundle;
            }
            let read = reading.join_next().await.expect("the wanted bundle is being read");
            let (number, bundle) = read.expect("reading a bundle does not panic");
            waiting.insert(number, bundle);
        };
        let bundle: Bundle = found!(bundle?);
        let integration = edge.append(&bundle.leaves);
        edge = integration.edge;
        done.entries += u64::try_from(bundle.leaves.len()).expect("at most 256");
        done.bytes += bundle.bytes;
        done.tiles += 1;
        for (id, tile) in integration.tiles.iter().filter(|(id, _)| id.level > 0) {
            found!(check_full(client, *id, tile).await?);
            done.tiles += 1;
        }
        progress(done);
    }
    for level in 1.. {
        if head.size.get() >> (u32::from(level) * u32::from(TILE_HEIGHT)) == 0 {
            break;
        }
        done.tiles += u64::from(found!(check_partial(client, &edge, level).await?));
    }
    let computed = edge.head().root;
    if edge.head() != head {
        return Ok(Err(Finding::Root { computed, signed: head }));
    }
    Ok(Ok(done))
}

/// Reads a bundle and its level-0 tile and compares each entry's hash.
async fn check_bundle(client: &TileClient, head: &TreeHead, number: u64) -> Checked<Bundle> {
    let first = leaf(number * WIDE);
    let width = (head.size.get() - number * WIDE).min(WIDE);
    let width = u16::try_from(width).expect("at most 256");
    let resource = Resource::Entries { index: number, width };
    let bytes = found!(read(client, first, resource).await?);
    let entries = match parse_bundle(&bytes, usize::from(width)) {
        // A full bundle may have come in the place of a partial one.
        Err(BundleError::Trailing { .. }) => parse_bundle(&bytes, TILE_WIDTH),
        entries => entries,
    };
    let entries = found!(entries.map_err(|source| {
        let index = leaf(first.get() + position(&source));
        Finding::Bundle { index, resource, source }
    }));
    let entries = entries.get(..usize::from(width)).expect("the bundle holds at least the width");
    let leaves: Vec<TreeHash> = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();

    let tile = Resource::Tile { level: 0, index: number, width };
    let served = found!(read_tile(client, first, tile, width).await?);
    for ((index, entry), tile) in (first.get()..).zip(&leaves).zip(&served) {
        if entry != tile {
            let finding = Finding::Leaf { index: leaf(index), entry: *entry, tile: *tile };
            return Ok(Err(finding));
        }
    }
    let bytes = entries.iter().map(|entry| entry.len()).sum::<usize>();
    Ok(Ok(Bundle { leaves, bytes: u64::try_from(bytes).expect("a bundle has at most 16 MiB") }))
}

/// Compares a full tile above the leaves.
async fn check_full(client: &TileClient, id: TileId, tile: &Tile) -> Checked<()> {
    let (expected, _) = tile.hashes_bytes().as_chunks();
    let expected: Vec<TreeHash> = expected.iter().copied().map(TreeHash::from_bytes).collect();
    let width = u16::try_from(TILE_WIDTH).expect("a tile is 256 wide");
    check_tile(client, id, width, &expected).await
}

/// Compares the incomplete tile of a level above the leaves; returns whether there is one.
async fn check_partial(client: &TileClient, edge: &Edge, level: u8) -> Checked<bool> {
    let expected = edge.partial(level);
    if expected.is_empty() {
        return Ok(Ok(false));
    }
    let shift = u32::from(TILE_HEIGHT) * (u32::from(level) + 1);
    let index = edge.size().get().checked_shr(shift).unwrap_or(0);
    let width = u16::try_from(expected.len()).expect("at most 255");
    Ok(check_tile(client, TileId { level, index }, width, expected).await?.map(|()| true))
}

/// Compares a tile above the leaves with the hashes that it has to hold.
async fn check_tile(
    client: &TileClient,
    id: TileId,
    width: u16,
    expected: &[TreeHash],
) -> Checked<()> {
    let span = |position: u64| (id.index * WIDE + position) << (TILE_HEIGHT * id.level);
    let resource = Resource::Tile { level: id.level, index: id.index, width };
    let served = found!(read_tile(client, leaf(span(0)), resource, width).await?);
    for (position, (found, expected)) in served.iter().zip(expected).enumerate() {
        if found != expected {
            let index = leaf(span(u64::try_from(position).expect("at most 255")));
            let (found, expected) = (*found, *expected);
            return Ok(Err(Finding::Node { index, resource, position, found, expected }));
        }
    }
    Ok(Ok(()))
}

/// Reads a tile of at least `width` hashes.
async fn read_tile(
    client: &TileClient,
    index: LeafIndex,
    resource: Resource,
    width: u16,
) -> Checked<Vec<TreeHash>> {
    let bytes = found!(read(client, index, resource).await?);
    Ok(parse_tile(&bytes, width).ok_or(Finding::Length { index, resource, width }))
}

/// Reads a resource; that it is not there is a finding, that nobody answers is not.
async fn read(client: &TileClient, index: LeafIndex, resource: Resource) -> Checked<bytes::Bytes> {
    match client.fetch_or_full(&resource).await {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(ClientError::Http { status: status @ (404 | 410), .. }) => {
            Ok(Err(Finding::Missing { index, resource, status }))
        }
        Err(error) => Err(error),
    }
}

fn leaf(index: u64) -> LeafIndex {
    LeafIndex::new(index).expect("the leaf is in a signed tree")
}

/// Returns the position of the first entry that a damaged bundle does not give.
fn position(error: &BundleError) -> u64 {
    let position = match error {
        BundleError::Truncated { position, .. } | BundleError::Empty { position } => *position,
        BundleError::Missing { found, .. } => *found,
        BundleError::Trailing { expected, .. } => *expected,
    };
    u64::try_from(position).expect("a bundle has at most 256 entries")
}
