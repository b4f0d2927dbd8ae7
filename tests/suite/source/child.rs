//! A server with sources, as a child process that is killed and started again on the same port.

use std::{
    cell::Cell, fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf,
    process::Command, time::Instant,
};

use attestree::{
    core::{
        credential::{Fingerprint, token},
        record::{Body, Record, Verdict},
    },
    proto::{GetCheckpointRequest, ReadEntriesRequest, log_service_client::LogServiceClient},
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    crash::process::{PATIENCE, Server},
    hostile::server::BINARY,
};

/// The audit log.
const ORIGIN: &str = "log.example/audit";

/// A server, or the place of one.
pub struct Child {
    server: Option<Server>,
    address: Option<SocketAddr>,
    token: String,
    runs: Cell<u32>,
    runtime: Runtime,
    scratch: TempDir,
}

/// A record of an event, taken apart.
#[derive(Debug)]
pub struct Told {
    /// Whether it is shown, or committed as a whole.
    pub shown: bool,
    pub class: Option<String>,
    pub source: Option<String>,
    /// `ctx`, as JSON.
    pub ctx: serde_json::Value,
    /// The whole record, as JSON.
    pub record: serde_json::Value,
}

impl Child {
    /// Makes an audit log and serves it, with a source of each kind that its one token opens; `more` are further
    /// keys of each.
    pub fn start(kinds: &[&str], more: &str) -> Self {
        let scratch = TempDir::with_prefix_in("source-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let seed = Fingerprint::of(scratch.path().as_os_str().as_encoded_bytes()).to_string();
        let token = token(seed.as_bytes()[7..39].as_array().unwrap());
        let tokens = scratch.path().join("tokens");
        fs::write(&tokens, format!("{}\n", Fingerprint::of(token.as_bytes()))).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        let sources = kinds.iter().map(|kind| {
            format!("[[sources]]\nname = \"of-{kind}\"\nkind = \"{kind}\"\ntokens = {tokens:?}\n{more}\n")
        });
        let config: String = sources.collect();
        fs::write(scratch.path().join("attestree.toml"), config).unwrap();
        let data = scratch.path().join("data");
        let made = Command::new(BINARY)
            .args(["init", "--kind", "audit", "--origin", ORIGIN, "--data"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (server, address, runs) = (None, None, Cell::new(0));
        let mut child = Self { server, address, token, runs, runtime, scratch };
        child.resume();
        child
    }

    /// Serves, on the port of the last time.
    pub fn resume(&mut self) {
        let path = |name: &str| self.scratch(name).to_str().unwrap().to_owned();
        let (data, config) = (path("data"), path("attestree.toml"));
        let listen = self.address.map_or("127.0.0.1:0".to_owned(), |address| address.to_string());
        let arguments = ["serve", "--data", &data, "--config", &config, "--listen", &listen];
        self.runs.set(self.runs.get() + 1);
        let stderr = self.scratch(&format!("stderr-{}", self.runs.get()));
        let server = Server::spawn(&arguments, &[], None, stderr).expect_listening();
        self.address = Some(server.address());
        self.server = Some(server);
    }

    /// Kills the server at once and waits until it is gone.
    pub fn kill(&mut self) {
        let status = self.server.take().expect("it serves").kill();
        assert!(crate::crash::process::was_killed(status), "{status}");
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("it was served once")
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Reads the records of events from an index on; the first record is the log's own.
    pub fn records_from(&self, from: u64) -> Vec<Told> {
        let entries = self.runtime.block_on(self.entries(from));
        entries.iter().filter_map(|entry| told(entry)).collect()
    }

    /// Reads the records of all events.
    pub fn records(&self) -> Vec<Told> {
        self.records_from(0)
    }

    async fn entries(&self, from: u64) -> Vec<Bytes> {
        let mut client = LogServiceClient::connect(self.url("")).await.unwrap();
        let checkpoint = client.get_checkpoint(GetCheckpointRequest::default()).await.unwrap();
        let size = checkpoint.into_inner().checkpoint.unwrap().tree_size;
        if from >= size {
            return Vec::new();
        }
        let request = ReadEntriesRequest { from, to: Some(size), ..Default::default() };
        let mut messages = client.read_entries(request).await.unwrap().into_inner();
        let mut entries = Vec::new();
        while let Some(message) = messages.message().await.unwrap() {
            entries.extend(message.entries);
        }
        entries
    }

    /// Reads the records until they are as a sender that works on its own has to make them.
    pub fn await_records(&self, done: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let begun = Instant::now();
        loop {
            let records = self.records();
            if done(&records) {
                return records;
            }
            assert!(begun.elapsed() < PATIENCE, "{} records do not do", records.len());
            std::thread::yield_now();
        }
    }

    /// Checks the whole directory once nobody serves it.
    pub fn fsck(mut self) {
        let status = self.server.take().expect("it serves").stop();
        assert!(status.success(), "{status}");
        let data = self.scratch("data");
        let done = Command::new(BINARY).arg("fsck").arg("--data").arg(data).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Takes the record of an event apart.
fn told(entry: &[u8]) -> Option<Told> {
    let record = Record::parse(entry).unwrap();
    let Body::Event(event) = record.body() else { return None };
    let shown = matches!(event.verdict(), Verdict::Accept | Verdict::Warn);
    let record: serde_json::Value = serde_json::from_slice(entry).unwrap();
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    let (class, source, ctx) = (text("class"), text("source"), record["ctx"].clone());
    Some(Told { shown, class, source, ctx, record })
}

/// Names of what senders numbered, each with how often it is there.
pub fn tally<'a>(names: impl Iterator<Item = &'a str>) -> std::collections::BTreeMap<&'a str, u32> {
    names.fold(std::collections::BTreeMap::new(), |mut tally, name| {
        *tally.entry(name).or_default() += 1;
        tally
    })
}
