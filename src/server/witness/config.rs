//! The witness's configuration: the same sources and the same order as the server's.
//!
//! Every key can stand in the TOML file, in `ATTESTREE_WITNESS_<KEY>` or in a flag; a flag goes before the
//! environment, the environment before the file.

use core::{fmt, time::Duration};
use std::{path::PathBuf, thread};

use serde::Deserialize;

use crate::{
    client::Server,
    core::{
        note::{Algorithm, KeyError, VerifierKey},
        origin::{Origin, OriginError},
        witness::WitnessedLog,
    },
    server::{
        files, listener,
        setting::{
            self, ConfigError, check_plaintext, count, first_of, parse_address, parse_telemetry,
            parse_tls, range, seconds,
        },
        telemetry,
    },
    witness::{Rate, book::LogConfig},
};

/// What was written: each key where it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Witness")]
pub struct RawConfig {
    /// Directory of the witness, made by `attestree witness init` [default: attestree-witness]
    #[arg(long, env = "ATTESTREE_WITNESS_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Watermark file, outside of the directory [default: DIR.watermark]
    #[arg(long, env = "ATTESTREE_WITNESS_WATERMARK", value_name = "FILE")]
    pub watermark: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:6963]
    #[arg(long, env = "ATTESTREE_WITNESS_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// A log: its vkey, and the URL of its tiles unless it only pushes; give it once for each log
    #[arg(
        long = "log",
        env = "ATTESTREE_WITNESS_LOG",
        value_name = "VKEY [URL]",
        value_delimiter = '\n'
    )]
    pub log: Option<Vec<String>>,
    /// PEM file with the certificate authorities of the logs that are read [default: the system's]
    #[arg(long, env = "ATTESTREE_WITNESS_LOGS_CA", value_name = "FILE")]
    pub logs_ca: Option<PathBuf>,
    /// Seconds between two looks at a log that has a URL [default: 60]
    #[arg(long, env = "ATTESTREE_WITNESS_POLL_SECONDS", value_name = "S")]
    pub poll_seconds: Option<u64>,
    /// Requests a second that one address may send; 0 for any number [default: 1000]
    #[arg(long, env = "ATTESTREE_WITNESS_REQUESTS_PER_SECOND", value_name = "N")]
    pub requests_per_second: Option<u64>,
    /// New heads a second that one log may bring; 0 for any number [default: 10]
    #[arg(long, env = "ATTESTREE_WITNESS_ADVANCES_PER_SECOND", value_name = "N")]
    pub advances_per_second: Option<u64>,
    /// Requests that may be read at once [default: 4096]
    #[arg(long, env = "ATTESTREE_WITNESS_REQUESTS_MAX", value_name = "N")]
    pub requests_max: Option<u64>,
    /// URL that gets a POST when a log is frozen
    #[arg(long, env = "ATTESTREE_WITNESS_WEBHOOK", value_name = "URL")]
    pub webhook: Option<String>,
    /// PEM file with the witness's certificate chain
    #[arg(long, env = "ATTESTREE_WITNESS_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's key, readable by its owner only
    #[arg(long, env = "ATTESTREE_WITNESS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Listen without TLS on an address that other machines can reach
    #[arg(
        long,
        env = "ATTESTREE_WITNESS_INSECURE_PLAINTEXT",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub insecure_plaintext: Option<bool>,
    /// Connections that may be open at once [default: 1024]
    #[arg(long, env = "ATTESTREE_WITNESS_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<u64>,
    /// Threads that serve connections [default: one a core]
    #[arg(long, env = "ATTESTREE_WITNESS_WORKER_THREADS", value_name = "N")]
    pub worker_threads: Option<u64>,
    /// Seconds that open requests get to finish at shutdown [default: 10]
    #[arg(long, env = "ATTESTREE_WITNESS_SHUTDOWN_SECONDS", value_name = "S")]
    pub shutdown_seconds: Option<u64>,
    /// What is logged: off, error, warn, info, debug or trace [default: info]
    #[arg(long, env = "ATTESTREE_WITNESS_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How it is logged: text or json [default: text]
    #[arg(long, env = "ATTESTREE_WITNESS_LOG_FORMAT", value_name = "FORM")]
    pub log_format: Option<String>,
}

