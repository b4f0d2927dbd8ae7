//! Two checkpoints of one log compared through the newer one's own tiles.
//!
//! A log that shows two histories has signed both, and the newer tree itself says what it holds at
//! the older size. So its tiles, each verified up to the signed root, give the other root and the
//! proof that links it to that signature: evidence that convicts without them. Tiles that do not
//! fit the signed root prove nothing, for anybody can serve such.

use super::{ClientError, TileClient, TileTree, Untrue};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::evidence::Evidence;
use crate::core::hash::TreeHash;
use crate::core::number::TreeSize;
use crate::core::tree::{TreeHead, verify_consistency};

/// What two signed checkpoints of one log say of each other.
#[derive(Debug)]
pub enum Comparison {
    /// The newer tree begins with the older one, as this consistency proof shows; it is empty where
    /// the trees are the same or the older one is empty.
    Consistent(Vec<TreeHash>),
    /// Both can't be true. Under a trust policy it convicts if one listed key signed both.
    Guilty(Box<Evidence>),
    /// It could not be found out: nobody answered, or with something that is not the signed tree.
    Unresponsive(ClientError),
}

/// Compares two checkpoints, the smaller tree taken as the older.
///
/// `tiles` are those of the log that shows the newer checkpoint; they are not read where both are of
/// one size. Both checkpoints have been verified, each under some key of the log.
pub async fn compare(
    tiles: &TileClient,
    older: &SignedCheckpoint,
    newer: &SignedCheckpoint,
) -> Comparison {
    if older.origin() != newer.origin() {
        let untrue = Untrue::Origin {
            expected: older.origin().to_string(),
            found: newer.origin().to_string(),
        };
        return Comparison::Unresponsive(untrue.into());
    }
    let (older, newer) =
        if older.head().size <= newer.head().size { (older, newer) } else { (newer, older) };
    if older.head() == newer.head() || older.head().size == TreeSize::ZERO {
        return Comparison::Consistent(Vec::new());
    }
    if let Some(evidence) = Evidence::same_size(older, newer) {
        return Comparison::Guilty(Box::new(evidence));
    }
    match link(tiles, older.head().size, newer).await {
        Err(error) => Comparison::Unresponsive(error),
        Ok((root, proof)) if root == older.head().root => Comparison::Consistent(proof),
        Ok((root, proof)) => {
            let evidence = Evidence::prefix(older, newer, root, proof);
            let evidence = evidence.expect("the roots differ, and the proof was verified");
            Comparison::Guilty(Box::new(evidence))
        }
    }
}

/// Returns the root of the first `size` leaves of a signed tree, and the proof that it is that.
async fn link(
    tiles: &TileClient,
    size: TreeSize,
    newer: &SignedCheckpoint,
) -> Result<(TreeHash, Vec<TreeHash>), ClientError> {
    let tree = TileTree::open(tiles, newer).await?;
    let root = tree.root_at(size).await?;
    let proof = tree.consistency(size).await?;
    let (old, new) = (TreeHead { size, root }, newer.head());
    verify_consistency(&old, &new, &proof).map_err(Untrue::proof("consistency proof", new))?;
    Ok((root, proof))
}
