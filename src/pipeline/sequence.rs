//! The second stage: one thread that gives leaf indices and integrates.
//!
//! It owns every log's queue, right edge and identities, so nothing here needs a lock. It never
//! waits for more entries: whatever waits when the committer is free is the next batch. Under load
//! it prepares one batch while another is being synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
};

use super::{
    BATCH_LOGS_MAX, Clock,
    admit::Admitted,
    audit::{AuditLane, Change, Written},
    cycle::{Cycle, LogBatch, Order, Sequenced},
    head::Signer,
    identity::Identities,
    inbox::Inbox,
    log::{Log, LogStatus},
    meter::Meter,
    queue::Queue,
    ticket::Outcome,
};
use crate::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, LogNumber},
        tree::{Edge, SecondHead, SecondMismatch, SecondRoot},
    },
    store::{LogRows, LogState, Store, StoreError},
};

/// Entries that must wait before a batch is prepared while another is being committed.
///
/// Below it, hashing takes a small part of a sync, and a batch that is cut later is a larger one:
/// preparing ahead cost a sixth of the throughput of 64 unary callers and gained a sixth with
/// batches of 1,000 (`attestree load`, `benches/README.md`).
const OVERLAP_ENTRIES_MIN: u64 = 1_024;

/// What happens to the sequencer.
#[derive(Debug)]
pub(super) enum Event {
    /// A submission was admitted.
    Submit(Admitted),
    /// A log was opened or created.
    Open(Box<Opened>),
    /// A log is to halt, because of what its witnesses have shown.
    Halt(Arc<Log>, String),
    /// A policy is to be applied to a log.
    Apply(Arc<Log>, Box<Change>),
    /// An operator has confirmed the clock of a log.
    Confirm(LogNumber),
    /// Time has passed.
    Tick,
    /// The committer is done with a cycle; everything in it is durable or failed.
    Done(u64),
    /// The committer stopped because the store is poisoned.
    Poisoned,
    /// Commit what waits, then stop.
    Stop,
}

/// A log as the sequencer and the committer take it over.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) log: Arc<Log>,
    pub(super) edge: Edge,
    pub(super) second: SecondRoot,
    pub(super) signer: Signer,
    /// What only an audit log has.
    pub(super) audit: Option<AuditLane>,
}

/// The sequencer's part of one log.
#[derive(Debug)]
struct Lane {
    log: Arc<Log>,
    edge: Edge,
    second: SecondRoot,
    identities: Identities,
    /// What only an audit log has.
    audit: Option<AuditLane>,
}

/// The state of the sequencer thread.
pub(super) struct Sequencer {
    store: Store,
    clock: Arc<dyn Clock>,
    identity_window: Option<u64>,
    meter: Meter,
    events: Inbox,
    orders: mpsc::Sender<Order>,
    lanes: BTreeMap<LogNumber, Lane>,
    queue: Queue,
    /// Logs that have something to record which nobody submitted.
    due: BTreeSet<LogNumber>,
    /// Number of the last cycle that was sent.
    sent: u64,
    /// Number of the last cycle that the committer is done with.
    done: u64,
    stopping: bool,
    poisoned: bool,
}

