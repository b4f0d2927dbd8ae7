//! The process's only source of randomness.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A generator that was seeded once by the operating system, or by a test.
#[derive(Debug)]
pub struct Random {
    generator: ChaCha20Rng,
}

impl Random {
    /// Seeds the generator from the operating system.
    pub fn from_system() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// Seeds the generator with given bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { generator: ChaCha20Rng::from_seed(seed) }
    }

    /// Draws the seed of a key, or of another generator.
    pub fn key_seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.generator.fill_bytes(&mut seed);
        seed
    }
}
