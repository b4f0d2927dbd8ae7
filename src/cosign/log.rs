//! The task of one log: the guard, then candidate after candidate.

use core::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Shared,
    ask::{Look, Said, ask, prove, recall},
    endpoint::Endpoint,
    guard,
    inspect::{Against, Finding, inspect},
    keep::Kept,
    round::{Draw, Rounds},
};
use crate::{
    client::{AddCheckpointAnswer, keep_evidence},
    core::{hash::TreeHash, number::TreeSize, tree::TreeHead, witness::AddCheckpoint},
    pipeline::{Candidate, Log, LogStatus},
};

/// Random pauses of one log.
pub(super) struct Jitter(ChaCha20Rng);

impl Draw for Jitter {
    fn below(&mut self, bound: u64) -> u64 {
        // The remainder's bias is nothing to a pause.
        self.0.next_u64() % bound.max(1)
    }
}

/// Looks after the witnesses of one log, until the log halts.
pub(super) async fn run(shared: Arc<Shared>, log: Arc<Log>) {
    let mut generator = ChaCha20Rng::from_seed(shared.seed);
    generator.set_stream(u64::from(log.number().0));
    let mut jitter = Jitter(generator);
    if guard::pass(&shared, &log, &mut jitter).await {
        Task::new(shared, log, jitter).run().await;
    }
}

/// One request under way, when it ends.
enum Ended {
    /// The address, the head that it was sent, and what came back.
    Asked(usize, TreeHead, Said),
    /// The address, and what it remembers.
    Looked(usize, Option<Bytes>),
}

/// The state of one log's task.
struct Task {
    shared: Arc<Shared>,
    log: Arc<Log>,
    jitter: Jitter,
    rounds: Rounds,
    kept: Kept,
    asked: JoinSet<Ended>,
    paused: bool,
}

impl Task {
    fn new(shared: Arc<Shared>, log: Arc<Log>, mut jitter: Jitter) -> Self {
        let now = shared.pipeline.clock().monotonic();
        let rounds = Rounds::new(shared.endpoints.len(), now, &mut jitter);
        let kept = Kept::load(shared.pipeline.store(), &log);
        Self { shared, log, jitter, rounds, kept, asked: JoinSet::new(), paused: false }
    }

    /// Runs until the log halts: each event changes the state, and then whoever is due is asked.
    async fn run(mut self) {
        let witnessed = self.log.clone();
        let Some(witnessed) = witnessed.witnessed() else { return };
        let mut signed = self.log.watch_signed();
        let mut candidates = witnessed.watch();
        // The head that was signed at the start is a candidate at once.
        let (mut is_new, mut next) = (true, Instant::now());
        while self.log.status() != LogStatus::Halted {
            let due = self.next_due();
            tokio::select! {
                changed = signed.changed(), if !is_new => {
                    if changed.is_err() { return }
                    is_new = true;
                }
                () = sleep_until(next), if is_new => {
                    signed.borrow_and_update();
                    is_new = false;
                    self.log.offer(self.now());
                    next = Instant::now() + self.shared.config.interval;
                }
                changed = candidates.changed() => {
                    if changed.is_err() { return }
                    let now = self.now();
                    let changed = candidates.borrow_and_update();
                    self.kept.hand_over(&self.log, &changed, now, &self.shared.kept);
                }
                Some(ended) = self.asked.join_next(), if !self.asked.is_empty() => {
                    // A request that panicked ends the task, and with it the process's trust in itself.
                    match ended.expect("a request does not panic") {
                        Ended::Asked(endpoint, head, said) => self.apply(endpoint, head, said),
                        Ended::Looked(endpoint, note) => drop(self.is_against(endpoint, note.as_ref())),
                    }
                }
                () = sleep(due.unwrap_or_default()), if due.is_some() => {}
            }
            self.ask_due();
            self.look_due();
        }
    }

    fn now(&self) -> crate::core::number::UnixMillis {
        self.shared.pipeline.clock().now()
    }

    fn monotonic(&self) -> Duration {
        self.shared.pipeline.clock().monotonic()
    }

    fn candidate(&self) -> Option<Candidate> {
        self.log.witnessed()?.candidates().newest().cloned()
    }

    /// Returns how long it is until some address is to be asked.
    fn next_due(&self) -> Option<Duration> {
        let size = self.candidate()?.checkpoint().head().size;
        Some(self.rounds.next_due(size)?.saturating_sub(self.monotonic()))
    }

    /// Asks every address that is due: one consistency proof for each size to start from.
    fn ask_due(&mut self) {
        let Some(candidate) = self.candidate() else { return };
        let (head, now) = (candidate.checkpoint().head(), self.monotonic());
        let mut proofs: BTreeMap<TreeSize, Vec<TreeHash>> = BTreeMap::new();
        for (endpoint, known) in self.rounds.take_due(head.size, now) {
            if known > head.size {
                // It has cosigned a later head that came from elsewhere; the next candidate is for it.
                self.rounds.cosigned(endpoint, known, now);
                continue;
            }
            let proof = match proofs.get(&known) {
                Some(proof) => proof.clone(),
                None => match prove(&self.shared, &self.log, candidate.head(), known) {
                    Some(proof) => proofs.entry(known).or_insert(proof).clone(),
                    None => {
                        self.rounds.failed(endpoint, now, &mut self.jitter);
                        continue;
                    }
                },
            };
            let note = candidate.checkpoint().note().clone();
            let request = AddCheckpoint { old_size: known, proof, note };
            let look = Look::IfOdd(self.log.signed().head().size);
            let address = self.address(endpoint).clone();
            let (origin, clock) =
                (self.log.row().origin.clone(), Arc::clone(self.shared.pipeline.clock()));
            self.asked.spawn(async move {
                Ended::Asked(endpoint, head, ask(address, origin, request, look, clock).await)
            });
        }
    }

