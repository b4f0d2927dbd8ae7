//! Nodes for proofs: from full tiles, through a cache, and from the right edge.
//!
//! A tile that is not in the cache costs one read and up to 11 hashes for a path through it; one
//! that is asked for again gets all of its nodes computed and costs none.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use crate::core::{
    hash::TreeHash,
    number::{LeafIndex, LogNumber, TreeSize},
    tree::{Edge, NodeId, NodeReader, Tile, TileId},
};

use super::{RowName, Store, StoreError, recover::missing};

/// Most nodes of a read for which the tiles found so far are searched one by one.
///
/// An inclusion or consistency proof has at most two paths of 62 nodes and touches at most 16 tiles.
const NODES_FEW_MAX: usize = 128;

/// Bytes of a cached tile besides its nodes: key, counters and slots of the cache.
const TILE_OVERHEAD_BYTES: usize = 160;

/// Bytes of the 224 nodes that [`Tile::expand`] adds.
const TILE_EXPANDED_BYTES: usize = 224 * 32;

/// Reads tiles of all logs through one cache. A clone is another handle on the same one.
#[derive(Clone, Debug)]
pub struct TileReader {
    store: Store,
    cache: Arc<Cache<(LogNumber, TileId), Cached, Weigh>>,
}

/// A tile in the cache.
#[derive(Clone, Debug)]
struct Cached {
    tile: Arc<Tile>,
    expanded: bool,
}

/// Weighs a cached tile by the memory that it takes.
#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<(LogNumber, TileId), Cached> for Weigh {
    fn weight(&self, _: &(LogNumber, TileId), cached: &Cached) -> u64 {
        let expanded = if cached.expanded { TILE_EXPANDED_BYTES } else { 0 };
        let bytes = Tile::ENCODED_BYTES + TILE_OVERHEAD_BYTES + expanded;
        u64::try_from(bytes).expect("a usize fits in 64 bits")
    }
}

impl TileReader {
    /// Cache size that a server uses unless told otherwise: 32 MiB, some 2,000 tiles, which is the
    /// newest half million entries with every node ready.
    pub const CACHE_BYTES_DEFAULT: usize = 32 << 20;

    /// Reads from `store` and keeps at most `cache_bytes` of tiles.
    pub fn new(store: Store, cache_bytes: usize) -> Self {
        let weight = u64::try_from(cache_bytes).expect("a usize fits in 64 bits");
        let tiles = cache_bytes / Tile::ENCODED_BYTES;
        let cache = Arc::new(Cache::with_weighter(tiles, weight, Weigh));
        Self { store, cache }
    }

    /// Returns the nodes of a log at the size of `edge`, for [`NodeReader`]'s callers.
    pub fn nodes<'a>(&'a self, log: LogNumber, edge: &'a Edge) -> LogReader<'a> {
        LogReader { tiles: self, log, edge }
    }

    /// Returns a full tile.
    ///
    /// # Errors
    ///
    /// A tile that is not there is reported as damage: the caller asks for tiles below a head.
    pub fn tile(&self, log: LogNumber, id: TileId) -> Result<Arc<Tile>, StoreError> {
        if let Some(Cached { tile, expanded }) = self.cache.get(&(log, id)) {
            if !expanded {
                tile.expand();
                let cached = Cached { tile: Arc::clone(&tile), expanded: true };
                self.cache.insert((log, id), cached);
            }
            return Ok(tile);
        }
        let tile = self.store.tile(log, id)?.ok_or_else(|| missing(RowName::Tile(log, id)))?;
        let tile = Arc::new(tile);
        let cached = Cached { tile: Arc::clone(&tile), expanded: false };
        self.cache.insert((log, id), cached);
        Ok(tile)
    }

    /// Puts tiles that were just committed into the cache: most proofs are asked for new entries.
    ///
    /// # Panics
    ///
    /// If one is no encoded tile; they come from [`super::LogRows`].
    pub fn remember(&self, log: LogNumber, tiles: &[(TileId, Vec<u8>)]) {
        for (id, bytes) in tiles {
            let tile = Tile::decode(bytes).expect("committed tiles are encoded tiles");
            let cached = Cached { tile: Arc::new(tile), expanded: false };
            self.cache.insert((log, *id), cached);
        }
    }

