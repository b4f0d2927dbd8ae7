//! The receivers of notices, one form each, and how each is sent to.

use core::{error::Error, fmt, net::IpAddr, str::FromStr, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

use super::{
    failure::Failure,
    http::Poster,
    mail,
    notice::Notice,
    pagerduty, slack,
    stream::Stream,
    syslog,
    webhook::{self, SigningSecret},
};
use crate::core::number::UnixMillis;

/// Why a receiver can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// The address is none.
    #[error("the address can't be read")]
    Address,
    /// Others could read what is sent.
    #[error(
        "messages would cross the network in the clear; use TLS, or a receiver on this machine"
    )]
    Plaintext,
    /// The certificates can't be used.
    #[error("the certificate authorities can't be used")]
    Certificates {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An address of a mail is none.
    #[error("{address:?} is no address for mail")]
    Mailbox {
        /// What was given.
        address: String,
    },
}

/// The name or number of a host, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Returns the host, a number without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

impl FromStr for HostPort {
    type Err = OutletError;

    fn from_str(text: &str) -> Result<Self, OutletError> {
        let (host, port) = text.rsplit_once(':').ok_or(OutletError::Address)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |host: &str| {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        let host = match inner {
            Some(number) if number.parse::<core::net::Ipv6Addr>().is_ok() => number,
            None if is_name(host) => host,
            _ => return Err(OutletError::Address),
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(OutletError::Address)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Returns whether a host is this machine, whatever a resolver says.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From its first byte.
    Tls,
    /// After a first exchange, which ends without it if the server has none.
    StartTls,
    /// Not at all: for a server on this machine alone.
    None,
}

/// A receiver.
pub struct Outlet(Form);

/// The forms of receivers.
enum Form {
    Webhook(Poster, Option<Box<SigningSecret>>),
    Slack(Poster),
    PagerDuty(Poster, String),
    Mail(Box<AsyncSmtpTransport<Tokio1Executor>>, Mailbox, Vec<Mailbox>),
    Syslog(Stream),
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses and keys are secrets.
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

/// Who gets mails, from whom and how.
pub struct MailRoute<'a> {
    /// The server.
    pub server: &'a HostPort,
    /// How it is spoken to.
    pub encryption: Encryption,
    /// The name and the password that it wants.
    pub credentials: Option<(String, String)>,
    /// Who sends.
    pub from: &'a str,
    /// Who receives.
    pub to: &'a [String],
    /// How long the server may take for one answer.
    pub patience: Duration,
}

impl Outlet {
    /// Makes a generic webhook.
    pub fn webhook(
        url: &str,
        secret: Option<SigningSecret>,
        ca: Option<&[u8]>,
    ) -> Result<Self, OutletError> {
        Ok(Self(Form::Webhook(Poster::new(url, ca)?, secret.map(Box::new))))
    }

    /// Makes a webhook of Slack, or of something that takes the same.
    pub fn slack(url: &str, ca: Option<&[u8]>) -> Result<Self, OutletError> {
        Ok(Self(Form::Slack(Poster::new(url, ca)?)))
    }

    /// Makes an integration of PagerDuty.
    pub fn pagerduty(
        url: &str,
        routing_key: String,
        ca: Option<&[u8]>,
    ) -> Result<Self, OutletError> {
        Ok(Self(Form::PagerDuty(Poster::new(url, ca)?, routing_key)))
    }

    /// Makes a receiver of mail.
    pub fn mail(route: MailRoute<'_>, ca: Option<&[u8]>) -> Result<Self, OutletError> {
        let MailRoute { server, encryption, credentials, from, to, patience } = route;
        let mailbox = |address: &String| {
            address.parse().map_err(|_| OutletError::Mailbox { address: address.clone() })
        };
        let to = to.iter().map(mailbox).collect::<Result<_, _>>()?;
        let from = mailbox(&from.to_owned())?;
        let tls = match encryption {
            Encryption::Tls => Tls::Wrapper(parameters(server, ca)?),
            Encryption::StartTls => Tls::Required(parameters(server, ca)?),
            Encryption::None if server.is_loopback() => Tls::None,
            Encryption::None => return Err(OutletError::Plaintext),
        };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host());
        let mut transport = transport.port(server.port()).tls(tls).timeout(Some(patience));
        if let Some((name, password)) = credentials {
            transport = transport.credentials(Credentials::new(name, password));
        }
        Ok(Self(Form::Mail(Box::new(transport.build()), from, to)))
    }

    /// Makes a receiver of syslog: over TLS exactly if it is said which authorities to believe.
    pub fn syslog(server: HostPort, ca: Option<&[u8]>) -> Result<Self, OutletError> {
        Ok(Self(Form::Syslog(Stream::new(server, ca)?)))
    }

    /// Sends a notice; returns what the receiver says when it has taken it.
    pub async fn send(&self, notice: &Notice, now: UnixMillis) -> Result<String, Failure> {
        match &self.0 {
            Form::Webhook(poster, secret) => {
                let (body, id) = (webhook::body(notice), notice.id());
                let signature = secret.as_ref().map(|secret| secret.sign(now, body.as_bytes()));
                let mut headers = vec![(webhook::ID_HEADER, id.as_str())];
                if let Some(signature) = &signature {
                    headers.push((webhook::SIGNATURE_HEADER, signature));
                }
                poster.post(body, &headers, now).await
            }
            Form::Slack(poster) => poster.post(slack::body(notice), &[], now).await,
            Form::PagerDuty(poster, key) => {
                poster.post(pagerduty::body(notice, key), &[], now).await
            }
            Form::Mail(transport, from, to) => {
                let unwritable = |source| Failure::Unwritable { source: Box::new(source) };
                let message = mail::message(notice, from, to).map_err(unwritable)?;
                let taken = transport.send(message).await.map_err(refused)?;
                Ok(format!("code {}", taken.code()))
            }
            Form::Syslog(stream) => stream.send(&syslog::frame(notice)).await,
        }
    }
}

/// Says which certificates a mail server may show.
fn parameters(server: &HostPort, ca: Option<&[u8]>) -> Result<TlsParameters, OutletError> {
    let failed = |source| OutletError::Certificates { source: Box::new(source) };
    let mut parameters = TlsParameters::builder(server.host().to_owned());
    if let Some(ca) = ca {
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(ca).map_err(failed)?);
    }
    parameters.build_rustls().map_err(failed)
}

/// Says what became of a mail.
fn refused(error: lettre::transport::smtp::Error) -> Failure {
    let code = error.status().map(u16::from);
    let source = Box::new(error);
    match code {
        Some(_) => Failure::Mail { code, source },
        None => Failure::Unreachable { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for text in ["mail.example:25", "127.0.0.1:587", "[::1]:6514", "localhost:1"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        let odd =
            ["", "mail.example", "mail.example:0", ":25", "::1:25", "a b:25", "[x]:25", "a:65536"];
        for text in odd {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        let is_loopback = |text: &str| text.parse::<HostPort>().unwrap().is_loopback();
        assert!(is_loopback("[::1]:1") && is_loopback("127.8.8.8:1") && is_loopback("localhost:1"));
        assert!(!is_loopback("localhost.example:1") && !is_loopback("10.0.0.1:1"));
    }
}
