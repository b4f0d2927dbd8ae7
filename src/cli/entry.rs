//! `attestree entry`: the bytes of one entry.

use std::path::PathBuf;

use super::checkpoint::tiles_url;
use super::output;
use super::remote::{Remote, block_on};
use crate::client::TileTree;
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

/// Writes the entry.
pub(super) fn run(args: &Args, remote: &Remote) -> anyhow::Result<()> {
    let bytes = block_on(async {
        let Some(tiles) = &args.tiles else {
            return Ok(remote.connect().await?.entry(args.index).await?.bytes);
        };
        let (client, trust) = remote.tiles(tiles_url(tiles)).await?;
        let checkpoint = client.checkpoint(&trust).await?;
        Ok(TileTree::open(&client, &checkpoint).await?.entry(args.index).await?)
    })?;
    output::write(&args.output, &bytes)
}
