//! TLS: the listener's certificate, its clients' authority where one is named, and the authorities that
//! are believed where this process is the client.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use super::files;
use crate::client::server::Tls;

/// The PEM files of a listener with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server's certificate and the chain below its root.
    pub certificate: PathBuf,
    /// The certificate's private key; nobody but its owner may read it.
    pub key: PathBuf,
    /// The authority of the clients; where it is named, only clients with a certificate from it
    /// get in.
    pub client_ca: Option<PathBuf>,
}

/// Loads the files.
pub(super) fn load(config: &Config) -> anyhow::Result<TlsAcceptor> {
    files::check_secret(&config.key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .with_context(|| format!("use the authority {}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .with_context(|| format!("use the authority {}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .with_context(|| format!("read the key {}", config.key.display()))?;
    let mut server = builder
        .with_single_cert(certificates(&config.certificate)?, key)
        .with_context(|| format!("use the certificate {}", config.certificate.display()))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// Loads the authorities that a client believes; without a file those of the system.
pub(super) fn client(ca: Option<&Path>) -> anyhow::Result<Tls> {
    let Some(path) = ca else { return Ok(Tls::default()) };
    // Parsed here as well, so that a file without a certificate is refused by its name.
    certificates(path)?;
    let ca = fs::read(path).with_context(|| format!("read the certificates {}", path.display()))?;
    Ok(Tls { ca: Some(ca), identity: None })
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || format!("read the certificates {}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .with_context(read)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(read)?;
    ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}
