//! The pure core: hashes, tree, proofs, tiles, notes, checkpoints, receipts, evidence, trust, and the
//! rules of witnesses.
//!
//! # Out of scope
//!
//! - I/O, asynchrony, clocks, randomness and logging: nothing in here does any of it. Callers pass
//!   in what was read, what time it is and which key signs.

pub mod bundle;
pub mod chain;
pub mod checkpoint;
pub mod credential;
pub mod entry;
pub mod evidence;
pub mod hash;
pub mod note;
pub mod number;
pub mod origin;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod tile;
pub mod tree;
pub mod trust;
pub mod witness;
