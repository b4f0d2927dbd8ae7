//! `attestree serve`, and the verbs of an operator that stand beside it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::exit::wrong_usage;
use super::log::admin;
use super::output::{Output, base64};
use super::remote::{Remote, block_on};
use crate::client::ClientError;
use crate::proto::BackupRequest;
use crate::server;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints `listening on http://ADDR` once it takes requests, or {\"listening\":\"http://ADDR\"} with --json.
SIGTERM and SIGINT stop it in order: what was accepted is committed, published and answered first.

A directory that `attestree init` did not make is refused: a lost disk must not silently become a
new, empty log under an old key.

Examples:
  attestree serve
  attestree serve --data /srv/attestree --listen 127.0.0.1:6962
  attestree serve --config /etc/attestree.toml
  attestree serve --listen 0.0.0.0:6962 --tls-certificate server.pem --tls-key server.key")]
pub(super) struct Args {
    #[command(flatten)]
    flags: server::Flags,
}

/// Serves until it is told to stop.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    server::run(args.flags, output.is_json())
}

/// The options of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks the running server, through its socket, for a consistent copy; files that do not change are
linked, not copied, where that is possible. With the server stopped the copy is made directly.

The copy holds the logs, and neither signing keys nor the watermark. The keys of audit logs are left out
too, so that what is destroyed in the key store does not live on in backups; the committed fields of such a
copy can only be opened beside the key store of the original. --with-keys copies the key store, wrapped, to
DESTINATION/keys: keep such copies apart and short, and the key-encryption key (DIR.kek) elsewhere.

To restore, put DESTINATION/db and DESTINATION/keys into the data directory of the stopped server. Without
the keys, `attestree keys create` lets the logs go on; what was committed before stays undisclosed then.

Examples:
  attestree backup /backup/2026-11-21 --data attestree-data && attestree fsck --data /backup/2026-11-21
  attestree backup /vault/2026-11-21 --data attestree-data --with-keys")]
pub(super) struct BackupArgs {
    /// Directory to create
    destination: PathBuf,
    /// Data directory
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// Copy the keys of audit logs as well, wrapped
    #[arg(long)]
    with_keys: bool,
}

/// A copy, as JSON.
#[derive(Debug, Serialize)]
struct Copied {
    destination: String,
}

/// Copies the logs.
pub(super) fn backup(args: &BackupArgs, output: Output) -> anyhow::Result<()> {
    let destination = std::path::absolute(&args.destination)
        .with_context(|| format!("find {}", args.destination.display()))?;
    let path = destination
        .to_str()
        .ok_or_else(|| wrong_usage("the destination has to be a path in UTF-8"))?
        .to_owned();
    if !over_socket(&args.data, &path)? {
        server::backup(&args.data, &destination)?;
    }
    if args.with_keys {
        server::backup_keys(&args.data, &destination)?;
    }
    let text = format!("copied {} to {path}", args.data.display());
    output.print(&Copied { destination: path }, text)
}

/// Asks the running server; returns whether there is one.
fn over_socket(data: &Path, destination: &str) -> anyhow::Result<bool> {
    block_on(async {
        // A socket that nobody listens on is left from a server that was killed.
        let Ok((mut admin, url)) = admin(data).await else {
            return Ok(false);
        };
        let request = BackupRequest { destination: destination.to_owned() };
        let answer = admin.backup(request).await;
        answer.map_err(|status| ClientError::from_status(&url, status))?;
        Ok(true)
    })
}

/// The options of `drop-unsigned`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For a log that halted because the two computations of its root differed: removes the one batch that
was written and never signed. Nobody ever got a receipt for it. Find out first why they differed;
memory and disk are the suspects. The server has to be stopped.

Example:
  attestree drop-unsigned --data attestree-data --log example.com/log")]
pub(super) struct DropUnsignedArgs {
    /// Data directory
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// Watermark file [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WATERMARK", value_name = "FILE")]
    watermark: Option<PathBuf>,
}

/// The options of `close`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A closed log takes no entry ever again. What it holds is read and proved as before, unless its data
is behind what it signed: then it is left out, and the other logs of the server are served without
it. The server has to be stopped. There is no way back; open a log with another origin instead.

Example:
  attestree close --data attestree-data --log example.com/log")]
pub(super) struct CloseArgs {
    /// Data directory
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// Watermark file [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WATERMARK", value_name = "FILE")]
    watermark: Option<PathBuf>,
}

/// The log that was closed, as JSON.
#[derive(Debug, Serialize)]
struct Closed<'a> {
    closed: &'a str,
}

/// Closes a log.
pub(super) fn close(args: &CloseArgs, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let Some(origin) = &remote.log else {
        return Err(wrong_usage("say which log with --log ORIGIN"));
    };
    server::close(&args.data, args.watermark.as_deref(), origin.as_str())?;
    output.print(&Closed { closed: origin.as_str() }, format!("{origin} is closed for ever"))
}

/// The head that a log was set back to, as JSON.
#[derive(Debug, Serialize)]
struct SetBack {
    size: u64,
    root: String,
}

/// Removes the batch.
pub(super) fn drop_unsigned(
    args: &DropUnsignedArgs,
    remote: &Remote,
    output: Output,
) -> anyhow::Result<()> {
    let origin = remote.log.as_ref().map_or("", |origin| origin.as_str());
    let head = server::drop_unsigned(&args.data, args.watermark.as_deref(), origin)?;
    let text = format!("the log has {} entries again, as it signed last", head.size);
    output.print(&SetBack { size: head.size.get(), root: base64(&head.root) }, text)
}
