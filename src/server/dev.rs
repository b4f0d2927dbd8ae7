//! A log and three witnesses in one process, for development and for trying things out.
//!
//! ```text
//! DIR/                 0700
//!   log/               the log's directory, with log.watermark beside it
//!   witness-1/ ...     the witnesses' directories, each with its watermark beside it
//!   trust.policy       keys, addresses, and the quorum of 2 of 3
//! ```
//!
//! One process, so that nothing is left running when it ends. All four share a disk and an operator:
//! this shows how witnesses work, and is not what they are for.

use core::{net::SocketAddr, time::Duration};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tokio::{runtime::Builder, task::JoinSet};

use super::{
    Init, Running, Stopped, config::RawConfig, ending::Ending, files, init, random::Random, start,
    telemetry, witness,
};
use crate::{
    core::{
        note::{KeyName, VerifierKey},
        origin::Origin,
        trust::TrustPolicy,
    },
    store::{LogIdentity, Store, StoreConfig},
};

/// The witnesses, by the names that the trust file gives them.
const WITNESSES: [&str; 3] = ["witness-1", "witness-2", "witness-3"];

/// How many of them have to cosign.
const QUORUM: usize = 2;

/// What the quorum is called in the trust file.
const GROUP: &str = "two-of-three";

/// How long the log may take to hear its witnesses, which run in this process.
const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine whose port the system chooses.
const ANY_PORT: &str = "127.0.0.1:0";

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of everything; made if it does not exist.
    pub data: PathBuf,
    /// The log's origin, the first time.
    pub origin: Origin,
    /// The log's address; that of the last time, or a free port.
    pub listen: Option<String>,
}

/// Three witnesses of one log at work.
#[derive(Debug)]
pub struct Witnesses {
    dir: PathBuf,
    running: Vec<witness::Running>,
}

/// A log and its witnesses at work.
pub struct Dev {
    log: Running,
    vkey: VerifierKey,
    witnesses: Witnesses,
    trust: PathBuf,
}

/// Starts the witnesses and then the log, which hears them before it signs.
pub fn begin(config: &Config) -> anyhow::Result<Dev> {
    files::create_private_dir(&config.data)?;
    let mut random = Random::from_system().context("ask the system for randomness")?;
    let data = config.data.join("log");
    let vkey = match existing_key(&data)? {
        Some(vkey) => vkey,
        None => init(new_log(&data, &config.origin), &mut random)?,
    };
    let trust = config.data.join("trust.policy");
    let last = Addresses::of_last_time(&trust);
    // Should the log not start, they are dropped with the error: what they promised is on disk.
    let witnesses = Witnesses::begin_at(&config.data, &vkey, last.witnesses, &mut random)?;
    witnesses.write_policy(&trust, &vkey, last.log)?;
    let log = begin_log(data, &trust, config.listen.clone(), last.log)?;
    witnesses.write_policy(&trust, &vkey, Some(log.address()))?;
    Ok(Dev { log, vkey, witnesses, trust })
}

/// Returns what makes the log.
fn new_log(data: &Path, origin: &Origin) -> Init {
    Init {
        data: data.to_owned(),
        watermark: None,
        origin: origin.clone(),
        identity: LogIdentity::None,
        key: None,
        rule: None,
        kek: None,
    }
}

/// Returns the key of the log that a directory holds; none if it holds none.
fn existing_key(data: &Path) -> anyhow::Result<Option<VerifierKey>> {
    let database = files::database(data);
    if !database.join("CURRENT").exists() {
        return Ok(None);
    }
    let logs = Store::open_read_only(&database, &StoreConfig::default())?.logs()?;
    let key = logs.first().map(|row| files::read_key(data, row.number));
    Ok(key.transpose()?.map(|key| key.verifier_key().clone()))
}

/// Makes a witness unless there is one, and starts it.
fn begin_witness(
    data: &Path,
    name: &str,
    log: &VerifierKey,
    listen: Option<SocketAddr>,
    random: &mut Random,
) -> anyhow::Result<witness::Running> {
    if !data.join("journal").exists() {
        let name = KeyName::parse(&format!("{}/{name}", log.name().as_str()))
            .context("name the witness after the log")?;
        witness::init(witness::Init { data: data.to_owned(), watermark: None, name }, random)?;
    }
    let config = witness::RawConfig {
        data: Some(data.to_owned()),
        listen: Some(free(listen)),
        log: Some(vec![log.to_string()]),
        worker_threads: Some(1),
        ..witness::RawConfig::default()
    };
    witness::start(config.parse()?).with_context(|| format!("start {name}"))
}

/// Starts the log.
fn begin_log(
    data: PathBuf,
    trust: &Path,
    listen: Option<String>,
    last: Option<SocketAddr>,
) -> anyhow::Result<Running> {
    let config = RawConfig {
        data: Some(data),
        listen: Some(listen.unwrap_or_else(|| free(last))),
        trust: Some(trust.to_owned()),
        // A developer's machine may be nearly full; a full disk stops the log and loses nothing.
        free_bytes_min: Some(0),
        log_level: Some("warn".to_owned()),
        ..RawConfig::default()
    };
    let config = config.parse()?;
    telemetry::start(config.telemetry);
    let log = start(config).context("start the log")?;
    // Two of the witnesses are enough to let it sign, and they answer at once.
    if !log.wait_until_signing(PATIENCE) {
        bail!("the log does not sign: see what it says above");
    }
    Ok(log)
}

