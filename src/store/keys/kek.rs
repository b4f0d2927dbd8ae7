//! The key that wraps all others: in a file, or behind a service that never hands it out.

use crate::core::record::{KeyId, KeyPurpose, SealError, Secret, WRAP_NONCE_BYTES, WRAPPED_BYTES};

/// What wraps keys and unwraps them.
///
/// A key from a file does it here. A key management service does it at the other end of a connection, and
/// its implementation waits for the answer; keys that were unwrapped once are cached above it.
pub trait Kek: Send + Sync {
    /// Returns what names the key, as it is stored beside what it wrapped.
    fn id(&self) -> KeyId;

    /// Wraps a key. The nonce is random; who draws its own may ignore it.
    fn wrap(
        &self,
        purpose: &KeyPurpose<'_>,
        key: &Secret,
        nonce: [u8; WRAP_NONCE_BYTES],
    ) -> Result<[u8; WRAPPED_BYTES], KekError>;

    /// Unwraps a key.
    fn unwrap_key(&self, purpose: &KeyPurpose<'_>, wrapped: &[u8]) -> Result<Secret, KekError>;
}

/// Why a key was not wrapped or unwrapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// It is not what was wrapped.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// Who holds the KEK does not answer.
    #[error("the key-encryption key can't be used: {reason}")]
    Unavailable {
        /// What was reported.
        reason: String,
    },
}

impl Kek for Secret {
    fn id(&self) -> KeyId {
        Self::id(self)
    }

    fn wrap(
        &self,
        purpose: &KeyPurpose<'_>,
        key: &Secret,
        nonce: [u8; WRAP_NONCE_BYTES],
    ) -> Result<[u8; WRAPPED_BYTES], KekError> {
        Ok(Self::wrap(self, purpose, key, nonce))
    }

    fn unwrap_key(&self, purpose: &KeyPurpose<'_>, wrapped: &[u8]) -> Result<Secret, KekError> {
        Ok(Self::unwrap_key(self, purpose, wrapped)?)
    }
}
