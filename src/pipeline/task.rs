//! The handle of the write path, and its threads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use tokio::sync::watch;

use super::{
    Clock, CreateError, Limits, Log, LogStatus, OpenError, Parts, Refusal, Submission, Ticket,
    admit::admit,
    audit::{AuditParts, first_rule},
    commit::Committer,
    guard::Guarded,
    inbox::{Inlet, inbox},
    open::{check_log, next_log},
    pool::{Permit, Room, Usage},
    sequence::{Event, Opened, Sequencer},
    waiting::{Waiting, WaitingLogs, WitnessPlan, settle},
};
use crate::{
    core::{
        note::SigningKey,
        number::{LogNumber, UnixMillis},
        record::ApprovalRule,
    },
    store::{LogKind, LogRow, LogState, Store, StoreError, TileReader, Watermark},
};

/// How often the watermark is made durable, in milliseconds: a copy that could be restored is older.
const WATERMARK_SYNC_MILLIS: u64 = 500;

/// The write path of a server. Clones share it.
#[derive(Clone)]
pub struct Pipeline {
    pub(super) shared: Arc<Shared>,
}

/// What the handles of one write path share.
pub(super) struct Shared {
    store: Store,
    pub(super) watermark: Arc<Watermark>,
    /// When the watermark was last made durable, in milliseconds of the monotonic clock.
    watermark_synced: Arc<AtomicU64>,
    reader: TileReader,
    clock: Arc<dyn Clock>,
    limits: Limits,
    pool: Arc<Usage>,
    logs: RwLock<Logs>,
    /// Logs that were checked and have not signed yet.
    pub(super) waiting: Mutex<WaitingLogs>,
    witnesses: Option<WitnessPlan>,
    audit: Option<AuditParts>,
    /// Held while a log is created, so that numbers and prefixes stay unique.
    creating: Mutex<()>,
    pub(super) events: Inlet,
    stopping: AtomicBool,
    short_of_space: AtomicBool,
    /// Told by whoever meets a write that failed.
    pub(super) fatal: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped to stop the watermark thread.
    ticking: Mutex<Option<mpsc::Sender<()>>>,
}

/// The logs of a server, found by name or in order.
#[derive(Default)]
struct Logs {
    by_origin: BTreeMap<String, Arc<Log>>,
    in_order: Vec<Arc<Log>>,
    /// Logs that were not opened: they carry a halt marker, or are closed and fail their checks.
    halted: Vec<LogRow>,
}

/// How the write path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything admitted was published.
    Clean,
    /// The store was poisoned; what was admitted may or may not be in the log.
    Poisoned,
}

