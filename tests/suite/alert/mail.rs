//! Mail: to a server of this test's own, in the clear and over TLS, and to one that others have written.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc as lines},
    thread,
};

use attestree::server::RawAlert;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{DEPLOY, POLICY, receiver::PATIENCE, recorded, send, served};
use crate::{
    python::python,
    served::ORIGIN,
    tls::{Authority, write},
};

/// Makes what accepts TLS as `localhost`.
pub(super) fn acceptor(authority: &Authority) -> TlsAcceptor {
    let (certificate, key) = authority.issue("localhost");
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A mail, and how it came.
#[derive(Debug)]
struct Mail {
    text: String,
    encrypted: bool,
    authenticated: bool,
    /// Whether it was taken.
    taken: bool,
}

/// A mail server. Dropping it ends it.
struct MailServer {
    address: SocketAddr,
    mails: mpsc::Receiver<Mail>,
    _task: JoinSet<()>,
}

/// What is said to a client, and what it has said.
struct Session {
    /// Codes for the next mails; 250 when there are none left.
    codes: Vec<&'static str>,
    mails: mpsc::Sender<Mail>,
    encrypted: bool,
    authenticated: bool,
}

/// How a connection ended.
enum Ended {
    Quit,
    StartTls,
}

impl MailServer {
    /// Starts a server that offers STARTTLS if it has a certificate.
    async fn start(tls: Option<TlsAcceptor>, codes: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, mails) = mpsc::channel(64);
        let mut task = JoinSet::new();
        let mut codes = codes.to_vec();
        task.spawn(async move {
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let mails = send.clone();
                let (encrypted, authenticated) = (false, false);
                let mut session = Session { codes: codes.clone(), mails, encrypted, authenticated };
                serve(stream, tls.as_ref(), &mut session).await;
                codes = session.codes;
            }
        });
        Self { address, mails, _task: task }
    }

    async fn next(&mut self) -> Mail {
        timeout(PATIENCE, self.mails.recv()).await.expect("a mail comes").unwrap()
    }
}

/// Serves one connection, in the clear and then perhaps encrypted.
async fn serve(mut stream: TcpStream, tls: Option<&TlsAcceptor>, session: &mut Session) {
    let offers = if tls.is_some() { "250-STARTTLS\r\n" } else { "" };
    let _gone = stream.write_all(b"220 mail.example\r\n").await;
    let ended = session.talk(&mut stream, offers).await;
    if let (Some(Ended::StartTls), Some(tls)) = (ended, tls)
        && let Ok(mut stream) = tls.accept(stream).await
    {
        session.encrypted = true;
        session.talk(&mut stream, "250-AUTH PLAIN LOGIN\r\n").await;
        let _gone = stream.shutdown().await;
    }
}

