//! `attestree logs`: what a server says of its logs.

use core::fmt::Write as _;

use serde::Serialize;

use super::output::{self, Output};
use super::remote::{Remote, block_on};
use crate::client::list_logs;
use crate::proto;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The list is what the server says; nothing in it is verified. A key that you will rely on should come
to you another way too, such as from the operator's `attestree init`.

Examples:
  attestree logs
  attestree logs --policy > trust.policy")]
pub(super) struct Args {
    /// Print a trust policy that believes these logs' keys
    #[arg(long)]
    policy: bool,
}

/// One log, as JSON.
#[derive(Debug, Serialize)]
struct Listed {
    origin: String,
    prefix: String,
    kind: &'static str,
    state: &'static str,
    identity: &'static str,
    tree_size: u64,
    vkeys: Vec<String>,
    created_unix_ms: u64,
}

impl From<proto::Log> for Listed {
    fn from(log: proto::Log) -> Self {
        Self {
            kind: match log.kind() {
                proto::LogKind::Unspecified => "unknown",
                proto::LogKind::Opaque => "opaque",
                proto::LogKind::Audit => "audit",
            },
            state: match log.state() {
                proto::LogState::Unspecified => "unknown",
                proto::LogState::Open => "open",
                proto::LogState::Closed => "closed",
                proto::LogState::Halted => "halted",
                proto::LogState::Waiting => "waiting",
                proto::LogState::ClockDoubted => "clock-doubted",
            },
            identity: match log.identity() {
                proto::Identity::Unspecified => "unknown",
                proto::Identity::None => "none",
                proto::Identity::EntryHash => "entry-hash",
            },
            origin: log.origin,
            prefix: log.prefix,
            tree_size: log.tree_size,
            vkeys: log.vkeys,
            created_unix_ms: log.created_unix_ms,
        }
    }
}

/// Lists the logs.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let logs = block_on(async {
        let server = remote.server()?;
        Ok(list_logs(&server, server.channel().await?).await?)
    })?;
    let logs = logs.into_iter().map(Listed::from);
    let logs =
        logs.filter(|log| remote.log.as_ref().is_none_or(|origin| log.origin == origin.as_str()));
    let logs: Vec<Listed> = logs.collect();
    if args.policy {
        return Output::bytes(policy(&logs).as_bytes());
    }
    logs.iter().try_for_each(|log| output.print(log, text(log)))
}

/// Writes a policy that believes the listed keys.
fn policy(logs: &[Listed]) -> String {
    let mut text =
        String::from("# What the server listed. Compare the keys with the operator's.\n");
    for vkey in logs.iter().flat_map(|log| &log.vkeys) {
        writeln!(text, "log {vkey}").expect("a string takes what it is given");
    }
    text.push_str("quorum none\n");
    text
}

/// Describes a log to a person.
fn text(log: &Listed) -> String {
    let mut text = format!(
        "{}: {}, {}, {}, identity {}, served under {}",
        log.origin,
        output::entries(log.tree_size),
        log.state,
        log.kind,
        log.identity,
        log.prefix
    );
    for vkey in &log.vkeys {
        write!(text, "\n  {vkey}").expect("a string takes what it is given");
    }
    text
}
