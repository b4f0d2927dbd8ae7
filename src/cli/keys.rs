//! `attestree keys`: the keys of audit logs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::output::{self, Output};
use super::remote::Remote;
use crate::core::record::EPOCH_DAYS;
use crate::server::{self, KeptKey, KeyPlace, ListedKey, random::Random};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sensitive fields of an audit log are committed in its records, and kept beside them under a key for each
subject. Those keys are in DIR/keys, wrapped under a key-encryption key (KEK), which lies outside of the
directory (DIR.kek, or --kek). So a copy of the directory alone opens nothing, and who destroys a key
destroys what it sealed in every copy, while the log still verifies.")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// Where the keys are.
#[derive(Debug, clap::Args)]
struct Place {
    /// Data directory
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// Key-encryption key [default: DIR.kek]
    #[arg(long, env = "ATTESTREE_KEK", value_name = "FILE")]
    kek: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Count the keys by log and kind
    #[command(after_help = "\
Names of keys are personal data: subjects are people. They are shown only with --subjects.

Examples:
  attestree keys list --data attestree-data
  attestree keys list --data attestree-data --subjects --json")]
    List {
        #[command(flatten)]
        place: Place,
        /// Show each key with its subject or path: personal data
        #[arg(long)]
        subjects: bool,
    },
    /// Wrap every key under another key-encryption key
    #[command(after_help = "\
The server has to be stopped. The new KEK is read from a file, or made there; then every key is wrapped
anew in one write, so that an interruption leaves all under the old KEK or all under the new one. Start the
server with the new file, and destroy the old one once no copy of the keys needs it: copies made before
open with the old KEK alone.

Example:
  attestree keys rotate-kek --data attestree-data --new-kek /etc/attestree/2027.kek
  attestree serve --data attestree-data --kek /etc/attestree/2027.kek")]
    RotateKek {
        #[command(flatten)]
        place: Place,
        /// File of the new key-encryption key; made if it does not exist
        #[arg(long, value_name = "FILE")]
        new_kek: PathBuf,
    },
    /// Destroy the keys of an epoch's tokens: nothing links those to values any more
    #[command(after_help = "\
A token stands where a value has to be recognised without being known; equal values have equal tokens
within an epoch of 30 days, or of --days, as the policy says. Who has the key can test a guess. Once the
epoch is over its keys are not needed any more; destroyed, they are in no file of the directory. Copies of
the key store keep theirs. The server has to be stopped. There is no way back.

Example:
  attestree keys destroy-epoch 691 --data attestree-data --log example.com/audit")]
    DestroyEpoch {
        /// Number of the epoch: whole periods since 1970
        epoch: u32,
        #[command(flatten)]
        place: Place,
        /// Days of an epoch, as the policy says
        #[arg(long, value_name = "N", default_value_t = EPOCH_DAYS, value_parser = clap::value_parser!(u32).range(1..))]
        days: u32,
    },
    /// Make an empty key store for a directory that lost its own
    #[command(after_help = "\
Only where DIR/keys is lost for good, and no `attestree backup --with-keys` has it: what was committed
before can never be disclosed again, and an idempotency key that is used again for the same event is
refused as another's. The KEK's file is made, unless it is there.

Example:
  attestree keys create --data attestree-data")]
    Create {
        #[command(flatten)]
        place: Place,
    },
}

/// Keys of one kind of a log, as JSON.
#[derive(Debug, Serialize)]
struct Counted {
    origin: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    keys: u64,
}

/// A KEK that was made or put in another's place, as JSON.
#[derive(Debug, Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    old_kek: Option<String>,
    kek: String,
    keys: u64,
}

/// Keys that were destroyed, as JSON.
#[derive(Debug, Serialize)]
struct Destroyed {
    epoch: u32,
    destroyed: u64,
}

impl Place {
    fn get(&self) -> KeyPlace<'_> {
        KeyPlace { data: &self.data, kek: self.kek.as_deref() }
    }
}

/// Does it.
pub(super) fn run(args: Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let random = || Random::from_system().context("ask the system for randomness");
    match args.what {
        What::List { place, subjects } => list(&place, subjects, output),
        What::RotateKek { place, new_kek } => {
            let done = server::rotate_kek(place.get(), &new_kek, &mut random()?)?;
            let (old, kek) = (Some(done.old.to_string()), done.new.to_string());
            let text = format!(
                "wrapped {} under {kek}; start the server with --kek {}",
                output::count(done.keys, "key", "keys"),
                new_kek.display()
            );
            output.print(&Changed { old_kek: old, kek, keys: done.keys }, text)
        }
        What::DestroyEpoch { epoch, place, days } => {
            let origin = remote.log.as_ref().map_or("", |origin| origin.as_str());
            let destroyed =
                server::destroy_epoch(place.get(), origin, epoch, days, &mut random()?)?;
            let keys = output::count(destroyed, "key", "keys");
            output.print(
                &Destroyed { epoch, destroyed },
                format!("destroyed {keys} of epoch {epoch}; it never gets others"),
            )
        }
        What::Create { place } => {
            let kek = server::create_keys(place.get(), &mut random()?)?.to_string();
            let text = format!("made an empty key store under the key-encryption key {kek}");
            output.print(&Changed { old_kek: None, kek, keys: 0 }, text)
        }
    }
}

/// What is counted together: log, kind, epoch, and the name where each is shown.
type Kind = (String, &'static str, Option<u32>, Option<String>);

/// Counts the keys, or shows each.
fn list(place: &Place, subjects: bool, output: Output) -> anyhow::Result<()> {
    let mut counted: BTreeMap<Kind, u64> = BTreeMap::new();
    let kek = server::list_keys(place.get(), |ListedKey { origin, key }| {
        let (kind, epoch, name) = match key {
            KeptKey::Identity { .. } => ("identity", None, None),
            KeptKey::Subject { subject, .. } => ("subject", None, Some(subject)),
            KeptKey::Token { epoch, path, .. } => ("token", Some(epoch), Some(path)),
        };
        *counted.entry((origin, kind, epoch, name.filter(|_| subjects))).or_default() += 1;
    })?;
    if counted.is_empty() && !output.is_json() {
        return Output::line(format!("no keys yet under the key-encryption key {kek}"));
    }
    for ((origin, kind, epoch, name), keys) in counted {
        let of = epoch.map(|epoch| format!(" of epoch {epoch}")).unwrap_or_default();
        let text = match &name {
            Some(name) => format!("{origin}: {kind} key{of} {name}"),
            None => {
                let (one, many) = (format!("{kind} key"), format!("{kind} keys"));
                format!("{origin}: {}{of}", output::count(keys, &one, &many))
            }
        };
        output.print(&Counted { origin, kind, epoch, name, keys }, text)?;
    }
    Ok(())
}
