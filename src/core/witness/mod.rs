//! What a witness decides, as functions of what it remembers (c2sp.org/tlog-witness).
//!
//! A witness cosigns a checkpoint if the log has signed it and its tree extends the largest one of that
//! log that the witness has cosigned before. It reads no entry. What it states is that there is one
//! history: two checkpoints that can't both be true never both get its cosignature.
//!
//! # Invariants
//!
//! - The checks come in the order of the specification, so that an answer says nothing about the
//!   witness's memory to one who has no checkpoint that the log has signed.
//! - [`Accepted`] is made by [`judge`] alone; it holds the checkpoint under its log's signatures only,
//!   so that what is remembered of a log has a bound.
//!
//! # Out of scope
//!
//! - Keeping what was accepted, atomically and before the answer leaves: the daemon's journal.
//! - Notes with extension lines, and logs whose key is not named as their origin: refused as malformed,
//!   or never matched.

mod judge;
mod request;

pub use judge::{Accepted, Refusal, WitnessedLog, contradicts, cosigned_beyond, judge};
pub use request::{ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, AddCheckpointError, PROOF_HASHES_MAX};

use crate::core::{hash::TreeHash, origin::Origin};

/// Returns the segment of a path under which a witness shows its newest checkpoint of a log: the
/// SHA-256 of the origin in lower-case hexadecimal.
pub fn origin_hash_hex(origin: &Origin) -> String {
    let hash = TreeHash::digest(origin.as_str().as_bytes());
    hash.as_bytes().iter().fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"))
}
