//! The key store: the keys under which values beside the log are sealed, in a database of its own.
//!
//! It has its own directory and its own WAL, so that backups leave it out, and so that a key which is
//! destroyed is destroyed here alone. What it holds is wrapped under a key-encryption key (KEK), which lies
//! elsewhere; see [`crate::core::record::KeyPurpose`] and the manual's page on records for the bytes.
//!
//! # Invariants
//!
//! - A key is durable before anyone gets it: what was sealed can be opened after any crash.
//! - One name has one key until that is destroyed, whoever asks for it at the same time.
//! - A destroyed epoch never gets a key again, so that equal values of one epoch never have two tokens.
//! - No row shows a name or a key; the memory that held a key is overwritten.
//! - After a failed or uncertain write no key is made any more, as in [`super::Store`].

mod engine;
mod error;
mod kek;
mod row;
mod upkeep;

pub use error::KeyError;
pub use kek::{Kek, KekError};
pub use upkeep::{KeptKey, Step};

use core::fmt;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use quick_cache::{Weighter, sync::Cache};
use rocksdb::WriteBatch;
use zeroize::Zeroizing;

use crate::core::{
    number::LogNumber,
    origin::Origin,
    record::{self, KeyId, KeyPurpose, Names, SECRET_BYTES, Secret, WRAP_NONCE_BYTES},
};

use super::{StoreError, engine::Access};
use engine::KeyEngine;
use row::Named;

/// Bytes of a cached key besides its place: the key itself with its id, its counters and slots of the cache.
const CACHED_BYTES: usize = 216;

/// Bytes of keys that are held in memory: some 32,000, or the subjects of a busy hour.
const CACHE_BYTES: usize = 8 << 20;

/// A good source of randomness, which the store itself has not.
pub trait Entropy: Send {
    /// Fills bytes that nobody can foresee.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The open key store. A clone is another handle on the same one.
#[derive(Clone)]
pub struct KeyStore {
    shared: Arc<Shared>,
}

/// What the handles share.
struct Shared {
    engine: KeyEngine,
    dir: PathBuf,
    kek: Box<dyn Kek>,
    names: Names,
    cache: Cache<Box<[u8]>, Arc<Secret>, Weigh>,
    maker: Mutex<Maker>,
    /// Held shared while a key goes from the disk into the cache, and alone while one is destroyed, so that
    /// no destroyed key comes into the cache again.
    settled: RwLock<()>,
}

/// What only one thread at a time may use.
struct Maker {
    /// None in a store that is only read.
    entropy: Option<Box<dyn Entropy>>,
    /// Never becomes false again.
    poisoned: bool,
}

/// Weighs a cached key by the memory that it takes.
#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Box<[u8]>, Arc<Secret>> for Weigh {
    fn weight(&self, stored: &Box<[u8]>, _: &Arc<Secret>) -> u64 {
        u64::try_from(stored.len() + CACHED_BYTES).expect("a usize fits in 64 bits")
    }
}

impl KeyStore {
    /// Makes an empty key store in `dir`, which must not exist; its parent must.
    ///
    /// It is made under another name, so that `dir` holds a whole one or none whenever this is interrupted.
    pub fn create(
        dir: &Path,
        kek: Box<dyn Kek>,
        mut entropy: Box<dyn Entropy>,
    ) -> Result<Self, KeyError> {
        let secret = draw_secret(&mut *entropy);
        let wrapped = kek.wrap(&KeyPurpose::Names, &secret, draw_nonce(&mut *entropy))?;
        let mut batch = WriteBatch::default();
        batch.put(row::FORMAT, row::FORMAT_VERSION.to_be_bytes());
        batch.put(row::STORE, row::encode_store(kek.id(), &wrapped));
        KeyEngine::create(dir, |engine| Ok(engine.write(batch).map_err(StoreError::Write)?))?;
        Self::open(dir, kek, entropy)
    }

    /// Opens the key store in `dir`. What a crashed process left in the page cache is durable afterwards.
    pub fn open(
        dir: &Path,
        kek: Box<dyn Kek>,
        entropy: Box<dyn Entropy>,
    ) -> Result<Self, KeyError> {
        let store = Self::assemble(dir, kek, Some(entropy))?;
        store.shared.engine.flush()?;
        if store.shared.engine.get(&row::PENDING)?.is_some() {
            store.purge(&mut *store.turn()?)?;
        }
        Ok(store)
    }

    /// Opens the key store in `dir` for reading; nothing in the directory changes.
    pub fn open_read_only(dir: &Path, kek: Box<dyn Kek>) -> Result<Self, KeyError> {
        Self::assemble(dir, kek, None)
    }

