//! The sources of a server: from the configuration and files of fingerprints to who may send.

use core::fmt;
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::files;
use crate::{
    core::{
        credential::{Fingerprint, parse_fingerprints},
        origin::Origin,
    },
    pipeline::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX},
    service::{
        Receiving,
        source::{Bounds, SourceKind, SourceMeters, SourceParts, Sources, check_apart},
    },
    store::{LogKind, LogRow},
};

/// Most characters of a name: a label of DNS.
const NAME_BYTES_MAX: usize = 63;

/// The kinds, for people.
const KINDS: &str = "otlp, kubernetes, cloudevents, hec, opa, syslog or ship";

/// A source as it was written: one `[[sources]]` of the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// What records show as `source`.
    pub name: String,
    /// The protocol.
    pub kind: String,
    /// The origin of the log; without it the default log.
    pub log: Option<String>,
    /// A file of fingerprints of tokens.
    pub tokens: Option<PathBuf>,
    /// Fingerprints of client certificates.
    pub certificates: Option<Vec<String>>,
    /// Whether nobody is asked who he is.
    pub open: Option<bool>,
    /// Most bytes of a body.
    pub body_bytes_max: Option<u64>,
    /// Most items of a request.
    pub items_max: Option<u64>,
    /// Items a second.
    pub rate: Option<u64>,
    /// The name of the cluster.
    pub cluster: Option<String>,
}

/// A source as it is checked. Its tokens are read when the server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    parts: SourceParts,
    tokens: Option<PathBuf>,
}

impl Config {
    /// Returns whether it has tokens in a file.
    pub(super) fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }
}

/// What is wrong with a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It has no usable name.
    #[error("name is {name:?}; use 1 to {NAME_BYTES_MAX} of a to z, 0 to 9 and '-'")]
    Name {
        /// What was given.
        name: String,
    },
    /// There is no such protocol.
    #[error("kind is {kind:?}; use {KINDS}")]
    Kind {
        /// What was given.
        kind: String,
    },
    /// There is no such log.
    #[error("log is {log:?}; name a log by its origin, as `attestree logs` does")]
    Log {
        /// What was given.
        log: String,
    },
    /// A certificate has another form.
    #[error("certificates holds {certificate:?}; write `sha256:` and 64 hexadecimal digits")]
    Certificate {
        /// What was given.
        certificate: String,
    },
    /// Nobody could send, or everybody.
    #[error(
        "give tokens, certificates, or open = true: without one of them nobody gets in, and with open nobody \
         is asked"
    )]
    Credential,
    /// Others could send.
    #[error(
        "open is true, and the server listens on an address that other machines can reach; use tokens or \
         certificates, or listen on 127.0.0.1"
    )]
    Open,
    /// No certificates are asked for.
    #[error("certificates is given without tls_client_ca, so that no client shows one")]
    NoAuthority,
    /// A credential that its protocol has no place for.
    #[error(
        "tokens is given to kind syslog, whose messages carry none, so that nobody gets in; use certificates, or \
         kind hec"
    )]
    NoPlace,
    /// A number is outside its range.
    #[error("{key} is {value}; use {min} to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// What was given.
        value: u64,
        /// The smallest that is allowed.
        min: u64,
        /// The largest that is allowed.
        max: u64,
    },
    /// A key is another kind's.
    #[error("{key} is for sources of kind {kind} only")]
    Foreign {
        /// The key.
        key: &'static str,
        /// The kind.
        kind: SourceKind,
    },
    /// A cluster has no usable name.
    #[error("cluster is {cluster:?}; use 1 to 253 printable characters of ASCII without spaces")]
    Cluster {
        /// What was given.
        cluster: String,
    },
}

/// How a server is reached, as far as sources depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Whether it listens for this machine alone.
    pub(super) loopback: bool,
    /// Whether clients have to show certificates.
    pub(super) certificates: bool,
}

impl RawSource {
    /// Checks every key and fills in the defaults.
    pub(super) fn parse(self, reach: Reach) -> Result<Config, SourceError> {
        let name = self.name;
        let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_name) {
            return Err(SourceError::Name { name });
        }
        let kind: SourceKind =
            self.kind.parse().map_err(|()| SourceError::Kind { kind: self.kind })?;
        let log = self.log.unwrap_or_default();
        if !log.is_empty() && Origin::parse(&log).is_err() {
            return Err(SourceError::Log { log });
        }
        let certificates: Vec<Fingerprint> = self
            .certificates
            .unwrap_or_default()
            .into_iter()
            .map(|text| {
                let parsed = Fingerprint::parse(&text);
                parsed.map_err(|_| SourceError::Certificate { certificate: text })
            })
            .collect::<Result<_, _>>()?;
        let open = self.open.unwrap_or_default();
        if self.tokens.is_some() && kind == SourceKind::Syslog {
            return Err(SourceError::NoPlace);
        }
        match (self.tokens.is_some() || !certificates.is_empty(), open) {
            (false, false) | (true, true) => return Err(SourceError::Credential),
            (false, true) if !reach.loopback => return Err(SourceError::Open),
            _ if !certificates.is_empty() && !reach.certificates => {
                return Err(SourceError::NoAuthority);
            }
            _ => {}
        }
        let bounds = bounds(kind, self.body_bytes_max, self.items_max, self.rate)?;
        let cluster = cluster(self.cluster, kind)?;
        let (tokens, none) = (self.tokens, Vec::new());
        let parts =
            SourceParts { name, kind, log, cluster, tokens: none, certificates, open, bounds };
        Ok(Config { parts, tokens })
    }
}

