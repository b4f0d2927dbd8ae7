//! Decodes the body of a foreign protocol's request within the bounds of its source.
//!
//! What a body and what it decodes to hold of memory counts against the budget of requests that are being read,
//! until the last of its items is dropped.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use super::Source;
use crate::{
    service::{grpc::Denial, receiving::Share},
    source::{Item, json::key_of},
};

/// Bytes that are decoded at once, between two looks at the budget.
const STEP_BYTES: usize = 64 * 1_024;

/// The largest window of a zstd frame, as a power of two: 8 MiB, which every decoder has to take and none more (RFC
/// 8878, section 3.1.1.1.2).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
    /// RFC 8878.
    Zstd,
}

/// A body, decoded.
#[derive(Clone, Debug)]
pub(in crate::service) enum Body {
    /// What its sender has coded.
    Whole(Bytes),
    /// What came, which is not what its coding says.
    Broken(Bytes),
}

impl Body {
    /// Makes items of it. A broken one is kept as it came: most senders drop what they are told to be wrong, and
    /// one that sent it again would send the same.
    pub(in crate::service) fn items(self, decode: impl FnOnce(&Bytes) -> Vec<Item>) -> Vec<Item> {
        match self {
            Self::Whole(bytes) => decode(&bytes),
            Self::Broken(came) => Item::unparsed(&came, Some(&key_of(&came))),
        }
    }

    /// Returns what was coded; a broken one is refused, for those whose senders keep what they have.
    pub(in crate::service) fn whole(self, source: &Source) -> Result<Bytes, Denial> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Broken(_) => {
                let denial = Denial::undecodable();
                source.meter().refuse(denial.reason());
                Err(denial)
            }
        }
    }
}

/// Bytes at the expense of the budget.
struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Decodes a body of a source.
pub(in crate::service) fn decode(
    source: &Source,
    coding: Coding,
    came: Bytes,
) -> Result<Body, Denial> {
    let max = source.bounds().body_bytes;
    let mut share = source.receiving().open();
    let decoded = match coding {
        Coding::Identity => None,
        Coding::Gzip => inflate(MultiGzDecoder::new(&*came), came.len(), max, &mut share)?,
        Coding::Deflate => inflate(ZlibDecoder::new(&*came), came.len(), max, &mut share)?,
        Coding::Zstd => match unzstd(&came) {
            Ok(decoder) => inflate(decoder, came.len(), max, &mut share)?,
            Err(_invalid) => None,
        },
    };
    let is_whole = decoded.is_some() || coding == Coding::Identity;
    let bytes = decoded.unwrap_or_else(|| Vec::from(came));
    share.hold(bytes.len())?;
    let bytes = Bytes::from_owner(Held { bytes, _share: share });
    Ok(if is_whole { Body::Whole(bytes) } else { Body::Broken(bytes) })
}

/// Begins to decode zstd, within the memory that RFC 8878 recommends.
fn unzstd(came: &[u8]) -> std::io::Result<impl Read> {
    let mut decoder = zstd::Decoder::with_buffer(came)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Decodes at most so many bytes; `None` if they are not what their coding says. `held` are those of the body as it
/// came, which are there meanwhile.
fn inflate(
    mut decoder: impl Read,
    held: usize,
    max: usize,
    share: &mut Share,
) -> Result<Option<Vec<u8>>, Denial> {
    let mut bytes = Vec::new();
    loop {
        share.hold(held + bytes.len() + STEP_BYTES)?;
        let step = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut bytes);
        match step {
            Err(_invalid) => return Ok(None),
            Ok(0) => break,
            Ok(_) if bytes.len() > max => return Err(Denial::large_body(max)),
            Ok(_) => {}
        }
    }
    bytes.shrink_to_fit();
    Ok(Some(bytes))
}
