//! TLS with an authority of one's own, on every way between a log, its witnesses and its readers.

use std::{path::PathBuf, process::Command};

use attestree::{
    client::{Server, WitnessClient, server::Tls},
    core::note::SignedNote,
    proto::{AppendRequest, Wait},
    server::{config::RawConfig as LogConfig, witness::RawConfig},
};
use tempfile::TempDir;

use super::{
    Watching, block_on, init, log, named,
    poll::{failures, often, until},
    step,
};
use crate::{
    cosigning::site::{Site, reason},
    hostile::server::BINARY,
    served::{ORIGIN, Served},
    tls::{Authority, write},
    witness_rules::Tree,
};

/// Where everything listens, and so what the certificates name.
const HOST: &str = "127.0.0.1";

/// The files of an authority and of one certificate from it.
struct Files {
    dir: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (certificate, key) = authority.issue(HOST);
        write(&dir.path().join("own.pem"), &certificate);
        write(&dir.path().join("own.key"), &key);
        write(&dir.path().join("ca.pem"), &authority.pem());
        Self { dir, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A witness with TLS on its own port.
    fn witness(&self) -> RawConfig {
        RawConfig {
            tls_certificate: Some(self.path("own.pem")),
            tls_key: Some(self.path("own.key")),
            ..RawConfig::default()
        }
    }

    /// A log with TLS on its own port.
    fn log(&self) -> LogConfig {
        LogConfig {
            tls_certificate: Some(self.path("own.pem")),
            tls_key: Some(self.path("own.key")),
            ..LogConfig::default()
        }
    }
}

/// Returns a client of a witness that believes an authority.
fn client(watching: &Watching, ca: Option<&Authority>) -> WitnessClient {
    let tls = Tls { ca: ca.map(|ca| ca.pem().into_bytes()), identity: None };
    let server = Server::parse(&format!("https://{}", watching.address())).unwrap();
    WitnessClient::new(&server.with_tls(tls), std::time::Duration::from_secs(60)).unwrap()
}

#[test]
fn a_witness_speaks_tls_and_nothing_else() {
    let files = Files::new();
    let (key, tree) = (log("log.example/a"), Tree::new(9, 9));
    let watching = Watching::with(&[named(&key)], files.witness());
    let asked = step(&key, &tree, 0, 5);
    let plain = Server::parse(&watching.url("")).unwrap();
    let plain = WitnessClient::new(&plain, std::time::Duration::from_secs(60)).unwrap();
    let strange = Authority::new();
    block_on(async {
        // In the clear, under the machine's authorities, and under somebody else's.
        plain.add_checkpoint(&asked).await.unwrap_err();
        client(&watching, None).add_checkpoint(&asked).await.unwrap_err();
        client(&watching, Some(&strange)).add_checkpoint(&asked).await.unwrap_err();
        let known = client(&watching, Some(&files.authority));
        known.add_checkpoint(&asked).await.unwrap();
        let origin = attestree::core::origin::Origin::parse("log.example/a").unwrap();
        let shown = known.latest(&origin).await.unwrap().unwrap();
        watching.verify(&key, str::from_utf8(&shown).unwrap());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_asks_witnesses_whose_authority_it_is_told() {
    let files = Files::new();
    // The log's key is drawn from a seed: the same one again, so that the witness can know it.
    let vkey = Served::start().vkeys[0].to_string();
    let watching = Watching::with(&[vkey], files.witness());
    let trust = format!("witness w {} https://{}\nquorum w\n", watching.vkey, watching.address());
    let site = Site::start(&trust, LogConfig::default());
    let request = AppendRequest { entry: "x".into(), ..Default::default() };
    let status = site.served.client().await.append(request).await.unwrap_err();
    assert_eq!(reason(&status), "WAITING", "the system's authorities do not know the witness");
    drop(site);

    let raw = LogConfig { trust_ca: Some(files.path("ca.pem")), ..LogConfig::default() };
    let site = Site::start(&trust, raw);
    assert!(site.append("entry", Wait::Cosigned, 60_000).await.cosigned);
}

#[test]
fn a_witness_reads_logs_whose_authority_it_is_told_and_brings_them_its_cosignature() {
    let files = Files::new();
    let vkey = init(&tempfile::tempdir().unwrap());
    let site = Site::start(&format!("witness w {vkey}\nquorum none\n"), files.log());
    let (url, key) = (format!("https://{}", site.served.address()), &site.served.vkeys[0]);
    let logs = [format!("{key} {url}/first")];
    let strange = Watching::with(&logs, often());
    until("the log is not believed", || failures(&strange, ORIGIN) > 0);
    assert_eq!(strange.status().logs[0].size, None);
    drop(strange);

    let watching =
        Watching::with(&logs, RawConfig { logs_ca: Some(files.path("ca.pem")), ..often() });
    assert_eq!(watching.vkey, vkey);
    let delivered = || {
        let log = site.log();
        let candidates = log.witnessed().unwrap().candidates();
        candidates.newest().is_some_and(|candidate| {
            let note = SignedNote::parse(candidate.checkpoint().note()).unwrap();
            note.verify([&vkey]).is_ok()
        })
    };
    until("the cosignature is delivered", delivered);
}

#[test]
fn tiles_are_read_over_tls_by_every_verb_that_reads_them() {
    let files = Files::new();
    let served = Served::with(&[(ORIGIN, attestree::store::LogIdentity::None)], files.log());
    let url = format!("https://{}/first", served.address());
    let policy = format!("log {} {url}\nquorum none\n", served.vkeys[0]);
    write(&files.dir.path().join("trust.policy"), &policy);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.current_dir(files.dir.path()).env_clear();
        command.args(arguments).args(["--trust", "trust.policy"]).output().unwrap()
    };
    let monitor = ["monitor", "--state", "state"];
    for verb in [&["checkpoint", "--tiles", &url][..], &monitor] {
        let refused = run(verb);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = run(&[verb, &["--ca", "ca.pem"]].concat());
        assert!(said.status.success(), "{said:?}");
        assert!(String::from_utf8_lossy(&said.stdout).starts_with(ORIGIN), "{said:?}");
    }
}

#[test]
fn an_authority_that_is_no_certificate_is_refused_by_its_name() {
    let files = Files::new();
    write(&files.dir.path().join("empty.pem"), "nothing\n");
    let dir = tempfile::tempdir().unwrap();
    init(&dir);
    let raw = RawConfig {
        data: Some(dir.path().join("w")),
        listen: Some(format!("{HOST}:0")),
        logs_ca: Some(files.path("empty.pem")),
        ..RawConfig::default()
    };
    let started = attestree::server::witness::start(raw.parse().unwrap());
    let refusal = format!("{:#}", started.unwrap_err());
    assert!(refusal.contains("empty.pem holds no certificate"), "{refusal}");
}
