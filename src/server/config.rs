//! From a file, the environment and flags to a configuration that can't be wrong.
//!
//! Every key can stand in the TOML file, in `ATTESTREE_<KEY>` or in a flag; a flag goes before the
//! environment, the environment before the file. [`RawConfig`] is what was written, [`Config`] what
//! it means: reading the one as the other checks every value and every relation between them, and
//! opens no other file.

use core::{fmt, time::Duration};
use std::{collections::BTreeMap, path::PathBuf, thread};

use serde::Deserialize;

pub use super::setting::ConfigError;
use super::{
    alert::{self, AlertConfig, RawAlert},
    cosigning, files, listener,
    setting::{
        self, check_plaintext, count, first_of, parse_address, parse_telemetry, parse_tls, range,
        seconds, word,
    },
    source::{self, RawSource, Reach},
    telemetry,
};
use crate::{
    pipeline::{Limits, Publish},
    store::StoreConfig,
};

/// What was written: each key where it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Server")]
pub struct RawConfig {
    /// Directory of the logs, made by `attestree init` [default: attestree-data]
    #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:6962]
    #[arg(long, env = "ATTESTREE_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Watermark file, outside of the data directory [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WATERMARK", value_name = "FILE")]
    pub watermark: Option<PathBuf>,
    /// Key-encryption key of audit logs, outside of the data directory [default: DIR.kek]
    #[arg(long, env = "ATTESTREE_KEK", value_name = "FILE")]
    pub kek: Option<PathBuf>,
    /// PEM file with the server's certificate chain
    #[arg(long, env = "ATTESTREE_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's key, readable by its owner only
    #[arg(long, env = "ATTESTREE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authority of client certificates; only such clients get in
    #[arg(long, env = "ATTESTREE_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Listen without TLS on an address that other machines can reach
    #[arg(
        long,
        env = "ATTESTREE_INSECURE_PLAINTEXT",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub insecure_plaintext: Option<bool>,
    /// Connections that may be open at once [default: 1024]
    #[arg(long, env = "ATTESTREE_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<u64>,
    /// Threads that serve connections [default: half of the cores]
    #[arg(long, env = "ATTESTREE_WORKER_THREADS", value_name = "N")]
    pub worker_threads: Option<u64>,
    /// Bytes that requests may hold before they are complete [default: 268435456]
    #[arg(long, env = "ATTESTREE_RECEIVE_BYTES_MAX", value_name = "BYTES")]
    pub receive_bytes_max: Option<u64>,
    /// Bytes that answers may hold until their readers have taken them [default: 67108864]
    #[arg(long, env = "ATTESTREE_SEND_BYTES_MAX", value_name = "BYTES")]
    pub send_bytes_max: Option<u64>,
    /// Seconds that open requests get to finish at shutdown [default: 10]
    #[arg(long, env = "ATTESTREE_SHUTDOWN_SECONDS", value_name = "S")]
    pub shutdown_seconds: Option<u64>,
    /// Entries that may wait for their receipt, over all logs [default: 65536]
    #[arg(long, env = "ATTESTREE_POOL_ENTRIES_MAX", value_name = "N")]
    pub pool_entries_max: Option<u64>,
    /// Bytes of entries that may wait for their receipt [default: 67108864]
    #[arg(long, env = "ATTESTREE_POOL_BYTES_MAX", value_name = "BYTES")]
    pub pool_bytes_max: Option<u64>,
    /// Part of the pool that one log may fill, in percent [default: 75]
    #[arg(long, env = "ATTESTREE_POOL_LOG_PERCENT", value_name = "N")]
    pub pool_log_percent: Option<u64>,
    /// Entries after which an idempotency key is forgotten [default: never]
    #[arg(long, env = "ATTESTREE_IDENTITY_WINDOW", value_name = "N")]
    pub identity_window: Option<u64>,
    /// Free disk space below which no entries are taken [default: 1073741824]
    #[arg(long, env = "ATTESTREE_FREE_BYTES_MIN", value_name = "BYTES")]
    pub free_bytes_min: Option<u64>,
    /// Memory for tiles, which proofs are made from [default: 33554432]
    #[arg(long, env = "ATTESTREE_TILE_CACHE_BYTES", value_name = "BYTES")]
    pub tile_cache_bytes: Option<u64>,
    /// Memory for blocks of the database [default: 33554432]
    #[arg(long, env = "ATTESTREE_BLOCK_CACHE_BYTES", value_name = "BYTES")]
    pub block_cache_bytes: Option<u64>,
    /// Trust file (c2sp.org/tlog-policy) with the logs' witnesses and their quorum
    #[arg(long, env = "ATTESTREE_TRUST", value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// PEM file with the certificate authorities of the witnesses [default: the system's]
    #[arg(long, env = "ATTESTREE_TRUST_CA", value_name = "FILE")]
    pub trust_ca: Option<PathBuf>,
    /// Milliseconds between two heads that the witnesses of a log are shown [default: 1000]
    #[arg(long, env = "ATTESTREE_CHECKPOINT_INTERVAL_MS", value_name = "MS")]
    pub checkpoint_interval_ms: Option<u64>,
    /// Milliseconds that a witness has for an answer [default: 5000]
    #[arg(long, env = "ATTESTREE_WITNESS_TIMEOUT_MS", value_name = "MS")]
    pub witness_timeout_ms: Option<u64>,
    /// Heads that readers are shown: signed or cosigned [default: signed]
    #[arg(long, env = "ATTESTREE_PUBLISH", value_name = "WHICH")]
    pub publish: Option<String>,
    /// The same for single logs, by origin; in the file alone.
    #[arg(skip)]
    pub publish_of: Option<BTreeMap<String, String>>,
    /// Who is told of alerts; in the file alone.
    #[arg(skip)]
    #[serde(default)]
    pub alerts: Vec<RawAlert>,
    /// Who may send in foreign protocols; in the file alone.
    #[arg(skip)]
    pub sources: Option<Vec<RawSource>>,
    /// Let a log sign though its witnesses were not heard; recorded for ever, and never in the file
    #[arg(long, value_name = "ORIGIN")]
    #[serde(skip)]
    pub sign_unheard: Vec<String>,
    /// What is logged: off, error, warn, info, debug or trace [default: info]
    #[arg(long, env = "ATTESTREE_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How it is logged: text or json [default: text]
    #[arg(long, env = "ATTESTREE_LOG_FORMAT", value_name = "FORM")]
    pub log_format: Option<String>,
}

