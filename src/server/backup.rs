//! Copies a database.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::files;
use crate::store::{Store, StoreConfig};

/// Copies the database of a stopped server to a new directory. A running one is asked over the
/// administrator's socket.
///
/// The copy holds the logs, and neither keys nor watermark: they are kept apart, so that no single
/// medium can start a second history.
pub fn backup(data: &Path, destination: &Path) -> anyhow::Result<()> {
    copy(&Store::open(&files::database(data), &StoreConfig::default())?, destination)
}

/// Copies an open database to `destination/db`.
pub(super) fn copy(store: &Store, destination: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !destination.exists(),
        "{} exists already; name a directory to create",
        destination.display()
    );
    files::create_private_dir(destination)?;
    let copied = store.backup(&files::database(destination));
    if copied.is_err() {
        // Whatever was copied is no database; the directory was made above and is ours.
        fs::remove_dir_all(destination)
            .with_context(|| format!("remove {}", destination.display()))?;
    }
    copied.with_context(|| format!("copy the database to {}", destination.display()))
}
