//! Who is told of alerts: from the configuration to the tasks that tell them.

mod config;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, ensure};
use zeroize::Zeroizing;

pub(super) use self::config::parse;
pub use self::config::{Address, AlertConfig, AlertFault, RawAlert, Receiver};
use super::{Config, files, random::Random, tls, vault::SharedRandom};
use crate::{
    alert::{AlertMeter, Deliveries, MailRoute, Notice, Outlet, Sink, webhook::SigningSecret},
    pipeline::{Clock as _, Pipeline},
};

/// Fewest bytes of a secret that signs: 128 bits of randomness, in hexadecimal.
const SECRET_BYTES_MIN: usize = 32;

/// Most bytes of a file with a secret, an address or a key.
const SECRET_BYTES_MAX: u64 = 4_096;

/// Makes what brings alerts to people, if anybody is to be told.
pub(super) fn deliveries(
    config: &Config,
    pipeline: Pipeline,
    meter: AlertMeter,
) -> anyhow::Result<Option<Deliveries>> {
    if config.alerts.is_empty() {
        return Ok(None);
    }
    let sinks = config.alerts.iter().map(sink).collect::<anyhow::Result<_>>()?;
    let dir = files::alerts(&config.data);
    files::create_private_dir(&dir)?;
    let random = Random::from_system().context("seed the random generator")?;
    let entropy = Arc::new(SharedRandom(Mutex::new(random)));
    Ok(Some(Deliveries::open(pipeline, sinks, dir, meter, entropy)?))
}

/// Reads the secrets of a sink, and makes it.
fn sink(config: &AlertConfig) -> anyhow::Result<Sink> {
    let AlertConfig { name, log, timeout, .. } = config;
    let outlet = outlet(config).with_context(|| format!("use alerts.{name}"))?;
    Ok(Sink { name: name.clone(), log: log.clone(), outlet, patience: *timeout })
}

/// Makes the receiver of a sink.
fn outlet(config: &AlertConfig) -> anyhow::Result<Outlet> {
    let ca = tls::client(config.ca.as_deref())?.ca;
    let ca = ca.as_deref();
    let url = |address: &Address| match address {
        Address::Given(url) => Ok(Zeroizing::new(url.clone())),
        Address::File(path) => secret(path),
    };
    Ok(match &config.receiver {
        Receiver::Webhook { address, secret } => {
            let secret = secret.as_deref().map(signing_secret).transpose()?;
            Outlet::webhook(&url(address)?, secret, ca)?
        }
        Receiver::Slack { address } => Outlet::slack(&url(address)?, ca)?,
        Receiver::PagerDuty { url, routing_key } => {
            Outlet::pagerduty(url, secret(routing_key)?.to_string(), ca)?
        }
        Receiver::Smtp { server, encryption, credentials, from, to } => {
            let credentials = credentials.as_deref().map(credential_lines).transpose()?;
            let (encryption, patience) = (*encryption, config.timeout);
            Outlet::mail(MailRoute { server, encryption, credentials, from, to, patience }, ca)?
        }
        Receiver::Syslog { server, .. } => Outlet::syslog(server.clone(), ca)?,
    })
}

/// Reads a secret of one line.
fn secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = secret_text(path)?;
    let line = Zeroizing::new(text.trim().to_owned());
    ensure!(!line.is_empty() && !line.contains('\n'), "{} has to hold one line", path.display());
    Ok(line)
}

/// Reads what signs messages.
fn signing_secret(path: &Path) -> anyhow::Result<SigningSecret> {
    let secret = secret(path)?;
    ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "{} holds less than {SECRET_BYTES_MIN} characters, which could be guessed",
        path.display()
    );
    Ok(SigningSecret::new(secret.as_bytes()))
}

/// Reads a name and a password, each on a line of its own.
fn credential_lines(path: &Path) -> anyhow::Result<(String, String)> {
    let text = secret_text(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let [name, password] = lines.as_slice() else {
        anyhow::bail!("{} has to hold two lines, a name and its password", path.display());
    };
    Ok(((*name).to_owned(), (*password).to_owned()))
}

/// Reads a file that nobody else may read.
fn secret_text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    files::check_secret(path)?;
    let size = fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len();
    ensure!(size <= SECRET_BYTES_MAX, "{} is too long for a secret", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(Zeroizing::new(text))
}

/// What came of a test message.
#[derive(Debug)]
pub struct AlertTest {
    /// The sink.
    pub sink: String,
    /// What it says, or why it has not taken the message.
    pub said: Result<String, String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// Sends a test message to every sink of a configuration, or to the one that is named, one after the other.
///
/// Blocks; must not be called from asynchronous code. Nothing is recorded, and no place in a log moves.
pub fn test_alerts(config: &Config, only: Option<&str>) -> anyhow::Result<Vec<AlertTest>> {
    let named = |sink: &&AlertConfig| only.is_none_or(|only| sink.name == only);
    let sinks: Vec<&AlertConfig> = config.alerts.iter().filter(named).collect();
    ensure!(
        !sinks.is_empty(),
        "the configuration has no such sink; see [[alerts]] in the configuration file"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let clock = super::clock::SystemClock::start();
    let mut tests = Vec::with_capacity(sinks.len());
    for config in sinks {
        let Sink { name, outlet, patience, .. } = sink(config)?;
        let (begun, notice) = (clock.monotonic(), Notice::test(&name, clock.now()));
        let said = runtime.block_on(async {
            let sent = tokio::time::timeout(patience, outlet.send(&notice, clock.now())).await;
            let slow = || crate::alert::Failure::Slow { patience };
            sent.unwrap_or_else(|_late| Err(slow())).map_err(|failure| failure.chain())
        });
        let millis = clock.monotonic().saturating_sub(begun).as_millis();
        let millis = u64::try_from(millis).expect("2^64 milliseconds are 584 million years");
        tests.push(AlertTest { sink: name, said, millis });
    }
    Ok(tests)
}
