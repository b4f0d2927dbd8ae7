//! Reads the body of a foreign protocol's request, decoded, within the bounds of its source.

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};

use super::super::add::read;
use crate::service::{
    grpc::Denial,
    source::{Body, Coding, Source, decode},
};

/// Reads how a body is coded. Codings upon one another are not taken: no sender has them.
fn coding(headers: &HeaderMap) -> Result<Coding, Denial> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (coding, another) = (codings.next(), codings.next());
    let Some(coding) = coding.filter(|_| another.is_none()) else {
        return if another.is_none() {
            Ok(Coding::Identity)
        } else {
            Err(Denial::content_encoding())
        };
    };
    let coding = coding.to_str().map_or("", str::trim).to_ascii_lowercase();
    match coding.as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "deflate" => Ok(Coding::Deflate),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(Denial::content_encoding()),
    }
}

/// Reads the body of a request of a source. A denial is counted with the source.
pub(in crate::service::http) async fn body(
    source: &Source,
    request: Request,
) -> Result<Body, Denial> {
    let read = decoded(source, request).await;
    read.inspect_err(|denial| source.meter().refuse(denial.reason()))
}

/// See [`body`].
async fn decoded(source: &Source, request: Request) -> Result<Body, Denial> {
    let coding = coding(request.headers())?;
    let max = source.bounds().body_bytes;
    let came = read(request, max, |_bytes| Denial::large_body(max)).await?;
    decode(source, coding, came)
}