impl Sequencer {
    /// Makes the sequencer of a server without logs; [`Event::Open`] adds them.
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        identity_window: Option<u64>,
        meter: Meter,
        events: Inbox,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self {
            store,
            clock,
            identity_window,
            meter,
            events,
            orders,
            lanes: BTreeMap::new(),
            queue: Queue::default(),
            due: BTreeSet::new(),
            sent: 0,
            done: 0,
            stopping: false,
            poisoned: false,
        }
    }

    /// Runs until it is told to stop and nothing is left to commit, or until the store is poisoned.
    pub(super) fn run(mut self) {
        let mut events = Vec::new();
        while !self.finished() {
            self.events.receive(self.wanted(), &mut events);
            events.drain(..).for_each(|event| self.apply(event));
            while self.may_cut() {
                self.cycle();
            }
        }
    }

    /// Returns how many more entries must wait before there is something to do.
    fn wanted(&self) -> u64 {
        match self.sent - self.done {
            0 => 1,
            1 => OVERLAP_ENTRIES_MIN.saturating_sub(self.queue.entries()),
            _ => u64::MAX,
        }
    }

    fn finished(&self) -> bool {
        self.poisoned || (self.stopping && !self.has_work() && self.sent == self.done)
    }

    /// Changes the state by one event.
    fn apply(&mut self, event: Event) {
        match event {
            Event::Submit(group) => self.queue.push(group),
            Event::Open(opened) => {
                let Opened { log, edge, second, signer, mut audit } = *opened;
                // The order of this channel puts the signer before any cycle that needs it.
                let _committer_gone = self.orders.send(Order::Open(Box::new(signer)));
                if let Some(audit) = &mut audit {
                    audit.start(&*self.clock);
                }
                let identities = Identities::default();
                let lane = Lane { log: Arc::clone(&log), edge, second, identities, audit };
                self.lanes.insert(log.number(), lane);
                self.look(log.number());
            }
            Event::Apply(log, change) => {
                if let Some(audit) = self.audit(log.number()) {
                    audit.change(*change);
                }
                self.look(log.number());
            }
            Event::Confirm(log) => {
                let clock = Arc::clone(&self.clock);
                if let Some(audit) = self.audit(log) {
                    audit.confirm(&*clock);
                }
                self.look(log);
            }
            Event::Tick => {
                let logs: Vec<LogNumber> = self.lanes.keys().copied().collect();
                logs.into_iter().for_each(|log| self.look(log));
            }
            Event::Halt(log, reason) => {
                let _committer_gone = self.orders.send(Order::Halt(log, reason));
            }
            Event::Done(cycle) => {
                self.done = cycle;
                for lane in self.lanes.values_mut() {
                    lane.identities.committed(cycle);
                }
            }
            Event::Poisoned => {
                self.poisoned = true;
                self.queue.clear();
            }
            Event::Stop => self.stopping = true,
        }
    }

    /// Returns what only an audit log has.
    fn audit(&mut self, log: LogNumber) -> Option<&mut AuditLane> {
        self.lanes.get_mut(&log)?.audit.as_mut()
    }

    /// Looks whether a log has something to record that nobody submitted.
    fn look(&mut self, log: LogNumber) {
        let due = self.lanes.get(&log).is_some_and(|lane| lane.is_due(&*self.clock));
        if due {
            self.due.insert(log);
        }
    }

    /// Takes what goes into the next commit: what was submitted, and logs that have something to say.
    fn cut(&mut self) -> BTreeMap<LogNumber, Vec<Admitted>> {
        let mut cut: BTreeMap<_, _> = self.queue.cut().into_iter().collect();
        while cut.len() < BATCH_LOGS_MAX
            && let Some(log) = self.due.pop_first()
        {
            cut.entry(log).or_default();
        }
        cut
    }

    /// Returns whether anything waits.
    fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.due.is_empty()
    }

    fn may_cut(&self) -> bool {
        let in_flight = self.sent - self.done;
        !self.poisoned
            && self.has_work()
            && (in_flight == 0 || (in_flight == 1 && self.queue.entries() >= OVERLAP_ENTRIES_MIN))
    }

    /// Cuts a batch, hands it to the committer, and computes its roots again while that one waits
    /// for the disk.
    fn cycle(&mut self) {
        let started = self.clock.monotonic();
        let number = self.sent + 1;
        let mut batches = Vec::new();
        for (log, groups) in self.cut() {
            let lane = self.lanes.get_mut(&log).expect("a group is admitted to an open log only");
            match lane.batch(number, groups, &self.store, &*self.clock, self.identity_window) {
                Ok(batch) => batches.extend(batch),
                Err(error) => {
                    // The look-up changed nothing; the groups fail and the log goes on.
                    tracing::error!(origin = lane.log.origin(), error = %error, "identity look-up failed");
                }
            }
        }
        if batches.is_empty() {
            return;
        }
        let rows: Vec<_> = batches
            .iter()
            .filter_map(|batch| Some((batch.log.number(), Arc::clone(batch.rows.as_ref()?))))
            .collect();
        self.meter.sequenced(self.clock.monotonic().saturating_sub(started));
        self.sent = number;
        if self.orders.send(Order::Commit(Cycle { number, batches })).is_err() {
            self.poisoned = true;
            return;
        }

        let verdicts = rows.into_iter().map(|(log, rows)| (log, self.check(log, &rows))).collect();
        if self.orders.send(Order::Verdict(verdicts)).is_err() {
            self.poisoned = true;
        }
    }

    /// Computes the root of a log's batch again, from the bytes that were handed to the store.
    fn check(&mut self, log: LogNumber, rows: &LogRows) -> Result<SecondHead, SecondMismatch> {
        let lane = self.lanes.get_mut(&log).expect("the lane that made the batch");
        let segments = rows.segments.iter().map(|(_, bytes)| bytes.as_slice());
        let tiles = rows.tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
        let (head, second) = lane.second.check(segments, tiles, rows.head.head)?;
        lane.second = second;
        Ok(head)
    }
}

