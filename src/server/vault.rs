//! The keys and the randomness of audit logs in a running server.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{keyring, random::Random};
use crate::{
    core::{
        number::LogNumber,
        origin::Origin,
        record::{self, Secret},
    },
    pipeline::{Entropy, Vault, VaultError},
    store::{
        Store,
        keys::{KeyError, KeyStore},
    },
};

/// Generators of randomness: twice as many as threads usually want one at the same moment.
const GENERATORS: usize = 8;

/// The key store of a server: opened at its start if there is an audit log, made before the first one.
#[derive(Debug)]
pub struct Keys {
    data: PathBuf,
    kek: PathBuf,
    /// Held while a key store is made.
    random: Mutex<Random>,
    store: OnceLock<KeyStore>,
}

impl Keys {
    /// Opens the key store, if there is one or has to be one.
    pub fn open(
        store: &Store,
        data: &Path,
        kek: &Path,
        mut random: Random,
    ) -> anyhow::Result<Arc<Self>> {
        let opened = keyring::open_if_needed(store, data, kek, &mut random)?;
        let keys = Self {
            data: data.to_owned(),
            kek: kek.to_owned(),
            random: Mutex::new(random),
            store: OnceLock::new(),
        };
        if let Some(opened) = opened {
            let first = keys.store.set(opened);
            first.expect("nothing was put there before");
        }
        Ok(Arc::new(keys))
    }

    /// Makes the key store, unless it is open. Has to be called before an audit log is made.
    pub fn prepare(&self, store: &Store) -> anyhow::Result<()> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store.get().is_none() {
            let opened = keyring::ensure(store, &self.data, &self.kek, &mut random)?;
            let first = self.store.set(opened);
            first.expect("the lock is held, and nothing was there");
        }
        Ok(())
    }

    /// Asks the key store.
    fn ask<T>(
        &self,
        question: impl FnOnce(&KeyStore) -> Result<T, KeyError>,
    ) -> Result<T, VaultError> {
        let failed = |reason| VaultError { reason };
        let store = self.store.get();
        let store = store.ok_or_else(|| failed("the server has no key store".to_owned()))?;
        question(store).map_err(|error| failed(error.to_string()))
    }
}

impl Vault for Keys {
    fn subject_keys(
        &self,
        log: LogNumber,
        origin: &Origin,
        subjects: &[&str],
    ) -> Result<Vec<Secret>, VaultError> {
        self.ask(|keys| keys.subject_keys(log, origin, subjects))
    }

    fn known_subject_key(&self, log: LogNumber, origin: &Origin, subject: &str) -> Option<Secret> {
        self.store.get()?.known_subject_key(log, origin, subject)
    }

    fn token_key(
        &self,
        log: LogNumber,
        path: &record::Path,
        epoch: u32,
    ) -> Result<Secret, VaultError> {
        self.ask(|keys| keys.token_key(log, path, epoch))
    }

    fn identity_secret(&self, log: LogNumber) -> Result<Secret, VaultError> {
        self.ask(|keys| keys.identity_secret(log))
    }
}

/// Randomness for many threads: some generators, each with a seed of its own.
#[derive(Debug)]
pub struct Draws([Mutex<Random>; GENERATORS]);

impl Draws {
    /// Seeds the generators from another one.
    pub fn new(random: &mut Random) -> Self {
        Self(core::array::from_fn(|_| Mutex::new(random.fork())))
    }
}

impl Entropy for Draws {
    fn fill(&self, bytes: &mut [u8]) {
        let [first, ..] = &self.0;
        // Whoever finds all of them in use waits for the first.
        let free = self.0.iter().find_map(|generator| generator.try_lock().ok());
        free.unwrap_or_else(|| first.lock().unwrap_or_else(PoisonError::into_inner)).fill(bytes);
    }
}
