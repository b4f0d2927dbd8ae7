//! `attestree receipt`: the file that proves an entry offline.

use std::path::PathBuf;

use serde::Serialize;

use super::checkpoint::tiles_url;
use super::entry::index;
use super::exit::wrong_usage;
use super::output::{self, Output, base64};
use super::remote::{Remote, block_on};
use super::upgrade;
use crate::client::TileTree;
use crate::core::number::LeafIndex;
use crate::core::receipt::Receipt;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The receipt (c2sp.org/tlog-proof) holds the index, the inclusion proof and the signed checkpoint.
With the entry's bytes and a trust policy it is verified without any server.

Examples:
  attestree receipt 7 -o 7.tlog-proof
  attestree receipt 7 -o 7.tlog-proof --cosigned --trust trust.policy
  attestree receipt 7 --tiles https://logs.example.com/prod --trust trust.policy
  attestree receipt upgrade 7.tlog-proof -o 7.tlog-proof --trust trust.policy")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Index of the entry, from 0
    #[arg(value_parser = index, required = true)]
    index: Option<LeafIndex>,
    /// File to write the receipt to; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Make it for the newest checkpoint that the quorum of the trust policy has cosigned
    ///
    /// The default wherever the trust policy has a quorum.
    #[arg(long)]
    cosigned: bool,
    /// Make it from the log's tiles over HTTP [default: derived from --server]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    tiles: Option<String>,
}

/// What else to do with receipts.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Take an old receipt to the newest cosigned checkpoint
    Upgrade(upgrade::Args),
}

/// A receipt that was written, as JSON.
#[derive(Debug, Serialize)]
struct Written {
    origin: String,
    index: u64,
    leaf_hash: String,
    tree_size: u64,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The receipt itself, where it goes to no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

/// Writes the receipt.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    if let Some(What::Upgrade(args)) = &args.what {
        return upgrade::run(args, remote, output);
    }
    let index = args.index.ok_or_else(|| wrong_usage("give the index of the entry"))?;
    if args.cosigned && !remote.policy()?.is_some_and(|policy| policy.has_quorum()) {
        return Err(wrong_usage("--cosigned needs --trust FILE with a policy that has a quorum"));
    }
    let (leaf_hash, receipt, checkpoint) = block_on(async {
        let Some(tiles) = &args.tiles else {
            let inclusion = remote.connect().await?.prove_inclusion(index).await?;
            let receipt: Receipt = inclusion.receipt();
            return Ok((inclusion.leaf_hash, receipt, inclusion.checkpoint));
        };
        let (client, trust) = remote.tiles(tiles_url(tiles)).await?;
        let checkpoint = if trust.policy().has_quorum() {
            client.cosigned_checkpoint(&trust).await?
        } else {
            client.checkpoint(&trust).await?
        };
        let tree = TileTree::open(&client, &checkpoint).await?;
        let (leaf_hash, receipt) = tree.receipt(index).await?;
        Ok((leaf_hash, receipt, checkpoint))
    })?;
    let bytes = receipt.format();
    let printed = args.output.as_os_str() == "-";
    if !printed {
        output::write(&args.output, &bytes)?;
    } else if !output.is_json() {
        return Output::bytes(&bytes);
    }
    let head = checkpoint.head();
    let written = Written {
        origin: checkpoint.origin().to_string(),
        index: receipt.index.get(),
        leaf_hash: base64(&leaf_hash),
        tree_size: head.size.get(),
        root: base64(&head.root),
        file: (!printed).then(|| args.output.display().to_string()),
        receipt: printed.then(|| String::from_utf8_lossy(&bytes).into_owned()),
    };
    let text = format!(
        "receipt of entry {} of {}, in the signed tree of {}: {}",
        written.index,
        written.origin,
        output::entries(written.tree_size),
        args.output.display()
    );
    output.print(&written, text)
}
