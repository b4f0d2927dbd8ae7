//! `attestree entry`: the bytes of one entry.

use std::path::PathBuf;

use serde::Serialize;

use super::checkpoint::{self, tiles_url};
use super::output::{self, Output};
use super::remote::{Remote, block_on};
use crate::client::TileTree;
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bytes are proved to be the leaf at that index of the newest signed tree before they are written.

Examples:
  attestree entry 7
  attestree entry 7 -o 7.entry")]
pub(super) struct Args {
    /// Index of the entry, from 0
    #[arg(value_parser = index)]
    index: LeafIndex,
    /// File to write it to; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Read it over HTTP from the log's tiles [default: derived from --server]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    tiles: Option<String>,
}

/// Reads a leaf index from the command line.
pub(super) fn index(text: &str) -> Result<LeafIndex, String> {
    let number = text.parse::<u64>().ok().and_then(LeafIndex::new);
    number.ok_or_else(|| "an index is a number from 0, below 2^62".to_owned())
}

/// An entry, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    index: u64,
    leaf_hash: String,
    entry_hex: String,
    checkpoint: checkpoint::Shown,
}

/// Writes the entry.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let (bytes, checkpoint) = block_on(async {
        let Some(tiles) = &args.tiles else {
            let entry = remote.connect().await?.entry(args.index).await?;
            return Ok((entry.bytes, entry.checkpoint));
        };
        let (client, trust) = remote.tiles(tiles_url(tiles)).await?;
        let checkpoint = client.checkpoint(&trust).await?;
        let bytes = TileTree::open(&client, &checkpoint).await?.entry(args.index).await?;
        Ok((bytes, checkpoint))
    })?;
    if output.is_json() && args.output.as_os_str() == "-" {
        let shown = Shown {
            index: args.index.get(),
            leaf_hash: output::base64(&TreeHash::leaf(&bytes)),
            entry_hex: output::hex(&bytes),
            checkpoint: checkpoint::Shown::from(&checkpoint),
        };
        return output.print(&shown, "");
    }
    output::write(&args.output, &bytes)
}
