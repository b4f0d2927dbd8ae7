//! Closes a log for ever: the way out when what it once signed is lost.

use std::path::Path;

use anyhow::Context as _;

use super::directory::Directory;
use crate::store::{LogState, Watermark};

/// Closes a log: it takes no entry ever again. The server must be stopped.
///
/// A closed log that passes its checks is still read and proved. One that does not, because its
/// data is behind what it signed, is left out from then on and no longer keeps the other logs of
/// the server from starting. If the watermark file is lost, it is made afresh as soon as no open
/// log has entries: only then is there nothing left that it would have to guard.
pub fn close(data: &Path, watermark: Option<&Path>, origin: &str) -> anyhow::Result<()> {
    let directory = Directory::open(data, watermark)?;
    let Directory { ref store, ref watermark } = directory;
    store.set_log_state(directory.log(origin)?.number, LogState::Closed)?;
    if watermark.exists() {
        return Ok(());
    }
    for log in store.logs()?.iter().filter(|log| log.state == LogState::Open) {
        let head = store.head(log.number)?;
        if head.is_some_and(|row| row.head.size.get() > 0) {
            return Ok(());
        }
    }
    Watermark::create(watermark).context("make a new watermark")?;
    Ok(())
}
