//! The keys of audit logs, as the write path asks for them.

use std::{
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
};

use super::{Config, keyring, random::Random};
use crate::{
    core::{
        number::LogNumber,
        origin::Origin,
        record::{Path, Secret},
    },
    pipeline::{Entropy, Vault, VaultError},
    store::{
        Store, StoreError,
        keys::{KeyError, KeyStore},
    },
};

/// The key store of a running server: opened at its start if there is an audit log, and else before the
/// first one is created.
pub(super) struct Ring {
    data: PathBuf,
    kek: PathBuf,
    store: Store,
    random: Mutex<Random>,
    keys: OnceLock<KeyStore>,
}

impl Ring {
    /// Opens the key store, if one is needed.
    pub(super) fn open(config: &Config, store: &Store, mut random: Random) -> anyhow::Result<Self> {
        let keys = keyring::open_if_needed(store, &config.data, &config.kek, &mut random)?;
        Ok(Self {
            data: config.data.clone(),
            kek: config.kek.clone(),
            store: store.clone(),
            random: Mutex::new(random),
            keys: keys.map_or_else(OnceLock::new, OnceLock::from),
        })
    }

    /// Makes the key store, unless it is open: an audit log is to be created.
    pub(super) fn ensure(&self) -> anyhow::Result<()> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keys.get().is_none() {
            let keys = keyring::ensure(&self.store, &self.data, &self.kek, &mut random)?;
            // Nobody else sets it: the lock is held from the look to the making.
            self.keys.get_or_init(|| keys);
        }
        Ok(())
    }

    /// Returns the key store.
    fn keys(&self) -> Result<&KeyStore, VaultError> {
        let reason = || "the key store is not open".to_owned();
        self.keys.get().ok_or_else(|| VaultError { reason: reason(), poisoned: false })
    }
}

/// Says why a key can't be had. The key store's words name no subject.
fn failed(error: KeyError) -> VaultError {
    let poisoned = matches!(error, KeyError::Store(StoreError::Write(_) | StoreError::Poisoned));
    VaultError { reason: error.to_string(), poisoned }
}

impl Vault for Ring {
    fn subject_keys(
        &self,
        log: LogNumber,
        origin: &Origin,
        subjects: &[&str],
    ) -> Result<Vec<Secret>, VaultError> {
        self.keys()?.subject_keys(log, origin, subjects).map_err(failed)
    }

    fn known_subject_key(&self, log: LogNumber, origin: &Origin, subject: &str) -> Option<Secret> {
        self.keys.get()?.known_subject_key(log, origin, subject)
    }

    fn token_key(&self, log: LogNumber, path: &Path, epoch: u32) -> Result<Secret, VaultError> {
        self.keys()?.token_key(log, path, epoch).map_err(failed)
    }

    fn identity_secret(&self, log: LogNumber) -> Result<Secret, VaultError> {
        self.keys()?.identity_secret(log).map_err(failed)
    }
}

/// A generator that many threads draw from.
pub(super) struct SharedRandom(pub(super) Mutex<Random>);

impl Entropy for SharedRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}
