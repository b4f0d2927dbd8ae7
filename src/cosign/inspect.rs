//! A checkpoint under the log's own key that somebody else remembers, held against what the log holds.

use crate::{
    core::{
        checkpoint::SignedCheckpoint,
        evidence::Evidence,
        number::TreeSize,
        tree::{TreeHead, prove_consistency, root_at},
    },
    pipeline::{Log, Pipeline},
};

/// What a remembered checkpoint means for the log.
#[derive(Debug)]
pub(super) enum Finding {
    /// The log has not signed it, or it can't be read: it says nothing.
    Nothing,
    /// It is of a tree that the log's tree extends, of this size.
    Within(TreeSize),
    /// The log's key has signed what the log's tree does not extend.
    Against(Box<Against>),
}

/// A checkpoint under the log's key that stands against what the log holds.
#[derive(Debug)]
pub(super) struct Against {
    /// The head that was signed.
    pub(super) head: TreeHead,
    /// Why it stands against the log, for people.
    pub(super) reason: String,
    /// The proof for others, where two signatures contradict each other.
    pub(super) evidence: Option<Evidence>,
}

/// Holds a note against what the log has committed.
pub(super) fn inspect(pipeline: &Pipeline, log: &Log, note: &[u8]) -> Finding {
    let Some(key) = log.row().vkeys.last() else { return Finding::Nothing };
    let Ok(found) = SignedCheckpoint::verify(note, key) else { return Finding::Nothing };
    if found.origin() != &log.row().origin {
        return Finding::Nothing;
    }
    let (head, edge) = (found.head(), pipeline.edge(log));
    if head.size == TreeSize::ZERO {
        return Finding::Within(head.size);
    }
    if head.size > edge.size() {
        let reason = format!(
            "a checkpoint of {} entries under the log's key exists, and the log holds {}",
            head.size,
            edge.size()
        );
        return Finding::Against(Box::new(Against { head, reason, evidence: None }));
    }
    let nodes = pipeline.reader().nodes(log.number(), &edge);
    let ours = match root_at(&nodes, head.size) {
        Ok(root) => root,
        Err(error) => {
            tracing::error!(origin = log.origin(), error = %error, "a tile can't be read");
            return Finding::Nothing;
        }
    };
    if ours == head.root {
        return Finding::Within(head.size);
    }
    let reason = format!(
        "a checkpoint of {} entries under the log's key has the root {}, and the log's tree has {ours} there",
        head.size, head.root
    );
    let signed = log.signed();
    let evidence = if signed.head().size == head.size {
        Evidence::same_size(&found, &signed.checkpoint)
    } else {
        // Where the log has signed less than that, only one signature speaks.
        let proof = prove_consistency(&nodes, head.size, signed.head().size);
        proof.ok().and_then(|proof| Evidence::prefix(&found, &signed.checkpoint, ours, proof))
    };
    Finding::Against(Box::new(Against { head, reason, evidence }))
}
