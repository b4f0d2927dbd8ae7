//! Reads the body of a foreign protocol's request, decoded, within the bounds of its source.
//!
//! What a body and what it decodes to hold of memory counts against the budget of requests that are being read,
//! until the last of its items is dropped.

use std::io::Read;

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use super::super::add::read;
use crate::service::{grpc::Denial, receiving::Share, source::Source};

/// Bytes that are decoded at once, between two looks at the budget.
const STEP_BYTES: usize = 64 * 1_024;

/// The largest window of a zstd frame, as a power of two: 8 MiB, which every decoder has to take and none more (RFC
/// 8878, section 3.1.1.1.2).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    /// Reads the headers. Codings upon one another are not taken: no sender has them.
    fn of(headers: &HeaderMap) -> Result<Self, Denial> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let (coding, another) = (codings.next(), codings.next());
        let Some(coding) = coding.filter(|_| another.is_none()) else {
            return if another.is_none() {
                Ok(Self::Identity)
            } else {
                Err(Denial::content_encoding())
            };
        };
        let coding = coding.to_str().map_or("", str::trim).to_ascii_lowercase();
        match coding.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Denial::content_encoding()),
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

/// Reads the body of a request of a source. A denial is counted with the source.
pub(in crate::service::http) async fn body(
    source: &Source,
    request: Request,
) -> Result<Bytes, Denial> {
    let read = decoded(source, request).await;
    read.inspect_err(|denial| source.meter().refuse(denial.reason()))
}

/// See [`body`].
async fn decoded(source: &Source, request: Request) -> Result<Bytes, Denial> {
    let coding = Coding::of(request.headers())?;
    let max = source.bounds().body_bytes;
    let came = read(request, max, |_bytes| Denial::large_body(max)).await?;
    let mut share = source.receiving().open();
    let bytes = match coding {
        Coding::Identity => {
            share.hold(came.len())?;
            Vec::from(came)
        }
        Coding::Gzip => inflate(MultiGzDecoder::new(&*came), came.len(), max, &mut share)?,
        Coding::Deflate => inflate(ZlibDecoder::new(&*came), came.len(), max, &mut share)?,
        Coding::Zstd => inflate(unzstd(&came)?, came.len(), max, &mut share)?,
    };
    Ok(Bytes::from_owner(Held { bytes, _share: share }))
}

/// Begins to decode zstd, within the memory that RFC 8878 recommends.
fn unzstd(came: &[u8]) -> Result<impl Read, Denial> {
    let invalid = |_| Denial::undecodable();
    let mut decoder = zstd::Decoder::with_buffer(came).map_err(invalid)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(invalid)?;
    Ok(decoder)
}

/// Decodes at most so many bytes. `held` are those of the body as it came, which are there meanwhile.
fn inflate(
    mut decoder: impl Read,
    held: usize,
    max: usize,
    share: &mut Share,
) -> Result<Vec<u8>, Denial> {
    let mut bytes = Vec::new();
    loop {
        share.hold(held + bytes.len() + STEP_BYTES)?;
        let step = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut bytes);
        if step.map_err(|_invalid| Denial::undecodable())? == 0 {
            break;
        }
        if bytes.len() > max {
            return Err(Denial::large_body(max));
        }
    }
    bytes.shrink_to_fit();
    share.hold(bytes.len())?;
    Ok(bytes)
}
