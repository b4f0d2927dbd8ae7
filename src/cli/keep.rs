//! Evidence that a verb came upon, kept as a file.

use std::path::Path;

use crate::client::{ClientError, Comparison, TileClient, Untrue, compare, keep_evidence};
use crate::core::checkpoint::SignedCheckpoint;

/// Writes the evidence that an error holds, and returns what to tell about it.
pub(super) fn evidence_of(error: &anyhow::Error, dir: Option<&Path>) -> Option<String> {
    let client = |cause: &'_ (dyn core::error::Error + 'static)| {
        cause.downcast_ref::<ClientError>()?.evidence().cloned()
    };
    let evidence = error.chain().find_map(client)?;
    let dir = dir.unwrap_or(Path::new(""));
    Some(match keep_evidence(dir, &evidence) {
        Ok(path) => format!(
            "the evidence is in {}: whoever has the log's vkey can judge it with `attestree \
             verify-evidence`",
            path.display()
        ),
        // Nothing else may ever show it again, so it is not lost for a full disk.
        Err(error) => format!(
            "the evidence can't be written to {dir:?} ({error}), so here it is:\n{}",
            String::from_utf8_lossy(&evidence.format())
        ),
    })
}

/// Looks for evidence where a proof between two signed checkpoints failed; `otherwise` is the error
/// without any.
pub(super) async fn convict(
    tiles: &TileClient,
    older: &SignedCheckpoint,
    newer: &SignedCheckpoint,
    otherwise: anyhow::Error,
) -> anyhow::Error {
    match compare(tiles, older, newer).await {
        Comparison::Guilty(evidence) => ClientError::from(Untrue::SplitView { evidence }).into(),
        // The tiles give no proof of it, which does not make the failed one hold.
        Comparison::Consistent(_) | Comparison::Unresponsive(_) => otherwise,
    }
}
