//! TLS and mutual TLS, with certificates made afresh.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, thread};

use attestree::{
    proto::{AppendRequest, log_service_client::LogServiceClient},
    server::{self, config::RawConfig},
    store::LogIdentity,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::served::{ORIGIN, Served};

/// An authority that signs servers and clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Returns a certificate and its key, both in PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // OpenSSL takes a certificate that is named like its authority for that itself.
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Starts a server with a certificate for `localhost`, and with `clients` as the clients' authority.
fn start(authority: &Authority, clients: Option<&Authority>, files: &Path) -> Served {
    let (certificate, key) = authority.issue("localhost");
    let path = |name: &str| files.join(name);
    write(&path("server.pem"), &certificate);
    write(&path("server.key"), &key);
    if let Some(clients) = clients {
        write(&path("clients.pem"), &clients.pem());
    }
    let raw = RawConfig {
        tls_certificate: Some(path("server.pem")),
        tls_key: Some(path("server.key")),
        tls_client_ca: clients.map(|_| path("clients.pem")),
        ..RawConfig::default()
    };
    Served::with(&[(ORIGIN, LogIdentity::None)], raw)
}

async fn connect(
    served: &Served,
    authority: &Authority,
    identity: Option<&(String, String)>,
) -> Result<LogServiceClient<Channel>, tonic::transport::Error> {
    connect_to(served.address(), authority, identity).await
}

/// Connects to a server as a client with a certificate.
pub(crate) async fn client_of(
    address: SocketAddr,
    authority: &Authority,
    identity: &(String, String),
) -> LogServiceClient<Channel> {
    connect_to(address, authority, Some(identity)).await.unwrap()
}

async fn connect_to(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<&(String, String)>,
) -> Result<LogServiceClient<Channel>, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .domain_name("localhost");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint =
        Endpoint::try_from(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    Ok(LogServiceClient::new(endpoint.connect().await?))
}

async fn append(
    client: &mut LogServiceClient<Channel>,
    entry: &'static str,
) -> Result<u64, Status> {
    let request =
        AppendRequest { entry: entry.into(), idempotency_key: "key".into(), ..Default::default() };
    Ok(client.append(request).await?.into_inner().leaf_index)
}

#[tokio::test]
async fn grpc_and_http_are_served_over_tls() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let served = start(&authority, None, files.path());
    let mut client = connect(&served, &authority, None).await.unwrap();
    assert_eq!(append(&mut client, "a").await.unwrap(), 0);
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([root])
        .resolve("localhost", served.address())
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/checkpoint", served.address().port());
    assert!(http.get(url).send().await.unwrap().text().await.unwrap().starts_with(ORIGIN));
    // A client that trusts another authority does not talk to this server.
    connect(&served, &Authority::new(), None).await.unwrap_err();
}

#[tokio::test]
async fn plaintext_is_not_understood_where_tls_is_spoken() {
    let files = tempfile::tempdir().unwrap();
    let served = start(&Authority::new(), None, files.path());
    let plain = Endpoint::try_from(served.url("")).unwrap().connect_lazy();
    append(&mut LogServiceClient::new(plain), "a").await.unwrap_err();
}

#[tokio::test]
async fn mutual_tls_lets_in_only_clients_of_the_authority() {
    let files = tempfile::tempdir().unwrap();
    let (authority, clients) = (Authority::new(), Authority::new());
    let served = start(&authority, Some(&clients), files.path());
    let stranger = Authority::new().issue("stranger");
    for identity in [None, Some(&stranger)] {
        // In TLS 1.3 the client hears of its refusal with the first answer.
        let outcome = match connect(&served, &authority, identity).await {
            Ok(mut client) => append(&mut client, "a").await.map_err(drop),
            Err(_refused) => Err(()),
        };
        assert_eq!(outcome, Err(()));
    }
    let known = clients.issue("known");
    let mut client = connect(&served, &authority, Some(&known)).await.unwrap();
    assert_eq!(append(&mut client, "a").await.unwrap(), 0);
}

#[tokio::test]
async fn idempotency_keys_of_different_certificates_never_meet() {
    let files = tempfile::tempdir().unwrap();
    let (authority, clients) = (Authority::new(), Authority::new());
    let served = start(&authority, Some(&clients), files.path());
    let (alice, bob) = (clients.issue("alice"), clients.issue("bob"));
    let mut as_alice = connect(&served, &authority, Some(&alice)).await.unwrap();
    let mut as_bob = connect(&served, &authority, Some(&bob)).await.unwrap();
    assert_eq!(append(&mut as_alice, "a").await.unwrap(), 0);
    assert_eq!(
        append(&mut as_bob, "b").await.unwrap(),
        1,
        "the same key of another principal is another key"
    );
    assert_eq!(append(&mut as_alice, "a").await.unwrap(), 0);
    assert_eq!(append(&mut as_bob, "a").await.unwrap_err().code(), Code::AlreadyExists);
    // A new connection with the same certificate is the same principal.
    let mut again = connect(&served, &authority, Some(&alice)).await.unwrap();
    assert_eq!(append(&mut again, "a").await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let files = tempfile::tempdir().unwrap();
    let mut served = start(&Authority::new(), None, files.path());
    let key = files.path().join("server.key");
    served.stop();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let config = served.raw().parse().unwrap();
    let refused = thread::spawn(|| server::start(config).err()).join().unwrap().unwrap();
    let message = format!("{refused:#}");
    assert!(message.contains("server.key") && message.contains("chmod 600"), "{message}");
}