impl Lane {
    /// Returns whether the log has something to record that nobody submitted.
    fn is_due(&self, clock: &dyn Clock) -> bool {
        let takes = self.log.row().state == LogState::Open
            && !matches!(self.log.status(), LogStatus::Halted | LogStatus::ClockDoubted);
        takes && self.audit.as_ref().is_some_and(|audit| audit.is_due(clock))
    }

    /// Decides the outcomes of the groups, integrates the new entries and encodes their rows.
    ///
    /// Returns nothing if every group was refused. On an error the tickets of all groups are
    /// dropped, which answers them.
    fn batch(
        &mut self,
        cycle: u64,
        groups: Vec<Admitted>,
        store: &Store,
        clock: &dyn Clock,
        window: Option<u64>,
    ) -> Result<Option<LogBatch>, StoreError> {
        self.identities.load(store, &groups)?;
        let previous = self.edge.head();
        let size = previous.size.get();
        let oldest = window.map_or(0, |window| size.saturating_sub(window));
        let oldest = LeafIndex::new(oldest).expect("an index below the tree's size");

        let mut written = Written::new(size);
        match &mut self.audit {
            Some(audit) => {
                audit.write(&self.log, groups, &mut self.identities, oldest, clock, &mut written);
            }
            None => groups.into_iter().for_each(|group| {
                append(group, &mut self.identities, oldest, &mut written);
            }),
        }
        let identities = self.identities.take(cycle);
        let Written { entries, leaf_hashes, extra, sequenced, .. } = written;
        let rows = if entries.is_empty() && identities.is_empty() && extra.is_empty() {
            if sequenced.is_empty() {
                return Ok(None);
            }
            None
        } else {
            let integration = self.edge.append(&leaf_hashes);
            let bytes = entries.iter().map(AsRef::as_ref);
            let number = self.log.number();
            let now = clock.now();
            let mut rows = LogRows::encode(number, now, previous, bytes, &integration, identities);
            rows.extra = extra;
            self.edge = integration.edge;
            Some(Arc::new(rows))
        };
        let log = Arc::clone(&self.log);
        Ok(Some(LogBatch {
            log,
            rows,
            edge: self.edge.clone(),
            groups: sequenced,
            entries: entries.len(),
        }))
    }
}

/// Decides what of a group of an opaque log is new, and appends that.
fn append(
    mut group: Admitted,
    identities: &mut Identities,
    oldest: LeafIndex,
    written: &mut Written,
) {
    let outcomes = match identities.resolve(&mut group, written.next().get(), oldest) {
        Ok(outcomes) => outcomes,
        Err(failure) => return group.fail(failure),
    };
    let Admitted { entries, permit, ticket, .. } = group;
    let leaf_hashes: Vec<TreeHash> = entries.iter().map(|entry| entry.leaf_hash).collect();
    for (entry, outcome) in entries.into_iter().zip(&outcomes) {
        if matches!(outcome, Outcome::Sequenced { .. }) {
            written.leaf_hashes.push(entry.leaf_hash);
            written.entries.push(entry.bytes);
        }
    }
    let records = Vec::new();
    written.sequenced.push(Sequenced { ticket, outcomes, leaf_hashes, records, permit });
}
