//! A server with sources, as a child process that can be killed and started again on its port.

use std::{fs, os::unix::fs::PermissionsExt as _};

use attestree::{
    core::credential::{Fingerprint, token},
    core::record::Record,
    proto::{ReadEntriesRequest, log_service_client::LogServiceClient},
};
use serde_json::Value;

use crate::crash::{process::Server, site::Site};

/// The origin of the log.
const ORIGIN: &str = "log.example/sources";

/// A place where one server with one source lives.
pub(crate) struct Place {
    site: Site,
    server: Option<Server>,
    address: String,
    runs: u32,
    /// What its senders show.
    pub(crate) token: String,
}

impl Place {
    /// Makes an audit log and a source of this kind, and starts the server.
    pub(crate) fn new(kind: &str) -> Self {
        let site = Site::new();
        let data = site.data();
        let made = site.run(&[
            "init",
            "--data",
            data.to_str().unwrap(),
            "--origin",
            ORIGIN,
            "--kind",
            "audit",
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let token = token(&[7; 32]);
        let tokens = site.scratch("tokens");
        fs::write(&tokens, format!("{}\n", Fingerprint::of(token.as_bytes()))).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        let source = format!(
            "[[sources]]\nname = \"from-{kind}\"\nkind = \"{kind}\"\ntokens = {tokens:?}\n"
        );
        fs::write(site.scratch("config"), source).unwrap();
        let mut place =
            Self { site, server: None, address: "127.0.0.1:0".to_owned(), runs: 0, token };
        place.serve();
        place
    }

    /// Starts the server, on the port that it had before.
    pub(crate) fn serve(&mut self) {
        self.runs += 1;
        let (data, config) = (self.site.data(), self.site.scratch("config"));
        let arguments = [
            ["serve", "--config"],
            [config.to_str().unwrap(), "--data"],
            [data.to_str().unwrap(), "--listen"],
        ];
        let arguments = [arguments.as_flattened(), &[self.address.as_str()]].concat();
        let stderr = self.site.scratch(&format!("serve-{}", self.runs));
        let server = Server::spawn(&arguments, &[], None, stderr).expect_listening();
        self.address = server.address().to_string();
        self.server = Some(server);
    }

    /// Kills the server at once, and starts it again.
    pub(crate) fn kill_and_serve(&mut self) {
        self.server.take().unwrap().kill();
        self.serve();
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the URL of something under HTTP.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the records of events, in their order.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let mut records = records(&self.url("")).await;
        records.retain(|record| record["t"] == "event");
        records
    }

    /// Returns what is counted of the source's items with a result.
    pub(crate) async fn count(&self, result: &str) -> u64 {
        let text = http().get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let label = format!("result=\"{result}\"");
        let lines = text.lines().filter(|line| {
            line.starts_with("attestree_source_items_total{") && line.contains(&label)
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

/// Returns every record of a server's default log.
pub(crate) async fn records(url: &str) -> Vec<Value> {
    let client = LogServiceClient::connect(url.to_owned()).await.unwrap();
    let mut client = client.max_decoding_message_size(64 << 20);
    let mut messages =
        client.read_entries(ReadEntriesRequest::default()).await.unwrap().into_inner();
    let mut records = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        for entry in message.entries {
            Record::parse(&entry).unwrap();
            records.push(serde_json::from_slice(&entry).unwrap());
        }
    }
    records
}

/// Returns a client of HTTP.
pub(crate) fn http() -> reqwest::Client {
    provide();
    reqwest::Client::new()
}

/// Gives this process its cryptography, without which there is no client.
pub(crate) fn provide() {
    // Another test of this process may have been first.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
