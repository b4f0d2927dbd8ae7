//! Checkpoints and proofs over gRPC.

use tonic::Streaming;

use super::log::receipt;
use super::{Client, ClientError, Untrue, verify};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};
use crate::core::receipt::Receipt;
use crate::core::tree::TreeHead;
use crate::proto::{
    CheckpointKind, GetCheckpointRequest, ProveConsistencyRequest, ProveInclusionBatchRequest,
    ProveInclusionRequest, WatchCheckpointsRequest, WatchCheckpointsResponse,
    prove_inclusion_request::Leaf,
};

/// An inclusion proof that verified.
#[derive(Clone, Debug)]
pub struct Inclusion {
    /// Index of the leaf.
    pub index: LeafIndex,
    /// Hash of the leaf.
    pub leaf_hash: TreeHash,
    /// The proof, from the leaf's sibling up.
    pub proof: Vec<TreeHash>,
    /// The checkpoint of exactly the tree that the proof is for.
    pub checkpoint: SignedCheckpoint,
}

/// Leaves of a multi-proof that verified.
#[derive(Clone, Debug)]
pub struct Inclusions {
    /// Each leaf with its hash, by rising index.
    pub leaves: Vec<(LeafIndex, TreeHash)>,
    /// The checkpoint of the tree that they are in.
    pub checkpoint: SignedCheckpoint,
}

/// A consistency proof that verified.
#[derive(Clone, Debug)]
pub struct Consistency {
    /// The proof, in the order of RFC 6962.
    pub proof: Vec<TreeHash>,
    /// The newer tree's checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl Inclusion {
    /// Returns the receipt to keep.
    pub fn receipt(&self) -> Receipt {
        receipt(self.index, self.proof.clone(), &self.checkpoint)
    }
}

/// Checkpoints as they are published, each proved to continue the one before it.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    stream: Streaming<WatchCheckpointsResponse>,
    last: Option<SignedCheckpoint>,
}

