//! What the database can do without a log, for `load --baseline`.

use core::time::Duration;
use std::{fs, path::Path, time::Instant};

use anyhow::Context as _;
use bytes::Bytes;

use crate::store::Bare;

/// Writes entries in synced batches of `commit` for `duration` and returns how many a second.
///
/// The options are the log's own and so are the rows: segments that end where a bundle does. What
/// is missing is everything else: tiles, head, hashes, signatures and the network.
#[expect(clippy::disallowed_methods, reason = "this is a measurement")]
pub fn synced_writes(
    dir: &Path,
    commit: usize,
    duration: Duration,
    mut next: impl FnMut() -> Bytes,
) -> anyhow::Result<f64> {
    fs::create_dir(dir).with_context(|| format!("create {}", dir.display()))?;
    let mut bare = Bare::create(dir)?;
    let started = Instant::now();
    let mut written = 0_u64;
    let mut entries = Vec::with_capacity(commit);
    while started.elapsed() < duration {
        entries.clear();
        entries.extend((0..commit).map(|_| next()));
        bare.write(&entries)?;
        written += u64::try_from(commit).expect("a usize fits in 64 bits");
    }
    Ok(written as f64 / started.elapsed().as_secs_f64())
}
