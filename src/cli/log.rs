//! `attestree log`: administers a running server on this machine, through its socket.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tonic::transport::Endpoint;

use super::exit::wrong_usage;
use super::output::Output;
use super::remote::{block_on, origin};
use crate::client::ClientError;
use crate::core::note::VerifierKey;
use crate::core::origin::Origin;
use crate::core::record::{ApprovalRule, ApproverKey};
use crate::proto::{
    self, ConfirmClockRequest, CreateLogRequest, admin_service_client::AdminServiceClient,
};

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Create a further log with a key of its own and open it at once
    #[command(after_help = "\
The server has to run. Stopped, `attestree init --data DIR --origin ORIGIN` does the same.

Examples:
  attestree log create example.com/more --data attestree-data
  attestree log create example.com/audit --kind audit --approver KEY --approver KEY --threshold 1")]
    Create {
        /// Origin of the new log: a host name and a path, without a scheme
        #[arg(value_parser = origin)]
        origin: Origin,
        /// Data directory of the running server
        #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
        data: PathBuf,
        /// What makes two submissions the same entry when they have no idempotency key
        #[arg(long, value_enum, default_value_t = Identity::None)]
        identity: Identity,
        #[command(flatten)]
        holds: Holds,
    },
    /// Take the machine's clock as right, after an audit log has doubted it
    #[command(after_help = "\
An audit log whose clock goes back, or leaps ahead, takes no events until somebody has looked at the clock: what
it recorded with a wrong time could never be put right. `attestree logs` shows such a log as clock-doubted.

Example:
  attestree log confirm-clock example.com/audit --data attestree-data")]
    ConfirmClock {
        /// Origin of the log
        #[arg(value_parser = origin)]
        origin: Origin,
        /// Data directory of the running server
        #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
        data: PathBuf,
    },
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Entries are bytes that the log does not look into
    Opaque,
    /// Entries are audit records, made of events as the log's policy says
    Audit,
}

/// What a new log holds, and of an audit log who has to approve its first policy.
#[derive(Debug, clap::Args)]
pub(super) struct Holds {
    /// What the log holds, for ever
    #[arg(long, value_enum, default_value_t = Kind::Opaque)]
    kind: Kind,
    /// Public key of one who approves the first policy of an audit log; may be repeated
    ///
    /// Either the 43 characters as in records, or a verifier key of `attestree key`.
    #[arg(long = "approver", value_name = "KEY", value_parser = approver)]
    approvers: Vec<ApproverKey>,
    /// How many approvers have to approve [default: all]
    #[arg(long, value_name = "N")]
    threshold: Option<usize>,
}

impl Holds {
    /// Returns the rule that the first policy has to meet; `None` for an opaque log.
    pub(super) fn rule(&self) -> anyhow::Result<Option<ApprovalRule>> {
        if self.kind == Kind::Opaque {
            if self.approvers.is_empty() && self.threshold.is_none() {
                return Ok(None);
            }
            return Err(wrong_usage("--approver and --threshold are for --kind audit"));
        }
        let threshold = self.threshold.unwrap_or(self.approvers.len());
        let rule = ApprovalRule::new(self.approvers.clone(), threshold);
        let message =
            "--approver takes at most 64 keys, each once, and --threshold from 0 to their number";
        rule.map(Some).ok_or_else(|| wrong_usage(message))
    }
}

/// Reads the key of an approver.
fn approver(text: &str) -> Result<ApproverKey, String> {
    let listed = || ApproverKey::new(*VerifierKey::parse(text).ok()?.public_bytes());
    let key = ApproverKey::parse(text).or_else(listed);
    key.ok_or_else(|| {
        "use an Ed25519 public key: 43 characters of base64url, or NAME+ID+KEY".to_owned()
    })
}

/// Writes a rule for the server.
fn rule_message(rule: &ApprovalRule) -> proto::ApprovalRule {
    proto::ApprovalRule {
        keys: rule.keys().iter().map(|key| key.as_bytes().to_vec().into()).collect(),
        threshold: u32::try_from(rule.threshold()).expect("a rule has 64 keys at most"),
    }
}

/// What makes two submissions the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Identity {
    /// Nothing: equal bytes are appended again
    None,
    /// The leaf hash: equal bytes get the first index, and entries can be found by hash
    EntryHash,
}

/// The created log, as JSON.
#[derive(Debug, Serialize)]
struct Created {
    origin: String,
    vkeys: Vec<String>,
}

/// Connects to the administrator's socket of a data directory.
pub(super) async fn admin(
    data: &Path,
) -> anyhow::Result<(AdminServiceClient<tonic::transport::Channel>, String)> {
    let socket = data.join("admin.sock");
    let url = format!("unix:{}", socket.display());
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| wrong_usage(format!("{} can't be a socket's path", socket.display())))?;
    let channel = endpoint.connect().await.with_context(|| {
        format!("connect to {}; is a server running on this data directory?", socket.display())
    })?;
    Ok((AdminServiceClient::new(channel), url))
}

/// The log whose clock is confirmed, as JSON.
#[derive(Debug, Serialize)]
struct Confirmed {
    origin: String,
}

/// Carries the command out.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    match args.what {
        What::Create { origin, data, identity, holds } => {
            create(&origin, &data, identity, &holds, output)
        }
        What::ConfirmClock { origin, data } => confirm_clock(&origin, &data, output),
    }
}

/// Says to the server that its clock is right.
fn confirm_clock(origin: &Origin, data: &Path, output: Output) -> anyhow::Result<()> {
    block_on(async {
        let (mut admin, url) = admin(data).await?;
        let answer = admin.confirm_clock(ConfirmClockRequest { log: origin.to_string() }).await;
        answer.map_err(|status| ClientError::from_status(&url, status))?;
        Ok(())
    })?;
    let text = format!("{origin} goes by the machine's clock");
    output.print(&Confirmed { origin: origin.to_string() }, text)
}

/// Creates a log.
fn create(
    origin: &Origin,
    data: &Path,
    identity: Identity,
    holds: &Holds,
    output: Output,
) -> anyhow::Result<()> {
    let rule = holds.rule()?;
    let kind = if rule.is_some() { proto::LogKind::Audit } else { proto::LogKind::Opaque };
    let identity = match identity {
        Identity::None => proto::Identity::None,
        Identity::EntryHash => proto::Identity::EntryHash,
    };
    let log = block_on(async {
        let (mut admin, url) = admin(data).await?;
        let request = CreateLogRequest {
            origin: origin.to_string(),
            kind: kind.into(),
            identity: identity.into(),
            rule: rule.as_ref().map(rule_message),
        };
        let answer = admin.create_log(request).await;
        let answer = answer.map_err(|status| ClientError::from_status(&url, status))?;
        answer.into_inner().log.context("the server's answer holds no log")
    })?;
    let created = Created { origin: log.origin, vkeys: log.vkeys };
    let text = created.vkeys.join("\n");
    output.print(&created, text)
}
