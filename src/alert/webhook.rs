//! The generic webhook: what the record shows as JSON, signed if there is a secret.
//!
//! ```text
//! Content-Type: application/json
//! Idempotency-Key: log.example/audit#57
//! Attestree-Signature: t=1780000000,v1=<HMAC-SHA-256 of "1780000000." and the body, in hexadecimal>
//!
//! {"v":1,"id":"log.example/audit#57","origin":"log.example/audit","index":57,...}
//! ```
//!
//! The time is that of the sending, so that a receiver can refuse what somebody has kept and sends again;
//! the key is that of the alert, so that it can drop what it has got before.

use aws_lc_rs::hmac;
use serde::Serialize;

use super::notice::Notice;
use super::text::{hex, line, unhex};
use crate::core::number::UnixMillis;

/// The header of the signature.
pub const SIGNATURE_HEADER: &str = "attestree-signature";

/// The header that names the alert.
pub const ID_HEADER: &str = "idempotency-key";

/// What signs messages: receivers check with it that they come from here.
#[derive(Clone, Debug)]
pub struct SigningSecret(hmac::Key);

/// The body, in the order of its members.
#[derive(Debug, Serialize)]
struct Body<'a> {
    v: u8,
    id: String,
    origin: &'a str,
    index: u64,
    leaf_hash: String,
    time: String,
    kind: &'static str,
    rule: String,
    count: u64,
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

impl SigningSecret {
    /// Takes the bytes of the secret.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Signs a body that is sent now; returns the value of the header.
    pub fn sign(&self, now: UnixMillis, body: &[u8]) -> String {
        let seconds = now.0 / 1_000;
        let mut tag = hmac::Context::with_key(&self.0);
        tag.update(format!("{seconds}.").as_bytes());
        tag.update(body);
        format!("t={seconds},v1={}", hex(tag.sign().as_ref()))
    }

    /// Verifies the value of the header, as a receiver does; returns when the body was sent.
    ///
    /// Whether that is long ago, so that somebody may have kept the message, is for the caller to say.
    pub fn verify(&self, header: &str, body: &[u8]) -> Option<UnixMillis> {
        let (seconds, tag) = header.strip_prefix("t=")?.split_once(",v1=")?;
        let message = [seconds.as_bytes(), b".", body].concat();
        hmac::verify(&self.0, &message, &unhex(tag)?).ok()?;
        Some(UnixMillis(seconds.parse::<u64>().ok()?.checked_mul(1_000)?))
    }
}

/// Writes the body.
pub fn body(notice: &Notice) -> String {
    let body = Body {
        v: 1,
        id: notice.id(),
        origin: notice.origin.as_str(),
        index: notice.index,
        leaf_hash: notice.leaf_hash.to_base64(),
        time: notice.at.to_string(),
        kind: notice.kind.as_str(),
        rule: line(&notice.rule),
        count: notice.count,
        from: notice.from.to_string(),
        to: notice.to.to_string(),
        source: notice.source.as_deref().map(line),
        class: notice.class.as_deref().map(line),
        policy: notice.policy.as_deref(),
        text: notice.summary(str::to_owned),
        proof: notice.proof(),
    };
    serde_json::to_string(&body).expect("strings and numbers are JSON")
}
