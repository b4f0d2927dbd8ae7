//! The servers of the tour: on a free port of this machine, in a directory that goes away.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::cli::log::admin;
use crate::cli::output::hex;
use crate::cli::remote::block_on;
use crate::client::audit::{Progress, audit};
use crate::client::{
    AddCheckpointAnswer, Client, ClientError, NewEntry, Placed, Server, TileClient, Trust,
    WitnessClient,
};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::note::VerifierKey;
use crate::core::origin::Origin;
use crate::core::policy::Bundle;
use crate::core::record::ApprovalRule;
use crate::core::tree::TreeHead;
use crate::core::trust::TrustPolicy;
use crate::core::witness::AddCheckpoint;
use crate::proto::ApplyPolicyRequest;
use crate::server::config::RawConfig;
use crate::server::dev::Witnesses;
use crate::server::random::Random;
use crate::server::source::RawSource;
use crate::server::{self, LogIdentity, RawAlert, Running, SigningSecret, Stopped};

/// Entries that go into one batch.
const BATCH_ENTRIES: usize = 1_000;

/// How long witnesses may take, which run on this machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often the visitor looks whether they have cosigned.
const LOOK: Duration = Duration::from_millis(10);

/// Where the tour plays.
pub(super) struct Stage {
    dir: TempDir,
    origin: Origin,
    /// The log's verifier key, which the tour's visitor holds.
    pub(super) vkey: VerifierKey,
    /// The log's witnesses, which run through the whole tour.
    witnesses: Witnesses,
}

