//! What an operator does with keys: look at them, wrap them anew, destroy them, copy them.

use std::{path::Path, sync::PoisonError};

use rocksdb::WriteBatch;

use crate::{
    core::{number::LogNumber, origin::Origin, record::KeyPurpose},
    store::{StoreError, engine::Access},
};

use super::{
    Kek, KeyError, KeyStore, Maker, draw_nonce,
    engine::KeyEngine,
    row::{self, IDENTITY_KIND, Named, SUBJECT_KIND, TOKEN_KIND},
};

/// Bytes of rows that a copy writes at once.
const COPIED_BYTES_MAX: usize = 1 << 20;

/// A key that is kept, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptKey {
    /// The secret of a log that recognises what is submitted again.
    Identity {
        /// The log.
        log: LogNumber,
    },
    /// The key of a subject.
    Subject {
        /// The log.
        log: LogNumber,
        /// The subject: personal data.
        subject: String,
    },
    /// The key of the tokens of a path in an epoch.
    Token {
        /// The log.
        log: LogNumber,
        /// The epoch.
        epoch: u32,
        /// The path.
        path: String,
    },
}

/// How far the change of a KEK has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every key is wrapped in memory; nothing has changed on the disk.
    Wrapped,
    /// The synced write has returned: the new KEK is the one that opens the store.
    Written,
    /// No file holds what the old one wrapped.
    Purged,
}

impl KeyStore {
    /// Calls back with each key that is kept, by kind and log.
    pub fn each(
        &self,
        mut key: impl FnMut(KeptKey) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        self.each_row(|stored, bytes| {
            key(match row::name(&self.shared.names, stored, bytes)? {
                Named::Identity { log } => KeptKey::Identity { log },
                Named::Subject { log, subject, .. } => KeptKey::Subject { log, subject },
                Named::Token { log, epoch, path } => KeptKey::Token { log, epoch, path },
            })
        })
    }

    fn each_row(
        &self,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let kinds = [IDENTITY_KIND, SUBJECT_KIND, TOKEN_KIND];
        kinds.into_iter().try_for_each(|kind| self.shared.engine.each(&[kind], &mut row))
    }

    /// Wraps every key under another KEK, in one synced write, and ends the store's life under the old one:
    /// it has to be opened again. Returns how many keys there are.
    ///
    /// A crash leaves all keys under the old KEK or all under the new one. The write holds some 300 bytes of
    /// memory a key. `reached` is told of each step.
    pub fn rewrap(self, new: &dyn Kek, mut reached: impl FnMut(Step)) -> Result<u64, KeyError> {
        let shared = &*self.shared;
        let mut maker = self.turn()?;
        let secret = row::open_names(&shared.engine, &*shared.kek, &shared.dir)?;
        let wrapped = new.wrap(&KeyPurpose::Names, &secret, draw_nonce(maker.entropy()?))?;
        let mut batch = WriteBatch::default();
        batch.put(row::STORE, row::encode_store(new.id(), &wrapped));
        batch.put(row::PENDING, row::marker());
        let mut count = 0;
        self.each_row(|stored, bytes| {
            let (named, key) = row::open(&shared.names, &*shared.kek, stored, bytes)?;
            let wrapped = new.wrap(&named.purpose(), &key, draw_nonce(maker.entropy()?))?;
            batch.put(stored, row::rewrapped(&wrapped, row::split(bytes)?.1));
            count += 1;
            Ok(())
        })?;
        reached(Step::Wrapped);
        maker.write(&shared.engine, batch)?;
        // What is made from here on by another handle would be wrapped under the old KEK.
        maker.poisoned = true;
        reached(Step::Written);
        self.purge(&mut maker)?;
        reached(Step::Purged);
        Ok(count)
    }

    /// Destroys the key of a subject: what it sealed is never opened again. Returns whether there was one.
    ///
    /// When this returns, no file of the store holds it. Copies of the store do; they open only with a KEK
    /// that wrapped it.
    pub fn destroy_subject(
        &self,
        log: LogNumber,
        origin: &Origin,
        subject: &str,
    ) -> Result<bool, KeyError> {
        let shared = &*self.shared;
        let stored = Named::subject(log, origin, subject).stored(&shared.names);
        let mut maker = self.turn()?;
        let settled = shared.settled.write().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = shared.engine.get(&stored)? else { return Ok(false) };
        let (_, key) = row::open(&shared.names, &*shared.kek, &stored, &bytes)?;
        let mut batch = WriteBatch::default();
        batch.put(row::PENDING, row::marker());
        batch.delete(&stored);
        batch.delete(row::found(log, key.id()));
        maker.write(&shared.engine, batch)?;
        shared.cache.remove(&*stored);
        drop(settled);
        self.purge(&mut maker)?;
        Ok(true)
    }

    /// Destroys the keys of the tokens of a log in an epoch, which never gets one again. Returns how many
    /// there were.
    ///
    /// The caller sees to it that the epoch is over.
    pub fn destroy_epoch(&self, log: LogNumber, epoch: u32) -> Result<u64, KeyError> {
        let shared = &*self.shared;
        let mut maker = self.turn()?;
        let settled = shared.settled.write().unwrap_or_else(PoisonError::into_inner);
        let mut batch = WriteBatch::default();
        batch.put(row::PENDING, row::marker());
        batch.put(row::destroyed(log, epoch), row::marker());
        let mut destroyed: Vec<Box<[u8]>> = Vec::new();
        shared.engine.each(&row::epoch(log, epoch), |stored, _| {
            batch.delete(stored);
            destroyed.push(stored.into());
            Ok(())
        })?;
        maker.write(&shared.engine, batch)?;
        destroyed.iter().for_each(|stored| drop(shared.cache.remove(&**stored)));
        drop(settled);
        self.purge(&mut maker)?;
        Ok(u64::try_from(destroyed.len()).expect("a usize fits in 64 bits"))
    }

    /// Copies the key store in `dir`, wrapped keys and all, to `dest`, which must not exist.
    ///
    /// Whoever has it open for writing does not mind; keys that it makes meanwhile may be left out. Nothing is
    /// unwrapped: the KEK lies elsewhere and is no part of the copy. Returns how many rows there are.
    pub fn copy(dir: &Path, dest: &Path) -> Result<u64, KeyError> {
        if !Self::exists(dir) {
            return Err(KeyError::Missing { dir: dir.to_owned() });
        }
        let source = KeyEngine::open(dir, Access::Read)?;
        let mut count = 0;
        KeyEngine::create(dest, |copy| {
            let write = |batch| copy.write(batch).map_err(StoreError::Write);
            let mut batch = WriteBatch::default();
            source.each(&[], |stored, bytes| {
                batch.put(stored, bytes);
                count += 1;
                if batch.size_in_bytes() >= COPIED_BYTES_MAX {
                    write(core::mem::take(&mut batch))?;
                }
                Ok(())
            })?;
            Ok(write(batch)?)
        })?;
        Ok(count)
    }

    /// Removes what was deleted or replaced from every file, and then the row that demands it: what a crash
    /// interrupts here, the next open does again.
    pub(super) fn purge(&self, maker: &mut Maker) -> Result<(), KeyError> {
        let shared = &*self.shared;
        if !shared.engine.purge()? {
            return Err(KeyError::NotPurged { dir: shared.dir.clone() });
        }
        let mut batch = WriteBatch::default();
        batch.delete(row::PENDING);
        maker.write(&shared.engine, batch)
    }
}
