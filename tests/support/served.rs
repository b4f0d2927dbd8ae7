//! A real server in this process: its own threads, a temporary directory, and a port that the system
//! chooses.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, thread};

use attestree::{
    core::{note::VerifierKey, origin::Origin, record::ApprovalRule},
    pipeline::Clock,
    proto::log_service_client::LogServiceClient,
    server::{self, Init, Running, clock::SystemClock, config::RawConfig, random::Random},
    store::LogIdentity,
};
use tonic::transport::{Channel, Endpoint};

use crate::held;

/// The origin of the default log.
pub const ORIGIN: &str = "log.example/first";

/// A server that is stopped when it is dropped.
pub struct Served {
    /// Holds `data` and `data.watermark`.
    pub dir: tempfile::TempDir,
    raw: RawConfig,
    clock: Arc<dyn Clock>,
    running: Option<Running>,
    /// The verifier keys of the logs, in the order of their making.
    pub vkeys: Vec<VerifierKey>,
}

impl Served {
    /// Starts a server with one log, [`ORIGIN`], without identity.
    pub fn start() -> Self {
        Self::with(&[(ORIGIN, LogIdentity::None)], RawConfig::default())
    }

    /// Starts a server with one audit log, [`ORIGIN`], whose first policy anyone may apply.
    pub fn audit(raw: RawConfig) -> Self {
        Self::audit_by(raw, Arc::new(SystemClock::start()))
    }

    /// Starts a server with one audit log that goes by a clock of the test's own.
    pub fn audit_by(raw: RawConfig, clock: Arc<dyn Clock>) -> Self {
        Self::made(&[(ORIGIN, LogIdentity::None)], Some(ApprovalRule::NOBODY), raw, clock)
    }

    /// Starts a server with some logs and what `raw` says; directory and port are the test's own.
    pub fn with(logs: &[(&str, LogIdentity)], raw: RawConfig) -> Self {
        Self::made(logs, None, raw, Arc::new(SystemClock::start()))
    }

    /// Makes the logs and starts their server.
    fn made(
        logs: &[(&str, LogIdentity)],
        rule: Option<ApprovalRule>,
        raw: RawConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut random = Random::from_seed([42; 32]);
        let vkeys = logs.iter().map(|(origin, identity)| {
            let origin = Origin::parse(origin).unwrap();
            let init = Init {
                data: data.clone(),
                watermark: None,
                origin,
                identity: *identity,
                key: None,
                rule: rule.clone(),
                kek: None,
            };
            server::init(init, &mut random).unwrap()
        });
        let vkeys = vkeys.collect();
        let raw = RawConfig {
            data: Some(data),
            listen: Some("127.0.0.1:0".to_owned()),
            // A test machine may be full; the floor has a test of its own.
            free_bytes_min: raw.free_bytes_min.or(Some(0)),
            ..raw
        };
        let mut served = Self { dir, raw, clock, running: None, vkeys };
        served.resume();
        served
    }

    /// Returns the data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Returns what the server is configured with.
    pub fn raw(&self) -> RawConfig {
        self.raw.clone()
    }

    /// Returns the running server.
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Returns the address of the running server.
    pub fn address(&self) -> SocketAddr {
        self.running().address()
    }

    /// Returns the URL of something under HTTP.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Connects a gRPC client.
    pub async fn client(&self) -> LogServiceClient<Channel> {
        let channel =
            Endpoint::try_from(self.url("")).unwrap().tcp_nodelay(true).connect().await.unwrap();
        LogServiceClient::new(channel).max_decoding_message_size(64 << 20)
    }

    /// Stops the server gracefully; it can be resumed.
    ///
    /// A server starts and stops on a thread of its own, because both block and tests are
    /// asynchronous.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            thread::spawn(|| running.stop()).join().unwrap();
        }
    }

    /// Starts the server again over the same directory, which a read of a client that is gone may hold for a
    /// moment after the server has stopped.
    pub fn resume(&mut self) {
        let start = || {
            let config = self.raw.clone().parse().unwrap();
            let clock = Arc::clone(&self.clock);
            let started = thread::spawn(|| server::start_by(config, clock)).join().unwrap();
            started.map_err(|error| format!("{error:#}"))
        };
        let running =
            held::open(start).unwrap_or_else(|error| panic!("the server starts: {error}"));
        self.running = Some(running);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}
