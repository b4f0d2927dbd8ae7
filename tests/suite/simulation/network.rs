//! Time and the network between the parties: messages are late, lost, doubled, overtaken and cut off.

use std::collections::{BTreeMap, BTreeSet};

use attestree::core::{hash::TreeHash, number::TreeSize, tree::TreeHead};
use bytes::Bytes;

use crate::random::Random;

/// Number of witnesses.
pub(super) const WITNESSES: usize = 5;

/// Milliseconds of virtual time.
pub(super) type Millis = u64;

/// Most milliseconds that a message is under way: longer than the time between two candidates of the
/// log, so that a message overtakes those of other rounds.
const DELAY_MAX: Millis = 1_500;

/// Who can be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    /// The log.
    Log,
    /// One of the witnesses.
    Witness(usize),
    /// The monitor.
    Monitor,
    /// The auditor.
    Auditor,
}

/// What is said.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// The log asks a witness, for one of its views, to cosign: a body of `add-checkpoint`.
    AddCheckpoint { view: usize, body: Vec<u8> },
    /// A witness answers that.
    Answer { view: usize, head: TreeHead, answer: Answer },
    /// Somebody reads the newest checkpoint and the leaves from a position on.
    Read { from: usize },
    /// What the log shows to a reader.
    Shown { note: Bytes, from: usize, leaves: Vec<TreeHash> },
    /// The auditor asks for the receipt of some entry, with a quorum or at the newest checkpoint.
    AskReceipt { chosen: u64, cosigned: bool },
    /// The entry, and the bytes of its receipt.
    Receipt { entry: String, receipt: Vec<u8> },
    /// The monitor asks a witness for what it remembers.
    AskLatest,
    /// A checkpoint that somebody holds and tells others of.
    Held { note: Bytes },
}

/// What a witness answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Signature lines.
    Cosigned(Vec<u8>),
    /// The size that it has cosigned last.
    Conflict(TreeSize),
    /// Another status.
    Refused,
}

/// What happens at some time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A message arrives.
    Arrival { from: Party, to: Party, message: Message },
    /// A write of a witness is on its disk.
    Written { witness: usize, work: u64 },
    /// A witness dies.
    Crash(usize),
    /// A party that is down comes up again.
    Restart(Party),
    /// It is a party's turn to do what it does by itself.
    Turn(Party),
    /// Something goes wrong.
    Trouble,
    /// A cut heals.
    Heal(Party, Party),
}

/// The clock, what is going to happen, and which links are cut.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) now: Millis,
    /// By time and, within one, by the order of scheduling.
    queue: BTreeMap<(Millis, u64), Event>,
    scheduled: u64,
    cuts: BTreeSet<(Party, Party)>,
    /// Whether messages get lost and doubled.
    pub(super) troubled: bool,
    random: Random,
}

impl Network {
    /// Starts the clock.
    pub(super) fn new(random: Random) -> Self {
        Self {
            now: 0,
            queue: BTreeMap::new(),
            scheduled: 0,
            cuts: BTreeSet::new(),
            troubled: true,
            random,
        }
    }

    /// Lets something happen after some time.
    pub(super) fn after(&mut self, delay: Millis, event: Event) {
        self.queue.insert((self.now + delay, self.scheduled), event);
        self.scheduled += 1;
    }

    /// Sends a message, which may never arrive, or twice.
    pub(super) fn send(&mut self, from: Party, to: Party, message: Message) {
        let copies = match self.random.below(100) {
            _ if self.cuts.contains(&link(from, to)) => 0,
            0..8 if self.troubled => 0,
            8..16 if self.troubled => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = 1 + self.random.below(DELAY_MAX);
            self.after(delay, Event::Arrival { from, to, message: message.clone() });
        }
    }

    /// Takes the next event, unless it is after `end`, and moves the clock to it.
    pub(super) fn next(&mut self, end: Millis) -> Option<Event> {
        let ((at, _), _) = self.queue.first_key_value()?;
        if *at > end {
            return None;
        }
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = at;
        Some(event)
    }

    /// Cuts a link for some time; what is under way still arrives.
    pub(super) fn cut(&mut self, one: Party, other: Party, time: Millis) {
        self.cuts.insert(link(one, other));
        self.after(time, Event::Heal(one, other));
    }

    /// Heals a link.
    pub(super) fn heal(&mut self, one: Party, other: Party) {
        self.cuts.remove(&link(one, other));
    }

    /// Ends all trouble.
    pub(super) fn calm(&mut self) {
        self.cuts.clear();
        self.troubled = false;
    }
}

/// Returns the link between two parties, whichever is named first.
fn link(one: Party, other: Party) -> (Party, Party) {
    (one.min(other), one.max(other))
}