    /// Returns the bytes of tiles in the cache.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.weight()
    }
}

/// The nodes of one log at one size.
#[derive(Clone, Copy, Debug)]
pub struct LogReader<'a> {
    tiles: &'a TileReader,
    log: LogNumber,
    edge: &'a Edge,
}

impl NodeReader for LogReader<'_> {
    type Error = StoreError;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, StoreError> {
        read_nodes(nodes, self.log, self.edge, |id| self.tiles.tile(self.log, id))
    }

    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        self.edge.tail(from, size)
    }
}

/// The nodes of one log at one size, read without a cache.
pub(super) struct StoredNodes<'a> {
    pub(super) store: &'a Store,
    pub(super) log: LogNumber,
    pub(super) edge: &'a Edge,
}

impl NodeReader for StoredNodes<'_> {
    type Error = StoreError;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, StoreError> {
        read_nodes(nodes, self.log, self.edge, |id| {
            let tile = self.store.tile(self.log, id)?;
            tile.map(Arc::new).ok_or_else(|| missing(RowName::Tile(self.log, id)))
        })
    }
}

/// Reads nodes from the edge or from full tiles, each tile once.
fn read_nodes(
    nodes: &[NodeId],
    log: LogNumber,
    edge: &Edge,
    tile: impl Fn(TileId) -> Result<Arc<Tile>, StoreError>,
) -> Result<Vec<TreeHash>, StoreError> {
    if nodes.len() > NODES_FEW_MAX {
        return read_many(nodes, log, edge, tile);
    }
    let mut held: Vec<(TileId, Arc<Tile>)> = Vec::new();
    let mut hashes = Vec::with_capacity(nodes.len() + 1);
    for node in nodes {
        let (id, height, index) = node.place();
        if id.end() > edge.size().get() {
            hashes.push(edge_node(*node, log, edge)?);
            continue;
        }
        let found = match held.iter().rev().find(|(held, _)| *held == id) {
            Some((_, tile)) => tile.node(height, index),
            None => {
                let tile = tile(id)?;
                let hash = tile.node(height, index);
                held.push((id, tile));
                hash
            }
        };
        hashes.push(found);
    }
    Ok(hashes)
}

/// Reads many nodes tile after tile, so that one tile is in memory at a time.
fn read_many(
    nodes: &[NodeId],
    log: LogNumber,
    edge: &Edge,
    tile: impl Fn(TileId) -> Result<Arc<Tile>, StoreError>,
) -> Result<Vec<TreeHash>, StoreError> {
    let mut order: Vec<(TileId, usize)> =
        nodes.iter().enumerate().map(|(position, node)| (node.place().0, position)).collect();
    order.sort_unstable();
    let mut found: Vec<(usize, TreeHash)> = Vec::with_capacity(nodes.len());
    for same in order.chunk_by(|(a, _), (b, _)| a == b) {
        let Some((id, _)) = same.first() else { continue };
        let full = if id.end() > edge.size().get() { None } else { Some(tile(*id)?) };
        for (_, position) in same {
            let node = nodes.get(*position).expect("positions are those of the nodes");
            let (_, height, index) = node.place();
            let hash = match &full {
                Some(tile) => tile.node(height, index),
                None => edge_node(*node, log, edge)?,
            };
            found.push((*position, hash));
        }
    }
    found.sort_unstable_by_key(|(position, _)| *position);
    Ok(found.into_iter().map(|(_, hash)| hash).collect())
}

/// Returns a node of an incomplete tile.
fn edge_node(node: NodeId, log: LogNumber, edge: &Edge) -> Result<TreeHash, StoreError> {
    // A node that is not there lies behind the edge: its caller asks for another size.
    edge.node(node).ok_or_else(|| missing(RowName::Tile(log, node.place().0)))
}
