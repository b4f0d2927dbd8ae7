//! The real process, killed at every step of its persistence, and with a disk that fails.
//!
//! The test is the log, and an evil one: at each size it signs two different trees and pushes both. Which
//! one the witness took it learns from the answers, and after a crash from the monitoring address. The law:
//! what was ever cosigned is one history, and what the witness remembers never falls behind an answer.

use std::{path::PathBuf, time::Duration};

use attestree::{
    client::{AddCheckpointAnswer, ClientError, Server, WitnessClient},
    core::{
        hash::TreeHash,
        note::{SigningKey, VerifierKey},
        number::{LeafIndex, TreeSize},
        origin::Origin,
        tree::{NodeId, NodeReader, TreeHead, prove_consistency},
    },
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use super::{cosigned, head_of, init, log, named};
use crate::{
    crash::process::{Server as Process, Strace},
    needs::strace_attaches,
    witness_rules::{note, request},
};

const ORIGIN: &str = "log.example/a";

/// The evil log and what it knows of the witness.
struct Evil {
    dir: tempfile::TempDir,
    key: SigningKey,
    witness: VerifierKey,
    /// The history that the witness has taken.
    trunk: Vec<TreeHash>,
    /// Every tree that was cosigned in an answer.
    acknowledged: Vec<TreeHead>,
    starts: u32,
    /// One for the whole test: connections live in it.
    runtime: tokio::runtime::Runtime,
}

struct Leaves<'a>(&'a [TreeHash]);

impl NodeReader for Leaves<'_> {
    type Error = core::convert::Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Self::Error> {
        let node = |node: &NodeId| {
            let width = 1_usize << node.level();
            let from = usize::try_from(node.index()).unwrap() * width;
            head_of(&self.0[from..from + width]).root
        };
        Ok(nodes.iter().map(node).collect())
    }

    fn tail(&self, _: LeafIndex, _: TreeSize) -> Option<TreeHash> {
        None
    }
}

