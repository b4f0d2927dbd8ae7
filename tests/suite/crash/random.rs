//! One reproducible source of chance for each crash test.

use std::hash::{BuildHasher as _, RandomState};

use super::setting;
pub(crate) use crate::random::Random;

impl Random {
    /// Starts the sequence of `ATTESTREE_CRASH_SEED` or, without it, of a fresh seed, and prints it.
    pub(crate) fn seeded(test: &str) -> Self {
        let seed = setting("SEED").unwrap_or_else(|| RandomState::new().hash_one(test));
        eprintln!("{test}: seed {seed} (ATTESTREE_CRASH_SEED={seed} repeats it)");
        Self::new(seed)
    }
}
