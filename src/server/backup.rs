//! Copies a database.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::files;
use crate::store::{Store, StoreConfig, keys::KeyStore};

/// Copies the database of a stopped server to a new directory. A running one is asked over the
/// administrator's socket.
///
/// The copy holds the logs, and neither signing keys nor watermark: they are kept apart, so that no single
/// medium can start a second history. What opens committed fields is in it, but not the keys of that.
pub fn backup(data: &Path, destination: &Path) -> anyhow::Result<()> {
    copy(&Store::open(&files::database(data), &StoreConfig::default())?, destination)
}

/// Copies the key store of a data directory into a copy of its database, beside a running server or not.
///
/// The keys are copied after the rows that they open, so that none of those lacks its key. They stay wrapped,
/// under a key that is no part of the copy.
pub fn backup_keys(data: &Path, destination: &Path) -> anyhow::Result<()> {
    let copied = KeyStore::copy(&files::keys(data), &files::keys(destination));
    copied.with_context(|| format!("copy the keys to {}", destination.display()))?;
    Ok(())
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
