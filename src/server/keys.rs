//! What an operator does with the keys of audit logs while the server is stopped, and what they open.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::{clock::SystemClock, directory::Directory, files, keyring, random::Random};
use crate::{
    core::{
        number::{LeafIndex, LogNumber},
        record::{self, Disclosed, KeyId, Place, Record, Timestamp},
    },
    pipeline::Clock as _,
    store::{
        Entry, LogKind, LogRow, Store, StoreConfig,
        keys::{KeptKey, KeyStore},
    },
};

/// Where keys are: a data directory, and the file of their KEK unless it lies beside that.
#[derive(Clone, Copy, Debug)]
pub struct KeyPlace<'a> {
    /// The data directory.
    pub data: &'a Path,
    /// The file of the key-encryption key.
    pub kek: Option<&'a Path>,
}

impl KeyPlace<'_> {
    fn kek(&self) -> std::path::PathBuf {
        self.kek.map_or_else(|| files::kek(self.data), Path::to_owned)
    }

    fn open(&self, random: &mut Random) -> anyhow::Result<KeyStore> {
        keyring::open(self.data, &self.kek(), random)
    }

    /// Opens the keys for reading, for a check: nothing if they, or the file of their KEK, are not there and
    /// were not asked for.
    pub(super) fn open_if_there(&self) -> anyhow::Result<Option<KeyStore>> {
        let is_there = KeyStore::exists(&files::keys(self.data)) && self.kek().exists();
        if self.kek.is_none() && !is_there {
            return Ok(None);
        }
        keyring::open_read_only(self.data, &self.kek()).map(Some)
    }
}

/// Makes an empty key store for a directory that lost its own, or has none yet. Returns the id of the KEK.
pub fn create_keys(place: KeyPlace<'_>, random: &mut Random) -> anyhow::Result<KeyId> {
    // Whose directory has no database, has mistyped its name.
    drop(Store::open_read_only(&files::database(place.data), &StoreConfig::default())?);
    Ok(keyring::create(place.data, &place.kek(), random)?.kek_id())
}

/// A change of the key-encryption key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that were wrapped anew.
    pub keys: u64,
    /// Id of the KEK that wrapped them.
    pub old: KeyId,
    /// Id of the KEK that wraps them.
    pub new: KeyId,
}

/// Wraps all keys under the KEK in another file, which is made if there is none. The server must be stopped.
pub fn rotate_kek(place: KeyPlace<'_>, new: &Path, random: &mut Random) -> anyhow::Result<Rotated> {
    let store = place.open(random)?;
    ensure!(
        !new.starts_with(place.data),
        "{} lies inside the data directory, where whoever copies the keys gets it too; name another file",
        new.display()
    );
    let mut drawn = zeroize::Zeroizing::new([0; 32]);
    random.fill(&mut *drawn);
    let kek = files::keep_kek(new, &record::Secret::new(*drawn))?;
    let old = store.kek_id();
    ensure!(kek.id() != old, "{} holds the key-encryption key that is in use", new.display());
    let keys = store.rewrap(&kek, |_step| ()).context("wrap the keys anew")?;
    Ok(Rotated { keys, old, new: kek.id() })
}

/// Destroys the keys of the tokens that a log made in an epoch, which must be over. The server must be
/// stopped. Returns how many there were.
pub fn destroy_epoch(
    place: KeyPlace<'_>,
    origin: &str,
    epoch: u32,
    days: u32,
    random: &mut Random,
) -> anyhow::Result<u64> {
    let log = audit_log(&Directory::open(place.data, None)?, origin)?;
    let now = SystemClock::start().now().0.saturating_mul(1_000);
    let now = Timestamp::from_micros(now).context("read the clock")?;
    let present = record::epoch(now, days);
    ensure!(
        epoch < present,
        "epoch {epoch} is not over: the present one is {present}, of {days} days. Equal values would get two \
         tokens in one epoch"
    );
    Ok(place.open(random)?.destroy_epoch(log.number, epoch)?)
}

