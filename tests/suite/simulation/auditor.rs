//! The auditor of the simulation: holds receipts, and tells the monitor which checkpoints they stand on.

use std::collections::BTreeMap;

use attestree::core::{
    hash::TreeHash,
    receipt::{Receipt, ReceiptError},
    trust::{TrustError, TrustPolicy},
};
use bytes::Bytes;

/// The auditor.
#[derive(Debug)]
pub(super) struct Auditor {
    /// The policy with the quorum, and the one that trusts the log's signature alone.
    quorum: TrustPolicy,
    signed: TrustPolicy,
    /// Leaves that a quorum vouches for, by index.
    proved: BTreeMap<u64, TreeHash>,
    /// The checkpoints of all receipts, each once.
    notes: Vec<Bytes>,
}

/// An entry that a quorum vouches for has become another.
#[derive(Debug)]
pub(super) struct Changed;

impl Auditor {
    /// Makes an auditor who trusts by these policies.
    pub(super) fn new(quorum: TrustPolicy, signed: TrustPolicy) -> Self {
        Self { quorum, signed, proved: BTreeMap::new(), notes: Vec::new() }
    }

    /// Returns the checkpoints of the receipts that it holds.
    pub(super) fn notes(&self) -> &[Bytes] {
        &self.notes
    }

    /// Returns how many entries a quorum vouches for.
    pub(super) fn proved(&self) -> usize {
        self.proved.len()
    }

    /// Takes a receipt, if it verifies.
    pub(super) fn take(&mut self, entry: &str, receipt: &[u8]) -> Result<(), Changed> {
        let receipt = Receipt::parse(receipt).expect("the log's receipts are well formed");
        let verified = match receipt.verify(entry.as_bytes(), &self.quorum) {
            Ok(verified) => {
                let index = verified.index.get();
                if *self.proved.entry(index).or_insert(verified.leaf) != verified.leaf {
                    return Err(Changed);
                }
                Some(verified)
            }
            Err(ReceiptError::Trust(TrustError::Quorum { .. })) => {
                receipt.verify(entry.as_bytes(), &self.signed).ok()
            }
            Err(_worthless) => None,
        };
        // Signatures come to a checkpoint later as well; its text is what is held.
        let text =
            |note: &Bytes| note.split(|byte| *byte == b'\n').take(3).collect::<Vec<_>>().concat();
        if verified.is_some() && !self.notes.iter().any(|held| text(held) == text(&receipt.note)) {
            self.notes.push(receipt.note);
        }
        Ok(())
    }
}