/// The flags of `attestree serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// TOML file; every key of it is also a flag and a variable
    #[arg(long, env = "ATTESTREE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The keys.
    #[command(flatten)]
    pub raw: RawConfig,
}

/// What a server runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the logs.
    pub data: PathBuf,
    /// The watermark's file.
    pub watermark: PathBuf,
    /// The file of the key-encryption key, which is there if there is an audit log.
    pub kek: PathBuf,
    /// Who may connect, and how.
    pub listener: listener::Config,
    /// How much may wait.
    pub limits: Limits,
    /// The database's memory.
    pub store: StoreConfig,
    /// Memory for tiles.
    pub tile_cache_bytes: usize,
    /// Threads that serve connections.
    pub worker_threads: usize,
    /// Which witnesses the logs have.
    pub witnesses: cosigning::Config,
    /// Who is told of alerts.
    pub alerts: Vec<AlertConfig>,
    /// Who may send in foreign protocols.
    pub sources: Vec<source::Config>,
    /// What is logged and how.
    pub telemetry: telemetry::Config,
}

impl Flags {
    /// Reads the file, if one is named, and joins all sources.
    pub fn read(self) -> Result<Config, ConfigError> {
        let file: RawConfig = setting::read_file(self.config.as_deref())?;
        self.raw.over(file).parse()
    }
}

/// The port is the number of the RFC; on loopback, so that nothing is exposed by default.
const LISTEN_DEFAULT: &str = "127.0.0.1:6962";

