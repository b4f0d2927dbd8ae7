//! Removes the batch that a halted log committed but never signed.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::files;
use crate::{
    core::tree::TreeHead,
    store::{Store, StoreConfig, Watermark},
};

/// Removes the one unsigned batch of a halted log, after the operator has found out why its roots
/// differed. The server must be stopped.
///
/// Returns the head that the log has now: the one that the watermark says was signed last.
pub fn drop_unsigned(
    data: &Path,
    watermark: Option<&Path>,
    origin: &str,
) -> anyhow::Result<TreeHead> {
    let store = Store::open(&files::database(data), &StoreConfig::default())?;
    let logs = store.logs()?;
    let found = if origin.is_empty() {
        logs.first()
    } else {
        logs.iter().find(|log| log.origin.as_str() == origin)
    };
    let Some(row) = found else { bail!("no log has the origin {origin:?}") };
    let default = files::watermark(data);
    let watermark = Watermark::open(watermark.unwrap_or(&default))?;
    let mark = watermark
        .get(row.number)?
        .with_context(|| format!("the watermark knows nothing of log {}", row.origin))?;
    store.drop_unsigned(row.number, mark.head)?;
    Ok(mark.head)
}
