//! A server with sources, as a child process that is killed and started again on the same port, and what is in its
//! log.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use attestree::{
    core::{
        credential::{Fingerprint, token},
        record::{Body, Record, Verdict},
    },
    proto::{ReadEntriesRequest, WatchCheckpointsRequest, log_service_client::LogServiceClient},
};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

pub(crate) use crate::crash::process::PATIENCE;
use crate::{
    crash::process::{Server, was_killed},
    hostile::server::BINARY,
};

/// The audit log.
const ORIGIN: &str = "log.example/audit";

/// A server, or the place of one.
pub(crate) struct Child {
    server: Option<Server>,
    address: Option<SocketAddr>,
    token: String,
    runs: Cell<u32>,
    scratch: TempDir,
}

/// A record of an event, taken apart.
#[derive(Debug)]
pub(crate) struct Told {
    /// Whether it is shown, or committed as a whole.
    pub(crate) shown: bool,
    pub(crate) class: Option<String>,
    pub(crate) source: Option<String>,
    /// `ctx`, as JSON.
    pub(crate) ctx: Value,
    /// The whole record, as JSON.
    pub(crate) record: Value,
}

impl Child {
    /// Makes an audit log and serves it, with a source `of-KIND` of each kind that its one token opens; `more` are
    /// further keys of each.
    pub(crate) fn start(kinds: &[&str], more: &str) -> Self {
        Self::start_with(|tokens| {
            let source = |kind| {
                format!(
                    "[[sources]]\nname = \"of-{kind}\"\nkind = \"{kind}\"\ntokens = {tokens:?}\n{more}\n"
                )
            };
            kinds.iter().map(source).collect()
        })
    }

    /// Makes an audit log and serves it with a configuration file.
    pub(crate) fn configured(config: &str) -> Self {
        Self::start_with(|_tokens| config.to_owned())
    }

    /// See [`Child::start`]; the configuration is made with the file of tokens.
    fn start_with(config: impl FnOnce(&Path) -> String) -> Self {
        let scratch = TempDir::with_prefix_in("source-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let seed = Fingerprint::of(scratch.path().as_os_str().as_encoded_bytes()).to_string();
        let token = token(seed.as_bytes()[7..39].as_array().unwrap());
        let tokens = scratch.path().join("tokens");
        fs::write(&tokens, format!("{}\n", Fingerprint::of(token.as_bytes()))).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(scratch.path().join("attestree.toml"), config(&tokens)).unwrap();
        let made = Command::new(BINARY)
            .args(["init", "--kind", "audit", "--origin", ORIGIN, "--data"])
            .arg(scratch.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Self { server: None, address: None, token, runs: Cell::new(0), scratch };
        child.resume();
        child
    }

    /// Serves, on the port of the last time.
    pub(crate) fn resume(&mut self) {
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
    pub(crate) fn kill(&mut self) {
        let status = self.server.take().expect("it serves").kill();
        assert!(was_killed(status), "{status}");
    }

    /// Kills the server at once, and starts it again.
    pub(crate) fn kill_and_resume(&mut self) {
        self.kill();
        self.resume();
    }

    /// Ends the server in order; it can be started again.
    pub(crate) fn stop(&mut self) {
        let status = self.server.take().expect("it serves").stop();
        assert!(status.success(), "{status}");
    }

    /// Returns where it listens, whether it runs or not.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it was served once")
    }

    /// Returns what its senders show.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Returns the URL of something under HTTP.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Returns a path in the directory of the server.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Reads the records of events from an index on; the first record is the log's own.
    pub(crate) fn records_from(&self, from: u64) -> Vec<Told> {
        let entries = wait(async { entries(&mut connect(self.address()).await, from).await });
        entries.iter().filter_map(|entry| told(entry)).collect()
    }

    /// Reads the records of all events.
    pub(crate) fn records(&self) -> Vec<Told> {
        self.records_from(0)
    }

    /// Reads the records until they are as a sender that works on its own has to make them.
    pub(crate) fn await_records(&self, done: impl Fn(&[Told]) -> bool) -> Vec<Told> {
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

    /// Returns what is counted of the sources' items with a result.
    pub(crate) fn count(&self, result: &str) -> u64 {
        let text = wait(async {
            http().get(self.url("/metrics")).send().await.unwrap().text().await.unwrap()
        });
        let label = format!("result=\"{result}\"");
        let lines = text.lines().filter(|line| {
            line.starts_with("attestree_source_items_total{") && line.contains(&label)
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Checks the whole directory once nobody serves it.
    pub(crate) fn fsck(mut self) {
        self.stop();
        let data = self.scratch("data");
        let done = Command::new(BINARY).arg("fsck").arg("--data").arg(data).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Waits for something, in a test that is not asynchronous itself.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Connects to a server in the clear.
async fn connect(address: SocketAddr) -> LogServiceClient<Channel> {
    let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
    let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
    LogServiceClient::new(channel).max_decoding_message_size(64 << 20)
}

/// Reads the entries of the default log from an index on.
async fn entries(client: &mut LogServiceClient<Channel>, from: u64) -> Vec<Bytes> {
    let heads = client.watch_checkpoints(WatchCheckpointsRequest::default()).await.unwrap();
    let head = heads.into_inner().message().await.unwrap().expect("the server runs");
    if from >= head.checkpoint.unwrap().tree_size {
        return Vec::new();
    }
    let request = ReadEntriesRequest { from, ..Default::default() };
    let mut messages = client.read_entries(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        entries.extend(message.entries);
    }
    entries
}

/// Returns the records of the default log, when there are so many at least; the genesis is not counted.
pub(crate) async fn records(address: SocketAddr, count: usize) -> Vec<Value> {
    records_over(&mut connect(address).await, count).await
}

/// See [`records`].
pub(crate) async fn records_over(
    client: &mut LogServiceClient<Channel>,
    count: usize,
) -> Vec<Value> {
    let request = WatchCheckpointsRequest::default();
    let mut heads = client.watch_checkpoints(request).await.unwrap().into_inner();
    let record = |entry: &Bytes| -> Value {
        Record::parse(entry).unwrap();
        serde_json::from_slice(entry).unwrap()
    };
    let mut records: Vec<Value> = Vec::new();
    let waited = timeout(PATIENCE, async {
        loop {
            heads.message().await.unwrap().expect("the server runs");
            records = entries(client, 1).await.iter().map(record).collect();
            records.retain(|record| record["t"] != "alert");
            if records.len() >= count {
                break;
            }
        }
    });
    let waited = waited.await;
    waited.unwrap_or_else(|_| panic!("the log has {} records and not {count}", records.len()));
    records
}

/// Takes the record of an event apart.
fn told(entry: &[u8]) -> Option<Told> {
    let record = Record::parse(entry).unwrap();
    let Body::Event(event) = record.body() else { return None };
    let shown = matches!(event.verdict(), Verdict::Accept | Verdict::Warn);
    let record: Value = serde_json::from_slice(entry).unwrap();
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    let (class, source, ctx) = (text("class"), text("source"), record["ctx"].clone());
    Some(Told { shown, class, source, ctx, record })
}

/// Names of what senders numbered, each with how often it is there.
pub(crate) fn tally<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u32> {
    names.fold(BTreeMap::new(), |mut tally, name| {
        *tally.entry(name).or_default() += 1;
        tally
    })
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
