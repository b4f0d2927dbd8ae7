//! The key store: keys are made once, found again, wrapped anew and destroyed.

mod property;
mod rewrap;
mod store;
mod vectors;

use std::path::{Path, PathBuf};

use attestree::core::number::LogNumber;
use attestree::core::origin::Origin;
use attestree::core::record::Secret;
use attestree::store::keys::{Entropy, Kek, KeyError, KeyStore};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tempfile::TempDir;

use crate::held;

/// The log of these tests.
pub const LOG: LogNumber = LogNumber(7);

/// Randomness of a seed.
pub struct Seeded(ChaCha20Rng);

/// Returns randomness of a seed.
pub fn seeded(seed: u8) -> Box<Seeded> {
    Box::new(Seeded(ChaCha20Rng::from_seed([seed; 32])))
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// Returns the origin of the log.
pub fn origin() -> Origin {
    Origin::parse("log.example/audit").unwrap()
}

/// Returns a KEK.
pub fn kek(seed: u8) -> Box<dyn Kek> {
    Box::new(Secret::new([seed; 32]))
}

/// A directory with a key store under KEK 1.
pub struct Keyed {
    _root: TempDir,
    pub dir: PathBuf,
}

impl Keyed {
    pub fn new() -> (Self, KeyStore) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("keys");
        let store = KeyStore::create(&dir, kek(1), seeded(1)).unwrap();
        (Self { _root: root, dir }, store)
    }

    pub fn open(&self, seed: u8) -> Result<KeyStore, KeyError> {
        open(&self.dir, seed)
    }
}

/// Opens a key store with the KEK of a seed.
pub fn open(dir: &Path, seed: u8) -> Result<KeyStore, KeyError> {
    held::open(|| KeyStore::open(dir, kek(seed), seeded(100 + seed)))
}

/// Returns the key of one subject.
pub fn subject(store: &KeyStore, subject: &str) -> Secret {
    store.subject_keys(LOG, &origin(), &[subject]).unwrap().remove(0)
}

/// Returns every byte of a directory's files.
pub fn bytes_of(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        bytes.extend(std::fs::read(file.path()).unwrap());
    }
    bytes
}

/// Returns whether bytes stand in others.
pub fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
