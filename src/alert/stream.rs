//! A syslog receiver over TCP or TLS: one connection for each message.
//!
//! The protocol has no acknowledgement. What is written to a connection may be in a buffer of a receiver that
//! dies, so a message counts as taken only when the receiver, having seen our end of the connection, closes
//! its own: a receiver that has not read everything answers with a reset instead.

use std::{io, sync::Arc};

use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    failure::Failure,
    outlet::{HostPort, OutletError},
};

/// Bytes that are read at a time of what a receiver says, which is nothing.
const READ_BYTES: usize = 256;

/// The receiver.
#[derive(Clone)]
pub(super) struct Stream {
    address: HostPort,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Stream {
    /// Takes an address, and for TLS the certificate authorities to believe.
    pub(super) fn new(address: HostPort, ca: Option<&[u8]>) -> Result<Self, OutletError> {
        let tls = ca.map(|ca| connector(&address, ca)).transpose()?;
        if tls.is_none() && !address.is_loopback() {
            return Err(OutletError::Plaintext);
        }
        Ok(Self { address, tls })
    }

    /// Hands over a message.
    pub(super) async fn send(&self, frame: &[u8]) -> Result<String, Failure> {
        let unreachable = |source: io::Error| Failure::Unreachable { source: Box::new(source) };
        self.try_send(frame).await.map_err(unreachable)?;
        Ok("read to its end".to_owned())
    }

    async fn try_send(&self, frame: &[u8]) -> io::Result<()> {
        let stream = TcpStream::connect((self.address.host(), self.address.port())).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => hand_over(stream, frame).await,
            Some((connector, name)) => {
                hand_over(connector.connect(name.clone(), stream).await?, frame).await
            }
        }
    }
}

/// Makes what speaks TLS with a receiver.
fn connector(
    address: &HostPort,
    ca: &[u8],
) -> Result<(TlsConnector, ServerName<'static>), OutletError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let failed = |source| OutletError::Certificates { source: Box::new(source) };
        let certificate = certificate
            .map_err(|error| OutletError::Certificates { source: error.to_string().into() })?;
        roots.add(certificate).map_err(failed)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| OutletError::Certificates { source: Box::new(source) })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(address.host().to_owned());
    let name = name.map_err(|_name| OutletError::Address)?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// Writes a message, ends the connection, and waits until the other side has ended it too.
async fn hand_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    frame: &[u8],
) -> io::Result<()> {
    stream.write_all(frame).await?;
    stream.shutdown().await?;
    let mut said = [0; READ_BYTES];
    loop {
        match stream.read(&mut said).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // A receiver of TLS that sees the end closes without its own farewell, as RFC 5425, section 4.4,
            // lets it. Whoever could forge that could also have kept the message from arriving for ever.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
