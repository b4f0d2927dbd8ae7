//! `attestree receipt upgrade`: an old receipt taken to the newest cosigned head.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::exit::{unverified, wrong_usage};
use super::output::{self, Output, base64};
use super::remote::{Remote, block_on};
use crate::client::{
    ClientError, Comparison, TileClient, TileTree, Trust, Untrue, compare, trust_listed,
};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::receipt::Receipt;
use crate::core::tree::verify_inclusion;
use crate::core::trust::TrustPolicy;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads the newest checkpoint that meets the trust policy's quorum, proves that its tree begins with the one
that the receipt is for and still holds the same entry at its index, and writes the receipt for it. The
old receipt needs no cosignatures, only the log's signature. All of it works with any C2SP log.

Exit code 2 means that something does not verify. If the log's tree does not begin with the one of the
receipt, evidence is written that convicts the log: see `attestree verify-evidence`.

Examples:
  attestree receipt upgrade 7.tlog-proof -o 7.tlog-proof --trust trust.policy
  attestree receipt upgrade 7.tlog-proof --tiles https://logs.example.com/prod --trust trust.policy")]
pub(super) struct Args {
    /// The receipt, a .tlog-proof file
    receipt: PathBuf,
    /// File to write the new receipt to, which may be the old one; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// File with exactly the entry's bytes, which are compared as well
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// Tile prefix of the log [default: its address in the policy, or derived from --server]
    #[arg(long, value_name = "URL")]
    tiles: Option<String>,
}

/// A receipt that was upgraded, as JSON.
#[derive(Debug, Serialize)]
struct Upgraded {
    origin: String,
    index: u64,
    leaf_hash: String,
    old_size: u64,
    tree_size: u64,
    root: String,
    /// Witnesses of the policy that cosigned the new head.
    witnesses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The receipt itself, where it goes to no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

/// Upgrades the receipt.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let policy = remote.policy()?.ok_or_else(|| {
        wrong_usage("say whom to believe with --trust FILE; see `attestree receipt upgrade --help`")
    })?;
    let path = args.receipt.display();
    let old = Receipt::parse(&output::read(&args.receipt)?)
        .map_err(|error| unverified(format!("{path}: {error}")))?;
    let held = held(&old, &policy).with_context(|| format!("verify the checkpoint of {path}"))?;
    let entry = args.entry.as_deref().map(output::read).transpose()?;
    let entry = entry.as_deref().map(TreeHash::leaf);

    let (leaf, receipt, newest) = block_on(async {
        // The receipt says which log it is of, and its signature was verified.
        let origin = held.origin();
        let listed = policy.logs().iter().find(|log| log.origin == *origin);
        let url = args.tiles.as_deref().or(listed.and_then(|log| log.url.as_deref()));
        let mut remote = remote.clone();
        remote.log = Some(origin.clone());
        let (tiles, trust) = remote.tiles(url).await?;
        let newest = newest(&tiles, &trust).await?;
        check(&tiles, &held, &newest, policy.has_quorum()).await?;
        let (leaf, receipt) = TileTree::open(&tiles, &newest).await?.receipt(old.index).await?;
        Ok((leaf, receipt, newest))
    })?;
    check_leaf(&old, &held, leaf, entry)?;
    let receipt = Receipt { extra: old.extra, ..receipt };
    let bytes = receipt.format();
    let printed = args.output.as_os_str() == "-";
    if !printed {
        // The old receipt may be the only one, and may be the file that is written.
        crate::client::replace(&args.output, &bytes)
            .with_context(|| format!("write {}", args.output.display()))?;
    } else if !output.is_json() {
        return Output::bytes(&bytes);
    }
    let (head, verified) = (newest.head(), policy.verify_checkpoint(newest.note())?);
    let shown = Upgraded {
        origin: newest.origin().to_string(),
        index: receipt.index.get(),
        leaf_hash: base64(&leaf),
        old_size: held.head().size.get(),
        tree_size: head.size.get(),
        root: base64(&head.root),
        witnesses: verified.witnesses.into_iter().map(|(name, _)| name).collect(),
        file: (!printed).then(|| args.output.display().to_string()),
        receipt: printed.then(|| String::from_utf8_lossy(&bytes).into_owned()),
    };
    let by = match shown.witnesses.len() {
        0 => String::new(),
        1 => ", cosigned by 1 witness".to_owned(),
        count => format!(", cosigned by {count} witnesses"),
    };
    let text = format!(
        "receipt of entry {} of {}, taken from the tree of {} to that of {}{by}: {}",
        shown.index,
        shown.origin,
        output::entries(shown.old_size),
        output::entries(shown.tree_size),
        args.output.display()
    );
    output.print(&shown, text)
}

/// Verifies the log's signature under the checkpoint of a receipt; its quorum is of no concern.
fn held(receipt: &Receipt, policy: &TrustPolicy) -> Result<SignedCheckpoint, ClientError> {
    let keys: Vec<_> = policy.logs().iter().map(|log| log.key.clone()).collect();
    let trusted = trust_listed(&keys).verify_checkpoint(&receipt.note);
    Ok(trusted.map_err(Untrue::from)?.checkpoint)
}

/// Returns the newest checkpoint that meets the policy.
async fn newest(tiles: &TileClient, trust: &Trust) -> Result<SignedCheckpoint, ClientError> {
    if trust.policy().has_quorum() {
        return tiles.cosigned_checkpoint(trust).await;
    }
    tiles.checkpoint(trust).await
}

/// Checks that the newest tree begins with the one of the receipt.
async fn check(
    tiles: &TileClient,
    held: &SignedCheckpoint,
    newest: &SignedCheckpoint,
    has_quorum: bool,
) -> anyhow::Result<()> {
    let compared = compare(tiles, held, newest).await;
    let (old, new) = (held.head().size, newest.head().size);
    match compared {
        Comparison::Guilty(evidence) => {
            Err(ClientError::from(Untrue::SplitView { evidence }).into())
        }
        Comparison::Unresponsive(_) | Comparison::Consistent(_) if new < old && has_quorum => {
            anyhow::bail!(
                "the newest checkpoint with the policy's quorum covers {new} entries, and the receipt's \
                 {old}: the witnesses are behind, try again later"
            )
        }
        Comparison::Unresponsive(_) | Comparison::Consistent(_) if new < old => {
            Err(unverified(format!(
                "the log shows a signed tree of {new} entries, and the receipt holds one of {old}: \
                 entries were taken away, or an old copy is served; keep the receipt"
            )))
        }
        Comparison::Unresponsive(error) => Err(error.into()),
        Comparison::Consistent(_) => Ok(()),
    }
}

/// Checks that the old receipt is for the leaf that the log holds, and that it is the given entry.
fn check_leaf(
    old: &Receipt,
    held: &SignedCheckpoint,
    leaf: TreeHash,
    entry: Option<TreeHash>,
) -> anyhow::Result<()> {
    let (index, head) = (old.index, held.head());
    if entry.is_some_and(|entry| entry != leaf) {
        let text = format!("these are not the bytes that were logged at index {index}");
        return Err(unverified(text));
    }
    if !head.size.contains(index) || verify_inclusion(&leaf, index, &head, &old.proof).is_err() {
        return Err(unverified(format!(
            "the receipt does not prove entry {index} of the log: it was changed"
        )));
    }
    Ok(())
}
