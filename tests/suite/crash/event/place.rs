//! Where a server of an audit log lives, and how its clients come to it: over mutual TLS, so that events have
//! a source.

use std::{net::SocketAddr, path::PathBuf};

use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::AUDIT;
use crate::{
    crash::{
        process::{Server, Strace},
        site::{NewLog, Site},
    },
    tls::{Authority, write},
};

/// The certificates of servers and of their two clients: one that numbers its events, and one that does not.
pub(super) struct Access {
    files: TempDir,
    authority: String,
    clients: [(String, String); 2],
}

/// How one server is reached.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) channel: Channel,
    /// The same for the client that numbers its events.
    pub(super) numbered: Channel,
    pub(super) http: reqwest::Client,
    pub(super) address: SocketAddr,
    /// The administrator's socket.
    pub(super) socket: PathBuf,
}

impl Access {
    /// Issues the certificates.
    pub(super) fn new() -> Self {
        let files = TempDir::new().unwrap();
        let (authority, clients) = (Authority::new(), Authority::new());
        let (certificate, key) = authority.issue("localhost");
        let texts = [("pem", certificate), ("key", key), ("clients", clients.pem())];
        texts.iter().for_each(|(name, text)| write(&files.path().join(name), text));
        Self {
            files,
            authority: authority.pem(),
            clients: ["plain", "numbered"].map(|name| clients.issue(name)),
        }
    }

    /// Starts to serve a site, without waiting for anything.
    pub(super) fn spawn(&self, site: &Site, strace: Option<&Strace>) -> Server {
        let path = |name: &str| self.files.path().join(name).to_str().unwrap().to_owned();
        let (certificate, key, clients) = (path("pem"), path("key"), path("clients"));
        let environment = [
            ("ATTESTREE_TLS_CERTIFICATE", certificate.as_str()),
            ("ATTESTREE_TLS_KEY", key.as_str()),
            ("ATTESTREE_TLS_CLIENT_CA", clients.as_str()),
        ];
        site.spawn(&environment, strace)
    }

    /// Serves a site.
    pub(super) fn serve(&self, site: &Site) -> Server {
        self.spawn(site, None).expect_listening()
    }

    /// Connects one client.
    async fn channel(
        &self,
        address: SocketAddr,
        (certificate, key): &(String, String),
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .domain_name("localhost")
            .identity(Identity::from_pem(certificate, key));
        let endpoint = Endpoint::try_from(format!("https://{address}"))?.tls_config(tls)?;
        endpoint.tcp_nodelay(true).connect().await
    }

    /// Connects to the server of a site.
    pub(super) async fn connect(
        &self,
        site: &Site,
        server: &Server,
    ) -> Result<Door, tonic::transport::Error> {
        let [plain, numbered] = &self.clients;
        let address = server.address();
        let (channel, numbered) =
            (self.channel(address, plain).await?, self.channel(address, numbered).await?);
        let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root = reqwest::Certificate::from_pem(self.authority.as_bytes()).unwrap();
        let identity = format!("{}{}", plain.0, plain.1);
        let http = reqwest::Client::builder()
            .tls_certs_only([root])
            .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
            .resolve("localhost", address)
            .build()
            .unwrap();
        Ok(Door { channel, numbered, http, address, socket: site.data().join("admin.sock") })
    }
}

/// Returns the arguments that make the log.
pub(super) fn init_arguments(site: &Site) -> Vec<String> {
    let mut arguments = site.init_arguments(AUDIT, false);
    arguments.extend(["--kind", "audit"].map(str::to_owned));
    arguments
}

/// Makes a place with the log.
pub(super) fn with_log() -> (Site, NewLog) {
    let site = Site::new();
    let made = site.run(&init_arguments(&site));
    assert!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
    let log = NewLog::printed(AUDIT, &String::from_utf8_lossy(&made.stdout));
    (site, log)
}
