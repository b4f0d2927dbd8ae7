//! The two states a head passes through before it may be signed.
//!
//! [`CommittedHead`] is durable and was computed twice; [`RaisedHead`] is covered by the watermark
//! as well. Neither can be made in any other way, and the signer takes nothing but the last.

use super::guard::Guarded;
use crate::{
    core::{
        checkpoint::{SignedCheckpoint, sign_checkpoint},
        hash::TreeHash,
        note::SigningKey,
        number::{LogNumber, UnixMillis},
        tree::{SecondHead, TreeHead},
    },
    store::{Durable, LogRow, Watermark, WatermarkError},
};

/// A head that is durable and whose root was computed twice, from independent inputs.
#[derive(Clone, Copy, Debug)]
pub struct CommittedHead {
    log: LogNumber,
    head: TreeHead,
    at: UnixMillis,
}

/// The two computations of a root differ: memory, disk or code is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the committed head of size {} has root {}, the second computation has root {} at size {}",
    committed.size, committed.root, second.root, second.size)]
pub struct RootMismatch {
    /// The head that was written.
    pub committed: TreeHead,
    /// The head that the second computation found.
    pub second: TreeHead,
}

impl CommittedHead {
    /// Joins the proof of a synced commit with the second computation of its root.
    pub fn new(durable: &Durable, second: &SecondHead) -> Result<Self, RootMismatch> {
        let row = durable.row();
        if row.head != second.head() {
            return Err(RootMismatch { committed: row.head, second: second.head() });
        }
        Ok(Self { log: durable.log(), head: row.head, at: row.at })
    }

    /// Raises the watermark to this head.
    ///
    /// It lives outside the database, so that a database restored from an older copy finds itself
    /// behind and can't sign a second history. The write is not synced: after a power loss the
    /// WAL, not the watermark, holds what was acknowledged.
    pub fn raise(
        self,
        watermark: &Watermark,
        key_hash: TreeHash,
    ) -> Result<RaisedHead, WatermarkError> {
        watermark.raise(self.log, self.head, key_hash)?;
        Ok(RaisedHead { committed: self })
    }
}

/// A committed head that the watermark covers.
#[derive(Clone, Copy, Debug)]
pub struct RaisedHead {
    committed: CommittedHead,
}

impl RaisedHead {
    /// Returns size and root.
    pub fn head(&self) -> TreeHead {
        self.committed.head
    }

    /// Returns when the head was sequenced.
    pub fn at(&self) -> UnixMillis {
        self.committed.at
    }
}

/// The signer of a log that may not sign yet.
#[derive(Debug)]
pub(super) struct Unguarded(Signer);

impl Unguarded {
    /// Takes the key of a log if it is the one that the log's row names as its signing key.
    pub(super) fn new(row: &LogRow, key: SigningKey) -> Option<Self> {
        Signer::new(row, key).map(Self)
    }

    /// Returns the hash under which the watermark knows the key.
    pub(super) fn key_hash(&self) -> TreeHash {
        self.0.key_hash()
    }

    /// Signs the head of the tree without leaves, which every history extends: it claims nothing
    /// that a guard would have to allow.
    pub(super) fn sign_empty(&self) -> SignedCheckpoint {
        sign_checkpoint(&self.0.key, &self.0.row.origin, TreeHead::empty())
    }

    /// Returns the signer.
    ///
    /// # Panics
    ///
    /// If the permit is another log's: it was asked for by this log's number.
    pub(super) fn permit(self, permit: &Guarded) -> Signer {
        assert_eq!(permit.log(), self.0.log(), "a log signs by its own permit");
        self.0
    }
}

/// Signs the heads of one log. Had from [`Unguarded`] alone.
///
/// Signing is a pure function of the head, because Ed25519 is deterministic and a checkpoint holds
/// no time: a crash between commit and signature is repaired by signing the same head again.
#[derive(Debug)]
pub(super) struct Signer {
    row: LogRow,
    key: SigningKey,
    key_hash: TreeHash,
}

impl Signer {
    /// Takes the key of a log if it is the one that the log's row names as its signing key.
    fn new(row: &LogRow, key: SigningKey) -> Option<Self> {
        let vkey = key.verifier_key();
        let matches = row.vkeys.last().is_some_and(|last| last.to_string() == vkey.to_string());
        let key_hash = TreeHash::digest(vkey.to_string().as_bytes());
        matches.then(|| Self { row: row.clone(), key, key_hash })
    }

    /// Returns the number of the log whose heads it signs.
    pub(super) fn log(&self) -> LogNumber {
        self.row.number
    }

    /// Returns the hash under which the watermark knows the key: SHA-256 of the vkey.
    pub(super) fn key_hash(&self) -> TreeHash {
        self.key_hash
    }

    /// Signs a head of this log.
    ///
    /// # Panics
    ///
    /// If the head is another log's: heads and signers are paired by number in one place.
    pub(super) fn sign(&self, head: &RaisedHead) -> SignedCheckpoint {
        assert_eq!(head.committed.log, self.row.number, "a head is signed by its own log's key");
        sign_checkpoint(&self.key, &self.row.origin, head.head())
    }
}