/// The flags of `attestree witness serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// TOML file; every key of it is also a flag and a variable
    #[arg(long, env = "ATTESTREE_WITNESS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The origin that the verbs of a client are told by this variable, which `--log` would show as well.
    #[arg(long, env = "ATTESTREE_LOG", hide = true)]
    client_log: Option<String>,
    /// The keys.
    #[command(flatten)]
    pub raw: RawConfig,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum WitnessConfigError {
    /// A key that the server has as well is wrong.
    #[error(transparent)]
    Key(#[from] ConfigError),
    /// A log's key does not parse.
    #[error("log {log:?}: {error}; write it as 'VKEY [URL]'")]
    Vkey {
        /// What was given.
        log: String,
        /// What is wrong.
        error: KeyError,
    },
    /// A log's key has a name that is no origin.
    #[error("log {log:?}: the key's name has to be the log's origin: {error}")]
    Origin {
        /// What was given.
        log: String,
        /// What is wrong.
        error: OriginError,
    },
    /// A log's key is a cosigner's.
    #[error("log {log:?}: this is a witness's key (0x04); a log has an Ed25519 key (0x01)")]
    Algorithm {
        /// What was given.
        log: String,
    },
    /// An address can't be one.
    #[error("{url:?} is no address; write it as http://HOST:PORT/PATH or https://HOST/PATH")]
    Url {
        /// What was given.
        url: String,
    },
    /// Two entries of one log name different addresses.
    #[error("log {origin} has two URLs; give one, further keys of the log need none")]
    TwoUrls {
        /// The log.
        origin: Origin,
    },
}

/// What a witness runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its directory.
    pub data: PathBuf,
    /// Its watermark.
    pub watermark: PathBuf,
    /// The port.
    pub listener: listener::Config,
    /// Its logs, each once.
    pub logs: Vec<LogConfig>,
    /// The certificate authorities of the logs, instead of the system's.
    pub logs_ca: Option<PathBuf>,
    /// Time between two looks at a log.
    pub poll: Duration,
    /// Limits and places.
    pub witness: crate::witness::Config,
    /// Threads that serve connections.
    pub worker_threads: usize,
    /// What is logged and how.
    pub telemetry: telemetry::Config,
}

impl Flags {
    /// Reads the file, if one is named, and joins all sources.
    pub fn read(mut self) -> Result<Config, WitnessConfigError> {
        let file: RawConfig = setting::read_file(self.config.as_deref())?;
        // An origin has no `+` and a vkey has two, so that this drops no log.
        if let (Some(logs), Some(origin)) = (&mut self.raw.log, &self.client_log) {
            logs.retain(|log| log != origin);
        }
        self.raw.log = self.raw.log.filter(|logs| !logs.is_empty());
        self.raw.over(file).parse()
    }
}

impl RawConfig {
    /// Reads the text of a configuration file.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns the keys of `self`, and those of `other` where `self` has none.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        first_of!(self, other, {}:
            data, watermark, listen, log, logs_ca, poll_seconds, requests_per_second, advances_per_second, requests_max,
            webhook, tls_certificate, tls_key, insecure_plaintext, connections_max, worker_threads,
            shutdown_seconds, log_level, log_format,
        )
    }

    /// Checks every key and fills in the defaults.
    pub fn parse(self) -> Result<Config, WitnessConfigError> {
        let data = self.data.unwrap_or_else(|| "attestree-witness".into());
        let watermark = self.watermark.unwrap_or_else(|| files::watermark(&data));
        if watermark.starts_with(&data) {
            return Err(ConfigError::WatermarkInside { path: watermark }.into());
        }
        let tls = parse_tls(self.tls_certificate, self.tls_key, None)?;
        // One above the log's, so that both run on one machine as they are.
        let address = parse_address(self.listen, "127.0.0.1:6963")?;
        check_plaintext(address, tls.as_ref(), self.insecure_plaintext)?;
        let rate = |key, given, default| -> Result<Rate, ConfigError> {
            let per_second = range(key, given, default, 0, 1_000_000)?;
            Ok(Rate { per_second: u32::try_from(per_second).expect("at most a million") })
        };
        if let Some(url) = &self.webhook {
            parse_url(url)?;
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let cores = u64::try_from(cores).expect("cores fit 64 bits");
        Ok(Config {
            listener: listener::Config {
                address,
                tls,
                connections_max: count("connections_max", self.connections_max, 1_024, 1, 65_536)?,
                // Bodies have a limit of their own here, and answers are short.
                receive_bytes_max: 0,
                send_bytes_max: 0,
                shutdown: seconds("shutdown_seconds", self.shutdown_seconds, 10, 3_600)?,
            },
            logs: parse_logs(self.log.unwrap_or_default())?,
            logs_ca: self.logs_ca,
            // A log that is read once a minute is caught within a minute, at a few requests each time.
            poll: seconds("poll_seconds", self.poll_seconds, 60, 86_400)?,
            witness: crate::witness::Config {
                // One log server may bring many logs; it has one address.
                requests: rate("requests_per_second", self.requests_per_second, 1_000)?,
                // A log moves its checkpoint once a second; a witness that was away gets a few at once.
                advances: rate("advances_per_second", self.advances_per_second, 10)?,
                // At 68 KB each, 280 MB at the very most.
                requests_max: count("requests_max", self.requests_max, 4_096, 1, 65_536)?,
                evidence: data.join("evidence"),
                webhook: self.webhook,
            },
            worker_threads: count("worker_threads", self.worker_threads, cores, 1, 1_024)?,
            telemetry: parse_telemetry(self.log_level, self.log_format)?,
            data,
            watermark,
        })
    }
}

