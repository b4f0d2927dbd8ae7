//! Real senders of syslog, with the configurations that `deploy/sources/` has for them: rsyslog and syslog-ng, in
//! the clear and over TLS with a client certificate, while connections are cut.
//!
//! They run as this user, with sockets and files of the test's own. Debian lets one of the two be installed at a
//! time; `ATTESTREE_RSYSLOG` names a directory where the other's packages were unpacked, as `deploy/test` does.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    child::{Child, PATIENCE, records, records_over},
    line::Line,
};
use crate::{
    crash::process::Process,
    needs::skip,
    tls::{Authority, write},
};

/// How long a message is waited for before another one is sent.
const NOTICED: Duration = Duration::from_secs(2);

/// The source, where nobody is asked.
const OPEN: &str = "\n[[sources]]\nname = \"hosts\"\nkind = \"syslog\"\nopen = true\n";

/// A program that sends, and where it takes messages from.
struct Sender {
    process: Process,
    socket: PathBuf,
    local: UnixDatagram,
}

/// Which program, and the configuration of it.
#[derive(Clone, Copy, Debug)]
enum Program {
    Rsyslog,
    SyslogNg,
}

impl Program {
    /// Returns the command, or says why there is none.
    fn command(self) -> Option<Command> {
        let found = match self {
            Self::Rsyslog => rsyslog(),
            Self::SyslogNg => {
                let path = Path::new("/usr/sbin/syslog-ng");
                path.exists().then(|| Command::new(path))
            }
        };
        if found.is_none() {
            skip(format_args!(
                "{self:?} as a sender: it is not here; ./deploy/test says how it is had"
            ));
        }
        found
    }

