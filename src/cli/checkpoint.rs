//! `attestree checkpoint`: the newest tree head, signed.

use serde::Serialize;

use super::keep;
use super::output::{Output, base64};
use super::remote::{Remote, block_on};
use crate::client::ClientError;
use crate::core::checkpoint::SignedCheckpoint;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the signed note exactly as the log serves it, after verifying its signatures. Keep it: with a
checkpoint in hand, `attestree prove consistency FILE` shows later whether history was rewritten.

Examples:
  attestree checkpoint > today.checkpoint
  attestree checkpoint --json
  attestree checkpoint --follow
  attestree checkpoint --tiles https://logs.example.com/prod --trust trust.policy")]
pub(super) struct Args {
    /// Go on printing each newer checkpoint, proved to continue the one before it
    ///
    /// Under a trust policy with a quorum these are the cosigned ones, from the first one on.
    #[arg(long, conflicts_with = "tiles")]
    follow: bool,
    /// Read it as a file over HTTP from the log's tile prefix [default: derived from --server]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    tiles: Option<String>,
}

/// A checkpoint as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: String,
    pub(super) note: String,
}

impl From<&SignedCheckpoint> for Shown {
    fn from(checkpoint: &SignedCheckpoint) -> Self {
        let head = checkpoint.head();
        Self {
            origin: checkpoint.origin().to_string(),
            size: head.size.get(),
            root: base64(&head.root),
            note: String::from_utf8_lossy(checkpoint.note()).into_owned(),
        }
    }
}

/// Returns the value of `--tiles` without the marker for "derive it".
pub(super) fn tiles_url(tiles: &str) -> Option<&str> {
    Some(tiles).filter(|url| !url.is_empty())
}

/// Prints the newest checkpoint, and the ones after it if asked.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    block_on(async {
        if let Some(tiles) = &args.tiles {
            let (client, trust) = remote.tiles(tiles_url(tiles)).await?;
            return show(&client.checkpoint(&trust).await?, output);
        }
        let client = remote.connect().await?;
        if !args.follow {
            return show(&client.checkpoint().await?, output);
        }
        let mut watch = client.watch().await?;
        let mut last: Option<SignedCheckpoint> = None;
        loop {
            let checkpoint = match watch.next().await {
                Ok(Some(checkpoint)) => checkpoint,
                Ok(None) => return Ok(()),
                Err(error) => return Err(convict(remote, last, error).await),
            };
            show(&checkpoint, output)?;
            last = Some(checkpoint);
        }
    })
}

/// Looks for evidence where the log does not continue the checkpoint that it has shown last.
async fn convict(
    remote: &Remote,
    last: Option<SignedCheckpoint>,
    error: ClientError,
) -> anyhow::Error {
    let untrue = error.is_untrue();
    let error = anyhow::Error::from(error);
    let (Some(last), true) = (last, untrue) else { return error };
    let Ok((tiles, trust)) = remote.tiles(None).await else { return error };
    match tiles.checkpoint(&trust).await {
        Ok(newest) => keep::convict(&tiles, &last, &newest, error).await,
        Err(_) => error,
    }
}

fn show(checkpoint: &SignedCheckpoint, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return output.print(&Shown::from(checkpoint), "");
    }
    Output::bytes(checkpoint.note())
}
