//! The static files of a C2SP log over HTTP, as they are served: nothing here is verified but the
//! checkpoint. [`super::TileTree`] is what verifies tiles.

use bytes::{Bytes, BytesMut};

use super::{ClientError, Server, Trust, Untrue};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::entry::ENTRY_BYTES_MAX;
use crate::core::hash::HASH_BYTES;
use crate::core::tile::Resource;
use crate::core::tree::TILE_WIDTH;

/// Most bytes of a checkpoint: a hundred post-quantum signatures are half of it.
const CHECKPOINT_BYTES_MAX: usize = 1 << 20;

/// A log's tile prefix on a web server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TileClient {
    http: reqwest::Client,
    prefix: String,
}

impl TileClient {
    /// Takes a server whose address is the log's prefix.
    pub fn new(server: &Server) -> Result<Self, ClientError> {
        Ok(Self { http: server.http()?, prefix: server.url().to_owned() })
    }

    /// Takes another server, over the same connections; its certificates are the first one's.
    #[must_use]
    pub fn with_server(&self, server: &Server) -> Self {
        Self { http: self.http.clone(), prefix: server.url().to_owned() }
    }

    /// Returns the log's prefix, without a slash at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Reads the checkpoint and verifies it.
    pub async fn checkpoint(&self, trust: &Trust) -> Result<SignedCheckpoint, ClientError> {
        let note = self.fetch(&Resource::Checkpoint).await?;
        Ok(trust.verify(&note)?)
    }

    /// Reads a tile or an entry bundle of `width` and returns its bytes.
    ///
    /// A log may have deleted a partial one once the full one exists; then the full one is read, and
    /// the caller finds more bytes than it asked for (c2sp.org/tlog-tiles, "Partial Tiles").
    pub async fn fetch_or_full(&self, resource: &Resource) -> Result<Bytes, ClientError> {
        let full = u16::try_from(TILE_WIDTH).expect("a tile is 256 wide");
        let full = match *resource {
            Resource::Tile { level, index, width } if width < full => {
                Resource::Tile { level, index, width: full }
            }
            Resource::Entries { index, width } if width < full => {
                Resource::Entries { index, width: full }
            }
            Resource::Checkpoint | Resource::Tile { .. } | Resource::Entries { .. } => {
                return self.fetch(resource).await;
            }
        };
        match self.fetch(resource).await {
            Err(ClientError::Http { status: 404 | 410, .. }) => self.fetch(&full).await,
            answer => answer,
        }
    }

    /// Reads one resource.
    pub async fn fetch(&self, resource: &Resource) -> Result<Bytes, ClientError> {
        let url = format!("{}/{resource}", self.prefix);
        let unreachable = |source: reqwest::Error| ClientError::Unreachable {
            url: self.prefix.clone(),
            source: Box::new(source.without_url()),
        };
        let mut answer = self.http.get(&url).send().await.map_err(unreachable)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(ClientError::Http { url, status: answer.status().as_u16() });
        }
        // A body is read only as far as the resource can go, whatever length it claims.
        let limit = bytes_max(resource);
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > limit {
                return Err(ClientError::TooLong { url, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Returns the most bytes that a resource can have.
fn bytes_max(resource: &Resource) -> usize {
    match resource {
        Resource::Checkpoint => CHECKPOINT_BYTES_MAX,
        Resource::Tile { .. } => TILE_WIDTH * HASH_BYTES,
        Resource::Entries { .. } => TILE_WIDTH * (2 + ENTRY_BYTES_MAX),
    }
}

/// Takes the bytes of a tile as hashes: at least `width` of them, of which the first are returned.
pub(super) fn parse_tile(bytes: &[u8], width: u16) -> Option<Vec<crate::core::hash::TreeHash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let hashes = hashes.get(..usize::from(width)).filter(|_| rest.is_empty())?;
    Some(hashes.iter().map(|bytes| crate::core::hash::TreeHash::from_bytes(*bytes)).collect())
}

/// Names a resource that is not part of the signed tree.
pub(super) fn foreign(resource: Resource, head: &crate::core::tree::TreeHead) -> ClientError {
    Untrue::Tile { resource, size: head.size }.into()
}
