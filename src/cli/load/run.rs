//! One measurement: when callers send, what they got, and when it is over.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use super::histogram::Histogram;
use super::payload::Payload;
use crate::client::{ClientError, Refused};
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;

/// What bounds a measurement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// Time: what is answered after the warm-up and before the end counts.
    Time {
        /// Before the measurement.
        warmup: Duration,
        /// Of the measurement.
        duration: Duration,
    },
    /// Entries: everything counts, until all are answered.
    Entries(u64),
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Time from submission to receipt, of each request.
    pub(super) latency: Histogram,
    /// Entries that were answered.
    pub(super) entries: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Requests that were refused with a time to come back.
    pub(super) refused: u64,
    /// Entries whose proof was verified.
    pub(super) verified: u64,
    /// Entries to be verified after the measurement: log, index and leaf hash.
    pub(super) pending: Vec<(usize, LeafIndex, TreeHash)>,
    sampler: ChaCha20Rng,
}

/// What all callers share. Everything runs on one thread, so no lock is ever waited for.
pub(super) struct Run {
    pub(super) payload: Payload,
    sample: f64,
    bound: Bound,
    interval: Option<Duration>,
    started: Instant,
    sent: AtomicU64,
    stopped: AtomicBool,
    tally: Mutex<Tally>,
}

/// A turn to send one request.
pub(super) struct Turn {
    /// When it was due: with a rate, latency counts from here, so that a slow answer is not hidden
    /// by the requests that were not sent meanwhile.
    pub(super) due: Instant,
    /// How many entries it may hold.
    pub(super) entries: usize,
}

impl Run {
    /// Starts the clock. `rate` is in entries a second, `batch` entries go into one request.
    pub(super) fn start(
        payload: Payload,
        bound: Bound,
        rate: Option<u64>,
        batch: usize,
        sample: f64,
    ) -> Arc<Self> {
        let entries = f64::from(u32::try_from(batch).unwrap_or(u32::MAX));
        let interval = rate.map(|rate| Duration::from_secs_f64(entries / rate.max(1) as f64));
        let tally = Tally {
            latency: Histogram::new(),
            entries: 0,
            bytes: 0,
            refused: 0,
            verified: 0,
            pending: Vec::new(),
            sampler: ChaCha20Rng::seed_from_u64(0),
        };
        Arc::new(Self {
            payload,
            sample,
            bound,
            interval,
            started: Instant::now(),
            sent: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            tally: Mutex::new(tally),
        })
    }

    /// Waits for the next turn to send up to `entries`; `None` when the measurement is over.
    pub(super) async fn turn(&self, entries: usize) -> Option<Turn> {
        let turn = self.try_turn(entries)?;
        if self.interval.is_some() {
            tokio::time::sleep_until(turn.due).await;
        }
        Some(turn)
    }

    /// Takes the next turn, whenever it is due.
    pub(super) fn try_turn(&self, entries: usize) -> Option<Turn> {
        if self.stopped.load(Relaxed) {
            return None;
        }
        let wanted = u64::try_from(entries).unwrap_or(u64::MAX);
        let before = self.sent.fetch_add(wanted, Relaxed);
        let entries = match self.bound {
            Bound::Entries(all) => all.saturating_sub(before).min(wanted),
            Bound::Time { warmup, duration } => {
                if self.started.elapsed() >= warmup + duration {
                    return None;
                }
                wanted
            }
        };
        if entries == 0 {
            return None;
        }
        let due = match self.interval {
            Some(interval) => {
                let requests = before / wanted.max(1);
                self.started + interval.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX))
            }
            None => Instant::now(),
        };
        Some(Turn { due, entries: usize::try_from(entries).unwrap_or(usize::MAX) })
    }

    /// Returns whether this request is one whose proof is verified.
    pub(super) fn samples(&self) -> bool {
        // 32 random bits as a number from 0 up to 1.
        f64::from(self.tally().sampler.next_u32()) / 4_294_967_296.0 < self.sample
    }

    /// Counts the answer to entries that were sent.
    pub(super) fn answered(&self, due: Instant, entries: usize) {
        self.read(due, entries, entries * self.payload.size());
    }

    /// Counts an answer to a request for entries of so many bytes together.
    pub(super) fn read(&self, due: Instant, entries: usize, bytes: usize) {
        let now = Instant::now();
        if let Bound::Time { warmup, duration } = self.bound {
            let begin = self.started + warmup;
            if now < begin || now > begin + duration {
                return;
            }
        }
        let mut tally = self.tally();
        tally.latency.record(now.saturating_duration_since(due));
        tally.entries += u64::try_from(entries).unwrap_or(u64::MAX);
        tally.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// Counts entries whose proof was verified.
    pub(super) fn verified(&self, entries: usize) {
        self.tally().verified += u64::try_from(entries).unwrap_or(u64::MAX);
    }

    /// Keeps an entry to be verified after the measurement.
    pub(super) fn verify_later(&self, log: usize, index: LeafIndex, entry: &Bytes) {
        self.tally().pending.push((log, index, TreeHash::leaf(entry)));
    }

    /// Waits as a refusal asks, or ends everything with the error.
    pub(super) async fn refused(&self, error: ClientError) -> anyhow::Result<()> {
        let ClientError::Refused(refused) = &error else {
            return Err(self.failed(error));
        };
        let Some(wait) = refused.retry_after else {
            return Err(self.failed(error));
        };
        self.back_off(wait).await;
        Ok(())
    }

    /// Waits as the refusal of one entry of a stream asks.
    pub(super) async fn refused_one(&self, refused: Refused) -> anyhow::Result<()> {
        self.refused(ClientError::Refused(Box::new(refused))).await
    }

    async fn back_off(&self, wait: Duration) {
        self.tally().refused += 1;
        tokio::time::sleep(wait).await;
    }

    /// Makes every caller stop.
    fn failed(&self, error: ClientError) -> anyhow::Error {
        self.stopped.store(true, Relaxed);
        error.into()
    }

    /// Returns the seconds that were measured.
    pub(super) fn seconds(&self) -> f64 {
        match self.bound {
            Bound::Time { duration, .. } => duration.as_secs_f64(),
            Bound::Entries(_) => self.started.elapsed().as_secs_f64(),
        }
    }

    /// Returns what was measured.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