    /// Returns whether there is a key store in a directory.
    pub fn exists(dir: &Path) -> bool {
        dir.join("CURRENT").is_file()
    }

    /// Puts the store together around an open database.
    fn assemble(
        dir: &Path,
        kek: Box<dyn Kek>,
        entropy: Option<Box<dyn Entropy>>,
    ) -> Result<Self, KeyError> {
        if !Self::exists(dir) {
            return Err(KeyError::Missing { dir: dir.to_owned() });
        }
        let access = if entropy.is_some() { Access::Write } else { Access::Read };
        let engine = KeyEngine::open(dir, access)?;
        let names = Names::new(&row::open_names(&engine, &*kek, dir)?);
        let weight = u64::try_from(CACHE_BYTES).expect("a usize fits in 64 bits");
        let cache = Cache::with_weighter(CACHE_BYTES / CACHED_BYTES, weight, Weigh);
        let maker = Mutex::new(Maker { entropy, poisoned: false });
        let settled = RwLock::new(());
        let dir = dir.to_owned();
        Ok(Self { shared: Arc::new(Shared { engine, dir, kek, names, cache, maker, settled }) })
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Returns the id of the KEK.
    pub fn kek_id(&self) -> KeyId {
        self.shared.kek.id()
    }

    /// Returns the keys of subjects of a log, in their order; those that are new are made, in one synced
    /// write.
    pub fn subject_keys(
        &self,
        log: LogNumber,
        origin: &Origin,
        subjects: &[&str],
    ) -> Result<Vec<Secret>, KeyError> {
        let named: Vec<Named> =
            subjects.iter().map(|subject| Named::subject(log, origin, subject)).collect();
        self.find_or_make(&named)
    }

    /// Returns the key of a subject if it is in memory.
    pub fn known_subject_key(
        &self,
        log: LogNumber,
        origin: &Origin,
        subject: &str,
    ) -> Option<Secret> {
        let stored = Named::subject(log, origin, subject).stored(&self.shared.names);
        self.shared.cache.get(&*stored).map(|key| Secret::clone(&key))
    }

    /// Returns the key of the tokens of a path of a log in an epoch; makes it if it is new.
    pub fn token_key(
        &self,
        log: LogNumber,
        path: &record::Path,
        epoch: u32,
    ) -> Result<Secret, KeyError> {
        self.one(Named::Token { log, epoch, path: path.as_str().to_owned() })
    }

    /// Returns the secret that tells whether what is submitted again to a log is the same; makes it if it is
    /// new.
    pub fn identity_secret(&self, log: LogNumber) -> Result<Secret, KeyError> {
        self.one(Named::Identity { log })
    }

    /// Returns the key of a subject that sealed a disclosure row, by the id in that row; nothing if it is not
    /// here or was destroyed.
    pub fn subject_key(&self, log: LogNumber, id: KeyId) -> Result<Option<Secret>, KeyError> {
        let Some(tag) = self.shared.engine.get(&row::found(log, id))? else { return Ok(None) };
        let stored = row::subject_of(log, &tag)?;
        let _settled = self.shared.settled.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = self.shared.cache.get(&*stored) {
            return Ok(Some(Secret::clone(&key)));
        }
        let Some(bytes) = self.shared.engine.get(&stored)? else { return Ok(None) };
        let key = row::open(&self.shared.names, &*self.shared.kek, &stored, &bytes)?.1;
        if key.id() != id {
            return Err(KeyError::Damaged { dir: self.shared.dir.clone() });
        }
        Ok(Some(key))
    }

    fn one(&self, named: Named) -> Result<Secret, KeyError> {
        let keys = self.find_or_make(&[named])?;
        Ok(keys.into_iter().next().expect("one key for one name"))
    }

    /// Returns the keys of names, in their order.
    fn find_or_make(&self, named: &[Named]) -> Result<Vec<Secret>, KeyError> {
        let wanted: Vec<(Box<[u8]>, &Named)> =
            named.iter().map(|named| (named.stored(&self.shared.names), named)).collect();
        let found = wanted.iter().map(|(stored, named)| self.find(stored, named));
        let found: Vec<Option<Arc<Secret>>> = found.collect::<Result<_, _>>()?;
        let mut made = BTreeMap::new();
        if found.iter().any(Option::is_none) {
            let missing = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
            made = self.make(missing.map(|(wanted, _)| wanted))?;
        }
        let key = |((stored, _), found): (&(Box<[u8]>, _), Option<Arc<Secret>>)| {
            let key = found.or_else(|| made.get(&**stored).cloned());
            Secret::clone(&key.expect("what was not found was made"))
        };
        Ok(wanted.iter().zip(found).map(key).collect())
    }

    /// Returns a key that is in the cache or on the disk.
    fn find(&self, stored: &[u8], named: &Named) -> Result<Option<Arc<Secret>>, KeyError> {
        let Shared { engine, kek, cache, settled, .. } = &*self.shared;
        if let Some(key) = cache.get(stored) {
            return Ok(Some(key));
        }
        let _settled = settled.read().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = engine.get(stored)? else { return Ok(None) };
        let (wrapped, _) = row::split(&bytes)?;
        let key = Arc::new(kek.unwrap_key(&named.purpose(), wrapped)?);
        // What is sealed under a key shows its id: whoever takes a copy from the cache has that as well.
        let _derived = key.id();
        cache.insert(stored.into(), Arc::clone(&key));
        Ok(Some(key))
    }

    /// Makes the keys of names, in one synced write, unless another thread has made them by then.
    fn make<'w>(
        &self,
        wanted: impl Iterator<Item = &'w (Box<[u8]>, &'w Named)>,
    ) -> Result<BTreeMap<&'w [u8], Arc<Secret>>, KeyError> {
        let Shared { engine, names, kek, cache, .. } = &*self.shared;
        let mut maker = self.turn()?;
        let mut keys: BTreeMap<&'w [u8], Arc<Secret>> = BTreeMap::new();
        let mut new = Vec::new();
        let mut batch = WriteBatch::default();
        for (stored, named) in wanted {
            if keys.contains_key(&**stored) {
                continue;
            }
            if let Some(key) = self.find(stored, named)? {
                keys.insert(stored, key);
                continue;
            }
            self.refuse_destroyed(named)?;
            let entropy = maker.entropy()?;
            let key = Arc::new(draw_secret(entropy));
            let wrapped = kek.wrap(&named.purpose(), &key, draw_nonce(entropy))?;
            batch.put(stored, row::encode(names, stored, named, &wrapped, draw_nonce(entropy)));
            if let Named::Subject { log, .. } = named {
                batch.put(row::found(*log, key.id()), row::tag_of(stored));
            }
            new.push(&**stored);
            keys.insert(stored, key);
        }
        if !new.is_empty() {
            maker.write(engine, batch)?;
        }
        for stored in new {
            let key = keys.get(stored).expect("a new key was noted");
            cache.insert(stored.into(), Arc::clone(key));
        }
        Ok(keys)
    }

    /// Refuses tokens of an epoch whose keys were destroyed.
    fn refuse_destroyed(&self, named: &Named) -> Result<(), KeyError> {
        let Named::Token { log, epoch, .. } = named else { return Ok(()) };
        match self.shared.engine.get(&row::destroyed(*log, *epoch))? {
            Some(_) => Err(KeyError::EpochDestroyed { epoch: *epoch }),
            None => Ok(()),
        }
    }

    /// Takes the maker's turn. A thread that panicked in its turn may have left a write behind, so that
    /// poisons as well.
    fn turn(&self) -> Result<MutexGuard<'_, Maker>, KeyError> {
        match self.shared.maker.lock() {
            Ok(maker) if maker.entropy.is_none() => Err(StoreError::ReadOnly.into()),
            Ok(maker) if !maker.poisoned => Ok(maker),
            Ok(_) | Err(_) => Err(StoreError::Poisoned.into()),
        }
    }
}

impl Maker {
    /// Returns the source of randomness.
    fn entropy(&mut self) -> Result<&mut dyn Entropy, KeyError> {
        match &mut self.entropy {
            Some(entropy) => Ok(&mut **entropy),
            None => Err(StoreError::ReadOnly.into()),
        }
    }

    /// Writes a batch and syncs it. A failure poisons the store.
    fn write(&mut self, engine: &KeyEngine, batch: WriteBatch) -> Result<(), KeyError> {
        let written = engine.write(batch);
        self.poisoned |= written.is_err();
        Ok(written.map_err(StoreError::Write)?)
    }
}

/// Draws a key.
fn draw_secret(entropy: &mut dyn Entropy) -> Secret {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    entropy.fill(&mut *bytes);
    Secret::new(*bytes)
}

/// Draws the nonce of one wrapping.
fn draw_nonce(entropy: &mut dyn Entropy) -> [u8; WRAP_NONCE_BYTES] {
    let mut nonce = [0; WRAP_NONCE_BYTES];
    entropy.fill(&mut nonce);
    nonce
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}