impl Session {
    /// Answers commands until the client ends or wants to encrypt.
    async fn talk(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        offers: &str,
    ) -> Option<Ended> {
        let mut stream = tokio::io::BufReader::new(stream);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let answer = match line.split_whitespace().next()?.to_ascii_uppercase().as_str() {
                "EHLO" => format!("250-mail.example\r\n{offers}250 SIZE 1000000\r\n"),
                "AUTH" => {
                    // base64 of \0attestree\0pass
                    self.authenticated = line.trim_end() == "AUTH PLAIN AGF0dGVzdHJlZQBwYXNz";
                    let code = if self.authenticated { "235 ok" } else { "535 no" };
                    format!("{code}\r\n")
                }
                "STARTTLS" => {
                    stream.write_all(b"220 go on\r\n").await.ok()?;
                    return Some(Ended::StartTls);
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.ok()?;
                    let mut text = String::new();
                    while !text.ends_with("\r\n.\r\n") {
                        if stream.read_line(&mut text).await.ok()? == 0 {
                            return None;
                        }
                    }
                    let code =
                        if self.codes.is_empty() { "250 kept" } else { self.codes.remove(0) };
                    let (encrypted, authenticated) = (self.encrypted, self.authenticated);
                    let taken = code.starts_with("250");
                    self.mails.send(Mail { text, encrypted, authenticated, taken }).await.ok()?;
                    format!("{code}\r\n")
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await.ok()?;
                    return Some(Ended::Quit);
                }
                _ => "250 ok\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}

/// Returns a sink that sends mail to a port of this machine.
fn sink(port: u16, encryption: &str) -> RawAlert {
    RawAlert {
        name: "mail".to_owned(),
        kind: "smtp".to_owned(),
        server: Some(format!("localhost:{port}")),
        encryption: Some(encryption.to_owned()),
        from: Some("Attestree <attestree@log.example>".to_owned()),
        to: Some(vec!["soc@log.example".to_owned()]),
        timeout_seconds: Some(20),
        ..RawAlert::default()
    }
}

/// Adds an authority and a password to a sink.
fn secured(sink: RawAlert, authority: &Authority, password: &str, dir: &Path) -> RawAlert {
    let (ca, credentials) = (dir.join("ca.pem"), dir.join("credentials"));
    write(&ca, &authority.pem());
    write(&credentials, &format!("attestree\n{password}\n"));
    RawAlert { ca: Some(ca), credentials: Some(credentials), ..sink }
}

#[tokio::test]
async fn mail_reaches_a_server_of_this_machine_in_the_clear() {
    // Two refusals that somebody can put right, then one for what the mail is, then no more.
    let codes = ["451 later", "550 no such user", "250 kept", "554 spam"];
    let mut server = MailServer::start(None, &codes).await;
    let served = served(POLICY, vec![sink(server.address.port(), "none")]).await;
    for _ in 0..3 {
        send(&served.url(""), DEPLOY).await;
    }
    let indices: Vec<u64> =
        recorded(&served.url("")).await.into_iter().map(|(index, _)| index).collect();
    let mut ids = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..5 {
        let mail = server.next().await;
        assert!(!mail.encrypted);
        let line = |start: &str| {
            let mut lines = mail.text.lines();
            lines.find_map(|line| line.strip_prefix(start)).unwrap().to_owned()
        };
        assert!(line("Subject: ").starts_with("[Attestree] deployed: an event"), "{}", mail.text);
        let index: u64 = line("Index: ").parse().unwrap();
        assert_eq!(line("Log: "), ORIGIN);
        taken.extend(mail.taken.then_some(index));
        ids.push((index, line("Message-ID: ")));
    }
    let [a, b, c] = indices[..] else { panic!("three alerts") };
    assert_eq!(taken, [a, c], "what is refused for what it is, is set aside");
    assert_eq!(ids.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [a, a, a, b, c]);
    assert_eq!(ids[0].1, ids[2].1, "a repeat has the same name");
    assert_ne!(ids[2].1, ids[4].1);
}

#[tokio::test]
async fn a_password_is_told_over_tls_alone_and_to_nobody_but_the_server_that_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let mut server = MailServer::start(Some(acceptor(&authority)), &[]).await;
    let port = server.address.port();
    let right = secured(sink(port, "starttls"), &authority, "pass", dir.path());
    // One that would believe another authority, and one whose server offers no encryption.
    let others = tempfile::tempdir().unwrap();
    let deceived = secured(sink(port, "starttls"), &Authority::new(), "pass", others.path());
    let mut plain = MailServer::start(None, &[]).await;
    let stripped = secured(sink(plain.address.port(), "starttls"), &authority, "pass", dir.path());
    let named = |sink: RawAlert, name: &str| RawAlert { name: name.to_owned(), ..sink };
    let sinks =
        vec![named(right, "right"), named(deceived, "deceived"), named(stripped, "stripped")];
    let served = served(POLICY, sinks).await;
    send(&served.url(""), DEPLOY).await;
    let mail = server.next().await;
    assert!(mail.encrypted && mail.authenticated && mail.taken);
    let failed = async |sink: &str| {
        let line =
            format!("attestree_alert_failed_total{{sink=\"{sink}\",reason=\"unreachable\"}}");
        while super::metric(&served, &line).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, async { tokio::join!(failed("deceived"), failed("stripped")) })
        .await
        .unwrap();
    assert!(server.mails.try_recv().is_err() && plain.mails.try_recv().is_err());
}

#[tokio::test]
async fn a_mail_server_of_others_takes_what_is_sent_and_reads_it_as_it_is_meant() {
    let test = "a_mail_server_of_others_takes_what_is_sent_and_reads_it_as_it_is_meant";
    let Some(python) = python(test, "aiosmtpd") else { return };
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let (certificate_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    write(&certificate_file, &certificate);
    write(&key_file, &key);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/mailbox.py");
    let mut child = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([&script, &certificate_file, &key_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (said, lines) = lines::channel();
    thread::spawn(move || {
        stdout.lines().map_while(Result::ok).for_each(|line| drop(said.send(line)));
    });
    let port = lines.recv_timeout(PATIENCE).unwrap();
    let port = port.strip_prefix("port ").unwrap().parse().unwrap();

    let sink = secured(sink(port, "starttls"), &authority, "correct horse", dir.path());
    let served = served(POLICY, vec![sink]).await;
    send(&served.url(""), DEPLOY).await;
    let mail = tokio::task::spawn_blocking(move || lines.recv_timeout(PATIENCE)).await.unwrap();
    let mail: Value = serde_json::from_str(&mail.unwrap()).unwrap();
    let index = recorded(&served.url("")).await[0].0;
    assert_eq!(mail["from"], "attestree@log.example");
    assert_eq!(mail["to"][0], "soc@log.example");
    let subject = format!(
        "[Attestree] deployed: an event of class deployment in {ORIGIN} calls for attention"
    );
    assert_eq!(mail["headers"]["Subject"], subject);
    let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
    assert!(text.contains(&format!("Proof: attestree receipt {index} --log {ORIGIN}\n")), "{text}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