/// Returns an address if nobody listens there, and one with any port otherwise.
fn free(address: Option<SocketAddr>) -> String {
    let free = address.filter(|address| TcpListener::bind(address).is_ok());
    free.map_or_else(|| ANY_PORT.to_owned(), |address| address.to_string())
}

/// Where log and witnesses were reached the last time.
#[derive(Debug, Default)]
struct Addresses {
    log: Option<SocketAddr>,
    witnesses: [Option<SocketAddr>; WITNESSES.len()],
}

impl Addresses {
    /// Reads them from the trust file; what does not stand there is chosen again.
    fn of_last_time(trust: &Path) -> Self {
        let text = fs::read_to_string(trust).unwrap_or_default();
        let Ok(policy) = TrustPolicy::parse(&text) else { return Self::default() };
        let address = |url: &Option<String>| url.as_deref()?.strip_prefix("http://")?.parse().ok();
        Self {
            log: policy.logs().first().and_then(|log| address(&log.url)),
            witnesses: WITNESSES.map(|name| {
                let witness = policy.witnesses().iter().find(|witness| witness.name == name);
                address(&witness?.url)
            }),
        }
    }
}

impl Witnesses {
    /// Makes the witnesses of a log in a directory unless they are there, and starts them.
    pub fn begin(dir: &Path, log: &VerifierKey, random: &mut Random) -> anyhow::Result<Self> {
        Self::begin_at(dir, log, [None; WITNESSES.len()], random)
    }

    /// The same, at these addresses as long as they are free.
    fn begin_at(
        dir: &Path,
        log: &VerifierKey,
        addresses: [Option<SocketAddr>; WITNESSES.len()],
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let begin = |(name, listen)| begin_witness(&dir.join(name), name, log, listen, random);
        let running = WITNESSES.into_iter().zip(addresses).map(begin).collect::<Result<_, _>>()?;
        Ok(Self { dir: dir.to_owned(), running })
    }

    /// Returns name, key and address of each.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, &VerifierKey, SocketAddr)> {
        WITNESSES.into_iter().zip(&self.running).map(|(name, witness)| {
            (name, witness.witness().key().verifier_key(), witness.address())
        })
    }

    /// Returns the directory that a witness writes evidence to.
    pub fn evidence(&self, name: &str) -> PathBuf {
        self.dir.join(name).join("evidence")
    }

    /// Writes a trust file with the log and the quorum of two, in one step.
    pub fn write_policy(
        &self,
        path: &Path,
        log: &VerifierKey,
        address: Option<SocketAddr>,
    ) -> anyhow::Result<()> {
        let url = address.map_or_else(String::new, |address| format!(" http://{address}"));
        let line = |(name, vkey, address)| format!("witness {name} {vkey} http://{address}\n");
        let lines: String = self.list().map(line).collect();
        let names = WITNESSES.join(" ");
        let text = format!(
            "# Made by attestree at each start.\nlog {log}{url}\n{lines}group {GROUP} {QUORUM} {names}\n\
             quorum {GROUP}\n"
        );
        let aside = path.with_extension("policy.new");
        fs::write(&aside, text)
            .and_then(|()| fs::rename(&aside, path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Stops them; returns whether every write has succeeded.
    pub fn stop(self) -> bool {
        // All of them, also after one that failed.
        let stopped = self.running.into_iter().map(witness::Running::stop);
        stopped.filter(|clean| !clean).count() == 0
    }
}

impl Dev {
    /// Returns the log's address.
    pub fn address(&self) -> SocketAddr {
        self.log.address()
    }

    /// Returns the log's key.
    pub fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Returns the witnesses.
    pub fn witnesses(&self) -> &Witnesses {
        &self.witnesses
    }

    /// Returns the trust file.
    pub fn trust(&self) -> &Path {
        &self.trust
    }

    /// Waits for SIGTERM, SIGINT or a failed write of one of them; from before `listening` is called, which says that it runs.
    pub fn wait(&self, listening: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let runtime =
            Builder::new_current_thread().enable_all().build().context("start the runtime")?;
        runtime.block_on(async {
            let mut ending = Ending::listen()?;
            listening()?;
            let mut failures = JoinSet::new();
            let fatal = self.witnesses.running.iter().map(|witness| witness.witness().fatal());
            for mut fatal in fatal.chain([self.log.pipeline().fatal()]) {
                // Either it failed, or who would say so is gone.
                failures.spawn(async move { fatal.wait_for(|fatal| *fatal).await.is_ok() });
            }
            tokio::select! {
                () = ending.come() => {}
                _ = failures.join_next() => {}
            }
            Ok(())
        })
    }

    /// Stops the log, then the witnesses; each finishes what it was asked.
    pub fn stop(self) -> anyhow::Result<()> {
        let log = self.log.stop();
        let clean = self.witnesses.stop();
        if log == Stopped::Clean && clean {
            return Ok(());
        }
        bail!(
            "a write failed or its result is not known; start again, and it takes up what the disk holds"
        )
    }
}
