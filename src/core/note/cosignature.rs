//! Cosignatures: a witness's statement about a checkpoint at a time (c2sp.org/tlog-cosignature).
//!
//! A cosignature says: at this time, the largest tree of this origin that the cosigner has seen is
//! this one, and it extends every smaller one that it has seen. In a signature line the key id is
//! followed by the time as 8 bytes, big-endian, and 64 bytes of Ed25519 over
//!
//! ```text
//! cosignature/v1
//! time 1767139200
//! <the whole text of the note>
//! ```
//!
//! The cosigner's name is not in these bytes: two cosigners must never share a key.

use core::fmt;

use ed25519_dalek::Signer as _;

use super::{
    NoteSignature,
    key::{Algorithm, Forged, KEY_BYTES, KeyName, SigningKey, VerifierKey},
};

/// Seconds since the Unix epoch, as cosigners state them: at most 2^63 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CosignatureTime(u64);

impl CosignatureTime {
    /// Takes a number of seconds if a cosignature can hold it.
    pub const fn new(seconds: u64) -> Option<Self> {
        if seconds <= i64::MAX.unsigned_abs() { Some(Self(seconds)) } else { None }
    }

    /// Returns the number of seconds.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CosignatureTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret key of a cosigner.
pub struct CosigningKey {
    secret: ed25519_dalek::SigningKey,
    vkey: VerifierKey,
}

impl CosigningKey {
    /// Makes the key that belongs to a seed, which must come from a good source of randomness.
    pub fn from_seed(name: KeyName, seed: &[u8; KEY_BYTES]) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let vkey = VerifierKey::from_point(name, Algorithm::CosignatureV1, secret.verifying_key());
        Self { secret, vkey }
    }

    /// Makes the cosigner that has the same name and secret as a plain key.
    ///
    /// No text form of a cosigner's secret key is specified; by the convention of
    /// transparency-dev/formats it is kept as a plain skey (0x01), and only its use makes it a cosigner's.
    /// It must be used for nothing else.
    pub fn from_plain(key: &SigningKey) -> Self {
        Self::from_seed(key.verifier_key().name().clone(), key.seed())
    }

    /// Returns the key that verifies what this one signs.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Cosigns the text of a checkpoint.
    ///
    /// The caller must have checked that the tree extends every earlier one of its origin.
    pub fn sign(&self, text: &str, time: CosignatureTime) -> NoteSignature {
        let signature = self.secret.sign(message(text, time).as_bytes());
        let bytes = [time.0.to_be_bytes().as_slice(), &signature.to_bytes()].concat();
        NoteSignature::new(self.vkey.name().clone(), self.vkey.id(), bytes)
            .expect("a cosignature has 72 bytes")
    }
}

impl fmt::Debug for CosigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosigningKey").field("vkey", &self.vkey).field("secret", &"***").finish()
    }
}

/// Verifies the bytes that follow the key id in a cosignature's line.
pub(super) fn verify(
    key: &VerifierKey,
    text: &str,
    bytes: &[u8],
) -> Result<CosignatureTime, Forged> {
    let (time, signature) = bytes.split_first_chunk().ok_or(Forged)?;
    let time = CosignatureTime::new(u64::from_be_bytes(*time)).ok_or(Forged)?;
    key.verify_message(message(text, time).as_bytes(), signature)?;
    Ok(time)
}

/// Returns the bytes that a cosigner signs.
fn message(text: &str, time: CosignatureTime) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
