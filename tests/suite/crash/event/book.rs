//! What was sent to an audit log, and what it promised.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use attestree::core::{
    hash::TreeHash,
    note::VerifierKey,
    record::{Opening, PolicyDigest},
};
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::crash::{ledger::Clock, site::NewLog};

/// The record of an event, as it was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) index: u64,
    pub(super) leaf: TreeHash,
    /// The exact bytes, where they were asked for.
    pub(super) entry: Option<Bytes>,
    /// What opens its commitments, where that was asked for.
    pub(super) openings: Vec<Opening>,
    /// When the answer came, by the recorder's clock.
    pub(super) at: u64,
}

/// An event that was sent. Its `ctx.n` is its position in [`Ledger::sent`].
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) event: String,
    /// Whether the client sends it that numbers its events.
    pub(super) numbered: bool,
    /// The idempotency key; empty for none.
    pub(super) key: String,
    pub(super) taken: Option<Taken>,
}

/// A policy that was applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) digest: PolicyDigest,
    /// The index and the time of the answer, if there was one.
    pub(super) answered: Option<(u64, u64)>,
}

/// Everything between the clients and the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) sent: Vec<Sent>,
    /// Positions of events that were sent as one atomic batch.
    pub(super) batches: Vec<Range<usize>>,
    /// The policy of number `n` is at position `n`.
    pub(super) switches: Vec<Switch>,
    /// Events that are only counted: how many were sent, and when which were acknowledged.
    pub(super) noise_sent: u64,
    pub(super) noise_at: Vec<u64>,
    /// The number that the source gives next, and the event with the one before it as long as that is not
    /// acknowledged.
    pub(super) seq: u64,
    pub(super) unanswered: Option<usize>,
    /// Numbers that the source left out: the first of them, and the next that it gave.
    pub(super) skipped: Vec<(u64, u64)>,
}

impl Ledger {
    /// Notes an event, which gets its number; returns that.
    fn push(&mut self, key: String, mut event: Value) -> usize {
        let number = self.sent.len();
        event["ctx"]["n"] = number.into();
        let numbered = event.get("seq").is_some();
        self.sent.push(Sent { event: event.to_string(), numbered, key, taken: None });
        number
    }

    /// Forgets what was answered at or after a moment of the recorder's clock.
    pub(super) fn before(&self, moment: u64) -> Self {
        let mut ledger = self.clone();
        for sent in &mut ledger.sent {
            sent.taken.take_if(|taken| taken.at >= moment);
        }
        for switch in &mut ledger.switches {
            switch.answered.take_if(|(_, at)| *at >= moment);
        }
        ledger.noise_at.retain(|at| *at < moment);
        ledger
    }

    /// Returns whether anything was acknowledged.
    pub(super) fn is_promised(&self) -> bool {
        self.sent.iter().any(|sent| sent.taken.is_some())
    }
}

/// The ledger while clients write into it. Clones share it.
#[derive(Clone)]
pub(super) struct Book {
    ledger: Arc<Mutex<Ledger>>,
    clock: Clock,
    /// Number of answers.
    count: Arc<watch::Sender<u64>>,
    pub(super) vkey: VerifierKey,
}

impl Book {
    /// Opens the account of a new log.
    pub(super) fn new(log: &NewLog) -> Self {
        Self {
            ledger: Arc::default(),
            clock: Arc::new(|| 0),
            count: Arc::new(watch::Sender::new(0)),
            vkey: VerifierKey::parse(&log.vkey).unwrap(),
        }
    }

    /// Reads the time from this clock from here on.
    pub(super) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns a book with its own copy of the ledger.
    pub(super) fn copy(&self) -> Self {
        self.with_ledger(self.ledger())
    }

    /// Returns a book of the same log that says something else.
    pub(super) fn with_ledger(&self, ledger: Ledger) -> Self {
        Self { ledger: Arc::new(Mutex::new(ledger)), ..self.clone() }
    }

    /// Returns the ledger as it stands.
    pub(super) fn ledger(&self) -> Ledger {
        self.lock().clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no client panics while it writes")
    }

    /// Notes an event before it is sent; `make` gets its number. Its key is made of a name and its number.
    pub(super) fn send(&self, name: &str, make: impl FnOnce(usize) -> Value) -> usize {
        let mut ledger = self.lock();
        let number = ledger.sent.len();
        ledger.push(format!("{name}-{number}"), make(number))
    }

    /// Notes the events of an atomic batch before they are sent.
    pub(super) fn send_batch(&self, count: u64, make: impl Fn(usize) -> Value) -> Range<usize> {
        let mut ledger = self.lock();
        let first = ledger.sent.len();
        for number in first..first + count as usize {
            ledger.push(String::new(), make(number));
        }
        let all = first..ledger.sent.len();
        ledger.batches.push(all.clone());
        all
    }

    /// Notes the events of a body of lines before they are sent; returns the key of the body as well.
    pub(super) fn send_lines(
        &self,
        count: usize,
        make: impl Fn(usize) -> Value,
    ) -> (String, Range<usize>) {
        let mut ledger = self.lock();
        let first = ledger.sent.len();
        let key = format!("lines-{first}");
        for line in 1..=count {
            let number = ledger.sent.len();
            ledger.push(format!("{key}-{line}"), make(number));
        }
        (key, first..ledger.sent.len())
    }

    /// Returns the texts of events.
    pub(super) fn texts(&self, numbers: Range<usize>) -> Vec<String> {
        self.lock().sent[numbers].iter().map(|sent| sent.event.clone()).collect()
    }

    /// Notes the answer to an event. What was answered before is the same again.
    pub(super) fn answer(&self, number: usize, mut taken: Taken) {
        taken.at = (self.clock)();
        let mut ledger = self.lock();
        let ledger = &mut *ledger;
        let before = &mut ledger.sent[number].taken;
        if let Some(before) = before {
            assert_eq!((before.index, before.leaf), (taken.index, taken.leaf), "of event {number}");
            return;
        }
        *before = Some(taken);
        if ledger.unanswered == Some(number) {
            ledger.unanswered = None;
        }
        self.count.send_modify(|count| *count += 1);
    }

    /// Notes that an event was counted.
    pub(super) fn counted(&self) {
        let at = (self.clock)();
        self.lock().noise_at.push(at);
        self.count.send_modify(|count| *count += 1);
    }

    /// Notes the answer to a policy.
    pub(super) fn switched(&self, number: usize, index: u64) {
        let at = (self.clock)();
        self.lock().switches[number].answered = Some((index, at));
    }

    /// Returns a receiver of the number of answers.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}
