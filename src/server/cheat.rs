//! The operator who cheats well, for the demo and its tests.
//!
//! He holds everything: the disk, the database's code and the signing key. So he writes a second
//! history that nothing inside it gives away: every checksum, hash, tile and signature is right.
//! What he can't reach are the receipts and checkpoints that others hold.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;

use super::files;
use crate::{
    core::{
        bundle::{self, StoredEntry},
        hash::TreeHash,
        number::{LeafIndex, TreeSize},
        tree::{Edge, TreeHead},
    },
    store::{LogRow, LogRows, Store, StoreConfig, Watermark},
};

/// Entries that are written at once: one commit of the real write path.
const BATCH_ENTRIES: usize = 4_096;

/// Writes a copy of a data directory's first log to `target` in which entry `index` is `forged`,
/// with key, watermark and everything else that a server needs to serve it.
///
/// Returns the head of the second history.
pub fn rewrite(
    source: &Path,
    target: &Path,
    index: LeafIndex,
    forged: &Bytes,
) -> anyhow::Result<TreeHead> {
    let store = Store::open_read_only(&files::database(source), &StoreConfig::default())?;
    let row = store.logs()?.into_iter().next().context("the directory holds no log")?;
    let head = store.head(row.number)?.context("the log has no head")?;
    ensure!(head.head.size.contains(index), "the log has no entry {index}");

    files::create_private_dir(target)?;
    let copy = Store::init(&files::database(target), &StoreConfig::default())?;
    let key = files::read_key(source, row.number)?;
    let key = files::keep_key(target, row.number, key)?;
    copy.create_log(&row)?;

    let mut edge = Edge::empty();
    let mut batch: Vec<Bytes> = Vec::new();
    for segment in store.segments(row.number, LeafIndex::default(), head.head.size)? {
        let (first, segment) = segment?;
        for (number, entry) in (first.get()..).zip(bundle::decode(&segment)) {
            let StoredEntry::Bytes(bytes) = entry? else {
                bail!("entry {number} was erased; the demo's logs hold all their entries");
            };
            let honest = number != index.get();
            batch.push(if honest { segment.slice_ref(bytes) } else { forged.clone() });
        }
        if batch.len() >= BATCH_ENTRIES {
            edge = write(&copy, &row, &edge, &core::mem::take(&mut batch), head.at)?;
        }
    }
    edge = write(&copy, &row, &edge, &batch, head.at)?;
    copy.flush()?;

    let watermark = Watermark::create(&files::watermark(target))?;
    let forged = edge.head();
    ensure!(forged.size == head.head.size && forged.size > TreeSize::ZERO, "the copy is complete");
    watermark.raise(
        row.number,
        forged,
        TreeHash::digest(key.verifier_key().to_string().as_bytes()),
    )?;
    watermark.sync()?;
    Ok(forged)
}

/// Commits one batch of the second history, as the real write path would.
fn write(
    store: &Store,
    row: &LogRow,
    edge: &Edge,
    entries: &[Bytes],
    at: crate::core::number::UnixMillis,
) -> anyhow::Result<Edge> {
    if entries.is_empty() {
        return Ok(edge.clone());
    }
    let leaves: Vec<TreeHash> = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
    let integration = edge.append(&leaves);
    let bytes = entries.iter().map(AsRef::as_ref);
    let rows = LogRows::encode(row.number, at, edge.head(), bytes, &integration, Vec::new());
    store.commit(&[&rows])?;
    Ok(integration.edge)
}
