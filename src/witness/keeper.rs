//! The one writer: what is remembered changes here and nowhere else.
//!
//! Requests are judged in parallel, each against a snapshot of its log, and then stand in one queue. The
//! keeper takes whatever waits, drops what was judged against a snapshot that is no longer the newest,
//! writes the rest with one sync, and only then shows the new states and answers. So of two racing
//! requests one wins and the other is judged again, and a thousand requests share one sync.
//!
//! A crash between write and answer is harmless: the witness remembers what nobody was told, and the
//! asker learns the size from the next 409.

use core::time::Duration;
use std::{collections::HashMap, io, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Clock, Metrics,
    book::{Book, Latest, State},
    journal::{Act, ActKind, AppendError, Cosigned, Journal, Record},
};
use crate::core::{
    checkpoint::SignedCheckpoint, note::CosignatureTime, origin::Origin, tree::TreeHead,
};

/// Most requests that wait or are written together: at 1 KiB each, a write of 4 MiB.
const QUEUE_MAX: usize = 4_096;

/// Why a checkpoint was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// Another one was faster: judge again.
    Moved,
    /// The log was frozen or disabled meanwhile.
    Barred,
    /// Too many wait.
    Busy,
    /// The disk took nothing, and nothing is lost.
    NotWritten,
    /// It is not known what was written, and the process ends.
    Fatal,
}

/// What the keeper is asked for.
enum Command {
    Cosign(Cosign),
    Act {
        kind: ActKind,
        origin: Origin,
        reason: String,
        answer: oneshot::Sender<Result<bool, NotKept>>,
    },
}

/// A checkpoint that was judged and accepted.
struct Cosign {
    position: usize,
    /// What it was judged against.
    expected: Option<TreeHead>,
    checkpoint: SignedCheckpoint,
    answer: oneshot::Sender<Result<Arc<Latest>, NotKept>>,
}

/// The way to the one writer. Cheap to clone; when the last one is gone the writer ends.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    queue: mpsc::Sender<Command>,
    fatal: watch::Receiver<bool>,
}

impl Keeper {
    /// Starts the writer.
    pub(super) fn start(
        journal: Journal,
        acts: Vec<Act>,
        book: Arc<Book>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (queue, commands) = mpsc::channel(QUEUE_MAX);
        let (fatal, seen) = watch::channel(false);
        let writer = Writer { journal, acts, book, clock, metrics };
        let thread = thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || writer.run(commands, &fatal))?;
        Ok((Self { queue, fatal: seen }, thread))
    }

    /// Keeps a checkpoint that was judged against `expected`; it may be cosigned when this returns.
    pub(super) async fn cosign(
        &self,
        position: usize,
        expected: Option<TreeHead>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Arc<Latest>, NotKept> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Cosign(Cosign { position, expected, checkpoint, answer });
        self.queue.try_send(command).map_err(refused)?;
        answered.await.unwrap_or(Err(NotKept::Fatal))
    }

    /// Records an act; returns whether it changed anything.
    pub(super) async fn act(
        &self,
        kind: ActKind,
        origin: &Origin,
        reason: String,
    ) -> Result<bool, NotKept> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Act { kind, origin: origin.clone(), reason, answer };
        // An act is never turned away for being one too many: it waits for its place.
        self.queue.send(command).await.map_err(|_closed| NotKept::Fatal)?;
        answered.await.unwrap_or(Err(NotKept::Fatal))
    }

    /// Returns whether a write failed so that the process has to end.
    pub(super) fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.clone()
    }
}

fn refused(error: mpsc::error::TrySendError<Command>) -> NotKept {
    match error {
        mpsc::error::TrySendError::Full(_) => NotKept::Busy,
        mpsc::error::TrySendError::Closed(_) => NotKept::Fatal,
    }
}

/// The writer's own things.
struct Writer {
    journal: Journal,
    /// Every act there ever was: they are few, and are kept for ever.
    acts: Vec<Act>,
    book: Arc<Book>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// What one round of the writer will do once it is durable.
#[derive(Default)]
struct Round {
    states: HashMap<usize, State>,
    records: Vec<Record>,
    answers: Vec<Answer>,
}

/// An answer that waits for the sync.
enum Answer {
    Cosigned(oneshot::Sender<Result<Arc<Latest>, NotKept>>, Result<Arc<Latest>, NotKept>),
    Acted(oneshot::Sender<Result<bool, NotKept>>, bool),
}

impl Writer {
    /// Works until nobody can ask any more, or a write fails.
    fn run(mut self, mut commands: mpsc::Receiver<Command>, fatal: &watch::Sender<bool>) {
        while let Some(first) = commands.blocking_recv() {
            let now = self.now();
            let mut round = Round::default();
            self.take(&mut round, first, now);
            for _ in 1..QUEUE_MAX {
                let Ok(command) = commands.try_recv() else { break };
                self.take(&mut round, command, now);
            }
            if let Err(error) = self.finish(round) {
                tracing::error!(error = %error, "the journal failed");
                fatal.send_replace(true);
                return;
            }
        }
        if let Err(error) = self.journal.sync_mark() {
            tracing::warn!(error = %error, "the watermark could not be synced");
        }
    }

    fn now(&self) -> CosignatureTime {
        let seconds = self.clock.now().0 / 1_000;
        CosignatureTime::new(seconds).expect("2^64 milliseconds are fewer than 2^63 seconds")
    }

