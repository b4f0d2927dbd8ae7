//! Removes the batch that a halted log committed but never signed.

use std::path::Path;

use anyhow::Context as _;

use super::directory::Directory;
use crate::{core::tree::TreeHead, store::Watermark};

/// Removes the one unsigned batch of a halted log, after the operator has found out why its roots
/// differed. The server must be stopped.
///
/// Returns the head that the log has now: the one that the watermark says was signed last.
pub fn drop_unsigned(
    data: &Path,
    watermark: Option<&Path>,
    origin: &str,
) -> anyhow::Result<TreeHead> {
    let directory = Directory::open(data, watermark)?;
    let row = directory.log(origin)?;
    let watermark = Watermark::open(&directory.watermark)?;
    let mark = watermark
        .get(row.number)?
        .with_context(|| format!("the watermark knows nothing of log {}", row.origin))?;
    directory.store.drop_unsigned(row.number, mark.head)?;
    Ok(mark.head)
}
