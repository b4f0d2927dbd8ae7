//! `ApplyPolicy` and `GetPolicy`: the policy of an audit log, for the operator of the machine.

use bytes::Bytes;
use tonic::Response;

use super::{
    Answered,
    answer::checkpoint,
    status::{Denial, Fields},
};
use crate::{
    core::{
        policy::Bundle,
        record::{Approval, ApprovalRule, ApproverKey, PolicyDigest, Timestamp},
    },
    pipeline::{Applying, Log, Outcome},
    proto::{self, PolicyApproval},
    service::{Desk, look},
    store::LogKind,
};

/// Puts a policy into force.
pub(super) async fn apply(
    desk: &Desk,
    request: proto::ApplyPolicyRequest,
) -> Answered<proto::ApplyPolicyResponse> {
    let log = desk.log(&request.log)?;
    refuse_opaque(&log)?;
    let bundle = Bundle::decode(&request.bundle)
        .map_err(|error| Denial::field("bundle", error.to_string()))?;
    let approvals = request.approvals.iter().enumerate();
    let approvals = approvals
        .map(|(position, approval)| parse_approval(position, approval))
        .collect::<Result<Vec<Approval>, Denial>>()?;
    let replaces = request.old_digest.as_deref().map(parse_digest).transpose()?;
    let digest = bundle.digest();
    let who = (!request.who.is_empty()).then_some(request.who);
    let applying = desk.pipeline.clone();
    // Compiling takes a while.
    let ticket = look::blocking(move || {
        let how = Applying { approvals, who: who.as_deref(), replaces };
        applying.apply_policy(&log, &bundle, how)
    })
    .await?
    .map_err(|refusal| Denial::not_applied(&refusal))?;
    let applied = ticket.await.map_err(|failure| Denial::failed(&failure, Fields::Single))?;
    let index = match applied.outcomes.first() {
        Some(Outcome::Sequenced { index }) => *index,
        other => unreachable!("a policy that is applied has a record, and not {other:?}"),
    };
    Ok(Response::new(proto::ApplyPolicyResponse {
        leaf_index: index.get(),
        digest: Bytes::copy_from_slice(digest.as_bytes()),
        checkpoint: Some(checkpoint(&applied.published)),
    }))
}

/// Says which policy is in force, and who has to approve the next one.
pub(super) fn get(
    desk: &Desk,
    request: &proto::GetPolicyRequest,
) -> Answered<proto::GetPolicyResponse> {
    let log = desk.log(&request.log)?;
    refuse_opaque(&log)?;
    let active = desk.pipeline.active_policy(&log);
    let rule = desk.pipeline.approval_rule(&log);
    Ok(Response::new(proto::GetPolicyResponse {
        digest: active
            .map_or_else(Bytes::new, |(digest, _)| Bytes::copy_from_slice(digest.as_bytes())),
        leaf_index: active.map(|(_, index)| index.get()),
        rule: rule.as_ref().map(format_rule),
        origin: log.origin().to_owned(),
    }))
}

/// Takes the clock as right, because the operator says so.
pub(super) fn confirm_clock(
    desk: &Desk,
    request: &proto::ConfirmClockRequest,
) -> Answered<proto::ConfirmClockResponse> {
    let log = desk.log(&request.log)?;
    let confirmed = desk.pipeline.confirm_clock(&log);
    confirmed.map_err(|refusal| Denial::refused(&refusal, Fields::Single))?;
    tracing::info!(origin = log.origin(), "an operator has confirmed the clock");
    Ok(Response::new(proto::ConfirmClockResponse {}))
}

/// Refuses a log without policies.
fn refuse_opaque(log: &Log) -> Result<(), Denial> {
    match log.row().kind {
        LogKind::Audit => Ok(()),
        LogKind::Opaque => Err(Denial::no_policies()),
    }
}

/// Reads the digest of the policy that is to be replaced.
fn parse_digest(bytes: &[u8]) -> Result<PolicyDigest, Denial> {
    let bytes = bytes.try_into().map_err(|_length| {
        Denial::field("old_digest", "a digest has 32 bytes; leave it out for whichever is in force")
    })?;
    Ok(PolicyDigest::from_bytes(bytes))
}

/// Reads one approval; whether it counts is for the log to decide.
fn parse_approval(position: usize, approval: &PolicyApproval) -> Result<Approval, Denial> {
    let wrong =
        |name: &str, message: &str| Denial::field(format!("approvals[{position}].{name}"), message);
    let key = <[u8; 32]>::try_from(&approval.key[..]).ok().and_then(ApproverKey::new);
    let key = key.ok_or_else(|| wrong("key", "this is no Ed25519 public key of 32 bytes"))?;
    let expires = Timestamp::from_micros(approval.expires_unix_us);
    let expires =
        expires.ok_or_else(|| wrong("expires_unix_us", "this is a time beyond the year 9999"))?;
    let signature = <[u8; 64]>::try_from(&approval.signature[..]);
    let signature =
        signature.map_err(|_length| wrong("signature", "an Ed25519 signature has 64 bytes"))?;
    Ok(Approval { key, expires, signature })
}

/// Reads a rule.
pub(super) fn parse_rule(rule: &proto::ApprovalRule) -> Result<ApprovalRule, Denial> {
    let key = |(position, key): (usize, &Bytes)| {
        let parsed = <[u8; 32]>::try_from(&key[..]).ok().and_then(ApproverKey::new);
        parsed.ok_or_else(|| {
            let message = "this is no Ed25519 public key of 32 bytes";
            Denial::field(format!("rule.keys[{position}]"), message)
        })
    };
    let keys = rule.keys.iter().enumerate().map(key).collect::<Result<Vec<_>, _>>()?;
    let threshold = usize::try_from(rule.threshold).unwrap_or(usize::MAX);
    ApprovalRule::new(keys, threshold).ok_or_else(|| {
        let message = "name at most 64 keys, each once, and from 0 to all of them as the threshold";
        Denial::field("rule", message)
    })
}

/// Writes a rule.
fn format_rule(rule: &ApprovalRule) -> proto::ApprovalRule {
    let key = |key: &ApproverKey| Bytes::copy_from_slice(key.as_bytes());
    proto::ApprovalRule {
        keys: rule.keys().iter().map(key).collect(),
        threshold: u32::try_from(rule.threshold()).expect("a rule has 64 keys at most"),
    }
}