    /// Adds a command to a round.
    fn take(&self, round: &mut Round, command: Command, now: CosignatureTime) {
        match command {
            Command::Cosign(cosign) => self.take_cosign(round, cosign, now),
            Command::Act { kind, origin, reason, answer } => {
                let Some(log) = self.book.log(&origin) else {
                    round.answers.push(Answer::Acted(answer, false));
                    return;
                };
                let state = round.states.entry(log.position).or_insert_with(|| log.state());
                let changes = match kind {
                    ActKind::Freeze => state.frozen.is_none(),
                    ActKind::Unfreeze => state.frozen.is_some(),
                    ActKind::Disable => !state.disabled,
                    ActKind::Enable => state.disabled,
                };
                if changes {
                    let record = Record::Act(Act { kind, origin, time: now, reason });
                    state.apply(&record);
                    round.records.push(record);
                }
                round.answers.push(Answer::Acted(answer, changes));
            }
        }
    }

    /// Adds a checkpoint to a round, unless its log has moved since it was judged.
    fn take_cosign(&self, round: &mut Round, cosign: Cosign, now: CosignatureTime) {
        let Cosign { position, expected, checkpoint, answer } = cosign;
        let log = self.book.log_at(position);
        let state = round.states.entry(position).or_insert_with(|| log.state());
        let kept = if state.disabled || state.frozen.is_some() {
            Err(NotKept::Barred)
        } else if state.head() != expected {
            Err(NotKept::Moved)
        } else {
            // A clock that is set back must not make a later statement look older.
            let time = state.latest.as_ref().map_or(now, |latest| latest.time().max(now));
            let cosigned = Cosigned {
                origin: checkpoint.origin().clone(),
                head: checkpoint.head(),
                time,
                note: checkpoint.note().clone(),
            };
            // The same head again states a later time, and nothing that has to be remembered.
            if expected != Some(cosigned.head) {
                round.records.push(Record::Cosigned(cosigned.clone()));
            }
            let latest = Latest::new(cosigned);
            state.latest = Some(Arc::clone(&latest));
            Ok(latest)
        };
        round.answers.push(Answer::Cosigned(answer, kept));
    }

    /// Writes a round, shows its states, and answers.
    fn finish(&mut self, round: Round) -> Result<(), AppendError> {
        let Round { states, records, answers } = round;
        let written = if records.is_empty() { Ok(()) } else { self.write(&records) };
        match written {
            Ok(()) => {}
            Err(AppendError::NotWritten(error)) => {
                tracing::error!(error = %error, "the journal could not be written");
                self.freeze_in_memory(&records);
                answers.into_iter().for_each(|answer| answer.fail(NotKept::NotWritten));
                return Ok(());
            }
            Err(error) => {
                answers.into_iter().for_each(|answer| answer.fail(NotKept::Fatal));
                return Err(error);
            }
        }
        self.acts.extend(records.into_iter().filter_map(|record| match record {
            Record::Act(act) => Some(act),
            Record::Cosigned(_) => None,
        }));
        for (position, state) in states {
            self.book.log_at(position).state.send_replace(state);
        }
        answers.into_iter().for_each(Answer::send);
        self.compact()
    }

    fn write(&mut self, records: &[Record]) -> Result<(), AppendError> {
        let started = self.clock.monotonic();
        self.journal.append(records)?;
        let elapsed: Duration = self.clock.monotonic().saturating_sub(started);
        self.metrics.wrote(records.len(), elapsed, self.journal.length());
        Ok(())
    }

    /// Freezes logs whose freezing could not be written: until the process ends they stand still all the
    /// same.
    fn freeze_in_memory(&self, records: &[Record]) {
        for record in records {
            if let Record::Act(act) = record
                && act.kind == ActKind::Freeze
                && let Some(log) = self.book.log(&act.origin)
            {
                log.state.send_modify(|state| state.apply(record));
            }
        }
    }

    /// Writes the journal anew if it has grown long.
    fn compact(&mut self) -> Result<(), AppendError> {
        if !self.journal.is_long() {
            return Ok(());
        }
        let acts = self.acts.iter().cloned().map(Record::Act);
        let latest = self.book.logs().iter().filter_map(|log| log.state.borrow().latest.clone());
        let cosigned = latest.map(|latest| Record::Cosigned(latest.cosigned().clone()));
        let records: Vec<Record> = acts.chain(cosigned).collect();
        match self.journal.compact(&records) {
            Ok(()) => self.metrics.journal_bytes(self.journal.length()),
            Err(AppendError::NotWritten(error)) => {
                // The old file is as good, only longer.
                tracing::warn!(error = %error, "the journal could not be written anew");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Answer {
    /// Tells what was done. Who has gone meanwhile needs no answer.
    fn send(self) {
        match self {
            Self::Cosigned(answer, kept) => drop(answer.send(kept)),
            Self::Acted(answer, changed) => drop(answer.send(Ok(changed))),
        }
    }

    /// Tells that nothing was done.
    fn fail(self, why: NotKept) {
        match self {
            Self::Cosigned(answer, _) => drop(answer.send(Err(why))),
            Self::Acted(answer, _) => drop(answer.send(Err(why))),
        }
    }
}