/// Reads the logs, and joins the keys of those that are named more than once.
fn parse_logs(entries: Vec<String>) -> Result<Vec<LogConfig>, WitnessConfigError> {
    let mut logs: Vec<LogConfig> = Vec::new();
    let mut positions = std::collections::HashMap::new();
    for entry in entries {
        let (vkey, url) = match entry.split_once(char::is_whitespace) {
            Some((vkey, url)) => (vkey, Some(url.trim().to_owned()).filter(|url| !url.is_empty())),
            None => (entry.as_str(), None),
        };
        let key = VerifierKey::parse(vkey)
            .map_err(|error| WitnessConfigError::Vkey { log: entry.clone(), error })?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(WitnessConfigError::Algorithm { log: entry });
        }
        let origin = Origin::parse(key.name().as_str())
            .map_err(|error| WitnessConfigError::Origin { log: entry.clone(), error })?;
        url.as_deref().map(parse_url).transpose()?;
        let position = *positions.entry(origin.clone()).or_insert(logs.len());
        let Some(known) = logs.get_mut(position) else {
            logs.push(LogConfig { log: WitnessedLog { origin, keys: vec![key] }, url });
            continue;
        };
        if !known.log.keys.contains(&key) {
            known.log.keys.push(key);
        }
        if known.url.is_some() && url.is_some() && known.url != url {
            return Err(WitnessConfigError::TwoUrls { origin });
        }
        known.url = known.url.take().or(url);
    }
    Ok(logs)
}

fn parse_url(url: &str) -> Result<Server, WitnessConfigError> {
    Server::parse(url).map_err(|_| WitnessConfigError::Url { url: url.to_owned() })
}

impl fmt::Display for Config {
    /// Writes the effective configuration, one key a line, as the file would have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, watermark, listener, logs, logs_ca, poll, witness, .. } = self;
        let Self { worker_threads, telemetry, .. } = self;
        writeln!(f, "data = {data:?}")?;
        writeln!(f, "watermark = {watermark:?}")?;
        writeln!(f, "listen = \"{}\"", listener.address)?;
        writeln!(f, "# {} logs", logs.len())?;
        if let Some(ca) = logs_ca {
            writeln!(f, "logs_ca = {ca:?}")?;
        }
        writeln!(f, "poll_seconds = {}", poll.as_secs())?;
        writeln!(f, "requests_per_second = {}", witness.requests.per_second)?;
        writeln!(f, "advances_per_second = {}", witness.advances.per_second)?;
        writeln!(f, "requests_max = {}", witness.requests_max)?;
        if let Some(url) = &witness.webhook {
            writeln!(f, "webhook = {url:?}")?;
        }
        if let Some(tls) = &listener.tls {
            writeln!(f, "tls_certificate = {:?}", tls.certificate)?;
            writeln!(f, "tls_key = {:?}", tls.key)?;
        }
        writeln!(f, "connections_max = {}", listener.connections_max)?;
        writeln!(f, "worker_threads = {worker_threads}")?;
        writeln!(f, "shutdown_seconds = {}", listener.shutdown.as_secs())?;
        writeln!(f, "log_level = \"{}\"", telemetry.level.to_string().to_lowercase())?;
        write!(f, "log_format = \"{}\"", telemetry.form)
    }
}
