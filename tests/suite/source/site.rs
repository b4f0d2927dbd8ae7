//! What a test of a source needs: the records of a log as they come, a server that can be killed, and a line to
//! it that can be cut.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use attestree::proto::{
    ReadEntriesRequest, WatchCheckpointsRequest, log_service_client::LogServiceClient,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::crash::process::Server;

/// How long anything may take: far beyond a loaded machine with two cores.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// Connects to a server in the clear.
async fn connect(address: SocketAddr) -> LogServiceClient<Channel> {
    let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
    let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
    LogServiceClient::new(channel).max_decoding_message_size(64 << 20)
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
    let wanted = 1 + u64::try_from(count).unwrap();
    let request = WatchCheckpointsRequest::default();
    let mut heads = client.watch_checkpoints(request).await.unwrap().into_inner();
    let mut size = 0;
    let waited = timeout(PATIENCE, async {
        while size < wanted {
            let seen = heads.message().await.unwrap().expect("the server runs");
            size = seen.checkpoint.unwrap().tree_size;
        }
    });
    let waited = waited.await;
    waited.unwrap_or_else(|_| panic!("the log has {size} entries and not {wanted}"));
    let request = ReadEntriesRequest { from: 1, ..Default::default() };
    let mut stream = client.read_entries(request).await.unwrap().into_inner();
    let mut records = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        records.extend(message.entries.iter().map(|entry| serde_json::from_slice(entry).unwrap()));
    }
    records
}

/// An audit log and its server, a child process that can be killed and started again.
pub(crate) struct Child {
    /// Where everything is.
    pub(crate) dir: TempDir,
    server: Option<Server>,
    runs: u32,
}

impl Child {
    /// Makes an audit log, and starts its server with a configuration file.
    pub(crate) fn start(config: &str) -> Self {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let data = dir.path().join("data");
        let made = Command::new(env!("CARGO_BIN_EXE_attestree"))
            .args(["init", "--kind", "audit", "--origin", "log.example/source", "--data"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\n{config}");
        fs::write(dir.path().join("attestree.toml"), text).unwrap();
        let mut child = Self { dir, server: None, runs: 0 };
        child.resume();
        child
    }

    /// Returns a path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the server again.
    pub(crate) fn resume(&mut self) {
        let config = self.path("attestree.toml");
        self.runs += 1;
        let stderr = self.path(&format!("stderr-{}", self.runs));
        let arguments = ["serve", "--config", config.to_str().unwrap()];
        self.server = Some(Server::spawn(&arguments, &[], None, stderr).expect_listening());
    }

    /// Kills the server.
    pub(crate) fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Ends the server in order; it can be started again.
    pub(crate) fn stop(&mut self) {
        let status = self.server.take().unwrap().stop();
        assert!(status.success(), "{status}");
    }

    /// Returns where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }
}

/// A line between senders and a server: it leads elsewhere when the server does, and can be cut.
pub(crate) struct Line {
    address: SocketAddr,
    /// Where it leads; nowhere while the server is away.
    target: Arc<Mutex<Option<SocketAddr>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    /// Makes a line.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(Some(target)));
        let open = Arc::new(Mutex::new(Vec::new()));
        let line = Self { address, target: Arc::clone(&target), open: Arc::clone(&open) };
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = *target.lock().unwrap();
                // Nobody there: the connection ends at once, as if it were refused.
                let Some(far) = far.and_then(|far| TcpStream::connect(far).ok()) else { continue };
                let copies = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                open.lock().unwrap().extend(copies);
                let (back_near, back_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || carry(near, far));
                thread::spawn(move || carry(back_far, back_near));
            }
        });
        line
    }

    /// Returns where senders connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads elsewhere, or nowhere; connections that are open stay.
    pub(crate) fn lead(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap() = target;
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _gone_before = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Carries bytes one way until there are no more.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 << 10];
    let mut step = || -> io::Result<usize> {
        let count = from.read(&mut bytes)?;
        to.write_all(&bytes[..count])?;
        Ok(count)
    };
    while step().is_ok_and(|count| count > 0) {}
    let _gone_before = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
