//! Who submits.

use bytes::Bytes;

use crate::core::hash::TreeHash;

/// The identity of an authenticated client; the namespace of its idempotency keys.
///
/// It is the SHA-256 fingerprint of the client's certificate. Names inside a certificate are the
/// issuer's to choose and have many spellings; the fingerprint has one. Its price: a renewed
/// certificate is a new principal, so a client that repeats an idempotency key over a renewal
/// appends twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal(Bytes);

impl Principal {
    /// Returns the principal of a client certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(TreeHash::digest(der).as_bytes()))
    }

    /// Returns the fingerprint.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Returns the principal of a request; that of an unauthenticated client is empty.
    pub(super) fn of(extensions: &axum::http::Extensions) -> Bytes {
        extensions.get::<Self>().map_or_else(Bytes::new, |principal| principal.0.clone())
    }
}
