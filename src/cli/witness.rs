//! `attestree witness`: makes a witness, runs it, and tells it what its operator has decided.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::output::{Output, count};
use super::remote::{block_on, key_name, origin};
use crate::client::operator::ask_socket;
use crate::core::note::KeyName;
use crate::core::origin::Origin;
use crate::server::random::Random;
use crate::server::witness::{self, Flags, Init, LogStatus, Order, Status};

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a witness and print its verifier key
    #[command(after_help = "\
Makes the directory with a key (readable by its owner only) and an empty journal and, beside the
directory, the watermark that keeps a restored copy from cosigning a second history. Prints the vkey:
logs and auditors name it in their trust policies.

Example:
  attestree witness init --name witness.example/w1")]
    Init {
        #[command(flatten)]
        place: Place,
        /// Name of the witness for ever: a host name and a path, without a scheme
        #[arg(long, value_parser = key_name)]
        name: KeyName,
    },
    /// Run a witness
    #[command(after_help = "\
Prints `listening on http://ADDR` once it takes requests. Logs with a URL are read; every log may push
to /add-checkpoint. A log that was cosigned once can't be left out any more, only disabled.

Example:
  attestree witness serve --log \"$(attestree logs | tail -n 1) http://127.0.0.1:6962\"
  attestree witness serve --config /etc/attestree/witness.toml")]
    Serve(Box<Flags>),
    /// Show what a witness has cosigned, and which logs stand still
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Stop cosigning for a log, or go on
    Log {
        #[command(subcommand)]
        order: OrderArgs,
    },
}

/// Where the witness is.
#[derive(Debug, clap::Args)]
struct Place {
    /// Directory of the witness
    #[arg(
        long,
        env = "ATTESTREE_WITNESS_DATA",
        value_name = "DIR",
        default_value = "attestree-witness"
    )]
    data: PathBuf,
    /// Watermark file, outside of the directory [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WITNESS_WATERMARK", value_name = "FILE")]
    watermark: Option<PathBuf>,
}

/// What an operator may order. Nothing removes a log: it could come back with another history.
#[derive(Debug, clap::Subcommand)]
enum OrderArgs {
    /// Stop cosigning for a log; what was cosigned stays
    Disable(About),
    /// Let a disabled log go on from where it was
    Enable(About),
    /// Stop cosigning for a log that seems to misbehave
    Freeze(About),
    /// Let a frozen log go on, after its evidence was looked into
    Unfreeze(About),
}

/// Which log, and why.
#[derive(Debug, clap::Args)]
struct About {
    #[command(flatten)]
    place: Place,
    /// The log
    #[arg(value_parser = origin)]
    origin: Origin,
    /// Why: it is recorded for ever
    #[arg(long)]
    reason: String,
}

/// A new witness, as JSON.
#[derive(Debug, Serialize)]
struct Created {
    name: String,
    vkey: String,
    data: String,
}

/// Carries the command out.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    match args.what {
        What::Init { place, name } => init(place, name, output),
        What::Serve(flags) => witness::run(*flags, output.is_json()),
        What::Status { place } => print(&ask(&place, None)?, output),
        What::Log { order } => {
            let (act, about) = match order {
                OrderArgs::Disable(about) => ("disable", about),
                OrderArgs::Enable(about) => ("enable", about),
                OrderArgs::Freeze(about) => ("freeze", about),
                OrderArgs::Unfreeze(about) => ("unfreeze", about),
            };
            let About { place, origin, reason } = about;
            let order = Order { act: act.to_owned(), origin: origin.to_string(), reason };
            let mut status = ask(&place, Some(&order))?;
            status.logs.retain(|log| log.origin == order.origin);
            print(&status, output)
        }
    }
}

fn init(place: Place, name: KeyName, output: Output) -> anyhow::Result<()> {
    let mut random = Random::from_system().context("ask the system for randomness")?;
    let (data, text) = (place.data.display().to_string(), name.as_str().to_owned());
    let init = Init { data: place.data, watermark: place.watermark, name };
    let vkey = witness::init(init, &mut random)?;
    output.print(&Created { name: text, vkey: vkey.to_string(), data }, &vkey)
}

/// Asks the running witness, or its files if none is running.
fn ask(place: &Place, order: Option<&Order>) -> anyhow::Result<Status> {
    match over_socket(&place.data, order)? {
        Some(status) => Ok(status),
        None => {
            let orders = order.map(core::slice::from_ref).unwrap_or_default();
            witness::give_orders(&place.data, place.watermark.as_deref(), orders)
        }
    }
}

/// Asks the running witness; none if there is none.
fn over_socket(data: &Path, order: Option<&Order>) -> anyhow::Result<Option<Status>> {
    let socket = data.join("admin.sock");
    if !socket.exists() {
        return Ok(None);
    }
    let body = order.map(serde_json::to_string).transpose().context("write JSON")?;
    let path = if order.is_some() { "/order" } else { "/status" };
    block_on(async {
        // A socket that nobody listens on is left from a witness that was killed.
        let Ok((status, bytes)) = ask_socket(&socket, path, body).await else {
            return Ok(None);
        };
        if status != 200 {
            bail!("{}", String::from_utf8_lossy(&bytes).trim_end());
        }
        serde_json::from_slice(&bytes).map(Some).context("read the witness's answer")
    })
}

fn print(status: &Status, output: Output) -> anyhow::Result<()> {
    let lines: Vec<String> = status.logs.iter().map(line).collect();
    let logs = count(u64::try_from(lines.len()).unwrap_or(u64::MAX), "log", "logs");
    let text = match lines.is_empty() {
        true => format!("{}\n{logs}", status.vkey),
        false => format!("{}\n{}", status.vkey, lines.join("\n")),
    };
    output.print(status, text)
}

/// Writes one log as a line.
fn line(log: &LogStatus) -> String {
    let size = match log.size {
        Some(size) => format!("cosigned up to size {size}"),
        None => "never cosigned".to_owned(),
    };
    let disabled = if log.disabled { ", disabled" } else { "" };
    let frozen = log.frozen.as_ref().map(|reason| format!(", frozen: {reason}"));
    format!("{}: {size}{disabled}{}", log.origin, frozen.unwrap_or_default())
}
