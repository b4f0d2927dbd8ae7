//! `[[alerts]]` of the configuration file: who is told, where, and with which secrets, which are named by
//! their files.

use core::{fmt, time::Duration};
use std::{collections::BTreeSet, path::PathBuf};

use serde::Deserialize;

use crate::{
    alert::{Encryption, HostPort, pagerduty},
    core::origin::Origin,
};

/// Most sinks: each has a task for each log.
const SINKS_MAX: usize = 64;

/// Most characters of a name.
const NAME_CHARS_MAX: usize = 63;

/// How long a message may take. Receivers answer in a second; a mail server that looks up whom it speaks to
/// takes some.
const TIMEOUT_SECONDS_DEFAULT: u64 = 10;

/// The longest that a message may take.
const TIMEOUT_SECONDS_MAX: u64 = 300;

/// One `[[alerts]]` as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAlert {
    /// What policies name it by.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The one log that it is told of.
    pub log: Option<String>,
    /// Address of a webhook.
    pub url: Option<String>,
    /// File with the address of a webhook, where the address is a secret.
    pub url_file: Option<PathBuf>,
    /// File with what signs messages to a webhook.
    pub secret: Option<PathBuf>,
    /// File with the key of an integration of PagerDuty.
    pub routing_key: Option<PathBuf>,
    /// Host and port.
    pub server: Option<String>,
    /// How a connection is encrypted.
    pub encryption: Option<String>,
    /// File with a name and a password.
    pub credentials: Option<PathBuf>,
    /// Who sends mails.
    pub from: Option<String>,
    /// Who receives them.
    pub to: Option<Vec<String>>,
    /// PEM file with the certificate authorities of the receiver.
    pub ca: Option<PathBuf>,
    /// Seconds that a message may take.
    pub timeout_seconds: Option<u64>,
}

/// One sink, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertConfig {
    /// What policies name it by.
    pub name: String,
    /// The one log that it is told of.
    pub log: Option<Origin>,
    /// Where it is.
    pub receiver: Receiver,
    /// PEM file with the certificate authorities of the receiver.
    pub ca: Option<PathBuf>,
    /// How long a message may take.
    pub timeout: Duration,
}

/// Where a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A webhook.
    Webhook {
        /// Its address.
        address: Address,
        /// File with what signs messages.
        secret: Option<PathBuf>,
    },
    /// A webhook of Slack.
    Slack {
        /// Its address.
        address: Address,
    },
    /// An integration of PagerDuty.
    PagerDuty {
        /// The address of the service.
        url: String,
        /// File with the integration's key.
        routing_key: PathBuf,
    },
    /// A mail server.
    Smtp {
        /// The server.
        server: HostPort,
        /// How it is spoken to.
        encryption: Encryption,
        /// File with a name and a password.
        credentials: Option<PathBuf>,
        /// Who sends.
        from: String,
        /// Who receives.
        to: Vec<String>,
    },
    /// A syslog receiver.
    Syslog {
        /// The receiver.
        server: HostPort,
        /// Whether it is spoken to over TLS.
        tls: bool,
    },
}

/// The address of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it was given.
    Given(String),
    /// A file holds it.
    File(PathBuf),
}

/// What is wrong with a sink.
#[derive(Debug, thiserror::Error)]
pub enum AlertFault {
    /// The name has not its form.
    #[error("a name has 1 to {NAME_CHARS_MAX} of a-z, 0-9 and -")]
    Name,
    /// Two sinks have the same name.
    #[error("there are two of that name")]
    Twice,
    /// There are too many.
    #[error("there are more than {SINKS_MAX}")]
    TooMany,
    /// The kind is none.
    #[error("kind is {kind:?}; use webhook, slack, pagerduty, smtp or syslog")]
    Kind {
        /// What was given.
        kind: String,
    },
    /// A key is missing.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key has no meaning for the kind.
    #[error("{key} is not for kind = {kind:?}")]
    Foreign {
        /// The key.
        key: &'static str,
        /// The kind.
        kind: String,
    },
    /// Two keys say the same thing.
    #[error("give {one} or {other}, not both")]
    Both {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An address holds what is shown when the configuration is printed.
    #[error(
        "url holds a user, a query or a fragment, which may be a secret; write it to a file and name that with url_file"
    )]
    OpenSecret,
    /// A server is no host and port.
    #[error("server is {server:?}; use a host and a port, such as mail.example:587")]
    Server {
        /// What was given.
        server: String,
    },
    /// An encryption is none.
    #[error("encryption is {given:?}; use {allowed}")]
    Encryption {
        /// What was given.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// What is sent would cross a network in the clear.
    #[error(
        "messages would cross the network in the clear; only a receiver on this machine may go without TLS"
    )]
    Plaintext,
    /// TLS without anybody to believe.
    #[error(
        "TLS to a syslog receiver needs ca, the file of the authority that its certificate is from"
    )]
    NoAuthority,
    /// A log's origin is none.
    #[error("log is {log:?}, which is no origin of a log")]
    Log {
        /// What was given.
        log: String,
    },
    /// A time is outside its range.
    #[error("timeout_seconds is {seconds}; use 1 to {TIMEOUT_SECONDS_MAX}")]
    Timeout {
        /// What was given.
        seconds: u64,
    },
}

