//! Strangers: two clients in Python that were written from the specifications, against a real server.
//!
//! `tests/interop/client.py` speaks gRPC through stubs made from `proto/`, `http_client.py` reads tiles
//! and exchanges receipts with the command line. Each verifies with its own few lines, and each also
//! forges: what one side rejects the other has to reject as well, and the honest ones both accept.
//! `evidence.py` made the vectors of evidence, and makes them again here.
//!
//! `ATTESTREE_PYTHON` names the interpreter; without it `python3` is taken where it has what is
//! needed. Elsewhere the tests say that they are skipped, and fail if `CI` is `true`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use attestree::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, TreeSize},
        tree::{TreeHead, verify_batch, verify_consistency, verify_inclusion, verify_range},
    },
    proto::{AppendBatchRequest, log_service_client::LogServiceClient},
};
use serde::Deserialize;

use crate::{
    events,
    hostile::server::{BINARY, NewLog, Server},
    python::python,
};

/// More than one tile of the first level, so that the second and third have nodes too.
const FILL: u64 = 65_536 + 700;

/// A plain log, the default, and one that keeps equal entries once.
const LOGS: [NewLog; 2] = [
    NewLog { origin: "log.example/interop/plain", flags: &[] },
    NewLog { origin: "log.example/interop/merging", flags: &["--identity", "entry-hash"] },
];

/// A case that the Python client judged; hashes are hexadecimal.
#[derive(Debug, Deserialize)]
struct Probe {
    /// The Python client's verdict.
    accept: bool,
    #[serde(flatten)]
    claim: Claim,
    proof: Vec<String>,
}

/// What a proof is given for.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Claim {
    Inclusion { leaf: String, index: u64, size: u64, root: String },
    Consistency { old_size: u64, old_root: String, new_size: u64, new_root: String },
    Range { leaves: Vec<String>, start: u64, size: u64, root: String },
    Batch { leaves: Vec<(u64, String)>, size: u64, root: String },
}

impl Probe {
    /// Returns whether our verifier accepts; `None` where a value has no form in which it could.
    fn verdict(&self) -> Option<bool> {
        let proof = hashes(&self.proof)?;
        let verified = match &self.claim {
            Claim::Inclusion { leaf, index, size, root } => {
                verify_inclusion(&hash(leaf)?, LeafIndex::new(*index)?, &head(*size, root)?, &proof)
            }
            Claim::Consistency { old_size, old_root, new_size, new_root } => {
                verify_consistency(&head(*old_size, old_root)?, &head(*new_size, new_root)?, &proof)
            }
            Claim::Range { leaves, start, size, root } => {
                verify_range(&hashes(leaves)?, LeafIndex::new(*start)?, &head(*size, root)?, &proof)
            }
            Claim::Batch { leaves, size, root } => {
                let leaf = |(index, leaf): &(u64, String)| LeafIndex::new(*index).zip(hash(leaf));
                let leaves: Vec<_> = leaves.iter().map(leaf).collect::<Option<_>>()?;
                verify_batch(&leaves, &head(*size, root)?, &proof)
            }
        };
        Some(verified.is_ok())
    }
}

fn head(size: u64, root: &str) -> Option<TreeHead> {
    Some(TreeHead { size: TreeSize::new(size)?, root: hash(root)? })
}

fn hash(text: &str) -> Option<TreeHash> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    TreeHash::from_slice(&bytes)
}

fn hashes(texts: &[String]) -> Option<Vec<TreeHash>> {
    texts.iter().map(|text| hash(text)).collect()
}

/// Runs a script of `tests/interop` to its end and returns what it printed.
fn run(python: &Path, script: &str, server: &Server, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(folder.join(script)).args(arguments);
    for vkey in server.vkeys() {
        command.args(["--vkey", vkey]);
    }
    let done = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script} failed\n{out}{err}");
    println!("{out}");
    out.into_owned()
}

#[test]
fn a_stranger_over_grpc_comes_to_the_same_verdicts() {
    let Some(python) = python("interop over gRPC", "grpc_tools, cryptography") else { return };
    let server = Server::start(&LOGS, &[]);
    let probes = server.scratch().join("probes");
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let (address, fill) = (server.address().to_string(), FILL.to_string());
    let arguments = [
        ["--proto", proto.to_str().unwrap()],
        ["--address", &address],
        ["--probes", probes.to_str().unwrap()],
        ["--fill", &fill],
    ];
    run(&python, "client.py", &server, arguments.as_flattened());

    let (mut accepted, mut rejected) = (0, 0);
    for line in fs::read_to_string(&probes).unwrap().lines() {
        let probe: Probe = serde_json::from_str(line).unwrap();
        assert_eq!(probe.verdict().unwrap_or(false), probe.accept, "verdicts differ: {line}");
        if probe.accept { accepted += 1 } else { rejected += 1 }
    }
    println!("{accepted} probes accepted and {rejected} rejected by both");
    assert!(accepted > 500 && rejected > 5_000, "{accepted} accepted, {rejected} rejected");
}

#[test]
fn a_strange_producer_finds_what_it_submitted_in_every_record() {
    let Some(python) = python("producing events", "grpc_tools, cryptography") else { return };
    let log = NewLog { origin: "log.example/interop/audit", flags: &["--kind", "audit"] };
    let server = Server::start(&[log], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let socket = server.scratch().join("data").join("admin.sock");
    runtime.block_on(async { events::apply_at(socket, events::POLICY).await.unwrap() });
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let address = server.address().to_string();
    let arguments = [["--proto", proto.to_str().unwrap()], ["--address", &address]];
    let told = run(&python, "events.py", &server, arguments.as_flattened());
    assert!(told.contains("every event is in its record"), "{told}");
}

#[test]
fn a_stranger_over_http_comes_to_the_same_verdicts() {
    let Some(python) = python("interop over HTTP", "urllib.request, hashlib") else { return };
    let server = Server::start(&LOGS, &[]);
    fill(&server);
    let url = format!("http://{}", server.address());
    let work = server.scratch().to_str().unwrap();
    let arguments = [["--url", &url], ["--attestree", BINARY], ["--work", work]];
    run(&python, "http_client.py", &server, arguments.as_flattened());
}

#[test]
fn a_stranger_makes_the_vectors_of_evidence_again() {
    let Some(python) = python("the making of evidence", "hashlib, json") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(root.join("tests/interop/evidence.py"));
    let done = command.arg("--check").arg(root.join("tests/vectors/evidence")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Appends enough to the default log that its tiles have three levels.
fn fill(server: &Server) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client =
            LogServiceClient::connect(format!("http://{}", server.address())).await.unwrap();
        let numbers: Vec<u64> = (0..FILL).collect();
        for numbers in numbers.chunks(4_096) {
            let entries = numbers.iter().map(|number| format!("filler {number}").into()).collect();
            client
                .append_batch(AppendBatchRequest { entries, ..Default::default() })
                .await
                .unwrap();
        }
    });
}

#[test]
fn a_stranger_makes_the_same_vectors_of_records() {
    let Some(python) = python("vectors of records", "cryptography, hashlib") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(root.join("tests/interop/records.py"));
    let done = command.arg("check").arg(root.join("tests/vectors/record")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(String::from_utf8_lossy(&done.stdout), "check: 10 files of vectors\n");
}
