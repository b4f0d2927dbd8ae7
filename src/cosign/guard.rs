//! The rollback guard at work: asks the witnesses of a log until enough have been heard, then lets it
//! sign.

use core::time::Duration;
use std::sync::Arc;

use tokio::{task::JoinSet, time::sleep};

use super::{
    Shared,
    ask::{Look, Said, ask, prove},
    endpoint::Endpoint,
    inspect::{Finding, inspect},
    log::{Jitter, convict},
    round::Draw as _,
};
use crate::{
    client::AddCheckpointAnswer,
    core::{hash::TreeHash, note::NoteSignature, number::TreeSize, witness::AddCheckpoint},
    pipeline::{Examination, Guarded, Log, Published},
};

/// How long the guard rests after it has asked everyone in vain, at first and at most. A log that
/// waits is an outage, so it rests for seconds and not for minutes.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Waits until the log may sign. Returns false if it never will in this process.
pub(super) async fn pass(shared: &Arc<Shared>, log: &Arc<Log>, jitter: &mut Jitter) -> bool {
    let mut rest = REST.0;
    while shared.pipeline.is_guarding(log) {
        match examine(shared, log).await {
            Heard::Enough(permit) => {
                let pipeline = shared.pipeline.clone();
                let signing = move || pipeline.begin_signing(&permit);
                // A failure is fatal to the process, which has been told.
                if !matches!(tokio::task::spawn_blocking(signing).await, Ok(Ok(()))) {
                    return false;
                }
                tracing::info!(origin = log.origin(), "the witnesses were heard; the log signs");
                return true;
            }
            Heard::Never => return false,
            Heard::TooFew => {
                let millis = u64::try_from(rest.as_millis()).expect("seconds");
                sleep(Duration::from_millis(millis / 2 + jitter.below(millis))).await;
                rest = (rest * 2).min(REST.1);
            }
        }
    }
    true
}

/// What came of asking all witnesses once.
enum Heard {
    /// Enough to sign.
    Enough(Guarded),
    /// Too little; they are to be asked again.
    TooFew,
    /// A signature that stands against the log.
    Never,
}

/// Asks every address at once and listens until it knows enough.
async fn examine(shared: &Arc<Shared>, log: &Arc<Log>) -> Heard {
    let witnessed = log.witnessed().expect("only logs with witnesses wait for them");
    let ours = shared.pipeline.edge(log).size();
    let examination = Examination::new(log.number(), Arc::clone(witnessed.trust()), ours);
    // The last checkpoint that was stored with a signature, or that of the empty tree: nothing new is
    // signed to ask.
    let last = log.signed();
    let mut round = Round { shared, log, ours, last, examination, asked: JoinSet::new() };
    for endpoint in 0..shared.endpoints.len() {
        round.ask(endpoint, round.last.head().size, Vec::new());
    }
    while let Some(said) = round.asked.join_next().await {
        // A question that panicked is one that was not answered.
        let Ok((endpoint, from, said)) = said else { continue };
        if !round.hear(endpoint, from, said) {
            return Heard::Never;
        }
        if let Ok(permit) = round.examination.conclude() {
            return Heard::Enough(permit);
        }
    }
    let unproven = round.examination.unproven();
    let error = unproven.map(|unproven| unproven.to_string()).unwrap_or_default();
    tracing::error!(
        origin = log.origin(),
        error,
        "the log waits for its witnesses and does not sign"
    );
    Heard::TooFew
}

/// One round of questions.
struct Round<'a> {
    shared: &'a Arc<Shared>,
    log: &'a Arc<Log>,
    /// Size of the tree that the log holds.
    ours: TreeSize,
    /// What is sent.
    last: Arc<Published>,
    examination: Examination,
    /// The address, the size that it was told to start from, and what it said.
    asked: JoinSet<(usize, TreeSize, Said)>,
}

