//! The options that say which server and which log, and what to believe.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::exit::wrong_usage;
use crate::client::server::Tls;
use crate::client::{Client, ClientError, Server, TileClient, Trust, list_logs};
use crate::core::note::KeyName;
use crate::core::origin::Origin;
use crate::core::trust::TrustPolicy;
use crate::proto;

/// Which server and which log.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server to talk to")]
pub(super) struct Remote {
    /// Address of the server
    #[arg(
        long,
        global = true,
        env = "ATTESTREE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:6962"
    )]
    pub(super) server: String,
    /// Origin of the log, where the server has several [default: its first]
    // As text, because `witness serve` has an option of the same name that says more, and clap keeps
    // both in one place.
    #[arg(
        id = "log",
        long = "log",
        global = true,
        env = "ATTESTREE_LOG",
        value_name = "ORIGIN",
        value_parser = origin_text
    )]
    log_text: Option<String>,
    /// The same, parsed by [`Remote::resolved`].
    #[arg(skip)]
    pub(super) log: Option<Origin>,
    /// Trust policy (c2sp.org/tlog-policy) with the log's key and its witnesses
    ///
    /// Without one the server is asked for the key and believed: what then verifies shows that the
    /// server agrees with itself. `attestree logs --policy` writes such a file.
    #[arg(long, global = true, env = "ATTESTREE_TRUST", value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// PEM file with the certificate authority of the server [default: the system's]
    #[arg(long, global = true, env = "ATTESTREE_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// PEM file with the client's certificate, for mutual TLS
    #[arg(long, global = true, env = "ATTESTREE_CERT", value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// PEM file with the client certificate's key
    #[arg(long, global = true, env = "ATTESTREE_KEY", value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
}

/// Reads an origin from the command line.
pub(super) fn origin(text: &str) -> Result<Origin, crate::core::origin::OriginError> {
    Origin::parse(text)
}

/// Checks an origin on the command line.
fn origin_text(text: &str) -> Result<String, crate::core::origin::OriginError> {
    Origin::parse(text).map(|origin| origin.to_string())
}

impl Remote {
    /// Fills in what was given as text; what is no origin is for `witness serve`.
    pub(super) fn resolved(self) -> Self {
        let log = self.log_text.as_deref().and_then(|text| Origin::parse(text).ok());
        Self { log, ..self }
    }

    /// Returns the server with its certificates.
    pub(super) fn server(&self) -> anyhow::Result<Server> {
        self.server_at(&self.server)
    }

    /// Returns another server with the same certificates.
    pub(super) fn server_at(&self, url: &str) -> anyhow::Result<Server> {
        let read =
            |path: &PathBuf| fs::read(path).with_context(|| format!("read {}", path.display()));
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            (None, None) => None,
            (Some(_), None) => return Err(wrong_usage("--cert needs --key as well")),
            (None, Some(_)) => return Err(wrong_usage("--key needs --cert as well")),
        };
        let ca = self.ca.as_ref().map(read).transpose()?;
        Ok(Server::parse(url)?.with_tls(Tls { ca, identity }))
    }

    /// Reads the trust policy, if one is given.
    pub(super) fn policy(&self) -> anyhow::Result<Option<TrustPolicy>> {
        let Some(path) = &self.trust else {
            return Ok(None);
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("read the trust policy {}", path.display()))?;
        let policy = TrustPolicy::parse(&text)
            .with_context(|| format!("parse the trust policy {}", path.display()))?;
        Ok(Some(policy))
    }

    /// Connects to the log.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let (server, policy) = (self.server()?, self.policy()?);
        Ok(Client::connect(&server, self.log.as_ref(), policy).await?)
    }

    /// Reads the log's tiles at `url`, or where the server at `--server` has them.
    ///
    /// The key is the policy's, or the one that the server at that address lists for the log that is
    /// served there.
    pub(super) async fn tiles(
        &self,
        url: Option<&str>,
    ) -> anyhow::Result<(TileClient, Arc<Trust>)> {
        let server = self.server_at(url.unwrap_or(&self.server))?;
        let (root, path) = split_path(server.url());
        let trust = match self.policy()? {
            Some(policy) => Trust::known(policy, self.log.as_ref())?,
            None => self.listed(root, url.map(|_| path)).await.context(
                "ask the server for the log's key; give --trust FILE where that is not possible",
            )?,
        };
        let prefix = match url {
            Some(_) => server.url().to_owned(),
            None => format!("{root}/{}", trust.origin().http_prefix()),
        };
        let server = self.server_at(prefix.trim_end_matches('/'))?;
        Ok((TileClient::new(&server)?, Arc::new(trust)))
    }

    /// Believes the key that an Attestree server lists: of the log that is named, or of the one
    /// that is served under the path, or of its first.
    async fn listed(&self, root: &str, path: Option<&str>) -> anyhow::Result<Trust> {
        let server = self.server_at(root)?;
        let logs = list_logs(&server, server.channel().await?).await?;
        let named = |log: &&proto::Log| match &self.log {
            Some(origin) => log.origin == origin.as_str(),
            None => Some(log.prefix.as_str()) == path,
        };
        let first = logs.first().filter(|_| self.log.is_none());
        let log = logs.iter().find(named).or(first);
        let log = log.ok_or_else(|| ClientError::UnknownLog {
            url: root.to_owned(),
            origin: self.log.as_ref().map_or_else(String::new, ToString::to_string),
        })?;
        Ok(Trust::listed(log).map_err(ClientError::from)?)
    }
}

/// Splits an address into scheme, host and port, and the path with its slash.
fn split_path(url: &str) -> (&str, &str) {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(begin..).and_then(|rest| rest.find('/'));
    url.split_at(path.map_or(url.len(), |at| begin + at))
}

/// Runs a verb that talks to a server: one thread, no more than it needs.
pub(super) fn block_on<T>(verb: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(verb)
}

/// Reads a key name from the command line: any origin is one.
pub(super) fn key_name(text: &str) -> Result<KeyName, crate::core::note::KeyNameError> {
    KeyName::parse(text)
}
