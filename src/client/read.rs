//! Entries over gRPC.

use bytes::Bytes;

use super::{Client, ClientError, Untrue, verify};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::core::tree::PROOF_BATCH_MAX;
use crate::proto::{GetEntryRequest, ReadEntriesRequest};

/// An entry whose inclusion verified.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its index.
    pub index: LeafIndex,
    /// Its bytes.
    pub bytes: Bytes,
    /// The checkpoint of the tree that holds it.
    pub checkpoint: SignedCheckpoint,
}

impl Client {
    /// Returns one entry, after proving that its bytes are the leaf at that index.
    pub async fn entry(&self, index: LeafIndex) -> Result<Entry, ClientError> {
        let inclusion = self.prove_inclusion(index).await?;
        let request = GetEntryRequest { log: self.origin(), leaf_index: index.get() };
        let answer =
            self.grpc.clone().get_entry(request).await.map_err(|status| self.failed(status))?;
        let bytes = answer.into_inner().entry;
        if TreeHash::leaf(&bytes) != inclusion.leaf_hash {
            return Err(Untrue::Entry { index }.into());
        }
        Ok(Entry { index, bytes, checkpoint: inclusion.checkpoint })
    }

    /// Reads the entries `[from, to)` and hands each to `take`, in order, once it is proved.
    ///
    /// Holds at most about 4,096 entries: that many are read, proved with one multi-proof, and
    /// handed out.
    pub async fn read(
        &self,
        from: LeafIndex,
        to: LeafIndex,
        mut take: impl FnMut(LeafIndex, &[u8]),
    ) -> Result<(), ClientError> {
        let request =
            ReadEntriesRequest { log: self.origin(), from: from.get(), to: Some(to.get()) };
        let mut stream = self
            .grpc
            .clone()
            .read_entries(request)
            .await
            .map_err(|status| self.failed(status))?
            .into_inner();
        let mut next = from.get();
        let mut waiting: Vec<(LeafIndex, Bytes)> = Vec::new();
        while let Some(answer) = stream.message().await.map_err(|status| self.failed(status))? {
            if answer.from != next {
                let problem = "does not continue the range";
                return Err(Untrue::Malformed { field: "from", problem }.into());
            }
            for bytes in answer.entries {
                waiting.push((verify::index("from", next)?, bytes));
                next += 1;
                if waiting.len() == PROOF_BATCH_MAX {
                    self.hand_out(&mut waiting, &mut take).await?;
                }
            }
        }
        if next != to.get() {
            let problem = "ended before the range did";
            return Err(Untrue::Malformed { field: "entries", problem }.into());
        }
        self.hand_out(&mut waiting, &mut take).await
    }

    /// Proves the entries that wait and hands them out.
    async fn hand_out(
        &self,
        waiting: &mut Vec<(LeafIndex, Bytes)>,
        take: &mut impl FnMut(LeafIndex, &[u8]),
    ) -> Result<(), ClientError> {
        if waiting.is_empty() {
            return Ok(());
        }
        let indices: Vec<LeafIndex> = waiting.iter().map(|(index, _)| *index).collect();
        let proved = self.prove_inclusion_batch(&indices).await?;
        for ((index, bytes), (_, leaf)) in waiting.drain(..).zip(&proved.leaves) {
            if TreeHash::leaf(&bytes) != *leaf {
                return Err(Untrue::Entry { index }.into());
            }
            take(index, &bytes);
        }
        Ok(())
    }
}