impl Round<'_> {
    fn address(&self, endpoint: usize) -> &Endpoint {
        self.shared.endpoints.get(endpoint).expect("the address that was asked")
    }

    /// Sends the last checkpoint to an address.
    fn ask(&mut self, endpoint: usize, from: TreeSize, proof: Vec<TreeHash>) {
        let (address, origin) = (self.address(endpoint).clone(), self.log.row().origin.clone());
        let note = self.last.checkpoint.note().clone();
        let request = AddCheckpoint { old_size: from, proof, note };
        let clock = Arc::clone(self.shared.pipeline.clock());
        self.asked.spawn(async move {
            (endpoint, from, ask(address, origin, request, Look::Always, clock).await)
        });
    }

    /// Takes note of what one address said. Returns false if it stands against the log.
    fn hear(&mut self, endpoint: usize, from: TreeSize, said: Said) -> bool {
        let (log, address) = (self.log, self.address(endpoint).clone());
        let mut remembered = None;
        if let Some(note) = &said.remembered {
            match inspect(&self.shared.pipeline, log, note) {
                Finding::Nothing => {}
                Finding::Within(size) => remembered = Some(size),
                Finding::Against(against) => {
                    convict(self.shared, log, address.names(), &against);
                    return false;
                }
            }
        }
        match said.answer {
            Ok(AddCheckpointAnswer::Cosigned(lines)) => {
                self.hear_cosignatures(&address, &lines, remembered);
            }
            Ok(AddCheckpointAnswer::Conflict { size }) => {
                self.hear_size(endpoint, from, size, remembered);
            }
            Ok(AddCheckpointAnswer::Refused { status, text }) => {
                let error = format!("{status} {text}");
                let witness = address.names().join(" ");
                tracing::warn!(
                    origin = log.origin(),
                    witness,
                    error,
                    "a witness refused the log's last checkpoint"
                );
            }
            Err(error) => {
                let witness = address.names().join(" ");
                tracing::warn!(origin = log.origin(), witness, error = %error, "a witness was not heard");
            }
        }
        true
    }

    /// Takes cosignatures of the last checkpoint: whoever made one has compared it with its memory.
    fn hear_cosignatures(
        &mut self,
        address: &Endpoint,
        lines: &[NoteSignature],
        remembered: Option<TreeSize>,
    ) {
        let (head, now) = (self.last.head(), self.shared.pipeline.clock().now());
        // A head that was no candidate before can't have its cosignatures kept; they count here.
        let _kept = self.log.take_cosignatures(head, lines, now);
        let witnessed = self.log.witnessed().expect("only logs with witnesses wait for them");
        for witness in witnessed.signers(&self.last.checkpoint, lines) {
            if address.witnesses().contains(&witness) {
                self.examination.hear(witness, head.size.max(remembered.unwrap_or(head.size)));
            }
        }
    }

    /// Takes the size that an address says it has cosigned.
    ///
    /// A number says nothing of the tree. It counts if there is no tree, if it is beyond the log's own,
    /// or if the checkpoint is shown as well, which was compared. A witness that shows none is sent the
    /// last checkpoint again with the proof from its size, so that it compares for itself.
    fn hear_size(
        &mut self,
        endpoint: usize,
        from: TreeSize,
        size: TreeSize,
        remembered: Option<TreeSize>,
    ) {
        let shown = remembered.filter(|shown| *shown >= size);
        let address = self.address(endpoint).clone();
        if size == TreeSize::ZERO || size > self.ours || shown.is_some() {
            for witness in address.witnesses() {
                self.examination.hear(*witness, shown.unwrap_or(size));
            }
            return;
        }
        let is_first = from == self.last.head().size;
        let proof =
            (is_first && size < from).then(|| prove(self.shared, self.log, &self.last, size));
        if let Some(proof) = proof.flatten() {
            self.ask(endpoint, size, proof);
            return;
        }
        let witness = address.names().join(" ");
        tracing::warn!(
            origin = self.log.origin(),
            witness,
            tree_size = size.get(),
            "a witness names a size and does not show the checkpoint: it was not heard"
        );
    }
}
