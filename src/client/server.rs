//! Where a server is, and how it is reached.

use core::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::ClientError;

/// How long a connection may take before the server counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one HTTP resource may take. A bundle of 16 MiB at 1 MB/s needs half of it.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's address and the certificates for it.
#[derive(Clone, Debug)]
pub struct Server {
    url: String,
    tls: Tls,
}

/// PEM files for TLS; all optional.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificate authorities to believe instead of the machine's own.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate chain and private key, for mutual TLS.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The identity holds a private key.
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Server {
    /// Takes an address: `http://HOST:PORT`, `https://HOST:PORT`, either with a path, or
    /// `HOST:PORT` for plain HTTP.
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let bad = || ClientError::Address { url: url.to_owned() };
        let parsed = reqwest::Url::parse(&full).map_err(|_| bad())?;
        let plain = matches!(parsed.scheme(), "http" | "https")
            && parsed.host_str().is_some_and(|host| !host.is_empty())
            && parsed.query().is_none()
            && parsed.fragment().is_none();
        if !plain {
            return Err(bad());
        }
        Ok(Self { url: full.trim_end_matches('/').to_owned(), tls: Tls::default() })
    }

    /// Uses these certificates.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// Returns whether the address names this machine: by a loopback address, or as `localhost`.
    pub fn is_local(&self) -> bool {
        let url = reqwest::Url::parse(&self.url).ok();
        let host = url.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address: core::net::IpAddr| address.is_loopback())
    }

    /// Returns the address without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connects for gRPC.
    pub async fn channel(&self) -> Result<Channel, ClientError> {
        let endpoint = self.endpoint()?;
        endpoint.connect().await.map_err(|source| ClientError::Unreachable {
            url: self.url.clone(),
            source: Box::new(source),
        })
    }

    /// Connects for gRPC when the first call is made, and again after each break.
    pub fn channel_when_needed(&self) -> Result<Channel, ClientError> {
        Ok(self.endpoint()?.connect_lazy())
    }

    /// Returns the same server without a path: where its gRPC services are.
    #[must_use]
    pub fn root(&self) -> Self {
        let host = self.url.find("://").map_or(0, |at| at + "://".len());
        let end = self.url.get(host..).and_then(|rest| rest.find('/'));
        let url = end.and_then(|end| self.url.get(..host + end)).unwrap_or(&self.url);
        Self { url: url.to_owned(), tls: self.tls.clone() }
    }

    /// Describes the gRPC connection.
    ///
    /// Windows stay at tonic's defaults: larger ones measured slower. Without `tcp_nodelay` a
    /// request waits up to 88 ms for a delayed acknowledgement.
    fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(|_| ClientError::Address { url: self.url.clone() })?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT);
        if !self.url.starts_with("https://") {
            return Ok(endpoint);
        }
        let mut tls = ClientTlsConfig::new();
        tls = match &self.tls.ca {
            Some(ca) => tls.ca_certificate(Certificate::from_pem(ca)),
            None => tls.with_native_roots(),
        };
        if let Some((cert, key)) = &self.tls.identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        endpoint.tls_config(tls).map_err(|source| self.certificates(source))
    }

    /// Makes a client for plain HTTP resources.
    ///
    /// Its TLS uses the process's cryptography library: aws-lc-rs, unless the process has installed
    /// another one before.
    pub fn http(&self) -> Result<reqwest::Client, ClientError> {
        let _another = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(HTTP_TIMEOUT)
            .tcp_nodelay(true)
            .user_agent(concat!("attestree/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &self.tls.ca {
            let roots = reqwest::Certificate::from_pem_bundle(ca)
                .map_err(|source| self.certificates(source))?;
            builder = builder.tls_certs_only(roots);
        }
        if let Some((cert, key)) = &self.tls.identity {
            let pem = [key.as_slice(), b"\n", cert.as_slice()].concat();
            let identity =
                reqwest::Identity::from_pem(&pem).map_err(|source| self.certificates(source))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|source| self.certificates(source))
    }

    fn certificates(&self, source: impl core::error::Error + Send + Sync + 'static) -> ClientError {
        ClientError::Certificates { url: self.url.clone(), source: Box::new(source) }
    }
}
