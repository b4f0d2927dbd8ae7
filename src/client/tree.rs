//! A signed tree read through its tiles, each of which is verified up to the root.

use core::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::error::AskError;
use super::log::receipt;
use super::tile::{foreign, parse_tile};
use super::{ClientError, TileClient, Untrue};
use crate::core::bundle::parse_bundle;
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};
use crate::core::receipt::Receipt;
use crate::core::tile::Resource;
use crate::core::tree::{
    Edge, NodeId, NodeReader, ProveError, TILE_HEIGHT, TILE_WIDTH, Tile, TileId, TreeHead,
    prove_consistency, prove_inclusion, root_at,
};

/// Width of a full tile.
const FULL: u16 = 256;

/// The tree of one checkpoint, read tile by tile.
///
/// The incomplete tiles at its right edge hold every maximal subtree of the tree, so their hashes
/// are right exactly if the root over them is the signed one. Every full tile's root is an entry of
/// the tile above it, up to one of those. So each hash that is handed out leads to the signature.
#[derive(Debug)]
pub struct TileTree {
    client: TileClient,
    checkpoint: SignedCheckpoint,
    edge: Edge,
    /// Full tiles that were verified. A proof needs one of each level, and the tree is dropped
    /// after a few proofs, so there is no bound.
    tiles: Mutex<HashMap<TileId, Tile>>,
}

