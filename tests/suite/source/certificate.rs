//! Sources that are known by their client certificates, over mutual TLS.

use std::{fs, os::unix::fs::PermissionsExt as _};

use attestree::{
    core::credential::{Fingerprint, token},
    server::{config::RawConfig, source::RawSource},
};
use reqwest::StatusCode;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    served::Served,
    tls::{Authority, write},
};

/// The fingerprint of a certificate in PEM.
fn fingerprint(pem: &str) -> Fingerprint {
    Fingerprint::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
}

/// Returns a client with a certificate of its own.
fn client(served: &Served, authority: &Authority, identity: &(String, String)) -> reqwest::Client {
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let identity = format!("{}{}", identity.0, identity.1);
    reqwest::Client::builder()
        .tls_certs_only([root])
        .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
        .resolve("localhost", served.address())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_certificate_finds_its_source_and_a_foreign_one_none() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    write(&path("server.pem"), &certificate);
    write(&path("server.key"), &key);
    write(&path("clients.pem"), &authority.pem());
    let (known, foreign) = (authority.issue("opa"), authority.issue("stranger"));
    let secret = token(&[7; 32]);
    fs::write(path("tokens"), format!("{}\n", Fingerprint::of(secret.as_bytes()))).unwrap();
    fs::set_permissions(path("tokens"), fs::Permissions::from_mode(0o600)).unwrap();
    let source = |name: &str| RawSource {
        name: name.to_owned(),
        kind: "opa".to_owned(),
        ..RawSource::default()
    };
    let certificates = Some(vec![fingerprint(&known.0).to_string()]);
    let served = Served::audit(RawConfig {
        tls_certificate: Some(path("server.pem")),
        tls_key: Some(path("server.key")),
        tls_client_ca: Some(path("clients.pem")),
        sources: Some(vec![
            RawSource { certificates, ..source("by-certificate") },
            RawSource { tokens: Some(path("tokens")), ..source("by-token") },
        ]),
        ..RawConfig::default()
    });
    let url = format!("https://localhost:{}/v1/opa/logs", served.address().port());
    let send = async |identity, token: Option<&str>| {
        let request = client(&served, &authority, identity).post(&url).body("[{\"a\":1}]");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status()
    };
    assert_eq!(send(&known, None).await, StatusCode::OK);
    assert_eq!(send(&foreign, None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&foreign, Some(secret.as_str())).await, StatusCode::OK);
    assert_eq!(send(&foreign, Some("wrong")).await, StatusCode::UNAUTHORIZED);
    let metrics = format!("https://localhost:{}/metrics", served.address().port());
    let metrics = client(&served, &authority, &known).get(metrics).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for name in ["by-certificate", "by-token"] {
        let one =
            format!("attestree_source_items_total{{source=\"{name}\",result=\"received\"}} 1\n");
        assert!(metrics.contains(&one), "{metrics}");
    }
}
