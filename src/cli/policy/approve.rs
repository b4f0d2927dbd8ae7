//! `attestree policy approve`: says yes to one change of one log.

use std::path::PathBuf;

use anyhow::ensure;
use serde::Serialize;

use super::super::key::signing;
use super::super::output::{self, Output};
use super::operator::{asked, named};
use super::plan;
use crate::core::record::{Approval, Statement};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Signs that the policy which the plan names may take the place of the one in force, in that log, until the plan
ends. Look at what you approve: with --policy the plan has to be about that directory.

Example:
  attestree policy approve change.plan --key alice.skey --policy policy -o alice.approval")]
pub(super) struct Args {
    /// The plan of `attestree policy plan`
    plan: PathBuf,
    /// File of the signing key, as of `attestree key generate`
    // It takes the place of the global option of this name: nobody is talked to here.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The policy that was looked at: refuse if the plan is about another
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Environment whose overlay is applied to --policy
    #[arg(long, value_name = "NAME", requires = "policy")]
    env: Option<String>,
    /// File to write the approval to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What was approved, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    origin: String,
    old: String,
    new: String,
    expires: String,
    key: String,
}

/// Approves a plan.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let bound = plan::read(&args.plan)?;
    if let Some(policy) = &args.policy {
        let digest = super::load::read(policy, args.env.as_deref())?.digest();
        ensure!(
            digest == bound.new,
            "{} is {digest}, and the plan is about {}; do not approve it",
            policy.display(),
            bound.new
        );
    }
    let key = signing(&args.key)?;
    let plan::Bound { origin, old, new, expires, rule } = &bound;
    let statement = Statement { origin, old: *old, new: *new, expires: *expires };
    let approval = Approval::sign(&statement, &key);
    ensure!(
        rule.keys().contains(&approval.key),
        "the key of {} does not count: {}",
        args.key.display(),
        asked(rule)
    );
    let line = format!("{}\n", approval.format());
    let Some(path) = &args.output else { return Output::bytes(line.as_bytes()) };
    output::write(path, line.as_bytes())?;
    let shown = Shown {
        origin: origin.to_string(),
        old: named(*old),
        new: new.to_string(),
        expires: expires.to_string(),
        key: approval.key.to_string(),
    };
    let text = format!("approved for {origin}: {} -> {new}, until {expires}", shown.old);
    output.print(&shown, text)
}