    /// Asks every address whose turn it is what it remembers.
    fn look_due(&mut self) {
        for endpoint in self.rounds.take_looks(self.monotonic()) {
            let (address, origin) = (self.address(endpoint).clone(), self.log.row().origin.clone());
            self.asked
                .spawn(async move { Ended::Looked(endpoint, recall(&address, &origin).await) });
        }
    }

    fn address(&self, endpoint: usize) -> &Endpoint {
        self.shared.endpoints.get(endpoint).expect("one state an endpoint")
    }

    /// Halts the log if what an address remembers stands against it; returns whether it does.
    fn is_against(&self, endpoint: usize, note: Option<&Bytes>) -> bool {
        let Some(note) = note else { return false };
        let Finding::Against(against) = inspect(&self.shared.pipeline, &self.log, note) else {
            return false;
        };
        convict(&self.shared, &self.log, self.address(endpoint).names(), &against);
        true
    }

    /// Takes note of what an address said to a candidate.
    fn apply(&mut self, endpoint: usize, head: TreeHead, said: Said) {
        let address = self.address(endpoint).clone();
        let now = self.monotonic();
        for name in address.names() {
            self.shared.meter.answered(self.log.origin(), name, said.took);
        }
        if self.is_against(endpoint, said.remembered.as_ref()) {
            return;
        }
        let failure = match said.answer {
            Ok(AddCheckpointAnswer::Cosigned(lines)) => {
                let taken = self.log.take_cosignatures(head, &lines, self.now());
                let signers = taken.map(|taken| taken.witnesses).unwrap_or_default();
                let (signed, missing) = self.sort(address.witnesses(), &signers);
                for name in &signed {
                    self.shared.meter.cosigned(self.log.origin(), name, head.size.get());
                }
                for name in &missing {
                    self.shared.meter.failed(self.log.origin(), name);
                }
                if !signed.is_empty() {
                    self.rounds.cosigned(endpoint, head.size, now);
                    self.settle_pause();
                    return;
                }
                "the answer holds no cosignature that verifies".to_owned()
            }
            Ok(AddCheckpointAnswer::Conflict { size }) => {
                let ours = self.log.signed().head().size;
                if size <= ours {
                    self.rounds.conflict(endpoint, size, now, &mut self.jitter);
                    self.settle_pause();
                    return;
                }
                self.rounds.ahead(endpoint, now, &mut self.jitter);
                self.settle_pause();
                format!(
                    "it says that it has cosigned {size} entries, and the log has signed {ours}"
                )
            }
            Ok(AddCheckpointAnswer::Refused { status, text }) => format!("{status} {text}"),
            Err(error) => error.to_string(),
        };
        self.fail(endpoint, address.names(), &failure);
    }

    /// Leaves an address alone for a while.
    fn fail(&mut self, endpoint: usize, names: &[String], error: &str) {
        for name in names {
            self.shared.meter.failed(self.log.origin(), name);
        }
        let witness = names.join(" ");
        tracing::warn!(origin = self.log.origin(), witness, error, "a witness did not cosign");
        let now = self.monotonic();
        if !self.rounds.is_ahead(endpoint) {
            self.rounds.failed(endpoint, now, &mut self.jitter);
        }
    }

    /// Sorts the witnesses behind an address into those that have cosigned and those that have not.
    fn sort(&self, behind: &[usize], signers: &[usize]) -> (Vec<String>, Vec<String>) {
        let Some(witnessed) = self.log.witnessed() else { return (Vec::new(), Vec::new()) };
        let name = |witness: &usize| {
            let trusted = witnessed.trust().witnesses().get(*witness);
            trusted.map(|trusted| trusted.name.clone()).unwrap_or_default()
        };
        let (signed, missing): (Vec<usize>, Vec<usize>) =
            behind.iter().partition(|witness| signers.contains(witness));
        (signed.iter().map(name).collect(), missing.iter().map(name).collect())
    }

    /// Takes no entries while any witness names a size that the log never signed.
    ///
    /// It shows no signature for that, so the log does not halt; but if it is true, each further
    /// signature would be one of a second history.
    fn settle_pause(&mut self) {
        let ahead = self.rounds.is_any_ahead();
        if ahead && !self.paused {
            self.shared.pipeline.pause(&self.log);
            tracing::error!(
                origin = self.log.origin(),
                "the log pauses: a witness says that it has cosigned more than the log has signed"
            );
        } else if !ahead && self.paused {
            self.shared.pipeline.resume(&self.log);
            tracing::info!(origin = self.log.origin(), "the log takes entries again");
        }
        self.paused = ahead;
    }
}

/// Halts a log for what a witness remembers, and writes evidence where two signatures convict it.
pub(super) fn convict(shared: &Shared, log: &Arc<Log>, names: &[String], against: &Against) {
    let (origin, witness) = (log.origin(), names.join(" "));
    tracing::error!(
        origin,
        witness,
        tree_size = against.head.size.get(),
        error = against.reason,
        "the log halts: its key has signed what its tree does not extend"
    );
    let mut reason = against.reason.clone();
    if let Some(evidence) = &against.evidence {
        match keep_evidence(&shared.config.evidence, evidence) {
            Ok(path) => reason = format!("{reason}; evidence: {}", path.display()),
            Err(error) => tracing::error!(origin, error = %error, "evidence can't be written"),
        }
    }
    shared.pipeline.halt(log, reason);
}
