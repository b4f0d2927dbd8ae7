//! `attestree policy apply`: puts a policy into force, over the operator's socket.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use serde::Serialize;

use super::super::log::admin;
use super::super::output::{self, Output, count};
use super::super::remote::{Remote, block_on};
use super::load::{Which, load};
use super::operator::{InForce, Local, asked, digest};
use super::report::Format;
use super::{Show, plan};
use crate::cli::clock::now;
use crate::client::ClientError;
use crate::core::record::{Approval, PolicyDigest};
use crate::proto::{ApplyPolicyRequest, PolicyApproval};

/// Most bytes of a file of an approval: a line of three short members.
const APPROVAL_BYTES_MAX: usize = 4_096;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The server has to run on this machine: whoever can open its socket is its operator. Which approvals are needed
says the policy that is in force, and not the one that comes; for the first one the log's first record does.
A policy that is in force already is left as it is.

Examples:
  attestree policy apply policy --data attestree-data
  attestree policy apply policy --env production --plan change.plan --approval a.approval --approval b.approval")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    local: Local,
    /// File of an approval, as of `attestree policy approve`; may be repeated
    #[arg(long = "approval", value_name = "FILE")]
    approvals: Vec<PathBuf>,
    /// Apply only what this plan is about, and only to the policy that it replaces
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Who applies it, for the record
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

/// The policy in force, as JSON.
#[derive(Debug, Serialize)]
struct Applied {
    origin: String,
    index: u64,
    digest: String,
    /// Whether it was in force before.
    unchanged: bool,
}

/// Puts a policy into force.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let show = Show { format: Format::Text };
    let loaded = load("apply", &args.which.policy, args.which.env.as_deref(), show, output)?;
    let approvals = args.approvals.iter().map(|path| read_approval(path));
    let approvals = approvals.collect::<anyhow::Result<Vec<Approval>>>()?;
    let planned = args.plan.as_deref().map(plan::read).transpose()?;
    let new = loaded.bundle.digest();
    let applied = block_on(async {
        let (mut admin, url) = admin(&args.local.data).await?;
        let active = InForce::ask(&mut admin, &url, remote.log.as_ref()).await?;
        if let (true, Some(index)) = (active.digest == new, active.index) {
            return Ok(Applied::of(&active, index, new, true));
        }
        // Should another come between this look and the change, the server refuses what the plan is not about.
        if let Some(planned) = &planned {
            planned.check(new, &active)?;
        }
        let request = ApplyPolicyRequest {
            log: active.origin.to_string(),
            bundle: loaded.bundle.encode().into(),
            approvals: approvals.iter().map(message).collect(),
            who: args.who.clone().unwrap_or_default(),
            old_digest: planned
                .as_ref()
                .map(|planned| Bytes::copy_from_slice(planned.old.as_bytes())),
        };
        let answer = match admin.apply_policy(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                let error = ClientError::from_status(&url, status);
                return Err(explained(error, &active, new, &approvals)?);
            }
        };
        let digest = digest(&answer.digest)?;
        Ok(Applied::of(&active, answer.leaf_index, digest, false))
    })?;
    let Applied { origin, index, digest, unchanged } = &applied;
    let already = if *unchanged { "already " } else { "" };
    let text = format!("{origin}: {digest} is {already}in force since index {index}");
    output.print(&applied, text)
}

impl Applied {
    fn of(active: &InForce, index: u64, digest: PolicyDigest, unchanged: bool) -> Self {
        Self { origin: active.origin.to_string(), index, digest: digest.to_string(), unchanged }
    }
}

/// Says who has to approve, where that was missing.
fn explained(
    error: ClientError,
    active: &InForce,
    new: PolicyDigest,
    approvals: &[Approval],
) -> anyhow::Result<anyhow::Error> {
    match &error {
        ClientError::Refused(refused) if refused.reason == "UNAPPROVED" => {}
        _ => return Ok(error.into()),
    }
    let counted =
        active.rule.approvers(&active.origin, active.digest, new, approvals, now()?).len();
    let given = count(approvals.len() as u64, "approval", "approvals");
    Ok(anyhow::anyhow!(
        "{}; of {given} given {counted} count for this change of {}. Make a plan with `attestree policy plan -o`, \
         let them `attestree policy approve` it, and name their files with --approval",
        asked(&active.rule),
        active.origin
    ))
}

/// Reads an approval.
fn read_approval(path: &Path) -> anyhow::Result<Approval> {
    let bytes = output::read_at_most(path, APPROVAL_BYTES_MAX)?;
    let approval = str::from_utf8(&bytes).ok().and_then(Approval::parse);
    approval.with_context(|| {
        format!("{} is no approval; make one with `attestree policy approve`", path.display())
    })
}

/// Writes an approval for the server.
fn message(approval: &Approval) -> PolicyApproval {
    PolicyApproval {
        key: Bytes::copy_from_slice(approval.key.as_bytes()),
        expires_unix_us: approval.expires.micros(),
        signature: Bytes::copy_from_slice(&approval.signature),
    }
}