/// Checks all sinks; an error comes with the name of its sink.
pub(in crate::server) fn parse(
    raw: Vec<RawAlert>,
) -> Result<Vec<AlertConfig>, (String, AlertFault)> {
    let mut names = BTreeSet::new();
    let mut sinks = Vec::with_capacity(raw.len());
    for one in raw {
        let name = one.name.clone();
        let fault = |fault| (name.clone(), fault);
        if sinks.len() == SINKS_MAX {
            return Err(fault(AlertFault::TooMany));
        }
        let sink = one.parse().map_err(fault)?;
        if !names.insert(name.clone()) {
            return Err(fault(AlertFault::Twice));
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

impl RawAlert {
    /// Checks one sink. Every key is taken by the kinds that it is for; what is left is for none of them.
    fn parse(mut self) -> Result<AlertConfig, AlertFault> {
        let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let name = core::mem::take(&mut self.name);
        if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.bytes().all(is_letter) {
            return Err(AlertFault::Name);
        }
        let origin = |log: String| Origin::parse(&log).map_err(|_form| AlertFault::Log { log });
        let log = self.log.take().map(origin).transpose()?;
        let seconds = self.timeout_seconds.take().unwrap_or(TIMEOUT_SECONDS_DEFAULT);
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
            return Err(AlertFault::Timeout { seconds });
        }
        let ca = self.ca.take();
        let receiver = match self.kind.as_str() {
            "webhook" => Receiver::Webhook { address: self.address()?, secret: self.secret.take() },
            "slack" => Receiver::Slack { address: self.address()? },
            "pagerduty" => Receiver::PagerDuty {
                url: open_url(self.url.take().unwrap_or_else(|| pagerduty::URL.to_owned()))?,
                routing_key: required(self.routing_key.take(), "routing_key")?,
            },
            "smtp" => self.smtp()?,
            "syslog" => self.syslog(ca.is_some())?,
            _ => return Err(AlertFault::Kind { kind: self.kind }),
        };
        if let Some(key) = self.left() {
            return Err(AlertFault::Foreign { key, kind: self.kind });
        }
        Ok(AlertConfig { name, log, receiver, ca, timeout: Duration::from_secs(seconds) })
    }

    /// Takes the address of a webhook.
    fn address(&mut self) -> Result<Address, AlertFault> {
        match (self.url.take(), self.url_file.take()) {
            (Some(url), None) => Ok(Address::Given(open_url(url)?)),
            (None, Some(file)) => Ok(Address::File(file)),
            (None, None) => Err(AlertFault::Missing { key: "url" }),
            (Some(_), Some(_)) => Err(AlertFault::Both { one: "url", other: "url_file" }),
        }
    }

    /// Takes host and port.
    fn server(&mut self) -> Result<HostPort, AlertFault> {
        let server = required(self.server.take(), "server")?;
        server.parse().map_err(|_form| AlertFault::Server { server })
    }

    /// Takes what is said of a mail server.
    fn smtp(&mut self) -> Result<Receiver, AlertFault> {
        let server = self.server()?;
        let encryption = match self.encryption.take().as_deref() {
            None | Some("starttls") => Encryption::StartTls,
            Some("tls") => Encryption::Tls,
            Some("none") if server.is_loopback() => Encryption::None,
            Some("none") => return Err(AlertFault::Plaintext),
            Some(given) => {
                let (given, allowed) = (given.to_owned(), "starttls, tls or none");
                return Err(AlertFault::Encryption { given, allowed });
            }
        };
        Ok(Receiver::Smtp {
            server,
            encryption,
            credentials: self.credentials.take(),
            from: required(self.from.take(), "from")?,
            to: required(self.to.take().filter(|to| !to.is_empty()), "to")?,
        })
    }

    /// Takes what is said of a syslog receiver.
    fn syslog(&mut self, has_authority: bool) -> Result<Receiver, AlertFault> {
        let server = self.server()?;
        let tls = match self.encryption.take().as_deref() {
            None | Some("tls") => true,
            Some("none") if server.is_loopback() => false,
            Some("none") => return Err(AlertFault::Plaintext),
            Some(given) => {
                let (given, allowed) = (given.to_owned(), "tls or none");
                return Err(AlertFault::Encryption { given, allowed });
            }
        };
        match (tls, has_authority) {
            (true, false) => Err(AlertFault::NoAuthority),
            (false, true) => Err(AlertFault::Foreign { key: "ca", kind: self.kind.clone() }),
            _ => Ok(Receiver::Syslog { server, tls }),
        }
    }

    /// Returns a key that no part of the kind has taken.
    fn left(&self) -> Option<&'static str> {
        let Self { url, url_file, secret, routing_key, server, encryption, .. } = self;
        let Self { credentials, from, to, .. } = self;
        let keys = [
            ("url", url.is_some()),
            ("url_file", url_file.is_some()),
            ("secret", secret.is_some()),
            ("routing_key", routing_key.is_some()),
            ("server", server.is_some()),
            ("encryption", encryption.is_some()),
            ("credentials", credentials.is_some()),
            ("from", from.is_some()),
            ("to", to.is_some()),
        ];
        keys.into_iter().find_map(|(key, given)| given.then_some(key))
    }
}

/// Takes a key that has to be there.
fn required<T>(given: Option<T>, key: &'static str) -> Result<T, AlertFault> {
    given.ok_or(AlertFault::Missing { key })
}

/// Checks that an address can be shown.
fn open_url(url: String) -> Result<String, AlertFault> {
    if url.contains(['@', '?', '#']) { Err(AlertFault::OpenSecret) } else { Ok(url) }
}

impl fmt::Display for AlertConfig {
    /// Writes the sink as the configuration file has it. It holds paths of secrets, never their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, log, receiver, ca, timeout } = self;
        writeln!(f, "[[alerts]]\nname = {name:?}")?;
        if let Some(log) = log {
            writeln!(f, "log = {:?}", log.as_str())?;
        }
        write!(f, "{receiver}")?;
        if let Some(ca) = ca {
            writeln!(f, "ca = {ca:?}")?;
        }
        write!(f, "timeout_seconds = {}", timeout.as_secs())
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { address, secret } => {
                write!(f, "kind = \"webhook\"\n{address}")?;
                secret.iter().try_for_each(|secret| writeln!(f, "secret = {secret:?}"))
            }
            Self::Slack { address } => write!(f, "kind = \"slack\"\n{address}"),
            Self::PagerDuty { url, routing_key } => {
                writeln!(f, "kind = \"pagerduty\"\nurl = {url:?}\nrouting_key = {routing_key:?}")
            }
            Self::Smtp { server, encryption, credentials, from, to } => {
                let encryption = match encryption {
                    Encryption::Tls => "tls",
                    Encryption::StartTls => "starttls",
                    Encryption::None => "none",
                };
                writeln!(
                    f,
                    "kind = \"smtp\"\nserver = \"{server}\"\nencryption = \"{encryption}\""
                )?;
                if let Some(credentials) = credentials {
                    writeln!(f, "credentials = {credentials:?}")?;
                }
                writeln!(f, "from = {from:?}\nto = {to:?}")
            }
            Self::Syslog { server, tls } => {
                let encryption = if *tls { "tls" } else { "none" };
                writeln!(
                    f,
                    "kind = \"syslog\"\nserver = \"{server}\"\nencryption = \"{encryption}\""
                )
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(url) => writeln!(f, "url = {url:?}"),
            Self::File(file) => writeln!(f, "url_file = {file:?}"),
        }
    }
}