/// A server of the tour whose log holds audit events, which takes messages of syslog and lines of files, and
/// tells somebody of alerts.
pub(super) struct AuditScene {
    scene: Scene,
    data: PathBuf,
    /// Where files of the tour are.
    dir: PathBuf,
    /// Where alerts arrive.
    listener: TcpListener,
    /// What signs them.
    secret: SigningSecret,
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
            rule: None,
            kek: None,
        };
        let vkey = server::init(init, &mut random)?;
        let witnesses = Witnesses::begin(dir.path(), &vkey, &mut random)?;
        let stage = Self { dir, origin, vkey, witnesses };
        stage.witnesses.write_policy(&stage.trust_file(), &stage.vkey, None)?;
        Ok(stage)
    }

    /// Returns the trust file that names the witnesses.
    fn trust_file(&self) -> PathBuf {
        self.dir.path().join("trust.policy")
    }

    /// Returns the trust policy of a visitor who wants two of the three witnesses as well.
    pub(super) fn quorum(&self) -> anyhow::Result<TrustPolicy> {
        let text = fs::read_to_string(self.trust_file()).context("read the trust file")?;
        TrustPolicy::parse(&text).context("parse the trust file")
    }

    /// Asks each witness to cosign a checkpoint that has the size of what it cosigned last; returns
    /// its name and what it says.
    pub(super) fn ask_witnesses(
        &self,
        checkpoint: &SignedCheckpoint,
    ) -> anyhow::Result<Vec<(&'static str, AddCheckpointAnswer)>> {
        let (old_size, note) = (checkpoint.head().size, checkpoint.note().clone());
        let request = AddCheckpoint { old_size, proof: Vec::new(), note };
        let mut answers = Vec::new();
        for (name, _, address) in self.witnesses.list() {
            let server = Server::parse(&format!("http://{address}"))?;
            let witness = WitnessClient::new(&server, PATIENCE)?;
            let answer = block_on(async { Ok(witness.add_checkpoint(&request).await?) })?;
            answers.push((name, answer));
        }
        Ok(answers)
    }

    /// Returns the evidence that a witness has written.
    pub(super) fn evidence(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let dir = self.witnesses.evidence(name);
        let mut files = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        let file = files.next().context("the witness has written no evidence")?;
        let path = file.with_context(|| format!("read {}", dir.display()))?.path();
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Ends the witnesses.
    pub(super) fn end(self) -> anyhow::Result<()> {
        ensure!(self.witnesses.stop(), "the tour's witnesses did not stop cleanly");
        Ok(())
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

    /// Makes a log of audit events and serves it. No witness has heard of it.
    pub(super) fn serve_audit(&self) -> anyhow::Result<AuditScene> {
        let data = self.dir.path().join("audit");
        let origin = Origin::parse("example.com/audit").expect("the origin is well formed");
        let mut random = Random::from_system().context("ask the system for randomness")?;
        let init = server::Init {
            data: data.clone(),
            watermark: None,
            origin: origin.clone(),
            identity: LogIdentity::None,
            key: None,
            rule: Some(ApprovalRule::NOBODY),
            kek: None,
        };
        let trust = format!("log {}\nquorum none\n", server::init(init, &mut random)?);
        let listener = TcpListener::bind("127.0.0.1:0").context("listen for alerts")?;
        let address = listener.local_addr().context("listen for alerts")?;
        let (path, secret) = self.alert_secret(&mut random)?;
        let source = |kind: &str| RawSource {
            name: kind.to_owned(),
            kind: kind.to_owned(),
            open: Some(true),
            ..RawSource::default()
        };
        let alert = RawAlert {
            name: "tour".to_owned(),
            kind: "webhook".to_owned(),
            url: Some(format!("http://{address}/")),
            secret: Some(path),
            ..RawAlert::default()
        };
        let config = RawConfig {
            sources: Some(vec![source("syslog"), source("ship")]),
            alerts: vec![alert],
            ..RawConfig::default()
        };
        let scene = Scene { trust, origin, ..self.serve_with(&data, config)? };
        let dir = self.dir.path().to_owned();
        Ok(AuditScene { scene, data, dir, listener, secret })
    }

    /// Makes the secret that the server and those whom it tells of alerts share.
    fn alert_secret(&self, random: &mut Random) -> anyhow::Result<(PathBuf, SigningSecret)> {
        let path = self.dir.path().join("alert.secret");
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let text = hex(&bytes);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| format!("write {}", path.display()))?;
        Ok((path, SigningSecret::new(text.as_bytes())))
    }

    /// Starts a server on a directory. That of the honest log asks the witnesses; the other would be
    /// found out by them.
    pub(super) fn serve(&self, data: &Path) -> anyhow::Result<Scene> {
        self.serve_with(data, RawConfig::default())
    }

    /// Starts a server that does more than the tour's servers do anyway.
    fn serve_with(&self, data: &Path, more: RawConfig) -> anyhow::Result<Scene> {
        let config = RawConfig {
            data: Some(data.to_owned()),
            trust: (data == self.honest()).then(|| self.trust_file()),
            // A head a second is for networks; here it would only make the tour longer.
            checkpoint_interval_ms: Some(20),
            listen: Some("127.0.0.1:0".to_owned()),
            // The tour needs a few megabytes; it should also run where little more is free.
            free_bytes_min: Some(0),
            ..more
        };
        let running = server::start(config.parse()?)?;
        ensure!(running.wait_until_signing(PATIENCE), "the log did not hear its witnesses");
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

    /// Waits until two witnesses have cosigned a tree, and returns its checkpoint with their lines.
    pub(super) fn cosigned(
        &self,
        stage: &Stage,
        head: &TreeHead,
    ) -> anyhow::Result<SignedCheckpoint> {
        block_on(async {
            let client =
                Client::connect(&self.server, Some(&self.origin), Some(stage.quorum()?)).await?;
            let cosigned = async {
                loop {
                    // Before the first quorum there is none to be shown.
                    match client.checkpoint().await {
                        Ok(checkpoint) if checkpoint.head() == *head => return checkpoint,
                        _ => sleep(LOOK).await,
                    }
                }
            };
            timeout(PATIENCE, cosigned).await.context("wait for two of the witnesses")
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

impl AuditScene {
    /// Connects as a visitor who holds the key.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        self.scene.connect().await
    }

    /// Returns the server.
    pub(super) const fn server(&self) -> &Server {
        &self.scene.server
    }

    /// Returns where the server listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.scene.running.address()
    }

    /// Returns the place of a file that goes away with the tour.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns where alerts arrive.
    pub(super) fn listener(&self) -> anyhow::Result<TcpListener> {
        self.listener.try_clone().context("listen for alerts")
    }

    /// Returns what signs alerts.
    pub(super) const fn secret(&self) -> &SigningSecret {
        &self.secret
    }

    /// Applies a policy as the machine's operator; returns the index of its record.
    pub(super) fn apply(&self, bundle: &Bundle) -> anyhow::Result<u64> {
        block_on(async {
            let (mut admin, url) = admin(&self.data).await?;
            let request =
                ApplyPolicyRequest { bundle: bundle.encode().into(), ..Default::default() };
            let answer = admin.apply_policy(request).await;
            let answer = answer.map_err(|status| ClientError::from_status(&url, status))?;
            Ok(answer.into_inner().leaf_index)
        })
    }

    /// Stops the server.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.scene.stop()
    }
}
