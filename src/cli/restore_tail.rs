//! `attestree restore-tail`: brings a restored backup up to what was signed.

use std::path::PathBuf;

use serde::Serialize;

use super::exit::unverified;
use super::fsck::Meter;
use super::output::{self, Output, base64};
use super::remote::{Remote, block_on};
use crate::client::TileClient;
use crate::server::{self, TailSource};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
After a backup was restored, `serve` refuses: entries that were signed later are missing. Where someone
keeps a copy of the log's tiles, this verb reads the missing entries from there, and writes them if they
lead to exactly the root that was signed; then `serve` starts. It signs nothing itself, and a source
with other entries is refused without a change. The server has to be stopped.

Idempotency keys of these entries are lost: a client that repeats one of them appends it again.

Examples:
  attestree restore-tail --from https://mirror.example.org/log
  attestree restore-tail --data attestree-data --log example.com/log --from /mnt/tiles")]
pub(super) struct Args {
    /// Tiles of the log: its prefix on any C2SP tlog-tiles server, or a directory with the same files
    #[arg(long, value_name = "URL|DIR")]
    from: String,
    /// Data directory
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// Watermark file [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WATERMARK", value_name = "FILE")]
    watermark: Option<PathBuf>,
}

/// What was restored, as JSON.
#[derive(Debug, Serialize)]
struct Restored {
    from: u64,
    to: u64,
    root: String,
}

/// Restores the tail.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let source = if args.from.contains("://") {
        TailSource::Server(TileClient::new(&remote.server_at(&args.from)?)?)
    } else {
        TailSource::Directory(PathBuf::from(&args.from))
    };
    let origin = remote.log.as_ref().map_or("", |origin| origin.as_str());
    let mut meter = None;
    let watermark = args.watermark.as_deref();
    let restored =
        block_on(server::restore_tail(&args.data, watermark, origin, &source, |progress, end| {
            meter.get_or_insert_with(|| Meter::start(end)).show(&progress);
        }))?;
    let restored = restored.map_err(|unfit| unverified(unfit.to_string()))?;
    let (from, to) = (restored.from.get(), restored.head.size.get());
    let text = match to - from {
        0 => format!("nothing is missing: the log has {}", output::entries(to)),
        new => format!("restored {}: the log has {to} again, as it signed", output::entries(new)),
    };
    output.print(&Restored { from, to, root: base64(&restored.head.root) }, text)
}