impl Evil {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let witness = init(&dir);
        let (trunk, acknowledged) = (Vec::new(), Vec::new());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { dir, key: log(ORIGIN), witness, trunk, acknowledged, starts: 0, runtime }
    }

    fn file(&mut self, name: &str) -> PathBuf {
        self.starts += 1;
        self.dir.path().join(format!("{name}.{}", self.starts))
    }

    /// Starts the witness, under strace if options are given.
    fn spawn(&mut self, options: &[String]) -> Process {
        let data = self.dir.path().join("w").to_str().unwrap().to_owned();
        let log = named(&self.key);
        let arguments = [
            "witness",
            "serve",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--log",
            &log,
            "--advances-per-second",
            "0",
        ];
        let strace = Strace { options: options.to_vec(), output: self.file("trace") };
        let strace = (!options.is_empty()).then_some(&strace);
        let stderr = self.file("stderr");
        Process::spawn(&arguments, &[], strace, stderr)
    }

    /// Returns the trunk with one of the two leaves that may follow.
    fn next(&self, side: u8) -> Vec<TreeHash> {
        let mut leaves = self.trunk.clone();
        leaves.push(TreeHash::leaf(format!("{} {side}", leaves.len()).as_bytes()));
        leaves
    }

    /// Pushes both histories at once; returns whether the witness still answers.
    fn push(&mut self, client: &WitnessClient) -> bool {
        let old = TreeSize::new(self.trunk.len() as u64).unwrap();
        let sides = [0, 1].map(|side| {
            let leaves = self.next(side);
            let new = TreeSize::new(leaves.len() as u64).unwrap();
            let proof = match old.get() {
                0 => Vec::new(),
                _ => prove_consistency(&Leaves(&leaves), old, new).unwrap(),
            };
            let asked = request(old.get(), proof, &note(&self.key, &head_of(&leaves)));
            (leaves, asked)
        });
        let [first, second] = &sides;
        let answers = self.runtime.block_on(async {
            tokio::join!(client.add_checkpoint(&first.1), client.add_checkpoint(&second.1))
        });
        let mut alive = true;
        let mut taken = None;
        for (answer, (leaves, _)) in [answers.0, answers.1].into_iter().zip(&sides) {
            match answer {
                Ok(AddCheckpointAnswer::Cosigned(lines)) => {
                    let note = note(&self.key, &head_of(leaves));
                    let note = note.with_signatures(lines).unwrap().to_string();
                    let (head, _) = cosigned(&self.key, &self.witness, &note);
                    assert!(taken.is_none(), "two histories were cosigned from one size");
                    self.acknowledged.push(head);
                    taken = Some(leaves.clone());
                }
                // The loser; frozen where the witness saw both.
                Ok(AddCheckpointAnswer::Conflict { .. }) => {}
                Ok(AddCheckpointAnswer::Refused { status, text }) => {
                    assert!(matches!(status, 403 | 422 | 503), "{status} {text}");
                }
                Err(ClientError::Unreachable { .. }) => alive = false,
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(taken) = taken {
            self.trunk = taken;
        }
        alive
    }

    /// Lets the log go on: the witness is frozen for good each time it sees both histories.
    fn unfreeze(&self) {
        let socket = self.dir.path().join("w/admin.sock");
        let order = format!(r#"{{"act":"unfreeze","origin":"{ORIGIN}","reason":"a test"}}"#);
        // The process may be gone: then this is done by the next round.
        let _gone = self.runtime.block_on(attestree::client::operator::ask_socket(
            &socket,
            "/order",
            Some(order),
        ));
    }

    fn client(process: &Process) -> WitnessClient {
        let server = Server::parse(&process.url()).unwrap();
        WitnessClient::new(&server, Duration::from_secs(60)).unwrap()
    }

    /// Learns after a start what the witness remembers, and holds it against what it said.
    fn learn(&mut self, client: &WitnessClient) {
        let origin = Origin::parse(ORIGIN).unwrap();
        let shown = self.runtime.block_on(client.latest(&origin)).unwrap();
        let head = match shown {
            None => head_of(&[]),
            Some(note) => {
                let note = str::from_utf8(&note).unwrap();
                cosigned(&self.key, &self.witness, note).0
            }
        };
        // What was in flight at the crash may have been taken, from either side.
        let sides = [self.trunk.clone(), self.next(0), self.next(1)];
        let found = sides.into_iter().find(|leaves| head_of(leaves) == head);
        self.trunk = found.unwrap_or_else(|| panic!("the witness remembers {head:?}"));
        for head in &self.acknowledged {
            let size = usize::try_from(head.size.get()).unwrap();
            assert!(size <= self.trunk.len(), "the witness has forgotten size {size}");
            assert_eq!(head_of(&self.trunk[..size]), *head, "two histories were cosigned");
        }
    }
}

/// Returns the options that inject a fault. Calls are counted in each thread by itself, and no filter in
/// the kernel is used: with one, strace does not deliver the signal.
fn inject(call: &str, fault: &str, when: &str) -> [String; 6] {
    let inject = format!("inject={call}:{fault}:when={when}");
    // The first line of the trace has to name the process, whether or not it makes the call.
    ["-f", "-qq", "-e", &format!("trace=execve,{call}"), "-e", &inject].map(str::to_owned)
}

#[test]
fn killed_at_any_system_call_of_its_persistence_it_cosigns_one_history() {
    if !strace_attaches("killed_at_any_system_call_of_its_persistence_it_cosigns_one_history") {
        return;
    }
    let mut evil = Evil::new();
    let mut killed = 0;
    for call in ["pwrite64", "fdatasync", "fsync", "rename", "ftruncate", "unlink", "link"] {
        for number in 1..=40 {
            let mut process = evil.spawn(&inject(call, "signal=KILL", &number.to_string()));
            let mut alive = process.listens();
            if alive {
                let client = Evil::client(&process);
                for _ in 0..4 {
                    alive = alive && evil.push(&client);
                    evil.unfreeze();
                }
            }
            killed += u32::from(!alive);
            process.kill();
            // Without strace it starts, and remembers.
            let mut process = evil.spawn(&[]).expect_listening();
            let client = Evil::client(&process);
            evil.learn(&client);
            evil.unfreeze();
            process.kill();
            if alive {
                // So often it does not make this call: later kills would hit nothing.
                break;
            }
        }
    }
    assert!(killed >= 12, "only {killed} kills hit the witness at work");
    assert!(evil.acknowledged.len() >= 12, "the witness hardly worked: {:?}", evil.acknowledged);
}

#[test]
fn killed_at_random_moments_it_cosigns_one_history() {
    let seed: u64 = 20_261_121;
    eprintln!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut evil = Evil::new();
    for _ in 0..25 {
        let mut process = evil.spawn(&[]).expect_listening();
        let client = Evil::client(&process);
        evil.learn(&client);
        evil.unfreeze();
        let (after, wait) = (random.next_u64() % 6, random.next_u64() % 1_500);
        for _ in 0..after {
            assert!(evil.push(&client));
            evil.unfreeze();
        }
        // The kill falls somewhere into the last push: it comes from another thread, after so many
        // microseconds of spinning.
        let killer = std::thread::spawn(move || {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_micros(wait) {
                std::hint::spin_loop();
            }
            process.kill();
        });
        evil.push(&client);
        killer.join().unwrap();
    }
    let process = evil.spawn(&[]).expect_listening();
    evil.learn(&Evil::client(&process));
    assert!(evil.acknowledged.len() >= 25, "the witness hardly worked: {:?}", evil.acknowledged);
}

/// A full disk is an answer, and nothing more: 503 while it lasts, and on from the same state.
#[test]
fn a_full_disk_is_answered_and_forgets_nothing() {
    if !strace_attaches("a_full_disk_is_answered_and_forgets_nothing") {
        return;
    }
    let mut evil = Evil::new();
    // The writer's calls are counted by themselves: journal and watermark, then a journal write that
    // fails, and so on.
    let mut process = evil.spawn(&inject("pwrite64", "error=ENOSPC", "3+3")).expect_listening();
    let client = Evil::client(&process);
    let mut statuses = Vec::new();
    for _ in 0..9 {
        let (old, leaves) = (evil.trunk.len() as u64, evil.next(0));
        let proof = match TreeSize::new(old).unwrap() {
            TreeSize::ZERO => Vec::new(),
            old => prove_consistency(&Leaves(&leaves), old, TreeSize::new(old.get() + 1).unwrap())
                .unwrap(),
        };
        let asked = request(old, proof, &note(&evil.key, &head_of(&leaves)));
        let answer = evil.runtime.block_on(client.add_checkpoint(&asked)).unwrap();
        statuses.push(match answer {
            AddCheckpointAnswer::Cosigned(_) => {
                evil.acknowledged.push(head_of(&leaves));
                evil.trunk = leaves;
                200
            }
            AddCheckpointAnswer::Refused { status, .. } => status,
            AddCheckpointAnswer::Conflict { .. } => 409,
        });
        evil.learn(&client);
    }
    assert_eq!(statuses, [200, 503, 200, 503, 200, 503, 200, 503, 200]);
    process.kill();
    let process = evil.spawn(&[]).expect_listening();
    evil.learn(&Evil::client(&process));
    assert_eq!(evil.trunk.len(), 5);
}

/// A sync that fails leaves nothing known: the process ends, and what it said before holds.
#[test]
fn a_failed_sync_ends_the_process() {
    if !strace_attaches("a_failed_sync_ends_the_process") {
        return;
    }
    let mut evil = Evil::new();
    let mut process = evil.spawn(&inject("fdatasync", "error=EIO", "3+")).expect_listening();
    let client = Evil::client(&process);
    let mut rounds = 0;
    while evil.push(&client) && rounds < 50 {
        evil.unfreeze();
        rounds += 1;
    }
    assert!(!process.wait().success());
    assert!(process.stderr().contains("the witness stops"), "{}", process.stderr());
    let process = evil.spawn(&[]).expect_listening();
    evil.learn(&Evil::client(&process));
    assert!(!evil.acknowledged.is_empty());
}
