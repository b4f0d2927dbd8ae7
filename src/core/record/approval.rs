//! Approvals of policies: who may say yes, and to what exactly.
//!
//! The statement that is signed names the log, the policy that is replaced and the one that replaces it,
//! so that an approval is good for one change of one log, until it expires.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

use super::json::{self, Number, Object, Value};
use super::member::{RECORD_LIMITS, has};
use super::name::PolicyDigest;
use super::text::{format_bytes, parse_array, push_short};
use super::time::Timestamp;
use crate::core::note::SigningKey;
use crate::core::origin::Origin;

/// What every statement begins with: no note, and no other statement, does.
const DOMAIN: &[u8] = b"attestree/policy-approval/v1\0";

/// Most keys of a rule.
const KEYS_MAX: usize = 64;

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// The public key of someone who approves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApproverKey([u8; 32]);

/// Who may approve the next policy, and how many have to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRule {
    keys: Vec<ApproverKey>,
    threshold: usize,
}

/// What is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The log.
    pub origin: &'a Origin,
    /// The policy that is replaced; [`PolicyDigest::NONE`] before the first.
    pub old: PolicyDigest,
    /// The policy that replaces it.
    pub new: PolicyDigest,
    /// When the approval ends.
    pub expires: Timestamp,
}

/// One approval, as a record holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose it is.
    pub key: ApproverKey,
    /// When it ends.
    pub expires: Timestamp,
    /// The signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl ApproverKey {
    /// Takes the bytes of an Ed25519 public key, unless they make forgeries easy.
    pub fn new(bytes: [u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(&bytes);
        key.is_ok_and(|key| !key.is_weak()).then_some(Self(bytes))
    }

    /// Parses the text of a record.
    pub fn parse(text: &str) -> Option<Self> {
        Self::new(parse_array(text)?)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies a signature over exactly these bytes, strictly: canonical encodings only.
    fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl ApprovalRule {
    /// The rule of a log whose policy anyone may change who may apply one.
    pub const NOBODY: Self = Self { keys: Vec::new(), threshold: 0 };

    /// Takes the keys, in any order, and how many of them have to approve.
    ///
    /// `None` if a key is there twice, if there are more than 64, or if not so many could approve.
    pub fn new(mut keys: Vec<ApproverKey>, threshold: usize) -> Option<Self> {
        keys.sort_unstable();
        let unique = keys.windows(2).all(|pair| matches!(pair, [one, other] if one != other));
        (unique && keys.len() <= KEYS_MAX && threshold <= keys.len())
            .then_some(Self { keys, threshold })
    }

    /// Returns the keys, sorted.
    pub fn keys(&self) -> &[ApproverKey] {
        &self.keys
    }

    /// Returns how many have to approve.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Returns whether enough approve that one policy takes the place of another at a time.
    ///
    /// Approvals that are not by a key of the rule, not for this change, or over do not count; neither
    /// does a second one by the same key.
    pub fn is_met(
        &self,
        origin: &Origin,
        old: PolicyDigest,
        new: PolicyDigest,
        approvals: &[Approval],
        at: Timestamp,
    ) -> bool {
        self.approvers(origin, old, new, approvals, at).len() >= self.threshold
    }

    /// Returns the keys whose approvals count, as [`ApprovalRule::is_met`] counts them.
    pub fn approvers(
        &self,
        origin: &Origin,
        old: PolicyDigest,
        new: PolicyDigest,
        approvals: &[Approval],
        at: Timestamp,
    ) -> Vec<ApproverKey> {
        let counts = |key: &&ApproverKey| {
            approvals.iter().any(|approval| {
                let statement = Statement { origin, old, new, expires: approval.expires };
                approval.key == **key
                    && approval.expires > at
                    && key.verify(&statement.bytes(), &approval.signature)
            })
        };
        self.keys.iter().filter(counts).copied().collect()
    }

    /// Returns what stands in a record.
    pub(super) fn to_value(&self) -> Value<'static> {
        let keys = self.keys.iter().map(|key| Value::from(key.to_string())).collect();
        let threshold = i64::try_from(self.threshold).ok().and_then(Number::from_integer);
        let threshold = threshold.expect("a rule has few keys");
        Object::from([("keys", Value::Array(keys)), ("threshold", threshold.into())]).into()
    }

    /// Takes what stands in a record: the keys sorted.
    pub(super) fn from_value(value: &Value<'_>) -> Option<Self> {
        let object = value.as_object().filter(|object| has(object, &["keys", "threshold"], &[]))?;
        let Value::Array(keys) = object.get("keys")? else { return None };
        let keys: Vec<ApproverKey> =
            keys.iter().map(|key| ApproverKey::parse(key.as_str()?)).collect::<Option<_>>()?;
        let threshold = usize::try_from(object.get("threshold")?.as_natural()?).ok()?;
        if keys.is_sorted() { Self::new(keys, threshold) } else { None }
    }
}

impl Statement<'_> {
    /// Returns the bytes that are signed.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        push_short(&mut bytes, self.origin.as_str().as_bytes());
        bytes.extend_from_slice(self.old.as_bytes());
        bytes.extend_from_slice(self.new.as_bytes());
        bytes.extend_from_slice(&self.expires.micros().to_be_bytes());
        bytes
    }
}

impl Approval {
    /// Approves a change with a key of `attestree key`. The same statement always gives the same approval.
    pub fn sign(statement: &Statement<'_>, key: &SigningKey) -> Self {
        Self {
            key: ApproverKey(*key.verifier_key().public_bytes()),
            expires: statement.expires,
            signature: key.sign_bytes(&statement.bytes()),
        }
    }

    /// Writes it as it stands in a record: one line of canonical JSON.
    pub fn format(&self) -> String {
        self.to_value().format()
    }

    /// Parses what [`Approval::format`] writes; a newline may follow.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end().as_bytes();
        Self::from_value(&json::parse_canonical(text, &RECORD_LIMITS).ok()?)
    }

    /// Returns what stands in a record.
    pub(super) fn to_value(&self) -> Value<'static> {
        let members = [
            ("expires", Value::from(self.expires.to_string())),
            ("key", self.key.to_string().into()),
            ("sig", format_bytes(&self.signature).into()),
        ];
        Object::from(members).into()
    }

    /// Takes what stands in a record.
    pub(super) fn from_value(value: &Value<'_>) -> Option<Self> {
        let object =
            value.as_object().filter(|object| has(object, &["expires", "key", "sig"], &[]))?;
        let text = |name| object.get(name)?.as_str();
        Some(Self {
            key: ApproverKey::parse(text("key")?)?,
            expires: Timestamp::parse(text("expires")?)?,
            signature: parse_array(text("sig")?)?,
        })
    }
}

impl fmt::Display for ApproverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_bytes(&self.0))
    }
}

impl fmt::Debug for ApproverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
