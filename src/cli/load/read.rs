//! Readers of entry bundles: how fast a log can be read back.
//!
//! A reader here takes the bytes as they come and hashes none of them, so that what is measured is the
//! server; `attestree fsck URL` is the reader that verifies all.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};

use super::callers::Caller;
use super::run::Run;
use crate::client::ClientError;
use crate::core::bundle::{StoredEntry, decode};
use crate::core::entry::ENTRY_BYTES_MAX;
use crate::core::number::LeafIndex;
use crate::core::tile::Resource;
use crate::core::tree::TILE_WIDTH;

/// Entries of a full bundle.
const BUNDLE_ENTRIES: u16 = 256;

/// Most bytes of a bundle.
const BUNDLE_BYTES_MAX: usize = TILE_WIDTH * (2 + ENTRY_BYTES_MAX);

/// Reads one full bundle after another, all of them in turn, from the first again after the last.
pub(super) async fn bundles(caller: Caller, http: reqwest::Client) -> anyhow::Result<()> {
    let size = caller.target.client.checkpoint().await?.head().size.get();
    let full = size / u64::from(BUNDLE_ENTRIES);
    if full == 0 {
        bail!("the log has no full bundle yet; append {BUNDLE_ENTRIES} entries first");
    }
    let entries = usize::from(BUNDLE_ENTRIES);
    while let Some(turn) = caller.run.turn(entries).await {
        let index = caller.run.payload.reserve(1) % full;
        let bundle = fetch(&caller, &http, index).await?;
        caller.run.read(turn.due, entries, bundle.len());
        if caller.run.samples() {
            check_later(&caller.run, caller.target.number, index, &bundle)?;
        }
    }
    Ok(())
}

/// Reads one full bundle.
async fn fetch(caller: &Caller, http: &reqwest::Client, index: u64) -> anyhow::Result<Bytes> {
    let resource = Resource::Entries { index, width: BUNDLE_ENTRIES };
    let url = format!("{}/{resource}", caller.target.http_prefix);
    let unreachable = |source: reqwest::Error| ClientError::Unreachable {
        url: caller.target.http_prefix.clone(),
        source: Box::new(source.without_url()),
    };
    // Compression measures the processor, and random entries don't shrink.
    let request = http.get(&url).header("accept-encoding", "identity");
    let mut answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(ClientError::Http { url, status: status.as_u16() }.into());
    }
    let mut bundle = BytesMut::with_capacity(usize::from(BUNDLE_ENTRIES) * 512);
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if bundle.len() + chunk.len() > BUNDLE_BYTES_MAX {
            return Err(ClientError::TooLong { url, limit: BUNDLE_BYTES_MAX }.into());
        }
        bundle.extend_from_slice(&chunk);
    }
    Ok(bundle.freeze())
}

/// Keeps the last entry of a bundle to be verified after the measurement.
fn check_later(run: &Arc<Run>, log: usize, index: u64, bundle: &Bytes) -> anyhow::Result<()> {
    let last = u64::from(BUNDLE_ENTRIES) - 1;
    let mut position = 0;
    for entry in decode(bundle) {
        let StoredEntry::Bytes(entry) = entry.context("read a bundle")? else {
            bail!("bundle {index} holds an entry without bytes");
        };
        if position == last {
            let leaf = LeafIndex::new(index * u64::from(BUNDLE_ENTRIES) + last);
            let leaf = leaf.context("read a bundle of a log that is too large")?;
            run.verify_later(log, leaf, &bundle.slice_ref(entry));
        }
        position += 1;
    }
    if position != last + 1 {
        bail!("bundle {index} holds {position} entries, not {BUNDLE_ENTRIES}");
    }
    Ok(())
}
