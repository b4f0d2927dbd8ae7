//! `attestree disclose`: committed fields of an audit record, each alone.

use std::path::PathBuf;

use super::exit::wrong_usage;
use super::output::Output;
use super::remote::Remote;
use crate::core::number::LeafIndex;
use crate::core::record::Path;
use crate::server::{self, KeyPlace};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An audit record shows a commitment in the place of a sensitive field. This verb opens it, with the keys of
the data directory: for each field it prints one line of JSON with path, salt and value. Whoever has the
record verifies such a line offline against the record's leaf, and learns nothing of the other fields.

What is printed is the sensitive value itself. It asks nobody and reads the directory alone; a running
server does not mind.

Examples:
  attestree disclose 7 --data attestree-data --path /actor/email > email.json
  attestree entry 7 > 7.entry && attestree receipt 7 -o 7.tlog-proof
  attestree verify 7.tlog-proof --entry 7.entry --disclosure email.json --trust trust.policy")]
pub(super) struct Args {
    /// Index of the record
    #[arg(value_name = "INDEX")]
    index: u64,
    /// Field to open, as a JSON pointer such as /actor/email [default: all of the record]
    #[arg(long, value_name = "POINTER")]
    path: Option<String>,
    /// Data directory
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    data: PathBuf,
    /// Key-encryption key [default: DIR.kek]
    #[arg(long, env = "ATTESTREE_KEK", value_name = "FILE")]
    kek: Option<PathBuf>,
}

/// Opens the fields.
pub(super) fn run(args: &Args, remote: &Remote) -> anyhow::Result<()> {
    let index = LeafIndex::new(args.index)
        .ok_or_else(|| wrong_usage("no log has an entry of such an index"))?;
    let path = args.path.as_deref().map(|path| {
        Path::parse(path).ok_or_else(|| {
            wrong_usage("--path is a JSON pointer that begins with a slash, such as /actor/email")
        })
    });
    let place = KeyPlace { data: &args.data, kek: args.kek.as_deref() };
    let origin = remote.log.as_ref().map_or("", |origin| origin.as_str());
    let disclosed = server::disclose(place, origin, index, path.transpose()?.as_ref())?;
    disclosed.iter().try_for_each(|field| Output::line(field.format().as_str()))
}
