//! The process's only source of randomness.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use zeroize::Zeroizing;

use crate::store::keys::Entropy;

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

    /// Fills bytes that nobody can foresee.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.generator.fill_bytes(bytes);
    }

    /// Returns another generator, which shares nothing with this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        self.fill(&mut *seed);
        Self::from_seed(*seed)
    }

    /// Draws the seed of a key, or of another generator.
    pub fn key_seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.generator.fill_bytes(&mut seed);
        seed
    }
}

impl Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        Self::fill(self, bytes);
    }
}