impl Client {
    /// Returns the newest checkpoint; where the policy has a quorum, the newest that has it.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, ClientError> {
        let kind = self.kind().into();
        let request = GetCheckpointRequest { log: self.origin(), kind, ..Default::default() };
        let answer = self
            .grpc
            .clone()
            .get_checkpoint(request)
            .await
            .map_err(|status| self.failed(status))?;
        Ok(self.checkpoint_of(answer.into_inner().checkpoint.as_ref())?)
    }

    /// Returns which checkpoints the policy can accept.
    fn kind(&self) -> CheckpointKind {
        if self.has_quorum() { CheckpointKind::Cosigned } else { CheckpointKind::Newest }
    }

    /// Follows the log's checkpoints; where the policy has a quorum, those that have it.
    pub async fn watch(&self) -> Result<Watch, ClientError> {
        let request = WatchCheckpointsRequest { log: self.origin(), kind: self.kind().into() };
        let answer = self.grpc.clone().watch_checkpoints(request).await;
        let stream = answer.map_err(|status| self.failed(status))?.into_inner();
        Ok(Watch { client: self.clone(), stream, last: None })
    }

    /// Proves that the leaf at this index is in the newest tree.
    ///
    /// What the leaf is, only its bytes say: compare its hash with that of the entry.
    pub async fn prove_inclusion(&self, index: LeafIndex) -> Result<Inclusion, ClientError> {
        self.prove_leaf(Leaf::LeafIndex(index.get()), None).await
    }

    /// Proves that a leaf with this hash is in the newest tree; only where the log keeps such an
    /// index.
    pub async fn prove_leaf_hash(&self, leaf_hash: TreeHash) -> Result<Inclusion, ClientError> {
        let leaf = Leaf::LeafHash(leaf_hash.as_bytes().to_vec().into());
        let inclusion = self.prove_leaf(leaf, None).await?;
        if inclusion.leaf_hash != leaf_hash {
            return Err(Untrue::Entry { index: inclusion.index }.into());
        }
        Ok(inclusion)
    }

    /// Proves that the leaf at this index is in the tree of a checkpoint that is held already.
    pub async fn prove_inclusion_at(
        &self,
        index: LeafIndex,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Inclusion, ClientError> {
        self.prove_leaf(Leaf::LeafIndex(index.get()), Some(checkpoint)).await
    }

    /// Proves a leaf in the newest tree, or in that of a checkpoint that is held.
    async fn prove_leaf(
        &self,
        leaf: Leaf,
        held: Option<&SignedCheckpoint>,
    ) -> Result<Inclusion, ClientError> {
        // A newer tree than the witnesses have cosigned would not be believed.
        let cosigned = match held {
            None if self.has_quorum() => Some(self.checkpoint().await?),
            _ => None,
        };
        let held = held.or(cosigned.as_ref());
        let asked = match &leaf {
            Leaf::LeafIndex(index) => Some(*index),
            Leaf::LeafHash(_) => None,
        };
        let request = ProveInclusionRequest {
            log: self.origin(),
            leaf: Some(leaf),
            tree_size: held.map(|held| held.head().size.get()),
        };
        let answer = self
            .grpc
            .clone()
            .prove_inclusion(request)
            .await
            .map_err(|status| self.failed(status))?;
        let answer = answer.into_inner();
        let checkpoint = match held {
            Some(held) => held.clone(),
            None => self.checkpoint_of(answer.checkpoint.as_ref())?,
        };
        let malformed = |field, problem| Untrue::Malformed { field, problem };
        let leaf_hash = TreeHash::from_slice(&answer.leaf_hash)
            .ok_or(malformed("leaf_hash", "is not 32 bytes long"))?;
        let proof = answer.proof.as_ref().ok_or(malformed("proof", "is missing"))?;
        let (index, proof) = verify::inclusion(&leaf_hash, proof, &checkpoint.head())?;
        if asked.is_some_and(|asked| asked != index.get()) {
            return Err(malformed("proof.leaf_index", "is not the one that was asked for").into());
        }
        Ok(Inclusion { index, leaf_hash, proof, checkpoint })
    }

    /// Proves that the leaves at these indices, which must strictly rise, are in the newest tree.
    pub async fn prove_inclusion_batch(
        &self,
        indices: &[LeafIndex],
    ) -> Result<Inclusions, ClientError> {
        let held = if self.has_quorum() { Some(self.checkpoint().await?) } else { None };
        let request = ProveInclusionBatchRequest {
            log: self.origin(),
            leaf_indices: indices.iter().map(|index| index.get()).collect(),
            tree_size: held.as_ref().map(|held| held.head().size.get()),
        };
        let answer = self.grpc.clone().prove_inclusion_batch(request).await;
        let answer = answer.map_err(|status| self.failed(status))?.into_inner();
        let checkpoint = match held {
            Some(held) => held,
            None => self.checkpoint_of(answer.checkpoint.as_ref())?,
        };
        let malformed = |field, problem| Untrue::Malformed { field, problem };
        if answer.tree_size != checkpoint.head().size.get() {
            return Err(malformed("tree_size", "is not the size of the checkpoint").into());
        }
        let hashes = verify::hashes("leaf_hashes", &answer.leaf_hashes)?;
        if hashes.len() != indices.len() {
            return Err(malformed("leaf_hashes", "are not one for each index").into());
        }
        let leaves: Vec<_> = indices.iter().copied().zip(hashes).collect();
        let proof = verify::hashes("hashes", &answer.hashes)?;
        verify::multi(&leaves, &proof, &checkpoint.head())?;
        Ok(Inclusions { leaves, checkpoint })
    }

    /// Proves that a tree whose head is known is a prefix of the newest tree.
    pub async fn prove_consistency(&self, old: &TreeHead) -> Result<Consistency, ClientError> {
        if self.has_quorum() {
            let checkpoint = self.checkpoint().await?;
            let proof = self.prove_consistency_between(old, &checkpoint.head()).await?;
            return Ok(Consistency { proof, checkpoint });
        }
        let answer = self.consistency(old.size, None).await?;
        let checkpoint = self.checkpoint_of(answer.checkpoint.as_ref())?;
        let proof = checked_proof(&answer, old, &checkpoint.head())?;
        Ok(Consistency { proof, checkpoint })
    }

    /// Proves that the tree `old` is a prefix of the tree `new`, where both heads are known.
    pub async fn prove_consistency_between(
        &self,
        old: &TreeHead,
        new: &TreeHead,
    ) -> Result<Vec<TreeHash>, ClientError> {
        let answer = self.consistency(old.size, Some(new.size)).await?;
        Ok(checked_proof(&answer, old, new)?)
    }

    /// Asks for a consistency proof.
    async fn consistency(
        &self,
        old: TreeSize,
        new: Option<TreeSize>,
    ) -> Result<crate::proto::ProveConsistencyResponse, ClientError> {
        let request = ProveConsistencyRequest {
            log: self.origin(),
            old_size: old.get(),
            new_size: new.map(TreeSize::get),
        };
        let answer = self.grpc.clone().prove_consistency(request).await;
        Ok(answer.map_err(|status| self.failed(status))?.into_inner())
    }
}

/// Verifies a consistency proof between two known heads and returns it.
fn checked_proof(
    answer: &crate::proto::ProveConsistencyResponse,
    old: &TreeHead,
    new: &TreeHead,
) -> Result<Vec<TreeHash>, Untrue> {
    if (answer.old_size, answer.new_size) != (old.size.get(), new.size.get()) {
        let problem = "are not those of the two trees";
        return Err(Untrue::Malformed { field: "old_size and new_size", problem });
    }
    let proof = verify::hashes("hashes", &answer.hashes)?;
    verify::consistency(old, new, &proof)?;
    Ok(proof)
}

impl Watch {
    /// Waits for the next checkpoint; `None` when the server ends the stream.
    ///
    /// Each one is verified, and proved to continue the one before it.
    pub async fn next(&mut self) -> Result<Option<SignedCheckpoint>, ClientError> {
        let answer = self.stream.message().await.map_err(|status| self.client.failed(status))?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let checkpoint = self.client.checkpoint_of(answer.checkpoint.as_ref())?;
        if let Some(last) = &self.last {
            let (old, new) = (last.head(), checkpoint.head());
            if new.size < old.size {
                let needed = old.size.get();
                return Err(Untrue::Uncovered { size: new.size, needed }.into());
            }
            // Nothing needs a proof to follow the empty tree, and equal sizes were compared when
            // the checkpoint was verified.
            if old.size != TreeSize::ZERO && old.size != new.size {
                self.client.prove_consistency_between(&old, &new).await?;
            }
        }
        self.last = Some(checkpoint.clone());
        Ok(Some(checkpoint))
    }
}
