//! Posts of JSON: what is sent, and what an answer means.

use core::time::Duration;

use reqwest::{
    Client, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};

use super::{
    failure::Failure,
    outlet::{OutletError, is_loopback},
    text::cut,
};
use crate::core::{number::UnixMillis, record::Timestamp};

/// Most bytes that are read of an answer: its first line or two say what is wrong.
const SAID_BYTES_MAX: usize = 512;

/// How long a connection that is not used is kept: alerts come in flocks or not at all.
const IDLE: Duration = Duration::from_secs(30);

/// An address that takes posts.
#[derive(Clone)]
pub(super) struct Poster {
    http: Client,
    url: Url,
}

impl Poster {
    /// Takes an address, and the certificate authorities to believe instead of the machine's own.
    ///
    /// Plain HTTP is for receivers on this machine alone. No redirect is followed: what is sent is signed for
    /// one receiver, or carries a key for it.
    pub(super) fn new(url: &str, ca: Option<&[u8]>) -> Result<Self, OutletError> {
        let url = Url::parse(url).map_err(|_parse| OutletError::Address)?;
        let host = url.host_str().ok_or(OutletError::Address)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host.trim_matches(['[', ']'])) => {}
            "http" => return Err(OutletError::Plaintext),
            _ => return Err(OutletError::Address),
        }
        let certificates = |source| OutletError::Certificates { source: Box::new(source) };
        // As everywhere in the process, unless another library was installed before.
        let _another = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .user_agent(concat!("attestree/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // What is meant for this machine stays on it, whatever proxy the process is told of.
            builder = builder.no_proxy();
        }
        if let Some(ca) = ca {
            let roots = reqwest::Certificate::from_pem_bundle(ca).map_err(certificates)?;
            builder = builder.tls_certs_only(roots);
        }
        Ok(Self { http: builder.build().map_err(certificates)?, url })
    }

    /// Posts JSON.
    pub(super) async fn post(
        &self,
        body: String,
        headers: &[(&'static str, &str)],
        now: UnixMillis,
    ) -> Result<String, Failure> {
        let mut request = self.http.post(self.url.clone()).body(body);
        request = request.header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // The address may hold a secret.
        let unreachable = |source: reqwest::Error| Failure::Unreachable {
            source: Box::new(source.without_url()),
        };
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), now);
        let said = said(&mut answer).await;
        match status.is_success() {
            true => Ok(format!("status {}", status.as_u16())),
            false => Err(Failure::Status { status: status.as_u16(), said, retry_after }),
        }
    }
}

/// Reads the beginning of an answer. What breaks off has said what it has said.
async fn said(answer: &mut Response) -> String {
    let mut said = Vec::new();
    while said.len() < SAID_BYTES_MAX
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        said.extend_from_slice(&chunk);
    }
    cut(String::from_utf8_lossy(&said).trim(), SAID_BYTES_MAX)
}

/// Returns how long a receiver asks to wait: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap<HeaderValue>, now: UnixMillis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = date(text)?.micros() / 1_000;
    Some(Duration::from_millis(at.saturating_sub(now.0)))
}

/// Reads a date as `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that may be sent.
fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_day, rest) = text.split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    Timestamp::parse_occurred(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_given_in_seconds_or_as_a_date() {
        let wait = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, UnixMillis(784_111_777_000 - 5_000))
        };
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:30 GMT"), Some(Duration::ZERO));
        for odd in
            ["", "-1", "soon", "Sun, 06 Nov 1994 08:49:37 CET", "Sunday, 06-Nov-94 08:49:37 GMT"]
        {
            assert_eq!(wait(odd), None, "{odd}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), UnixMillis(0)), None);
    }

    #[test]
    fn an_address_that_others_could_read_is_refused() {
        let new = |url| Poster::new(url, None).map(|_poster| ());
        new("http://127.0.0.1:1/x").unwrap();
        new("http://localhost/x").unwrap();
        new("http://[::1]:9/").unwrap();
        new("https://hooks.example/x").unwrap();
        for url in ["http://hooks.example/x", "http://localhost.example/", "http://128.0.0.1/"] {
            assert!(matches!(new(url), Err(OutletError::Plaintext)), "{url}");
        }
        for url in ["ftp://127.0.0.1/", "127.0.0.1:80", "", "https://"] {
            assert!(matches!(new(url), Err(OutletError::Address)), "{url}");
        }
    }
}