    /// Returns the configuration of `deploy/sources/` for a test.
    fn configuration(self, dir: &Path, line: &Line, tls: bool) -> String {
        let name = match self {
            Self::Rsyslog => "rsyslog.conf",
            Self::SyslogNg => "syslog-ng.conf",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sources").join(name);
        let text = fs::read_to_string(path).unwrap();
        let port = line.address().port().to_string();
        let socket = dir.join("log").display().to_string();
        let files = dir.display().to_string();
        let text = text
            .replace("/etc/attestree", &files)
            .replace("\"/dev/log\"", &format!("{socket:?}"))
            .replace("port=\"6962\"", &format!("port={port:?}"))
            .replace("port(6962)", &format!("port({port})"))
            .replace("log.example.org", "localhost")
            .replace("resumeInterval=\"10\"", "resumeInterval=\"1\"")
            .replace("time-reopen(10)", "time-reopen(1)")
            .replace("disk-buffer(", &format!("disk-buffer(dir({files:?}) "));
        let text = match (self, tls) {
            (_, true) => text,
            (Self::Rsyslog, false) => {
                without(&text, &["StreamDriver", "DefaultNetstream", "global(", ")\n\n# Each"])
            }
            (Self::SyslogNg, false) => {
                let begin = text.find("        tls(").unwrap();
                let end = text.find("        time-reopen").unwrap();
                let text = format!("{}{}", &text[..begin], &text[end..]);
                text.replace("transport(\"tls\")", "transport(\"tcp\")")
            }
        };
        match self {
            Self::Rsyslog => format!(
                "global(workDirectory={files:?})\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
                 input(type=\"imuxsock\" Socket={socket:?} CreatePath=\"off\" RateLimit.Interval=\"0\")\n{text}"
            ),
            Self::SyslogNg => text,
        }
    }
}

/// Returns a text without the lines that begin so, and what closes them.
fn without(text: &str, starts: &[&str]) -> String {
    let closes = text.find("\n)\n\n# Each");
    let text = match closes {
        Some(at) => format!("{}\n{}", &text[..at], &text[at + 3..]),
        None => text.to_owned(),
    };
    let kept = text.lines().filter(|line| {
        let line = line.trim_start();
        !starts.iter().any(|start| line.starts_with(start))
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// Returns the command of rsyslog, from the machine or from a directory.
#[allow(clippy::disallowed_methods, reason = "the tests' own settings, not the server's")]
fn rsyslog() -> Option<Command> {
    if let Some(root) = std::env::var_os("ATTESTREE_RSYSLOG").map(PathBuf::from) {
        // Debian has one directory of libraries for each architecture.
        let mut under =
            fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
        let libraries =
            under.find(|path| path.join("rsyslog").is_dir()).expect("its modules are there");
        let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
        command.arg("-M").arg(libraries.join("rsyslog")).env("LD_LIBRARY_PATH", &libraries);
        return Some(command);
    }
    let path = Path::new("/usr/sbin/rsyslogd");
    path.exists().then(|| Command::new(path))
}

impl Sender {
    /// Starts a program; `None` where it is not installed.
    fn start(program: Program, dir: &Path, line: &Line, tls: bool) -> Option<Self> {
        let mut command = program.command()?;
        let configuration = dir.join("sender.conf");
        write(&configuration, &program.configuration(dir, line, tls));
        let path = |name: &str| dir.join(name);
        match program {
            Program::Rsyslog => {
                command.arg("-n").arg("-f").arg(&configuration).arg("-i").arg(path("pid"));
            }
            Program::SyslogNg => {
                command.args(["--foreground", "--no-caps", "--stderr"]);
                command.arg("--cfgfile").arg(&configuration);
                command.arg("--pidfile").arg(path("pid")).arg("--control").arg(path("ctl"));
                command.arg("--persist-file").arg(path("persist"));
                command.current_dir(dir);
            }
        }
        let (process, _lines) = Process::start(&mut command, path("sender-stderr"));
        let (socket, local) = (path("log"), UnixDatagram::unbound().unwrap());
        let sender = Self { process, socket, local };
        sender.wait_until_it_listens();
        Some(sender)
    }

    fn wait_until_it_listens(&self) {
        let begun = std::time::Instant::now();
        while self.local.connect(&self.socket).is_err() {
            assert!(begun.elapsed() < PATIENCE, "it does not start: {}", self.process.stderr());
            std::thread::yield_now();
        }
    }

    /// Gives it a message, as `logger` does.
    fn log(&self, text: &str) {
        let message = format!("<38>Nov 21 00:14:00 sshd[812]: {text}");
        self.local.send(message.as_bytes()).unwrap();
    }

    /// Ends it in order.
    fn stop(&mut self) {
        self.process.send(Signal::TERM);
        self.process.wait();
    }
}

/// Returns the texts of the records, each of which is one of a message.
fn texts(records: &[Value]) -> Vec<String> {
    let text = |record: &Value| {
        let text = record["ctx"]["syslog"]["msg"].as_str();
        text.unwrap_or_else(|| panic!("no message: {record}")).to_owned()
    };
    records.iter().map(text).collect()
}

/// Sends over a line that is cut between two batches, and compares what was sent with what is in the log.
async fn sends(program: Program) {
    let child = Child::configured(OPEN);
    let line = Line::to(child.address());
    let Some(mut sender) = Sender::start(program, &child.scratch(""), &line, false) else { return };
    let mut expected: Vec<String> = Vec::new();
    for number in 0..200 {
        sender.log(&format!("before {number}"));
        expected.push(format!("before {number}"));
    }
    let first = records(child.address(), expected.len()).await;
    assert_eq!(texts(&first), expected, "all of them, in order");
    let record = &first[0];
    assert_eq!(
        (&record["source"], &record["ctx"]["claimed_source"]),
        (&"hosts".into(), &"sshd".into())
    );
    assert_eq!(record["class"], "authentication");
    assert_eq!(record["ctx"]["syslog"]["procid"], "812");

    // Everything has arrived; now the line is cut, and made again.
    line.cut();
    for number in 0..200 {
        sender.log(&format!("after {number}"));
    }
    let enough = wait_for_message(&child, "after 199").await;
    sender.stop();
    let all = texts(&enough);
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "nothing is recorded twice");
    assert_eq!(all[..expected.len()], expected, "nothing that was recorded has changed");
    let after: Vec<u32> =
        all.iter().filter_map(|text| text.strip_prefix("after ")?.parse().ok()).collect();
    assert!(after.is_sorted(), "{after:?}");
    // What the sender's kernel had taken when the line was cut is lost: there is no acknowledgement.
    assert!(after.len() > 100, "{} of 200 have come: {after:?}", after.len());
}

/// Sends while the server is killed again and again, each time with messages under way.
async fn sends_through_kills(program: Program) {
    let mut child = Child::configured(OPEN);
    let line = Line::to(child.address());
    let Some(mut sender) = Sender::start(program, &child.scratch(""), &line, false) else { return };
    let (mut sent, mut marks) = (0, 0);
    for _kill in 0..4 {
        for number in sent..sent + 150 {
            sender.log(&format!("killed {number}"));
        }
        sent += 150;
        // Some of these have come, and the server dies with what it has read of the others.
        let come = texts(&records(child.address(), 1).await);
        assert!(come.len() <= sent + marks);
        child.kill_and_resume();
        // Until the sender has noticed, what it sends is lost; what it sends over the new connection arrives.
        loop {
            let mark = format!("mark {marks}");
            sender.log(&mark);
            marks += 1;
            if timeout(NOTICED, wait_for_message(&child, &mark)).await.is_ok() {
                break;
            }
        }
    }
    sender.stop();
    let all = texts(&records(child.address(), 0).await);
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len(), "nothing is recorded twice: {all:?}");
    let numbers = all.iter().filter_map(|text| text.strip_prefix("killed ")?.parse::<usize>().ok());
    let numbers: Vec<usize> = numbers.collect();
    assert!(numbers.is_sorted() && numbers.iter().all(|number| *number < sent), "{numbers:?}");
    // What was in the hands of both kernels is lost, and nothing else is there than was sent.
    assert!(all.iter().all(|text| text.starts_with("killed ") || text.starts_with("mark ")));
    assert!(numbers.len() <= sent && all.len() - numbers.len() <= marks, "{all:?}");
    let metrics = tokio::task::spawn_blocking(move || {
        let received = child.count("received");
        child.fsck();
        received
    });
    assert!(metrics.await.unwrap() <= u64::try_from(sent + marks).unwrap());
}

/// Waits until the log holds a message; returns all records then.
async fn wait_for_message(child: &Child, text: &str) -> Vec<Value> {
    let mut count = 0;
    loop {
        let all = records(child.address(), count).await;
        if all.iter().any(|record| record["ctx"]["syslog"]["msg"] == text) {
            return all;
        }
        count = all.len() + 1;
    }
}

/// Sends over TLS with a certificate that the source knows.
async fn sends_over_tls(program: Program) {
    let authority = Authority::new();
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| scratch.path().join(name);
    let (certificate, key) = authority.issue("localhost");
    write(&path("server.pem"), &certificate);
    write(&path("server.key"), &key);
    write(&path("ca.pem"), &authority.pem());
    let client = authority.issue("web-7");
    write(&path("client.pem"), &client.0);
    write(&path("client.key"), &client.1);
    let config = format!(
        "tls_certificate = {:?}\ntls_key = {:?}\ntls_client_ca = {:?}\n\n[[sources]]\nname = \"hosts\"\n\
         kind = \"syslog\"\ncertificates = [\"sha256:{}\"]\n",
        path("server.pem"),
        path("server.key"),
        path("ca.pem"),
        fingerprint(&client.0),
    );
    let child = Child::configured(&config);
    let line = Line::to(child.address());
    let Some(mut sender) = Sender::start(program, scratch.path(), &line, true) else { return };
    for number in 0..100 {
        sender.log(&format!("secret {number}"));
    }
    let mut log = crate::tls::client_of(child.address(), &authority, &client).await;
    let records = records_over(&mut log, 100).await;
    let expected: Vec<String> = (0..100).map(|number| format!("secret {number}")).collect();
    assert_eq!(texts(&records), expected);
    sender.stop();
}

/// Returns the fingerprint of a certificate in PEM, as the configuration writes it.
fn fingerprint(pem: &str) -> String {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let hash = attestree::core::hash::TreeHash::digest(&der);
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_sends_what_it_gets() {
    sends(Program::Rsyslog).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_ng_sends_what_it_gets() {
    sends(Program::SyslogNg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_rsyslog_doubles_nothing() {
    sends_through_kills(Program::Rsyslog).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_syslog_ng_doubles_nothing() {
    sends_through_kills(Program::SyslogNg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_sends_over_tls() {
    sends_over_tls(Program::Rsyslog).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_ng_sends_over_tls() {
    sends_over_tls(Program::SyslogNg).await;
}
