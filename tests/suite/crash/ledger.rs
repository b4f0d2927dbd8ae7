//! What the log promised: the acknowledgements and checkpoints that clients hold.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use attestree::core::{
    checkpoint::SignedCheckpoint, hash::TreeHash, note::VerifierKey, tree::TreeHead,
};
use tokio::sync::watch;

use super::site::NewLog;

/// One acknowledged entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// Its index.
    pub(crate) index: u64,
    /// Its leaf hash.
    pub(crate) leaf: TreeHash,
    /// When the answer came, by the recorder's clock.
    pub(crate) at: u64,
}

/// One checkpoint that a client saw and whose signature it verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Its head.
    pub(crate) head: TreeHead,
    /// When it came, by the recorder's clock.
    pub(crate) at: u64,
}

/// Something sent to a log, whether it was answered or not.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The entries, more than one for an atomic batch.
    pub(crate) entries: Vec<Vec<u8>>,
    /// The idempotency key; empty for none.
    pub(crate) key: Vec<u8>,
    /// The first index, once it was answered.
    pub(crate) answered: Option<u64>,
}

/// Everything between the clients and one log.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The log's origin.
    pub(crate) origin: String,
    /// The log's verifier key.
    pub(crate) vkey: VerifierKey,
    /// Submissions, in the order in which they were sent.
    pub(crate) sent: Vec<Sent>,
    /// Acknowledged entries.
    pub(crate) acks: Vec<Ack>,
    /// Checkpoints, in the order in which they came.
    pub(crate) seen: Vec<Seen>,
}

impl Account {
    /// Verifies a checkpoint's signature and keeps it.
    fn see(&mut self, note: &[u8], at: u64) -> TreeHead {
        let checkpoint = SignedCheckpoint::verify(note, &self.vkey)
            .unwrap_or_else(|error| panic!("a checkpoint of {} verifies: {error}", self.origin));
        let head = checkpoint.head();
        self.seen.push(Seen { head, at });
        head
    }

    /// Returns the leaf hashes of everything sent, each with its submission.
    pub(crate) fn leaves(&self) -> HashMap<TreeHash, usize> {
        let leaf = |(number, sent): (usize, &Sent)| {
            sent.entries
                .iter()
                .map(move |entry| (TreeHash::leaf(entry), number))
                .collect::<Vec<_>>()
        };
        self.sent.iter().enumerate().flat_map(leaf).collect()
    }
}

/// All accounts with one server, by origin.
pub(crate) type Ledger = BTreeMap<String, Account>;

/// Returns what was promised when the recorder's clock stood below `moment`.
pub(crate) fn promised_before(ledger: &Ledger, moment: u64) -> Ledger {
    let mut ledger = ledger.clone();
    for account in ledger.values_mut() {
        account.acks.retain(|ack| ack.at < moment);
        account.seen.retain(|seen| seen.at < moment);
    }
    ledger
}

/// Tells where the recorder's clock stands.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The ledger while clients write into it. Clones share it.
#[derive(Clone)]
pub(crate) struct Book {
    ledger: Arc<Mutex<Ledger>>,
    clock: Clock,
    /// Number of acknowledged entries of all logs.
    count: Arc<watch::Sender<u64>>,
}

impl Book {
    /// Opens accounts with new logs.
    pub(crate) fn new(logs: &[NewLog]) -> Self {
        let account = |log: &NewLog| Account {
            origin: log.origin.clone(),
            vkey: VerifierKey::parse(&log.vkey).unwrap(),
            sent: Vec::new(),
            acks: Vec::new(),
            seen: Vec::new(),
        };
        Self::from(logs.iter().map(|log| (log.origin.clone(), account(log))).collect::<Ledger>())
    }

    /// Returns a book with its own copy of this one's ledger.
    pub(crate) fn copy(&self) -> Self {
        Self::from(self.ledger())
    }

    /// Reads the time from this clock from here on.
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the ledger as it stands.
    pub(crate) fn ledger(&self) -> Ledger {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no client panics while it writes")
    }

    fn with<T>(&self, origin: &str, change: impl FnOnce(&mut Account) -> T) -> T {
        change(self.lock().get_mut(origin).expect("an account is opened for each log"))
    }

    /// Notes a submission before it is sent, and returns its number.
    pub(crate) fn send(&self, origin: &str, entries: Vec<Vec<u8>>, key: Vec<u8>) -> usize {
        self.with(origin, |account| {
            account.sent.push(Sent { entries, key, answered: None });
            account.sent.len() - 1
        })
    }

    /// Notes a checkpoint and returns its head.
    pub(crate) fn see(&self, origin: &str, note: &[u8]) -> TreeHead {
        let at = (self.clock)();
        self.with(origin, |account| account.see(note, at))
    }

    /// Notes the answer to a submission: the index of its first entry, the others following on.
    pub(crate) fn answer(&self, origin: &str, number: usize, first: u64) {
        let at = (self.clock)();
        let count = self.with(origin, |account| {
            let sent = &mut account.sent[number];
            assert!(
                sent.answered.is_none_or(|before| before == first),
                "a repeated submission gets the first index",
            );
            sent.answered = Some(first);
            let leaves: Vec<_> = sent.entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
            for (index, leaf) in (first..).zip(&leaves) {
                account.acks.push(Ack { index, leaf: *leaf, at });
            }
            leaves.len() as u64
        });
        self.count.send_modify(|acknowledged| *acknowledged += count);
    }

    /// Returns a receiver of the number of acknowledged entries.
    pub(crate) fn progress(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}

impl From<Ledger> for Book {
    fn from(ledger: Ledger) -> Self {
        let count = ledger.values().map(|account| account.acks.len() as u64).sum();
        Self {
            ledger: Arc::new(Mutex::new(ledger)),
            clock: Arc::new(|| 0),
            count: Arc::new(watch::Sender::new(count)),
        }
    }
}
