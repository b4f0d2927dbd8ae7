//! The operator's socket of a witness on this machine: JSON over HTTP over a Unix socket.

use std::path::Path;

use super::ClientError;

/// Most bytes of an answer: the status of a hundred thousand logs.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Sends a request to a socket; a body makes it a POST. Returns the status and the body of the answer.
pub async fn ask_socket(
    socket: &Path,
    path: &str,
    body: Option<String>,
) -> Result<(u16, Vec<u8>), ClientError> {
    let url = format!("unix:{}", socket.display());
    let failed = |source: reqwest::Error| ClientError::Unreachable {
        url: url.clone(),
        source: Box::new(source),
    };
    let http = reqwest::Client::builder().no_proxy().unix_socket(socket).build().map_err(failed)?;
    let at = format!("http://witness{path}");
    let request = match body {
        Some(body) => http.post(at).header("content-type", "application/json").body(body),
        None => http.get(at),
    };
    let mut answer = request.send().await.map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::TooLong { url: url.clone(), limit: ANSWER_BYTES_MAX });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((answer.status().as_u16(), bytes))
}
