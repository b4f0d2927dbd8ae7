//! `attestree init`: a new log.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::log::{Holds, Identity};
use super::output::{self, Output};
use super::remote::origin;
use crate::core::note::SigningKey;
use crate::core::origin::Origin;
use crate::server::{self, LogIdentity, random::Random};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes the directory with a database, a signing key (readable by its owner only) and, beside the
directory, the watermark that keeps a restored backup from signing a second history. Prints the
log's verifier key: give it to those who will verify.

On a directory that exists, adds a further log; the server has to be stopped then.

Examples:
  attestree init --origin example.com/log
  attestree init --data /srv/attestree --origin example.com/log --identity entry-hash
  attestree init --origin example.com/audit --kind audit --approver KEY --approver KEY")]
pub(super) struct Args {
    /// Directory to create, or to add a log to
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// The log's unique name for ever: a host name and a path, without a scheme
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Origin,
    /// What makes two submissions the same entry when they have no idempotency key
    #[arg(long, value_enum, default_value_t = Identity::None)]
    identity: Identity,
    #[command(flatten)]
    holds: Holds,
    /// Watermark file, outside of the directory [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WATERMARK", value_name = "FILE")]
    watermark: Option<PathBuf>,
    /// Key-encryption key of audit logs, outside of the directory [default: DIR.kek]
    #[arg(long, env = "ATTESTREE_KEK", value_name = "FILE")]
    kek: Option<PathBuf>,
    /// Use this signing key, of `attestree key generate`, instead of a new one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// The new log, as JSON.
#[derive(Debug, Serialize)]
struct Created {
    origin: String,
    vkey: String,
    data: String,
}

/// Makes the log.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let key = args.key_file.as_deref().map(read_key).transpose()?;
    let mut random = Random::from_system().context("ask the system for randomness")?;
    let (data, origin) = (args.data.display().to_string(), args.origin.to_string());
    let vkey = server::init(
        server::Init {
            data: args.data,
            watermark: args.watermark,
            origin: args.origin,
            identity: match args.identity {
                Identity::None => LogIdentity::None,
                Identity::EntryHash => LogIdentity::EntryHash,
            },
            key,
            rule: args.holds.rule()?,
            kek: args.kek,
        },
        &mut random,
    )?;
    let created = Created { origin, vkey: vkey.to_string(), data };
    output.print(&created, &vkey)
}

fn read_key(path: &std::path::Path) -> anyhow::Result<SigningKey> {
    let text = Zeroizing::new(output::read(path)?);
    let text = core::str::from_utf8(&text).map(str::trim_end);
    let text = text.with_context(|| format!("read {} as text", path.display()))?;
    SigningKey::parse(text).with_context(|| format!("parse the signing key {}", path.display()))
}