/// A key that is kept, with the origin of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The log.
    pub origin: String,
    /// What the key is for.
    pub key: KeptKey,
}

/// Calls back with each key that is kept.
pub fn list_keys(place: KeyPlace<'_>, mut listed: impl FnMut(ListedKey)) -> anyhow::Result<KeyId> {
    let store = Store::open_read_only(&files::database(place.data), &StoreConfig::default())?;
    let logs = store.logs()?;
    let keys = keyring::open_read_only(place.data, &place.kek())?;
    keys.each(|key| {
        let number = number_of(&key);
        let found = logs.iter().find(|log| log.number == number);
        let origin = found.map_or_else(|| format!("log {number}"), |log| log.origin.to_string());
        listed(ListedKey { origin, key });
        Ok(())
    })?;
    Ok(keys.kek_id())
}

fn number_of(key: &KeptKey) -> LogNumber {
    match key {
        KeptKey::Identity { log } | KeptKey::Subject { log, .. } | KeptKey::Token { log, .. } => {
            *log
        }
    }
}

/// Opens the committed fields of a record: all of them, or the one at a path. A running server does not mind.
pub fn disclose(
    place: KeyPlace<'_>,
    origin: &str,
    index: LeafIndex,
    path: Option<&record::Path>,
) -> anyhow::Result<Vec<Disclosed>> {
    let directory = Directory::open_read_only(place.data)?;
    let log = audit_log(&directory, origin)?;
    let entry = match directory.store.entry(log.number, index)? {
        Some(Entry::Bytes(entry)) => entry,
        Some(Entry::Erased(_)) => bail!("entry {index} was erased"),
        None => bail!("{} has no entry {index}", log.origin),
    };
    let record = Record::parse(&entry).with_context(|| format!("read entry {index}"))?;
    let committed = record.commitments();
    ensure!(!committed.is_empty(), "entry {index} has no committed field");
    let wanted = |found: &record::Path| path.is_none_or(|path| path == found);
    if !committed.iter().any(|(found, _)| wanted(found)) {
        let paths: Vec<&str> = committed.iter().map(|(path, _)| path.as_str()).collect();
        bail!(
            "entry {index} commits to nothing there; its committed fields are: {}",
            paths.join(", ")
        );
    }
    let keys = keyring::open_read_only(place.data, &place.kek())?;
    let numbered = (0_u16..).zip(committed).filter(|(_, (path, _))| wanted(path));
    let disclosed = numbered.map(|(field, (path, commitment))| {
        let place = Place { origin: &log.origin, id: record.id(), field };
        let opening = open(&directory.store, &keys, &log, &place, index)
            .with_context(|| format!("open the field {} of entry {index}", path.as_str()))?;
        ensure!(
            opening.path == path && opening.commitment() == commitment,
            "what is stored for the field {} of entry {index} opens another commitment; check the directory with \
             `attestree fsck --data`",
            path.as_str()
        );
        Disclosed::new(opening).with_context(|| format!("{} holds no value", path.as_str()))
    });
    disclosed.collect()
}

/// Opens what is stored for a field.
fn open(
    store: &Store,
    keys: &KeyStore,
    log: &LogRow,
    place: &Place<'_>,
    index: LeafIndex,
) -> anyhow::Result<record::Opening> {
    let row = store.disclosure(log.number, index, place.field)?;
    let row = row.context("what opens it is not stored any more")?;
    let id = KeyId::of_row(&row).context("its row is of another version")?;
    let key = keys.subject_key(log.number, id)?;
    let key = key.context("its key was destroyed, or is in another key store")?;
    Ok(place.open(&key, &row)?)
}

/// Finds an audit log by its origin; the empty origin means the first log.
fn audit_log(directory: &Directory, origin: &str) -> anyhow::Result<LogRow> {
    let log = directory.log(origin)?;
    ensure!(
        log.kind == LogKind::Audit,
        "{} is not an audit log: nothing in it is committed; name another with --log",
        log.origin
    );
    Ok(log)
}
