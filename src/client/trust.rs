//! What one client believes of one log, and what it has seen of it.

use std::sync::Mutex;

use crate::core::checkpoint::SignedCheckpoint;
use crate::core::evidence::Evidence;
use crate::core::note::{KeyError, VerifierKey};
use crate::core::origin::Origin;
use crate::core::trust::TrustPolicy;
use crate::proto;

use super::{ClientError, Untrue};

/// A trust policy for one log, with the newest checkpoint that passed it.
///
/// Remembering one checkpoint has two uses: the same note is not verified twice (35 microseconds
/// each), and two different trees of one size are noticed.
#[derive(Debug)]
pub struct Trust {
    policy: TrustPolicy,
    /// The same without its quorum.
    signed: TrustPolicy,
    origin: Origin,
    newest: Mutex<Option<SignedCheckpoint>>,
}

impl Trust {
    /// Believes what the policy accepts of the log with this origin.
    pub fn new(policy: TrustPolicy, origin: Origin) -> Self {
        let signed = policy.without_quorum();
        Self { policy, signed, origin, newest: Mutex::new(None) }
    }

    /// Believes what the policy accepts of one log: the one with this origin, or its only one.
    pub fn known(policy: TrustPolicy, origin: Option<&Origin>) -> Result<Self, ClientError> {
        let origin = match (origin, policy.logs()) {
            (Some(origin), _) => origin.clone(),
            (None, [only]) => only.origin.clone(),
            (None, logs) => return Err(ClientError::WhichLog { logs: logs.len() }),
        };
        Ok(Self::new(policy, origin))
    }

    /// Believes the keys that a server lists for a log: trust on first use.
    pub fn listed(log: &proto::Log) -> Result<Self, Untrue> {
        let origin = Origin::parse(&log.origin)?;
        let vkeys: Result<Vec<VerifierKey>, KeyError> =
            log.vkeys.iter().map(|vkey| VerifierKey::parse(vkey)).collect();
        Ok(Self::new(trust_listed(&vkeys?), origin))
    }

    /// Returns the log's origin.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the policy.
    pub const fn policy(&self) -> &TrustPolicy {
        &self.policy
    }

    /// Verifies a signed note as a checkpoint of this log, whatever the policy's quorum says: as an
    /// answer that a log gives before its witnesses have cosigned.
    pub fn verify_signed(&self, note: &[u8]) -> Result<SignedCheckpoint, Untrue> {
        let checkpoint = self.signed.verify_checkpoint(note)?.checkpoint;
        self.check_origin(&checkpoint)?;
        Ok(checkpoint)
    }

    /// Verifies a signed note as a checkpoint of this log.
    pub fn verify(&self, note: &[u8]) -> Result<SignedCheckpoint, Untrue> {
        let newest = self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(newest) = &newest
            && newest.note() == note
        {
            return Ok(newest.clone());
        }
        let checkpoint = self.policy.verify_checkpoint(note)?.checkpoint;
        self.check_origin(&checkpoint)?;
        let Some(newest) = newest else {
            self.remember(&checkpoint);
            return Ok(checkpoint);
        };
        if let Some(evidence) = Evidence::same_size(&newest, &checkpoint) {
            return Err(Untrue::SplitView { evidence: Box::new(evidence) });
        }
        if checkpoint.head().size >= newest.head().size {
            self.remember(&checkpoint);
        }
        Ok(checkpoint)
    }

    fn check_origin(&self, checkpoint: &SignedCheckpoint) -> Result<(), Untrue> {
        if *checkpoint.origin() == self.origin {
            return Ok(());
        }
        Err(Untrue::Origin {
            expected: self.origin.to_string(),
            found: checkpoint.origin().to_string(),
        })
    }

    fn remember(&self, checkpoint: &SignedCheckpoint) {
        *self.newest.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(checkpoint.clone());
    }
}

/// Makes the policy that believes a log's listed keys alone: trust on first use.
pub fn trust_listed(vkeys: &[VerifierKey]) -> TrustPolicy {
    let mut text = String::new();
    for vkey in vkeys {
        text.push_str("log ");
        text.push_str(&vkey.to_string());
        text.push('\n');
    }
    text.push_str("quorum none\n");
    TrustPolicy::parse(&text).expect("keys that parsed make a policy")
}
