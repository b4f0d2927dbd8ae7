//! Syslog over TCP and TLS: to receivers of this test's own, and to syslog-ng.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use attestree::server::RawAlert;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{DEPLOY, POLICY, mail::acceptor, receiver::PATIENCE, recorded, send, served};
use crate::{
    needs::skip,
    served::ORIGIN,
    tls::{Authority, write},
};

/// What is done with a connection.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// It is read to its end and closed.
    Read,
    /// It is closed with a reset before all is read.
    Reset,
    /// It is neither read nor closed.
    Hang,
}

/// A receiver. Dropping it ends it.
struct Receiver {
    address: SocketAddr,
    messages: mpsc::Receiver<String>,
    _task: JoinSet<()>,
}

impl Receiver {
    async fn start(tls: Option<TlsAcceptor>, acts: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, messages) = mpsc::channel(64);
        let mut acts = acts.to_vec();
        acts.reverse();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                match (acts.pop().unwrap_or(Act::Read), &tls) {
                    (Act::Hang, _) => held.push(stream),
                    (Act::Reset, _) => {
                        // A close with bytes that nobody has read is a reset.
                        stream.readable().await.unwrap();
                        drop(stream);
                    }
                    (Act::Read, None) => read(stream, &send).await,
                    (Act::Read, Some(tls)) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            read(stream, &send).await;
                        }
                    }
                }
            }
        });
        Self { address, messages, _task: task }
    }

    async fn next(&mut self) -> String {
        timeout(PATIENCE, self.messages.recv()).await.expect("a message comes").unwrap()
    }
}

/// Reads a connection to its end, and takes the frames apart.
async fn read(mut stream: impl AsyncRead + Unpin, send: &mpsc::Sender<String>) {
    let mut text = String::new();
    let _cut = stream.read_to_string(&mut text).await;
    let mut rest = text.as_str();
    while let Some((length, message)) = rest.split_once(' ') {
        let length: usize = length.parse().unwrap();
        let _test_over = send.send(message[..length].to_owned()).await;
        rest = &message[length..];
    }
}

fn sink(server: &str) -> RawAlert {
    RawAlert {
        name: "siem".to_owned(),
        kind: "syslog".to_owned(),
        server: Some(server.to_owned()),
        encryption: Some("none".to_owned()),
        timeout_seconds: Some(3),
        ..RawAlert::default()
    }
}

#[tokio::test]
async fn a_message_counts_when_it_was_read_to_its_end() {
    let acts = [Act::Read, Act::Reset, Act::Hang];
    let mut receiver = Receiver::start(None, &acts).await;
    let served = served(POLICY, vec![sink(&receiver.address.to_string())]).await;
    for _ in 0..2 {
        send(&served.url(""), DEPLOY).await;
    }
    for (index, _) in recorded(&served.url("")).await {
        let message = receiver.next().await;
        assert!(message.starts_with("<108>1 2"), "{message}");
        assert!(message.contains(&format!(
            " log.example attestree - alert [attestree@32473 id=\"{ORIGIN}#{index}\""
        )));
    }
    let failed =
        |reason: &str| format!("attestree_alert_failed_total{{sink=\"siem\",reason=\"{reason}\"}}");
    assert_eq!(super::metric(&served, &failed("unreachable")).await, 1);
    assert_eq!(super::metric(&served, &failed("timeout")).await, 1);
}

#[tokio::test]
async fn a_receiver_shows_a_certificate_of_the_authority_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let mut receiver = Receiver::start(Some(acceptor(&authority)), &[]).await;
    let server = format!("localhost:{}", receiver.address.port());
    let over_tls = |name: &str, authority: &Authority| {
        let ca = dir.path().join(format!("{name}.pem"));
        write(&ca, &authority.pem());
        RawAlert { name: name.to_owned(), encryption: None, ca: Some(ca), ..sink(&server) }
    };
    let sinks = vec![over_tls("right", &authority), over_tls("deceived", &Authority::new())];
    let served = served(POLICY, sinks).await;
    send(&served.url(""), DEPLOY).await;
    assert!(receiver.next().await.contains("kind=\"match\""));
    let failed = "attestree_alert_failed_total{sink=\"deceived\",reason=\"unreachable\"}";
    let failed = async {
        while super::metric(&served, failed).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, failed).await.unwrap();
    assert!(receiver.messages.try_recv().is_err());
}

/// syslog-ng. Dropping it kills it.
struct SyslogNg(Child);

impl Drop for SyslogNg {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        let _status = self.0.wait();
    }
}

impl SyslogNg {
    /// Starts syslog-ng with a receiver on a port, which writes what it has read to a file.
    fn start(dir: &Path, port: u16, tls: &str, file: &Path) -> Self {
        let config = format!(
            "@version: 3.35\n\
             options {{ keep-hostname(yes); }};\n\
             source s {{ syslog(ip(127.0.0.1) port({port}) transport({tls})); }};\n\
             destination d {{ file(\"{}\" template(\"${{HOST}} ${{PROGRAM}} ${{PRIORITY}} ${{SDATA}} ${{MESSAGE}}\\n\")); }};\n\
             log {{ source(s); destination(d); }};\n",
            file.display()
        );
        let path = dir.join("syslog-ng.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("syslog-ng");
        command.arg("--foreground").arg("--cfgfile").arg(&path);
        for (option, name) in
            [("--persist-file", "persist"), ("--pidfile", "pid"), ("--control", "control")]
        {
            command.arg(option).arg(dir.join(name));
        }
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

#[tokio::test]
async fn syslog_ng_reads_what_is_sent_as_it_is_meant() {
    let known = Command::new("syslog-ng").arg("--version").stdout(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        skip(format_args!(
            "syslog_ng_reads_what_is_sent: syslog-ng is not here; ./deploy/test installs it"
        ));
        return;
    }
    for over_tls in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.issue("localhost");
        let path = |name: &str| dir.path().join(name);
        write(&path("ca.pem"), &authority.pem());
        write(&path("cert.pem"), &certificate);
        write(&path("key.pem"), &key);
        // Free a moment ago. Where another process takes it first, nothing arrives and the test says so.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let transport = match over_tls {
            false => "\"tcp\"".to_owned(),
            true => format!(
                "\"tls\") tls(key-file(\"{}\") cert-file(\"{}\") peer-verify(optional-untrusted)",
                path("key.pem").display(),
                path("cert.pem").display()
            ),
        };
        let _syslog_ng = SyslogNg::start(dir.path(), port, &transport, &path("received"));
        let mut sink = sink(&format!("localhost:{port}"));
        if over_tls {
            sink = RawAlert { encryption: None, ca: Some(path("ca.pem")), ..sink };
        }
        let served = served(POLICY, vec![sink]).await;
        for _ in 0..3 {
            send(&served.url(""), DEPLOY).await;
        }
        let alerts = recorded(&served.url("")).await;
        let received = async {
            loop {
                let text = fs::read_to_string(path("received")).unwrap_or_default();
                if text.lines().count() >= alerts.len() {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        };
        let text = timeout(PATIENCE, received).await.expect("syslog-ng writes what it has read");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), alerts.len(), "each once: {text}");
        for (line, (index, _)) in lines.iter().zip(&alerts) {
            assert!(line.starts_with("log.example attestree warning [attestree@32473 "), "{line}");
            assert!(line.contains(&format!("index=\"{index}\"")), "{line}");
            assert!(line.ends_with("calls for attention"), "{line}");
        }
    }
}