impl RawConfig {
    /// Reads the text of a configuration file.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns the keys of `self`, and those of `other` where `self` has none.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        // A leave to sign unheard is given by a flag alone.
        let sign_unheard = self.sign_unheard.clone();
        // Lists of tables stand in one source alone: the file.
        let alerts = if self.alerts.is_empty() { other.alerts } else { self.alerts };
        first_of!(self, other, { sign_unheard, alerts }:
            data, listen, watermark, kek, tls_certificate, tls_key, tls_client_ca, insecure_plaintext,
            connections_max, worker_threads, receive_bytes_max, send_bytes_max, shutdown_seconds, pool_entries_max,
            pool_bytes_max, pool_log_percent, identity_window, free_bytes_min, tile_cache_bytes,
            block_cache_bytes, trust, trust_ca, checkpoint_interval_ms, witness_timeout_ms, publish, publish_of,
            sources, log_level, log_format,
        )
    }

    /// Checks every key and fills in the defaults.
    pub fn parse(mut self) -> Result<Config, ConfigError> {
        let witnesses = self.take_witnesses()?;
        let alerts = alert::parse(core::mem::take(&mut self.alerts))
            .map_err(|(name, fault)| ConfigError::Alert { name, fault })?;
        let (data, watermark, kek) = places(self.data, self.watermark, self.kek)?;
        let tls = parse_tls(self.tls_certificate, self.tls_key, self.tls_client_ca)?;
        let address = parse_address(self.listen, LISTEN_DEFAULT)?;
        check_plaintext(address, tls.as_ref(), self.insecure_plaintext)?;
        let reach = Reach {
            loopback: address.ip().is_loopback(),
            certificates: tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        };
        let sources = parse_sources(self.sources, reach)?;
        let limits = Limits {
            pool_entries: range("pool_entries_max", self.pool_entries_max, 65_536, 1, 16_777_216)?,
            pool_bytes: range("pool_bytes_max", self.pool_bytes_max, 64 * MIB, 64 * KIB, TIB)?,
            log_percent: range("pool_log_percent", self.pool_log_percent, 75, 1, 100)?,
            free_bytes_min: range("free_bytes_min", self.free_bytes_min, GIB, 0, u64::MAX)?,
            identity_window: self
                .identity_window
                .map(|window| range("identity_window", Some(window), 1, 1, u64::MAX))
                .transpose()?,
        };
        Ok(Config {
            watermark,
            kek,
            data,
            listener: listener::Config {
                address,
                tls,
                // 65,536 file descriptors are what a service manager usually grants at most.
                connections_max: count("connections_max", self.connections_max, 1_024, 1, 65_536)?,
                // Sixteen of the largest requests.
                receive_bytes_max: range(
                    "receive_bytes_max",
                    self.receive_bytes_max,
                    256 * MIB,
                    32 * MIB,
                    TIB,
                )?,
                // Four of the largest bundles, one for each thread that reads them.
                send_bytes_max: range(
                    "send_bytes_max",
                    self.send_bytes_max,
                    64 * MIB,
                    32 * MIB,
                    TIB,
                )?,
                shutdown: seconds("shutdown_seconds", self.shutdown_seconds, 10, 3_600)?,
            },
            limits,
            store: StoreConfig {
                block_cache_bytes: cache("block_cache_bytes", self.block_cache_bytes)?,
                ..StoreConfig::default()
            },
            // 32 MiB hold some 2,000 tiles: those of the newest half million entries.
            tile_cache_bytes: cache("tile_cache_bytes", self.tile_cache_bytes)?,
            worker_threads: worker_threads(self.worker_threads)?,
            witnesses,
            alerts,
            sources,
            telemetry: parse_telemetry(self.log_level, self.log_format)?,
        })
    }
}

impl RawConfig {
    /// Reads what is said of witnesses.
    fn take_witnesses(&mut self) -> Result<cosigning::Config, ConfigError> {
        let published = |key, given| word::<Publish>(key, given, "signed", "signed or cosigned");
        let publish = published("publish", self.publish.take())?;
        let mut publish_of = BTreeMap::new();
        for (origin, given) in self.publish_of.take().unwrap_or_default() {
            publish_of.insert(origin, published("publish_of", Some(given))?);
        }
        let sign_unheard = core::mem::take(&mut self.sign_unheard);
        let (trust, ca) = (self.trust.take(), self.trust_ca.take());
        let needing = [
            ("publish", publish == Publish::Cosigned),
            ("publish_of", publish_of.values().any(|publish| *publish == Publish::Cosigned)),
            ("sign_unheard", !sign_unheard.is_empty()),
            ("trust_ca", ca.is_some()),
        ];
        let needing = needing.into_iter().find(|(_, needs)| *needs && trust.is_none());
        if let Some((key, _)) = needing {
            return Err(ConfigError::Needs { key, needs: "trust" });
        }
        // A head a second is what witnesses and those who poll keep up with over any network.
        let interval =
            range("checkpoint_interval_ms", self.checkpoint_interval_ms, 1_000, 1, 60_000)?;
        // A witness across the world answers in half a second; a slow one delays nobody.
        let timeout = range("witness_timeout_ms", self.witness_timeout_ms, 5_000, 10, 60_000)?;
        Ok(cosigning::Config {
            trust,
            ca,
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout),
            publish,
            publish_of,
            sign_unheard,
        })
    }
}

