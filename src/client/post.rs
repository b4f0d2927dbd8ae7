//! Bodies that are sent to one of a server's sources over HTTP.

use core::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use super::{ClientError, Server};

/// Most bytes of an answer that are looked at: a sentence that says what is wrong.
const ANSWER_BYTES_MAX: usize = 1_024;

/// One source of a server.
#[derive(Clone)]
pub struct Poster {
    http: reqwest::Client,
    url: String,
    /// The value of the header that says who sends.
    authorization: Option<HeaderValue>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status code.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// The beginning of its text.
    pub text: String,
}

impl core::fmt::Debug for Poster {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The header holds a secret.
        f.debug_struct("Poster").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Poster {
    /// Takes a server, the path of a source there, and the token of its sender; `None` if that is no token.
    pub fn new(
        server: &Server,
        path: &str,
        token: Option<&str>,
    ) -> Result<Option<Self>, ClientError> {
        let (http, url) = (server.http()?, format!("{}{path}", server.url()));
        let Some(token) = token else { return Ok(Some(Self { http, url, authorization: None })) };
        let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return Ok(None);
        };
        value.set_sensitive(true);
        Ok(Some(Self { http, url, authorization: Some(value) }))
    }

    /// Sends a body and waits for the answer. It has not been taken unless the status says so; it may have been
    /// taken all the same if there is no answer.
    pub async fn post(
        &self,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Posted, ClientError> {
        let unreachable = |source: reqwest::Error| ClientError::Unreachable {
            url: self.url.clone(),
            source: Box::new(source.without_url()),
        };
        let mut request = self.http.post(&self.url).header(CONTENT_TYPE, content_type).body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let seconds =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            let room = ANSWER_BYTES_MAX.saturating_sub(text.len());
            text.extend(chunk.iter().take(room));
        }
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Ok(Posted { status, retry_after: seconds.map(Duration::from_secs), text })
    }
}
