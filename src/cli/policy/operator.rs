//! What the operator's socket says of policies, and the rule of approvals in words.

use std::path::PathBuf;

use anyhow::Context as _;
use tonic::transport::Channel;

use crate::client::ClientError;
use crate::core::origin::Origin;
use crate::core::record::{ApprovalRule, ApproverKey, PolicyDigest};
use crate::proto::{self, GetPolicyRequest, admin_service_client::AdminServiceClient};

/// Which running server.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Local {
    /// Data directory of the running server
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
    pub(super) data: PathBuf,
}

/// What is in force in a log, as its server says.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) origin: Origin,
    /// [`PolicyDigest::NONE`] before the first policy.
    pub(super) digest: PolicyDigest,
    /// Index of the `policy` record.
    pub(super) index: Option<u64>,
    /// Who has to approve the next one.
    pub(super) rule: ApprovalRule,
}

impl InForce {
    /// Asks the server: of the log that is named, or its first.
    pub(super) async fn ask(
        admin: &mut AdminServiceClient<Channel>,
        url: &str,
        log: Option<&Origin>,
    ) -> anyhow::Result<Self> {
        let request = GetPolicyRequest { log: log.map(ToString::to_string).unwrap_or_default() };
        let answer = admin.get_policy(request).await;
        let answer = answer.map_err(|status| ClientError::from_status(url, status))?.into_inner();
        let digest = match answer.digest.len() {
            0 => PolicyDigest::NONE,
            _ => digest(&answer.digest)?,
        };
        let origin =
            Origin::parse(&answer.origin).context("read the origin that the server says")?;
        let rule = answer.rule.as_ref().and_then(rule);
        let rule = rule.context("the server's answer holds no rule of approvals")?;
        Ok(Self { origin, digest, index: answer.leaf_index, rule })
    }
}

/// Reads a digest of the server.
pub(super) fn digest(bytes: &[u8]) -> anyhow::Result<PolicyDigest> {
    let bytes = bytes.try_into().context("the server's digest does not have 32 bytes")?;
    Ok(PolicyDigest::from_bytes(bytes))
}

/// Reads a rule of the server.
fn rule(rule: &proto::ApprovalRule) -> Option<ApprovalRule> {
    let keys = rule.keys.iter().map(|key| ApproverKey::new(<[u8; 32]>::try_from(&key[..]).ok()?));
    ApprovalRule::new(keys.collect::<Option<_>>()?, usize::try_from(rule.threshold).ok()?)
}

/// Writes a digest for people, who should not see 43 times the same letter.
pub(super) fn named(digest: PolicyDigest) -> String {
    if digest == PolicyDigest::NONE { "no policy".to_owned() } else { digest.to_string() }
}

/// Says how many have to approve, and who may.
pub(super) fn asked(rule: &ApprovalRule) -> String {
    let keys: Vec<String> = rule.keys().iter().map(ToString::to_string).collect();
    let keys = keys.join(", ");
    match rule.threshold() {
        0 => "nobody has to approve".to_owned(),
        1 => format!("1 approval is needed, by a key among {keys}"),
        threshold => format!("{threshold} approvals are needed, by keys among {keys}"),
    }
}
