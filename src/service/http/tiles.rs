//! Checkpoints, tiles and entry bundles as static files (c2sp.org/tlog-tiles).

use core::fmt::Write as _;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

use super::Compressible;
use crate::{
    core::{
        entry::ENTRY_BYTES_MAX,
        hash::{HASH_BYTES, TreeHash},
        number::{LeafIndex, TreeSize},
        tile::Resource,
        tree::{TILE_HEIGHT, TileId},
    },
    pipeline::{Log, Published},
    service::{
        Desk,
        grpc::Denial,
        look,
        sending::{Share, Slices},
    },
};

/// Hashes of a full tile, entries of a full bundle.
const WIDTH: u64 = 256;

/// Most bytes of a bundle: 256 of the longest entries, with two bytes of length each.
const BUNDLE_BYTES_MAX: usize = 256 * (2 + ENTRY_BYTES_MAX);

/// A tile or bundle never changes once it is published.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A checkpoint is asked for each time; the entity tag makes that cheap.
const REVALIDATE: &str = "no-cache";

/// The type of tiles and bundles.
const BINARY: &str = "application/octet-stream";
/// The type of checkpoints.
const TEXT: &str = "text/plain; charset=utf-8";

/// What is served at one address.
pub(super) struct File {
    bytes: Bytes,
    media_type: &'static str,
    cache: &'static str,
    compressible: bool,
    /// The share of the sending budget, where the file is large.
    share: Option<Share>,
}

/// The query that asks for the newest checkpoint with a quorum.
const COSIGNED: &str = "cosigned";

/// Reads what a resource of a log holds. A query means something at a checkpoint alone.
pub(super) async fn serve(
    desk: &Desk,
    log: &Log,
    resource: Resource,
    query: Option<&str>,
) -> Result<File, Denial> {
    let published = log.published();
    match resource {
        Resource::Checkpoint => {
            let bytes = match query {
                Some(COSIGNED) => look::cosigned(log)?.checkpoint.note().clone(),
                _ => look::candidate(log).note().clone(),
            };
            Ok(File { bytes, media_type: TEXT, cache: REVALIDATE, compressible: true, share: None })
        }
        Resource::Tile { level, index, width } => {
            let bytes = tile(desk, log, &published, TileId { level, index }, u64::from(width))?;
            Ok(File {
                bytes,
                media_type: BINARY,
                cache: IMMUTABLE,
                compressible: false,
                share: None,
            })
        }
        Resource::Entries { index, width } => {
            let width = u64::from(width);
            within(published.head().size, TileId { level: 0, index }, width)?;
            let from = index * WIDTH;
            let (store, log) = (desk.pipeline.store().clone(), log.number());
            let (Some(from), Some(to)) = (LeafIndex::new(from), TreeSize::new(from + width)) else {
                unreachable!("a published bundle stays below the largest size");
            };
            let mut share = desk.sending.take(BUNDLE_BYTES_MAX).await?;
            let bytes = look::blocking(move || store.entries(log, from, to))
                .await?
                .map_err(|error| look::unreadable(&error))?;
            share.shrink(bytes.len());
            let share = Some(share);
            Ok(File { bytes, media_type: BINARY, cache: IMMUTABLE, compressible: true, share })
        }
    }
}

/// Returns how many hashes the tree of `size` has at the level of a tile, counting from that tile,
/// if it has at least `width`.
fn within(size: TreeSize, tile: TileId, width: u64) -> Result<u64, Denial> {
    let missing = || Denial::no_tile(size.get());
    let shift = u32::from(TILE_HEIGHT) * u32::from(tile.level);
    let hashes = size.get().checked_shr(shift).unwrap_or(0);
    let first = tile.index.checked_mul(WIDTH).ok_or_else(missing)?;
    let available = hashes.checked_sub(first).ok_or_else(missing)?;
    if available < width { Err(missing()) } else { Ok(available) }
}

/// Returns the first `width` hashes of a tile.
fn tile(
    desk: &Desk,
    log: &Log,
    published: &Published,
    id: TileId,
    width: u64,
) -> Result<Bytes, Denial> {
    let size = published.head().size;
    let available = within(size, id, width)?;
    let bytes = usize::try_from(width).expect("a tile has 256 hashes") * HASH_BYTES;
    if available < WIDTH {
        // The right edge of the snapshot holds exactly the incomplete tiles.
        let mut partial = published.edge.partial_bytes(id.level);
        assert!(partial.len() >= bytes, "the edge holds what the size says");
        partial.truncate(bytes);
        return Ok(partial.into());
    }
    let tile =
        desk.pipeline.reader().tile(log.number(), id).map_err(|error| look::unreadable(&error))?;
    Ok(Bytes::copy_from_slice(
        tile.hashes_bytes().get(..bytes).expect("a full tile has 256 hashes"),
    ))
}

impl File {
    /// Answers a GET or HEAD, with 304 where the client has the bytes already.
    pub(super) fn answer(self, method: &Method, headers: &HeaderMap) -> Response {
        let tag = entity_tag(&self.bytes);
        let known = is_known(headers, &tag);
        let mut response = Response::new(Body::empty());
        let target = response.headers_mut();
        target.insert(header::ETAG, tag);
        target.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache));
        if self.compressible {
            target.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        target.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if *method == Method::HEAD {
            target.insert(header::CONTENT_LENGTH, HeaderValue::from(self.bytes.len()));
            return response;
        }
        if self.compressible {
            response.extensions_mut().insert(Compressible);
        }
        *response.body_mut() = match self.share {
            None => Body::from(self.bytes),
            Some(share) => Body::new(Slices::new(self.bytes, share)),
        };
        response
    }
}

/// Returns the entity tag of some bytes: 16 bytes of their SHA-256.
///
/// It is a weak one because the same tag names the compressed forms as well (RFC 9110, 8.8.3.3).
fn entity_tag(bytes: &[u8]) -> HeaderValue {
    let hash = TreeHash::digest(bytes);
    let mut tag = String::with_capacity(36);
    tag.push_str("W/\"");
    for byte in hash.as_bytes().iter().take(16) {
        write!(tag, "{byte:02x}").expect("a string takes everything");
    }
    tag.push('"');
    HeaderValue::try_from(tag).expect("hexadecimal digits are a header value")
}

/// Returns whether `If-None-Match` names the tag, by weak comparison (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim() == "*" || opaque(value) == tag)
}