/// Checks how much a source may bring.
fn bounds(
    kind: SourceKind,
    body_bytes: Option<u64>,
    items: Option<u64>,
    rate: Option<u64>,
) -> Result<Bounds, SourceError> {
    // What fits one commit by default, so that most requests are in the log whole or not at all.
    let body_bytes = range("body_bytes_max", body_bytes, BATCH_BYTES_MAX, 1 << 10, 64 << 20)?;
    // A collector's batch has 8,192 records, and shippers of HEC cut by bytes: what is more is kept in one piece.
    let default = match kind {
        SourceKind::Otlp | SourceKind::Hec => 4 * BATCH_ENTRIES_MAX,
        _ => BATCH_ENTRIES_MAX,
    };
    let items = range("items_max", items, default, 1, 65_536)?;
    let rate = rate.map(|rate| range("rate", Some(rate), 0, 1, 10_000_000)).transpose()?;
    let rate = rate.map(|rate| u32::try_from(rate).expect("the range fits 32 bits"));
    Ok(Bounds { body_bytes, items, rate })
}

/// Checks the name of a cluster.
fn cluster(given: Option<String>, kind: SourceKind) -> Result<Option<String>, SourceError> {
    let Some(cluster) = given else { return Ok(None) };
    if kind != SourceKind::Kubernetes {
        return Err(SourceError::Foreign { key: "cluster", kind: SourceKind::Kubernetes });
    }
    // A name of DNS at most, and no character that could end a part of a key.
    let is_name =
        (1..=253).contains(&cluster.len()) && cluster.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name { Ok(Some(cluster)) } else { Err(SourceError::Cluster { cluster }) }
}

/// Checks a number, or takes its default.
fn range(
    key: &'static str,
    given: Option<u64>,
    default: usize,
    min: u64,
    max: u64,
) -> Result<usize, SourceError> {
    let Some(value) = given else { return Ok(default) };
    if (min..=max).contains(&value) {
        Ok(usize::try_from(value).expect("64-bit addresses"))
    } else {
        Err(SourceError::Range { key, value, min, max })
    }
}

/// The sources of a server with the fingerprints of their tokens.
#[derive(Debug)]
pub(super) struct Read(Vec<SourceParts>);

/// Reads the files of fingerprints.
pub(super) fn read(configs: &[Config]) -> anyhow::Result<Read> {
    let mut sources = Vec::with_capacity(configs.len());
    for Config { parts, tokens } in configs {
        let whose = || format!("read the source {:?}", parts.name);
        let tokens = match tokens {
            Some(path) => read_tokens(path).with_context(whose)?,
            None => Vec::new(),
        };
        sources.push(SourceParts { tokens, ..parts.clone() });
    }
    check_apart(&sources)?;
    Ok(Read(sources))
}

impl Read {
    /// Gives a running server these tokens in the place of those that it had.
    pub(super) fn renew(self, sources: &Sources) {
        sources.renew(self.0);
    }

    /// Puts the sources together, over the logs that there are.
    pub(super) fn serve(
        self,
        logs: &[LogRow],
        meters: &SourceMeters,
        receiving: &Receiving,
    ) -> anyhow::Result<Sources> {
        for parts in &self.0 {
            let whose = || format!("open the source {:?}", parts.name);
            check_log(&parts.log, logs).with_context(whose)?;
        }
        Ok(Sources::new(self.0, meters, receiving)?)
    }
}

/// Checks that the log of a source is there and takes events.
fn check_log(origin: &str, logs: &[LogRow]) -> anyhow::Result<()> {
    let is_it = |row: &&LogRow| match origin {
        "" => row.number.0 == 0,
        origin => row.origin.as_str() == origin,
    };
    let log = logs.iter().find(is_it);
    let log = log.with_context(|| format!("log is {origin:?}, and there is no such log"))?;
    ensure!(
        log.kind == LogKind::Audit,
        "{} is an opaque log; events go into audit logs, made by `attestree init --kind audit`",
        log.origin
    );
    Ok(())
}

/// Reads a file of fingerprints of tokens.
fn read_tokens(path: &Path) -> anyhow::Result<Vec<Fingerprint>> {
    files::check_secret(path)?;
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("read {}", path.display()))?;
    let tokens = parse_fingerprints(&text).map_err(|(line, error)| {
        anyhow::anyhow!("{} is wrong in line {line}: {error}", path.display())
    })?;
    ensure!(
        !tokens.is_empty(),
        "{} holds no token; make one with `attestree token --file {}`",
        path.display(),
        path.display()
    );
    Ok(tokens)
}

impl fmt::Display for Config {
    /// Writes a source as the file would have it, each key with a line feed. It holds paths of secrets, never their
    /// content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parts, tokens } = self;
        let SourceParts { name, kind, log, cluster, certificates, open, bounds, .. } = parts;
        writeln!(f, "[[sources]]")?;
        writeln!(f, "name = {name:?}")?;
        writeln!(f, "kind = \"{kind}\"")?;
        if !log.is_empty() {
            writeln!(f, "log = {log:?}")?;
        }
        if let Some(tokens) = tokens {
            writeln!(f, "tokens = {tokens:?}")?;
        }
        if !certificates.is_empty() {
            let quoted: Vec<String> = certificates.iter().map(|one| format!("\"{one}\"")).collect();
            writeln!(f, "certificates = [{}]", quoted.join(", "))?;
        }
        if *open {
            writeln!(f, "open = true")?;
        }
        writeln!(f, "body_bytes_max = {}", bounds.body_bytes)?;
        writeln!(f, "items_max = {}", bounds.items)?;
        if let Some(rate) = bounds.rate {
            writeln!(f, "rate = {rate}")?;
        }
        if let Some(cluster) = cluster {
            writeln!(f, "cluster = {cluster:?}")?;
        }
        Ok(())
    }
}
