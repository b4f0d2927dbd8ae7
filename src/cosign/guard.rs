//! The rollback guard at work: asks the witnesses of a log until enough have been heard, then lets it
//! sign.

use core::time::Duration;
use std::sync::Arc;

use tokio::{task::JoinSet, time::sleep};

use super::{
    Shared,
    ask::{Look, Said, ask},
    inspect::{Finding, inspect},
    log::{Jitter, convict},
    round::Draw as _,
};
use crate::{
    client::AddCheckpointAnswer,
    core::witness::AddCheckpoint,
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
                let error = match tokio::task::spawn_blocking(signing).await {
                    Ok(Ok(())) => {
                        tracing::info!(
                            origin = log.origin(),
                            "the witnesses were heard; the log signs"
                        );
                        return true;
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                tracing::error!(origin = log.origin(), error, "the log can't sign");
                return false;
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
    let trust = Arc::clone(witnessed.trust());
    let ours = shared.pipeline.edge(log).size();
    let mut examination = Examination::new(log.number(), trust, ours);
    // The last checkpoint that was stored with a signature, or that of the empty tree: nothing new is
    // signed to ask.
    let last = log.signed();
    let mut asked = JoinSet::new();
    for (endpoint, address) in shared.endpoints.iter().enumerate() {
        let (address, origin) = (address.clone(), log.row().origin.clone());
        let request = AddCheckpoint {
            old_size: last.head().size,
            proof: Vec::new(),
            note: last.checkpoint.note().clone(),
        };
        let clock = Arc::clone(shared.pipeline.clock());
        asked.spawn(
            async move { (endpoint, ask(address, origin, request, Look::Always, clock).await) },
        );
    }
    while let Some(said) = asked.join_next().await {
        // A question that panicked is one that was not answered.
        let Ok((endpoint, said)) = said else { continue };
        if !hear(shared, log, &last, endpoint, said, &mut examination) {
            return Heard::Never;
        }
        if let Ok(permit) = examination.conclude() {
            return Heard::Enough(permit);
        }
    }
    let error = examination.unproven().map(|unproven| unproven.to_string()).unwrap_or_default();
    tracing::error!(
        origin = log.origin(),
        error,
        "the log waits for its witnesses and does not sign"
    );
    Heard::TooFew
}

/// Takes note of what one address said. Returns false if it stands against the log.
fn hear(
    shared: &Shared,
    log: &Arc<Log>,
    last: &Published,
    endpoint: usize,
    said: Said,
    examination: &mut Examination,
) -> bool {
    let address = shared.endpoints.get(endpoint).expect("the address that was asked");
    let mut remembered = None;
    if let Some(note) = &said.remembered {
        match inspect(&shared.pipeline, log, note) {
            Finding::Nothing => {}
            Finding::Within(size) => remembered = Some(size),
            Finding::Against(against) => {
                convict(shared, log, address.names(), &against);
                return false;
            }
        }
    }
    match said.answer {
        Ok(AddCheckpointAnswer::Cosigned(lines)) => {
            let now = shared.pipeline.clock().now();
            let (head, size) = (last.head(), last.head().size);
            // A head that was no candidate before can't have its cosignatures kept; they count here.
            let text = last.checkpoint.clone();
            let _kept = log.take_cosignatures(head, &lines, now);
            let witnessed = log.witnessed().expect("only logs with witnesses wait for them");
            for witness in witnessed.signers(&text, &lines) {
                if address.witnesses().contains(&witness) {
                    examination.hear(witness, size.max(remembered.unwrap_or(size)));
                }
            }
        }
        Ok(AddCheckpointAnswer::Conflict { size }) => {
            for witness in address.witnesses() {
                examination.hear(*witness, size);
            }
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
