//! The key store of a data directory, with the file of the key that wraps it.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{files, random::Random};
use crate::{
    core::record::Secret,
    store::{
        LogKind, Store,
        keys::{KeyError, KeyStore},
    },
};

/// Opens the key store of a data directory.
pub(super) fn open(data: &Path, kek: &Path, random: &mut Random) -> anyhow::Result<KeyStore> {
    let dir = there(data)?;
    let kek = files::read_kek(kek)?;
    Ok(KeyStore::open(&dir, Box::new(kek), Box::new(random.fork()))?)
}

/// Opens the key store of a data directory for reading. A running server does not mind.
pub(super) fn open_read_only(data: &Path, kek: &Path) -> anyhow::Result<KeyStore> {
    let dir = there(data)?;
    Ok(KeyStore::open_read_only(&dir, Box::new(files::read_kek(kek)?))?)
}

/// Returns the place of a key store that is there: its absence weighs more than that of its KEK.
fn there(data: &Path) -> Result<std::path::PathBuf, KeyError> {
    let dir = files::keys(data);
    if KeyStore::exists(&dir) { Ok(dir) } else { Err(KeyError::Missing { dir }) }
}

/// Makes an empty key store, and the file of its KEK unless that is there.
pub(super) fn create(data: &Path, kek: &Path, random: &mut Random) -> anyhow::Result<KeyStore> {
    ensure!(
        !kek.starts_with(data),
        "the key-encryption key {} would lie inside the data directory, where whoever copies the keys gets it \
         too; name another file with --kek",
        kek.display()
    );
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    random.fill(&mut *bytes);
    let kek = files::keep_kek(kek, &Secret::new(*bytes))?;
    let dir = files::keys(data);
    let store = KeyStore::create(&dir, Box::new(kek), Box::new(random.fork()));
    store.with_context(|| format!("make the key store {}", dir.display()))
}

/// Opens the key store of a data directory that is to get an audit log, and makes it before the first one.
///
/// Where there is an audit log already, a key store that is missing was lost, and is not made anew in
/// silence.
pub(super) fn ensure(
    store: &Store,
    data: &Path,
    kek: &Path,
    random: &mut Random,
) -> anyhow::Result<KeyStore> {
    if KeyStore::exists(&files::keys(data)) || has_audit_log(store)? {
        return open(data, kek, random);
    }
    create(data, kek, random)
}

/// Opens the key store of a server at its start, if it has an audit log.
pub(super) fn open_if_needed(
    store: &Store,
    data: &Path,
    kek: &Path,
    random: &mut Random,
) -> anyhow::Result<Option<KeyStore>> {
    if KeyStore::exists(&files::keys(data)) || has_audit_log(store)? {
        return open(data, kek, random).map(Some);
    }
    Ok(None)
}

/// Returns whether a database has an audit log.
fn has_audit_log(store: &Store) -> anyhow::Result<bool> {
    let logs = store.logs().context("read the logs")?;
    Ok(logs.iter().any(|log| log.kind == LogKind::Audit))
}