impl Pipeline {
    /// Opens every log and starts the threads.
    ///
    /// A log with a halt marker is left out, and so is a closed one that fails its checks: readers
    /// and writers are told so. Anything else that fails refuses the whole.
    pub fn open(parts: Parts) -> Result<Self, OpenError> {
        let Parts { store, ledger, watermark, reader, keys, clock, limits, .. } = parts;
        let Parts { meter, answerer, witnesses, audit, .. } = parts;
        let fatal = watch::Sender::new(false);
        let audit = audit.map(|parts| parts.attended(&fatal));
        let watermark = Arc::new(watermark);
        let (logs, opened, waiting) =
            open_logs(&store, &watermark, keys, witnesses.as_ref(), audit.as_ref(), clock.now())?;
        // What was signed above is covered by a durable watermark before anyone can read it.
        watermark.sync()?;
        let watermark_synced = Arc::new(AtomicU64::new(millis(clock.monotonic())));

        let (events, event_queue) = inbox();
        let (orders, order_queue) = mpsc::channel();
        let sequencer = Sequencer::new(
            store.clone(),
            Arc::clone(&clock),
            limits.identity_window,
            meter.clone(),
            event_queue,
            orders,
        );
        let committer = Committer {
            ledger,
            watermark: Arc::clone(&watermark),
            reader: reader.clone(),
            clock: Arc::clone(&clock),
            meter,
            orders: order_queue,
            events: events.clone(),
            fatal: fatal.clone(),
            signers: BTreeMap::new(),
            answerer,
        };
        let (ticking, ticks) = mpsc::channel();
        let marks = Arc::clone(&watermark);
        let threads = vec![
            spawn("sequencer", &fatal, move || sequencer.run())?,
            spawn("committer", &fatal, move || committer.run())?,
            spawn("watermark", &fatal, {
                let (fatal, clock) = (fatal.clone(), Arc::clone(&clock));
                let beat =
                    Beat { clock, synced: Arc::clone(&watermark_synced), events: events.clone() };
                move || sync_watermark(&marks, &ticks, &fatal, || beat.strike())
            })?,
        ];
        opened.into_iter().for_each(|opened| hand_over(opened, &events));
        let shared = Shared {
            store,
            watermark,
            watermark_synced,
            reader,
            clock,
            limits,
            pool: Arc::new(Usage::default()),
            logs: RwLock::new(logs),
            waiting: Mutex::new(waiting),
            witnesses,
            audit,
            creating: Mutex::new(()),
            events,
            stopping: AtomicBool::new(false),
            short_of_space: AtomicBool::new(false),
            fatal,
            threads: Mutex::new(threads),
            ticking: Mutex::new(Some(ticking)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Submits entries to a log. Never blocks.
    pub fn submit(&self, log: &Arc<Log>, submission: Submission) -> Result<Ticket, Refusal> {
        let shared = &*self.shared;
        self.check_open()?;
        let (sender, ticket) = Ticket::new();
        let now = shared.clock.now();
        let admitted = admit(log, submission, &shared.pool, &shared.limits, now, sender)?;
        self.tell(Event::Submit(admitted))?;
        Ok(ticket)
    }

    /// Checks that the write path takes anything at all.
    pub(super) fn check_open(&self) -> Result<(), Refusal> {
        let shared = &*self.shared;
        if shared.stopping.load(Ordering::Acquire) || *shared.fatal.borrow() {
            return Err(Refusal::ShuttingDown);
        }
        if shared.short_of_space.load(Ordering::Acquire) {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }

    /// Reserves room for what a log is to append.
    pub(super) fn reserve(&self, log: &Log, entries: u64, bytes: u64) -> Result<Permit, Refusal> {
        let shared = &*self.shared;
        let room = Room { entries, bytes };
        Ok(Permit::reserve(&shared.pool, &log.usage, room, &shared.limits)?)
    }

    /// Tells the sequencer something.
    pub(super) fn tell(&self, event: Event) -> Result<(), Refusal> {
        self.shared.events.send(event).map_err(|_closed| Refusal::ShuttingDown)
    }

    /// Returns the logs in the order of their creation; the first is the default log.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.read_logs(|logs| logs.in_order.clone())
    }

    /// Returns the rows of the logs that were not opened.
    pub fn halted_logs(&self) -> Vec<LogRow> {
        self.read_logs(|logs| logs.halted.clone())
    }

    /// Finds a log by its origin; the empty origin means the default log.
    pub fn log(&self, origin: &str) -> Result<Arc<Log>, Refusal> {
        self.read_logs(|logs| {
            let default = || logs.in_order.first().filter(|log| log.number().0 == 0);
            let found = if origin.is_empty() { default() } else { logs.by_origin.get(origin) };
            let halted = |row: &LogRow| {
                row.origin.as_str() == origin || (origin.is_empty() && row.number.0 == 0)
            };
            match found {
                Some(log) if !log.is_readable() => match log.status() {
                    LogStatus::Halted => Err(Refusal::Halted),
                    _ => Err(Refusal::Unshown),
                },
                Some(log) => Ok(Arc::clone(log)),
                None if logs.halted.iter().any(halted) => Err(Refusal::Halted),
                None => Err(Refusal::UnknownLog),
            }
        })
    }

    fn read_logs<T>(&self, read: impl FnOnce(&Logs) -> T) -> T {
        read(&self.shared.logs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Creates a log and opens it. Blocks on the disk; `row.number` must come from [`next_log`].
    ///
    /// `rule` says who has to approve the first policy of an audit log.
    pub fn create_log(
        &self,
        row: &LogRow,
        key: SigningKey,
        rule: &ApprovalRule,
    ) -> Result<Arc<Log>, CreateError> {
        let shared = &*self.shared;
        let _one_at_a_time = shared.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if next_log(&shared.store, &row.origin)? != row.number {
            return Err(CreateError::Raced);
        }
        create_log(&shared.store, row, rule)?;
        let now = shared.clock.now();
        let checked =
            check_log(row, key, &shared.store, &shared.watermark, shared.audit.as_ref(), now)?;
        let opened = match WitnessPlan::witnesses(shared.witnesses.as_ref(), row)? {
            None => checked.open(&shared.watermark)?,
            Some(witnessed) => Waiting::new(checked, witnessed, &shared.store, now)?
                .sign(&shared.watermark, &Guarded::new_log(row.number))?
                .show(),
        };
        shared.watermark.sync().map_err(OpenError::from)?;
        let log = Arc::clone(&opened.log);
        shared
            .events
            .send(Event::Open(Box::new(opened)))
            .map_err(|_gone| CreateError::ShuttingDown)?;
        settle(&log);
        shared.logs.write().unwrap_or_else(PoisonError::into_inner).add(Arc::clone(&log));
        Ok(log)
    }

    /// Returns the store, for reading.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Returns the reader of tiles, for proofs.
    pub fn reader(&self) -> &TileReader {
        &self.shared.reader
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Returns the entries and bytes that are admitted and not yet answered.
    pub fn waiting(&self) -> (u64, u64) {
        (self.shared.pool.entries(), self.shared.pool.bytes())
    }

    /// Returns how long ago the watermark was last made durable: half a second, while all is well.
    pub fn watermark_age(&self) -> core::time::Duration {
        let synced = self.shared.watermark_synced.load(Ordering::Acquire);
        let now = millis(self.shared.clock.monotonic());
        core::time::Duration::from_millis(now.saturating_sub(synced))
    }

    /// Takes note of the free bytes of the data directory's file system.
    ///
    /// Below the floor nothing is accepted, long before a write fails for want of space and
    /// poisons the store. Reads go on.
    pub fn report_free_space(&self, bytes: u64) {
        let short = bytes < self.shared.limits.free_bytes_min;
        let was = self.shared.short_of_space.swap(short, Ordering::AcqRel);
        if short && !was {
            tracing::error!(bytes, "short of disk space; no entries are accepted");
        } else if was && !short {
            tracing::info!(bytes, "enough disk space again; entries are accepted");
        }
    }

    /// Returns whether entries are refused for want of disk space.
    pub fn is_short_of_space(&self) -> bool {
        self.shared.short_of_space.load(Ordering::Acquire)
    }

    /// Returns a receiver that turns true when the store is poisoned and the process has to end.
    pub fn fatal(&self) -> watch::Receiver<bool> {
        self.shared.fatal.subscribe()
    }

    /// Refuses every later submission.
    pub fn close_intake(&self) {
        self.shared.stopping.store(true, Ordering::Release);
    }

    /// Commits, publishes and answers everything admitted, stops the threads and makes the
    /// watermark durable. Blocks.
    pub fn stop(&self) -> Stopped {
        self.close_intake();
        let shared = &*self.shared;
        let _sequencer_gone = shared.events.send(Event::Stop);
        shared.ticking.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads =
            core::mem::take(&mut *shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let panicked = threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        let synced = shared.watermark.sync();
        if panicked > 0 || synced.is_err() || *shared.fatal.borrow() {
            return Stopped::Poisoned;
        }
        Stopped::Clean
    }
}

impl Drop for Shared {
    /// Lets the threads end after the last handle is gone, also where nobody called `stop`.
    fn drop(&mut self) {
        let _sequencer_gone = self.events.send(Event::Stop);
    }
}

impl Logs {
    fn add(&mut self, log: Arc<Log>) {
        self.by_origin.insert(log.origin().to_owned(), Arc::clone(&log));
        self.in_order.push(log);
    }
}

/// Makes a log in a store, open or not: all that it needs is durable when this returns.
///
/// `rule` says who has to approve the first policy of an audit log; its first start records it in `genesis`.
pub fn create_log(store: &Store, row: &LogRow, rule: &ApprovalRule) -> Result<(), StoreError> {
    match row.kind {
        LogKind::Opaque => store.create_log(row),
        LogKind::Audit => store.create_log_with(row, &[first_rule(row.number, rule)]),
    }
}

/// Opens every log that is not halted.
///
/// Only when each has passed its checks is the first head signed: what is refused for one log is
/// refused whole. Logs with witnesses are not signed here, unless an operator said so.
fn open_logs(
    store: &Store,
    watermark: &Watermark,
    keys: Vec<(LogNumber, SigningKey)>,
    plan: Option<&WitnessPlan>,
    audit: Option<&AuditParts>,
    now: UnixMillis,
) -> Result<(Logs, Vec<Opened>, WaitingLogs), OpenError> {
    let mut keys: BTreeMap<_, _> = keys.into_iter().collect();
    let mut logs = Logs::default();
    let mut checked = Vec::new();
    let rows = store.logs()?;
    if let Some(plan) = plan {
        plan.check_overridden(&rows)?;
    }
    for row in rows {
        if let Some(reason) = store.halted(row.number)? {
            let origin = row.origin.as_str();
            tracing::error!(origin, error = reason, "the log is halted and stays so");
            logs.halted.push(row);
            continue;
        }
        let missing = || OpenError::KeyMissing { origin: row.origin.to_string() };
        let key = keys.remove(&row.number).ok_or_else(missing);
        match key.and_then(|key| check_log(&row, key, store, watermark, audit, now)) {
            Ok(log) => checked.push((log, WitnessPlan::witnesses(plan, &row)?)),
            // It takes no entries, and nothing of it is signed again: the others may go on.
            Err(error) if row.state == LogState::Closed => {
                let origin = row.origin.as_str();
                tracing::error!(origin, error = %error, "the closed log is left out");
                logs.halted.push(row);
            }
            Err(error) => return Err(error),
        }
    }
    let mut opened = Vec::with_capacity(checked.len());
    let mut waiting = WaitingLogs::new();
    for (log, witnessed) in checked {
        let Some(witnessed) = witnessed else {
            let log = log.open(watermark)?;
            logs.add(Arc::clone(&log.log));
            opened.push(log);
            continue;
        };
        let log = Waiting::new(log, witnessed, store, now)?;
        logs.add(Arc::clone(&log.log));
        match log.permit(plan, store, now)? {
            Some(permit) => opened.push(log.sign(watermark, &permit)?.show()),
            None => drop(waiting.insert(log.log.number(), log)),
        }
    }
    Ok((logs, opened, waiting))
}

/// Gives a log to the sequencer, and then lets it take entries: the order of the channel puts the log
/// before any of its entries.
fn hand_over(opened: Opened, events: &Inlet) {
    let log = Arc::clone(&opened.log);
    let _sequencer_gone = events.send(Event::Open(Box::new(opened)));
    settle(&log);
}

/// Starts a named thread whose panic is as fatal as a failed write.
fn spawn(
    name: &str,
    fatal: &watch::Sender<bool>,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, std::io::Error> {
    let fatal = fatal.clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut guard = PanicGuard { fatal, armed: true };
        run();
        guard.armed = false;
    })
}

/// Announces a panic of the thread that holds it.
struct PanicGuard {
    fatal: watch::Sender<bool>,
    armed: bool,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if self.armed {
            self.fatal.send_replace(true);
        }
    }
}

/// What is done twice a second besides.
struct Beat {
    clock: Arc<dyn Clock>,
    /// When the watermark was last made durable.
    synced: Arc<AtomicU64>,
    events: Inlet,
}

impl Beat {
    fn strike(&self) {
        self.synced.store(millis(self.clock.monotonic()), Ordering::Release);
        // Silence is noticed by the same beat.
        let _sequencer_gone = self.events.send(Event::Tick);
    }
}

/// Makes the watermark durable now and then, until the sender of `ticks` is gone; tells `synced` each time.
fn sync_watermark(
    watermark: &Watermark,
    ticks: &mpsc::Receiver<()>,
    fatal: &watch::Sender<bool>,
    synced: impl Fn(),
) {
    let every = core::time::Duration::from_millis(WATERMARK_SYNC_MILLIS);
    while ticks.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
        if let Err(error) = watermark.sync() {
            // A failed sync leaves the file's content unknown, and it is never tried again.
            tracing::error!(error = %error, "the watermark can't be made durable");
            fatal.send_replace(true);
            return;
        }
        synced();
    }
}

/// Counts milliseconds.
fn millis(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("2^64 milliseconds are 584 million years")
}
