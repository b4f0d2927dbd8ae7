//! The servers of the tour: on a free port of this machine, in a directory that goes away.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tempfile::TempDir;

use crate::cli::remote::block_on;
use crate::client::audit::{Progress, audit};
use crate::client::{Client, NewEntry, Placed, Server, TileClient, Trust};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::note::VerifierKey;
use crate::core::origin::Origin;
use crate::core::trust::TrustPolicy;
use crate::server::config::RawConfig;
use crate::server::random::Random;
use crate::server::{self, LogIdentity, Running, Stopped};

/// Entries that go into one batch.
const BATCH_ENTRIES: usize = 1_000;

/// Where the tour plays.
pub(super) struct Stage {
    dir: TempDir,
    origin: Origin,
    /// The log's verifier key, which the tour's visitor holds.
    pub(super) vkey: VerifierKey,
}

/// A server of the tour.
pub(super) struct Scene {
    running: Running,
    server: Server,
    trust: String,
    origin: Origin,
}

impl Stage {
    /// Makes a log.
    pub(super) fn set_up() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("attestree-demo-")
            .tempdir()
            .context("make a temporary directory")?;
        let origin = Origin::parse("example.com/demo").expect("the demo's origin is well formed");
        let mut random = Random::from_system().context("ask the system for randomness")?;
        let init = server::Init {
            data: dir.path().join("honest"),
            watermark: None,
            origin: origin.clone(),
            identity: LogIdentity::None,
            key: None,
        };
        let vkey = server::init(init, &mut random)?;
        Ok(Self { dir, origin, vkey })
    }

    /// Returns the honest data directory.
    pub(super) fn honest(&self) -> PathBuf {
        self.dir.path().join("honest")
    }

    /// Returns the directory of the second history.
    pub(super) fn forged(&self) -> PathBuf {
        self.dir.path().join("forged")
    }

    /// Returns the trust policy of a visitor who holds the key.
    pub(super) fn policy(&self) -> TrustPolicy {
        TrustPolicy::parse(&self.trust()).expect("a policy of one key is well formed")
    }

    fn trust(&self) -> String {
        format!("log {}\nquorum none\n", self.vkey)
    }

    /// Starts a server on a directory.
    pub(super) fn serve(&self, data: &Path) -> anyhow::Result<Scene> {
        let config = RawConfig {
            data: Some(data.to_owned()),
            listen: Some("127.0.0.1:0".to_owned()),
            // The tour needs a few megabytes; it should also run where little more is free.
            free_bytes_min: Some(0),
            ..RawConfig::default()
        };
        let running = server::start(config.parse()?)?;
        let server = Server::parse(&format!("http://{}", running.address()))?;
        Ok(Scene { running, server, trust: self.trust(), origin: self.origin.clone() })
    }
}

impl Scene {
    /// Returns the server's address.
    pub(super) fn url(&self) -> &str {
        self.server.url()
    }

    /// Connects as a visitor who holds the key.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let policy = TrustPolicy::parse(&self.trust).context("parse the policy")?;
        Ok(Client::connect(&self.server, Some(&self.origin), Some(policy)).await?)
    }

    /// Appends lines; every answer's proof is verified on the way. Returns the last batch.
    pub(super) fn append(&self, lines: &[Bytes]) -> anyhow::Result<Placed> {
        block_on(async {
            let client = self.connect().await?;
            let mut last = None;
            for batch in lines.chunks(BATCH_ENTRIES) {
                let entry = |bytes: &Bytes| NewEntry { bytes: bytes.clone(), key: Bytes::new() };
                last = Some(client.append_batch(batch.iter().map(entry).collect()).await?);
            }
            last.context("there is nothing to append")
        })
    }

    /// Audits the log over HTTP under the key that the visitor holds.
    pub(super) fn audit(&self) -> anyhow::Result<(SignedCheckpoint, Progress)> {
        block_on(async {
            let policy = TrustPolicy::parse(&self.trust).context("parse the policy")?;
            let trust = Trust::known(policy, Some(&self.origin))?;
            let tiles = TileClient::new(&self.server)?;
            let checkpoint = tiles.checkpoint(&trust).await?;
            let progress = audit(&tiles, &checkpoint, |_progress| {}).await?;
            Ok((checkpoint, progress.context("check the log over HTTP")?))
        })
    }

    /// Stops the server.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        ensure!(self.running.stop() == Stopped::Clean, "the tour's server did not stop cleanly");
        Ok(())
    }
}
