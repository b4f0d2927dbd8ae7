//! The last stages: one thread that commits, checks, raises, signs, publishes and answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};

use tokio::sync::watch;

use super::{
    Clock,
    cycle::{Answerer, Answers, Cycle, LogBatch, Order},
    head::{CommittedHead, Signer},
    inbox::Inlet,
    log::{LogStatus, Published},
    meter::Meter,
    sequence::Event,
    ticket::Failure,
};
use crate::{
    core::{
        number::LogNumber,
        tree::{SecondHead, SecondMismatch},
    },
    store::{Durable, LogRows, Store, StoreError, TileReader, Watermark, WatermarkError},
};

/// Where commits go. The one implementation that runs is [`Store`]; tests wrap it to fail.
pub trait Ledger: Send + Sync + 'static {
    /// Writes the rows of several logs in one synced write: all of them or none.
    ///
    /// An error means that they may or may not have been written; it poisons the ledger.
    fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError>;

    /// Marks a log as halted, synced, so that no later start signs its last batch.
    fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError>;
}

impl Ledger for Store {
    fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError> {
        Store::commit(self, rows)
    }

    fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError> {
        Store::halt(self, log, reason)
    }
}

/// Why the committer stopped. The process has to be started again: only the disk knows what holds.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("the commit failed or its result is unknown: {0}")]
    Commit(#[from] StoreError),
    #[error("the watermark can't be raised: {0}")]
    Watermark(#[from] WatermarkError),
    #[error("the sequencer is gone")]
    Sequencer,
}

/// The second computation of the roots of one cycle.
type Verdicts = Vec<(LogNumber, Result<SecondHead, SecondMismatch>)>;

/// The state of the committer thread.
pub(super) struct Committer {
    pub(super) ledger: Box<dyn Ledger>,
    pub(super) watermark: Arc<Watermark>,
    pub(super) reader: TileReader,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meter: Meter,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) events: Inlet,
    pub(super) fatal: watch::Sender<bool>,
    pub(super) signers: BTreeMap<LogNumber, Signer>,
    pub(super) answerer: Answerer,
}

impl Committer {
    /// Runs until the sequencer is gone, or until an effect fails.
    pub(super) fn run(mut self) {
        while let Ok(order) = self.orders.recv() {
            let result = match order {
                Order::Open(signer) => {
                    self.signers.insert(signer.log(), *signer);
                    Ok(())
                }
                Order::Commit(cycle) => self.cycle(cycle),
                Order::Verdict(_) => unreachable!("a verdict follows its cycle, which takes it"),
            };
            if let Err(error) = result {
                tracing::error!(error = %error, "the write path is poisoned; nothing more is signed");
                self.fatal.send_replace(true);
                return;
            }
        }
    }

    /// Runs one batch from sequenced to published.
    ///
    /// Dropping a batch answers its submitters with [`Failure::Uncertain`], so every early return
    /// is an answer.
    fn cycle(&mut self, mut cycle: Cycle) -> Result<(), Fatal> {
        // What a log that halted meanwhile prepared is built on a root that nobody signs.
        let halted = cycle.batches.extract_if(.., |batch| batch.log.status() == LogStatus::Halted);
        halted.for_each(refuse);

        let started = self.clock.monotonic();
        let rows: Vec<&LogRows> =
            cycle.batches.iter().filter_map(|batch| batch.rows.as_deref()).collect();
        let durable = if rows.is_empty() { Vec::new() } else { self.ledger.commit(&rows)? };
        let committed = self.clock.monotonic();

        // The next cycle is not looked at before this one has passed its second computation.
        let Ok(Order::Verdict(verdicts)) = self.orders.recv() else { return Err(Fatal::Sequencer) };
        let entries = cycle.batches.iter().map(|batch| batch.entries).sum();
        let answers = self.publish(cycle.batches, durable, verdicts)?;
        // The sequencer cuts the next batch while this one is being answered.
        let _sequencer_gone = self.events.send(Event::Done(cycle.number));
        (self.answerer)(answers);
        let (write, rest) =
            (committed.saturating_sub(started), self.clock.monotonic().saturating_sub(committed));
        self.meter.committed(entries, write, rest);
        Ok(())
    }

    /// Takes each log of a cycle from durable to published.
    fn publish(
        &mut self,
        batches: Vec<LogBatch>,
        durable: Vec<Durable>,
        verdicts: Verdicts,
    ) -> Result<Answers, Fatal> {
        let mut answers = Answers::default();
        let mut durable: BTreeMap<_, _> =
            durable.into_iter().map(|head| (head.log(), head)).collect();
        let mut verdicts: BTreeMap<_, _> = verdicts.into_iter().collect();
        for batch in batches {
            if batch.rows.is_none() {
                // Duplicates only: the cycles before this one published what they stand in.
                let published = batch.log.published();
                answers.add(batch, &published);
                continue;
            }
            let number = batch.log.number();
            let head = durable.remove(&number).expect("a commit answers for each log in it");
            let verdict = verdicts.remove(&number).expect("a cycle is followed by its verdicts");
            let checked = verdict.map_err(|mismatch| mismatch.to_string()).and_then(|second| {
                CommittedHead::new(&head, &second).map_err(|error| error.to_string())
            });
            match checked {
                Ok(head) => {
                    let published = self.publish_log(head, &batch)?;
                    answers.add(batch, &published);
                }
                Err(reason) => {
                    tracing::error!(
                        origin = batch.log.origin(),
                        error = reason,
                        "the log halts: its roots differ"
                    );
                    batch.log.halt();
                    self.ledger.halt(number, &reason)?;
                    refuse(batch);
                }
            }
        }
        Ok(answers)
    }

    /// Takes the head of one log from checked to published.
    fn publish_log(
        &mut self,
        head: CommittedHead,
        batch: &LogBatch,
    ) -> Result<Arc<Published>, Fatal> {
        let signer = self.signers.get(&batch.log.number()).expect("a log is opened with its key");
        let head = head.raise(&self.watermark, signer.key_hash())?;
        let checkpoint = signer.sign(&head);
        let rows = batch.rows.as_ref().expect("a batch that was committed");
        self.reader.remember(batch.log.number(), &rows.tiles);
        let published = Arc::new(Published { checkpoint, edge: batch.edge.clone(), at: head.at() });
        batch.log.publish(Arc::clone(&published));
        Ok(published)
    }
}

impl Drop for Committer {
    /// Tells the sequencer that no cycle will be done any more, after a panic as well: it would wait
    /// for ever.
    fn drop(&mut self) {
        let _sequencer_gone = self.events.send(Event::Poisoned);
    }
}

/// Tells every submitter of a batch that its log halted.
fn refuse(batch: LogBatch) {
    for group in batch.groups {
        group.fail(Failure::Halted);
    }
}
