//! Reading the logs that have an address, and delivering cosignatures to those that take them.
//!
//! One task a log waits for its turn, at intervals that differ by up to a quarter so that a thousand
//! witnesses don't come at once; a bounded number of them reads at a time. What is read goes the same
//! way as what is pushed. A log that does not answer is "unresponsive", and one that shows an older
//! checkpoint is behind: both are counted and said, and neither is held against it. Only what the log has
//! signed convicts it.

use core::time::Duration;
use std::sync::Arc;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Denial, Witness, book::Log};
use crate::{
    client::{ClientError, Comparison, Courier, TileClient, TileTree, compare},
    core::{
        checkpoint::SignedCheckpoint,
        hash::TreeHash,
        note::{NoteSignature, SignedNote, VerifierKey},
        number::TreeSize,
        tile::Resource,
        witness::AddCheckpoint,
    },
};

/// Logs that are read at the same time: each may hold a few tiles of 8 KiB.
pub const POLLS_MAX: usize = 64;

/// Longest time between two tries, however often they fail.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// How long reading one log may take, all its tiles together.
const POLL_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a delivery may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// A checkpoint that stands still is cosigned again when the cosignature that it carries is older: the
/// time says until when there was no other.
const REFRESH_SECONDS: u64 = 600;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
enum PollError {
    /// It did not answer, or not with its tree.
    #[error("unresponsive: {0}")]
    Unresponsive(#[from] ClientError),
    /// It took too long.
    #[error("unresponsive: no whole answer in {POLL_TIMEOUT:?}")]
    TimedOut,
    /// What it shows is no checkpoint under its keys.
    #[error("what it shows is no checkpoint that it has signed")]
    Unsigned,
    /// It shows an older checkpoint.
    #[error("it shows size {shown}, and has shown {known} before")]
    Behind {
        /// The size that it shows.
        shown: TreeSize,
        /// The size that was cosigned.
        known: TreeSize,
    },
    /// The checkpoint is not cosigned.
    #[error(transparent)]
    Denied(#[from] Denial),
}

/// How one log is read.
#[derive(Clone, Debug)]
pub struct Route {
    /// Position of the log in the book.
    pub position: usize,
    /// Its tiles.
    pub tiles: TileClient,
    /// Where cosignatures are delivered.
    pub courier: Courier,
}

impl Witness {
    /// Reads one log over and over until `closing`.
    pub async fn poll(
        self: Arc<Self>,
        route: Route,
        interval: Duration,
        seed: [u8; 32],
        turns: Arc<Semaphore>,
        closing: CancellationToken,
    ) {
        let mut random = ChaCha20Rng::from_seed(seed);
        let log = self.book.log_at(route.position);
        let mut failures = 0_u32;
        // Not all at once after a start either.
        let mut wait = jitter(&mut random, interval / 10, interval / 10);
        loop {
            if closing.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
            let turn = async {
                let _turn = turns.acquire().await.expect("the semaphore is never closed");
                let polling = timeout(POLL_TIMEOUT, self.poll_once(log, &route));
                polling.await.unwrap_or(Err(PollError::TimedOut))
            };
            match closing.run_until_cancelled(turn).await {
                None => return,
                Some(Ok(())) => failures = 0,
                Some(Err(error)) => {
                    self.metrics.poll_failed(log.origin());
                    // Said once, and again when it has lasted.
                    if failures.is_power_of_two() || failures == 0 {
                        tracing::warn!(origin = %log.origin(), error = %error, "a log could not be read");
                    }
                    failures = failures.saturating_add(1);
                }
            }
            let doubled = interval.saturating_mul(1 << failures.min(10));
            let wanted = doubled.min(WAIT_MAX.max(interval));
            wait = jitter(&mut random, wanted * 3 / 4, wanted / 2);
        }
    }

    /// Reads one log, cosigns what it shows, and delivers the cosignature.
    async fn poll_once(&self, log: &Log, route: &Route) -> Result<(), PollError> {
        let state = log.state();
        if state.disabled || state.frozen.is_some() {
            return Ok(());
        }
        let note = route.tiles.fetch(&Resource::Checkpoint).await?;
        let verify = |key: &VerifierKey| SignedCheckpoint::verify(&note, key).ok();
        let newer = log.witnessed.keys.iter().find_map(verify).ok_or(PollError::Unsigned)?;
        let known = state.head().map_or(TreeSize::ZERO, |head| head.size);
        let shown = newer.head().size;
        if shown < known {
            return Err(PollError::Behind { shown, known });
        }
        if state.head() == Some(newer.head()) && self.is_fresh(&newer) {
            return Ok(());
        }
        let mut request = AddCheckpoint { old_size: known, proof: Vec::new(), note };
        if TreeSize::ZERO < known && known < shown {
            // What the tiles say is only needed if the request stands.
            self.look_for_misbehaviour(log, state.head().as_ref(), &request).await?;
            let Some(proof) = self.prove(log, route, known, &newer).await? else { return Ok(()) };
            request.proof = proof;
        }
        let line = self.cosign(log, &request).await?;
        self.deliver(log, route, &newer, &line).await;
        Ok(())
    }

    /// Returns whether a checkpoint carries a cosignature of this witness that is not old.
    fn is_fresh(&self, checkpoint: &SignedCheckpoint) -> bool {
        let own = self.key.verifier_key();
        let note = SignedNote::parse(checkpoint.note()).expect("a verified note parses");
        let times = note.signatures().iter().filter_map(|line| line.verify(own, note.text()).ok());
        let now = self.clock.now().0 / 1_000;
        times.flatten().any(|time| time.get().saturating_add(REFRESH_SECONDS) > now)
    }

    /// Makes the proof from what was cosigned to what the log shows, from the log's own tiles; freezes
    /// a log whose tiles convict it, and returns none.
    async fn prove(
        &self,
        log: &Log,
        route: &Route,
        known: TreeSize,
        newer: &SignedCheckpoint,
    ) -> Result<Option<Vec<TreeHash>>, PollError> {
        let older = log.state().latest.and_then(|latest| log.verified(&latest));
        let Some(older) = older else {
            // Cosigned under a key that is no longer configured. The proof is as good; what convicts
            // needs one key for both.
            let tree = TileTree::open(&route.tiles, newer).await?;
            return Ok(Some(tree.consistency(known).await?));
        };
        match compare(&route.tiles, &older, newer).await {
            Comparison::Consistent(proof) => Ok(Some(proof)),
            Comparison::Unresponsive(error) => Err(error.into()),
            Comparison::Guilty(evidence) => {
                let reason = format!(
                    "the log has signed a tree of size {} that does not begin with the one of size {known} that it \
                     signed before",
                    newer.head().size
                );
                self.freeze(log, reason, Some(*evidence)).await;
                Ok(None)
            }
        }
    }

    /// Brings a cosignature to the log, if it takes any.
    async fn deliver(
        &self,
        log: &Log,
        route: &Route,
        checkpoint: &SignedCheckpoint,
        line: &NoteSignature,
    ) {
        let delivery = route.courier.deliver(log.origin(), checkpoint.head(), line);
        match timeout(DELIVERY_TIMEOUT, delivery).await {
            Ok(Ok(_accepted)) => {}
            Ok(Err(error)) => {
                self.metrics.delivery_failed(log.origin());
                tracing::debug!(origin = %log.origin(), error = %error, "a cosignature was not delivered");
            }
            Err(_late) => self.metrics.delivery_failed(log.origin()),
        }
    }
}

/// Draws a time from `least` to `least + spread`.
fn jitter(random: &mut ChaCha20Rng, least: Duration, spread: Duration) -> Duration {
    // Thousandths are fine enough, and never zero of nothing.
    let part = u32::try_from(random.next_u64() % 1_000).expect("below 1,000");
    least + spread * part / 1_000
}