/// Reads what is said of sources.
fn parse_sources(
    given: Option<Vec<RawSource>>,
    reach: Reach,
) -> Result<Vec<source::Config>, ConfigError> {
    let parse = |source: RawSource| {
        let name = source.name.clone();
        source.parse(reach).map_err(|error| ConfigError::Source { name, error })
    };
    given.unwrap_or_default().into_iter().map(parse).collect()
}

/// Returns the data directory, and the files of the watermark and the KEK, which lie outside of it.
fn places(
    data: Option<PathBuf>,
    watermark: Option<PathBuf>,
    kek: Option<PathBuf>,
) -> Result<(PathBuf, PathBuf, PathBuf), ConfigError> {
    let data = data.unwrap_or_else(|| "attestree-data".into());
    let watermark = watermark.unwrap_or_else(|| files::watermark(&data));
    if watermark.starts_with(&data) {
        return Err(ConfigError::WatermarkInside { path: watermark });
    }
    let kek = kek.unwrap_or_else(|| files::kek(&data));
    if kek.starts_with(&data) {
        return Err(ConfigError::KekInside { path: kek });
    }
    Ok((data, watermark, kek))
}

/// 1,024 bytes.
const KIB: u64 = 1 << 10;
/// 1,024 KiB.
const MIB: u64 = 1 << 20;
/// 1,024 MiB.
const GIB: u64 = 1 << 30;
/// 1,024 GiB.
const TIB: u64 = 1 << 40;

/// Half of the cores serve connections by default; sequencer and committer need the others.
fn worker_threads(given: Option<u64>) -> Result<usize, ConfigError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let default = u64::try_from((cores / 2).max(1)).expect("cores fit 64 bits");
    count("worker_threads", given, default, 1, 1_024)
}

/// Checks the size of a cache.
fn cache(key: &'static str, given: Option<u64>) -> Result<usize, ConfigError> {
    // A TiB fits the addresses of every machine that RocksDB runs on.
    count(key, given, 32 * MIB, MIB, TIB)
}

impl fmt::Display for Config {
    /// Writes the effective configuration, one key a line, as the file would have it. It holds paths
    /// of secrets, never their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            data,
            watermark,
            kek,
            listener,
            limits,
            store,
            tile_cache_bytes,
            worker_threads,
            witnesses,
            alerts,
            sources,
            telemetry,
        } = self;
        writeln!(f, "data = {data:?}")?;
        writeln!(f, "watermark = {watermark:?}")?;
        writeln!(f, "kek = {kek:?}")?;
        writeln!(f, "listen = \"{}\"", listener.address)?;
        if let Some(tls) = &listener.tls {
            writeln!(f, "tls_certificate = {:?}", tls.certificate)?;
            writeln!(f, "tls_key = {:?}", tls.key)?;
            if let Some(client_ca) = &tls.client_ca {
                writeln!(f, "tls_client_ca = {client_ca:?}")?;
            }
        }
        writeln!(f, "connections_max = {}", listener.connections_max)?;
        writeln!(f, "receive_bytes_max = {}", listener.receive_bytes_max)?;
        writeln!(f, "send_bytes_max = {}", listener.send_bytes_max)?;
        writeln!(f, "shutdown_seconds = {}", listener.shutdown.as_secs())?;
        writeln!(f, "worker_threads = {worker_threads}")?;
        writeln!(f, "pool_entries_max = {}", limits.pool_entries)?;
        writeln!(f, "pool_bytes_max = {}", limits.pool_bytes)?;
        writeln!(f, "pool_log_percent = {}", limits.log_percent)?;
        if let Some(window) = limits.identity_window {
            writeln!(f, "identity_window = {window}")?;
        }
        writeln!(f, "free_bytes_min = {}", limits.free_bytes_min)?;
        writeln!(f, "tile_cache_bytes = {tile_cache_bytes}")?;
        writeln!(f, "block_cache_bytes = {}", store.block_cache_bytes)?;
        write!(f, "{witnesses}")?;
        writeln!(f, "log_level = \"{}\"", telemetry.level.to_string().to_lowercase())?;
        write!(f, "log_format = \"{}\"", telemetry.form)?;
        // Tables come after all keys.
        alerts.iter().try_for_each(|alert| write!(f, "\n\n{alert}"))?;
        sources.iter().try_for_each(|source| write!(f, "\n\n{}", source.to_string().trim_end()))
    }
}