impl TileTree {
    /// Reads the right edge of a signed tree and verifies it against the root.
    pub async fn open(
        client: &TileClient,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Self, ClientError> {
        let edge = read_edge(client, &checkpoint.head()).await?;
        Ok(Self {
            client: client.clone(),
            checkpoint: checkpoint.clone(),
            edge,
            tiles: Mutex::default(),
        })
    }

    /// Returns the checkpoint of the tree.
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Returns the root of the first `size` leaves.
    pub async fn root_at(&self, size: TreeSize) -> Result<TreeHash, ClientError> {
        let head = self.checkpoint.head();
        if size > head.size {
            return Err(AskError::Sizes { old: size, new: head.size }.into());
        }
        self.prove(|reader| root_at(reader, size)).await
    }

    /// Proves that a leaf is in the tree: its hash and a receipt.
    pub async fn receipt(&self, index: LeafIndex) -> Result<(TreeHash, Receipt), ClientError> {
        let size = self.checkpoint.head().size;
        let proof = self.prove(|reader| prove_inclusion(reader, index, size)).await?;
        let leaf = NodeId::new(0, index.get()).expect("the index is below the size");
        let leaf = self.read(&[leaf]).await?.pop().expect("one node was read");
        Ok((leaf, receipt(index, proof, &self.checkpoint)))
    }

    /// Proves that the first `old` leaves are a prefix of the tree.
    pub async fn consistency(&self, old: TreeSize) -> Result<Vec<TreeHash>, ClientError> {
        let new = self.checkpoint.head().size;
        self.prove(|reader| prove_consistency(reader, old, new)).await
    }

    /// Returns one entry after comparing its bytes with the leaf.
    pub async fn entry(&self, index: LeafIndex) -> Result<Bytes, ClientError> {
        let head = self.checkpoint.head();
        if !head.size.contains(index) {
            return Err(AskError::Index { index, size: head.size }.into());
        }
        let wide = u64::from(FULL);
        let bundle = index.get() / wide;
        let width = (head.size.get() - bundle * wide).min(wide);
        let resource =
            Resource::Entries { index: bundle, width: u16::try_from(width).expect("at most 256") };
        let bytes = self.client.fetch_or_full(&resource).await?;
        let offset = usize::try_from(index.get() % wide).expect("below 256");
        let entry = bundle_entry(&bytes, usize::from(resource_width(&resource)), offset)
            .map_err(|source| Untrue::Bundle { resource, source })?;
        let leaf = NodeId::new(0, index.get()).expect("the index is below the size");
        let leaf = self.read(&[leaf]).await?.pop().expect("one node was read");
        if TreeHash::leaf(entry) != leaf {
            return Err(Untrue::Entry { index }.into());
        }
        Ok(bytes.slice_ref(entry))
    }

    /// Makes a proof: plans it, reads the tiles it needs, and folds.
    ///
    /// Proofs are synchronous and read once, so the first run only learns which nodes that is.
    async fn prove<T>(
        &self,
        fold: impl Fn(&Reader<'_>) -> Result<T, ProveError<ClientError>>,
    ) -> Result<T, ClientError> {
        let nodes = {
            let plan = RefCell::new(Vec::new());
            let answer = fold(&Reader { edge: &self.edge, step: Step::Plan(&plan) });
            let nodes = plan.into_inner();
            if nodes.is_empty() {
                return answer.map_err(ClientError::from_prove);
            }
            nodes
        };
        let hashes = self.read(&nodes).await?;
        fold(&Reader { edge: &self.edge, step: Step::Fold(&hashes) })
            .map_err(ClientError::from_prove)
    }

    /// Reads verified nodes.
    async fn read(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, ClientError> {
        let mut hashes = Vec::with_capacity(nodes.len());
        for node in nodes {
            if let Some(hash) = self.edge.node(*node) {
                hashes.push(hash);
                continue;
            }
            let (tile, height, index) = node.place();
            self.verify_tile(tile).await?;
            let tiles = self.verified();
            hashes.push(tiles.get(&tile).expect("the tile was verified").node(height, index));
        }
        Ok(hashes)
    }

    /// Reads a full tile, and those above it as far as they are not known yet, from the top down.
    async fn verify_tile(&self, tile: TileId) -> Result<(), ClientError> {
        let mut missing = Vec::new();
        let mut next = tile;
        while !self.verified().contains_key(&next) {
            missing.push(next);
            if self.edge.node(apex(next)).is_some() {
                break;
            }
            let wide = u64::from(FULL);
            next = TileId { level: next.level + 1, index: next.index / wide };
        }
        for id in missing.into_iter().rev() {
            let expected = self.known(apex(id));
            let resource = Resource::Tile { level: id.level, index: id.index, width: FULL };
            let bytes = self.client.fetch(&resource).await?;
            let tile = parse_tile(&bytes, FULL)
                .and_then(|hashes| Some(Tile::new(hashes.as_array::<TILE_WIDTH>()?)))
                .filter(|tile| Some(tile.root()) == expected)
                .ok_or_else(|| foreign(resource, &self.checkpoint.head()))?;
            self.verified().insert(id, tile);
        }
        Ok(())
    }

    /// Returns the tiles that were verified. Held for one look-up, never while waiting.
    fn verified(&self) -> MutexGuard<'_, HashMap<TileId, Tile>> {
        self.tiles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a node of the edge or of a tile that was verified.
    fn known(&self, node: NodeId) -> Option<TreeHash> {
        if let Some(hash) = self.edge.node(node) {
            return Some(hash);
        }
        let (tile, height, index) = node.place();
        Some(self.verified().get(&tile)?.node(height, index))
    }
}

/// Returns the node that is the root of a full tile.
fn apex(tile: TileId) -> NodeId {
    NodeId::new((tile.level + 1) * TILE_HEIGHT, tile.index).expect("the tile is of a signed tree")
}

/// Reads the incomplete tiles of a tree and compares the root over them.
pub(super) async fn read_edge(client: &TileClient, head: &TreeHead) -> Result<Edge, ClientError> {
    let mut levels = Vec::new();
    for (level, width, index) in partial_tiles(head.size) {
        if width == 0 {
            levels.push(Vec::new());
            continue;
        }
        let resource = Resource::Tile { level, index, width };
        let bytes = client.fetch_or_full(&resource).await?;
        levels.push(parse_tile(&bytes, width).ok_or_else(|| foreign(resource, head))?);
    }
    let edge = Edge::from_levels(head.size, levels).expect("each level has the width it must have");
    if edge.head() != *head {
        let resource = Resource::Checkpoint;
        return Err(foreign(resource, head));
    }
    Ok(edge)
}

/// Returns level, width and index of the incomplete tile of each tile level, also where it is
/// empty.
fn partial_tiles(size: TreeSize) -> impl Iterator<Item = (u8, u16, u64)> {
    let wide = u64::from(FULL);
    let mut hashes = size.get();
    (0..).map_while(move |level| {
        let width = u16::try_from(hashes % wide).expect("below 256");
        let index = hashes / wide;
        let more = hashes > 0;
        hashes = index;
        more.then_some((level, width, index))
    })
}

/// Takes one entry out of a bundle of at least `width` entries.
fn bundle_entry(
    bytes: &[u8],
    width: usize,
    offset: usize,
) -> Result<&[u8], crate::core::bundle::BundleError> {
    let entries = match parse_bundle(bytes, width) {
        // A full bundle may have come in the place of a partial one.
        Err(crate::core::bundle::BundleError::Trailing { .. }) => parse_bundle(bytes, TILE_WIDTH)?,
        entries => entries?,
    };
    Ok(entries.get(offset).expect("the offset is below the width"))
}

fn resource_width(resource: &Resource) -> u16 {
    match resource {
        Resource::Checkpoint => 0,
        Resource::Tile { width, .. } | Resource::Entries { width, .. } => *width,
    }
}

/// What a proof reads from: first nothing, to learn the nodes, then their hashes.
struct Reader<'a> {
    edge: &'a Edge,
    step: Step<'a>,
}

/// Which run of a proof this is.
enum Step<'a> {
    Plan(&'a RefCell<Vec<NodeId>>),
    Fold(&'a [TreeHash]),
}

impl NodeReader for Reader<'_> {
    type Error = ClientError;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, ClientError> {
        match self.step {
            Step::Plan(plan) => {
                plan.borrow_mut().extend_from_slice(nodes);
                // Any hashes do: what is folded from them is thrown away.
                Ok(vec![TreeHash::empty_root(); nodes.len()])
            }
            Step::Fold(hashes) => Ok(hashes.to_vec()),
        }
    }

    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        self.edge.tail(from, size)
    }
}
