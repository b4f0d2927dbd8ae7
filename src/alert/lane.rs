//! One log and one sink: alert after alert, each until it is taken.
//!
//! The order of effects makes it at least once: an alert is sent, or set aside durably, and only then the
//! place in the log moves behind it. A crash in between sends it again, under the same name.

use core::time::Duration;
use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::Mutex,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    Shared, Sink,
    aside::{self, set_aside},
    cursor::Cursor,
    failure::Failure,
    notice::Notice,
    pause::Pauses,
};
use crate::{
    core::{
        number::{LeafIndex, UnixMillis},
        record::Timestamp,
    },
    pipeline::{AlertLog, RecordedAlert},
};

/// How long a lane waits for a new head before it looks by itself: a log that becomes readable tells nobody.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a lane waits after its disk has failed it.
const DISK_PAUSE: Duration = Duration::from_secs(5);

/// Entries without an alert after which the place is kept: a start searches so many at most, in some hundred
/// milliseconds, and a busy log causes a write a second.
const KEEP_ENTRIES: u64 = 65_536;

/// Failures in a row after which somebody has to act: some four minutes.
const FAILURES_ALARMING: u32 = 10;

/// A sink, and its turns: at most one message is under way to it, whatever log it is of.
pub(super) struct Channel {
    pub(super) sink: Sink,
    turn: Mutex<Pauses>,
}

/// The state of one log's way to one sink.
pub(super) struct Lane {
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    log: AlertLog,
    /// Nothing as long as the log shows no head from which a new sink could begin.
    cursor: Option<Cursor>,
}

/// What came of a look.
enum Looked {
    /// There may be more.
    More,
    /// There is nothing until the log has a new head.
    Idle,
    /// The disk stands in the way.
    Failed,
}

impl Channel {
    /// Takes a sink that has not failed.
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, turn: Mutex::default() }
    }

    /// Sends a notice once, when it is the sink's turn.
    ///
    /// The turn is held while the sink is waited for, so that it is asked by one at a time and a pause that it
    /// asks for holds for all of its logs.
    async fn attempt(&self, shared: &Shared, notice: &Notice) -> Result<(), Failure> {
        let clock = shared.pipeline.clock();
        let Sink { name, outlet, patience, .. } = &self.sink;
        let mut turn = self.turn.lock().await;
        sleep(turn.wait(clock.monotonic())).await;
        let sent = timeout(*patience, outlet.send(notice, clock.now())).await;
        let sent = sent.unwrap_or(Err(Failure::Slow { patience: *patience }));
        let Err(failure) = sent else {
            let failures = turn.taken();
            if failures > 0 {
                tracing::info!(sink = name, failures, "alerts are delivered again");
            }
            shared.meter.delivered(name, UnixMillis(notice.at.micros() / 1_000), clock.now());
            return Ok(());
        };
        shared.meter.failed(name, failure.reason());
        if failure.is_final() {
            turn.taken();
            return Err(failure);
        }
        let failures = turn.failed(clock.monotonic(), failure.retry_after(), shared.draw());
        let error = failure.chain();
        match failures {
            1 => tracing::warn!(sink = name, error, "an alert is not taken; it is tried again"),
            FAILURES_ALARMING => tracing::error!(sink = name, error, "alerts are not delivered"),
            _ => tracing::debug!(sink = name, error, failures, "an alert is not taken"),
        }
        Err(failure)
    }
}

impl Lane {
    /// Takes up a log where the sink is in it.
    pub(super) fn new(
        shared: Arc<Shared>,
        channel: Arc<Channel>,
        log: AlertLog,
        cursor: Option<Cursor>,
    ) -> Self {
        shared.meter.begin(&channel.sink.name, log.origin().as_str());
        Self { shared, channel, log, cursor }
    }

    /// Runs as long as the log may have another head.
    pub(super) async fn run(mut self) {
        let mut heads = self.log.watch();
        loop {
            // Before the look, so that a head that comes meanwhile is looked at again.
            if let Some(heads) = &mut heads {
                drop(heads.borrow_and_update());
            }
            match self.look().await {
                Looked::More => continue,
                Looked::Failed => {
                    sleep(DISK_PAUSE).await;
                    continue;
                }
                Looked::Idle => {}
            }
            let Some(heads) = &mut heads else { return };
            if let Ok(Err(_gone)) = timeout(LOOK_INTERVAL, heads.changed()).await {
                return;
            }
        }
    }

    /// Looks for alerts, and delivers them.
    async fn look(&mut self) -> Looked {
        let Some(from) = self.begin().await else { return Looked::Idle };
        if let Some(next) = self.log.none_since(from) {
            self.pass(next).await;
            self.shared.meter.waiting(self.name(), self.log.origin().as_str(), 0);
            return Looked::Idle;
        }
        let log = self.log.clone();
        let read = match spawn_blocking(move || log.read(from)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return self.stuck(&error.to_string()),
            Err(error) => return self.stuck(&error.to_string()),
        };
        for (at, alert) in read.alerts.iter().enumerate() {
            self.deliver(alert, (read.alerts.len() - at) as u64).await;
        }
        self.pass(read.next).await;
        if read.next > from { Looked::More } else { Looked::Idle }
    }

    fn name(&self) -> &str {
        &self.channel.sink.name
    }

    fn stuck(&self, error: &str) -> Looked {
        let origin = self.log.origin().as_str();
        tracing::error!(origin, sink = self.name(), error, "alerts can't be read");
        Looked::Failed
    }

    /// Returns the index to go on from. A sink that is new to a log begins where the log ends.
    async fn begin(&mut self) -> Option<LeafIndex> {
        if self.cursor.is_none() {
            let size = self.log.size()?;
            let (dir, name, log) =
                (self.shared.dir.clone(), self.name().to_owned(), self.log.clone());
            let create =
                move || Cursor::create(&dir, &name, log.number(), log.origin(), size.next_index());
            match spawn_blocking(create).await {
                Ok(Ok(cursor)) => self.cursor = Some(cursor),
                Ok(Err(error)) => drop(self.stuck(&error.to_string())),
                Err(error) => drop(self.stuck(&error.to_string())),
            }
        }
        self.cursor.as_ref().map(Cursor::next)
    }

    /// Brings one alert to the sink, however long it takes, unless it is not for it.
    async fn deliver(&mut self, alert: &RecordedAlert, read: u64) {
        let notice = Notice::of(self.log.origin(), alert);
        let is_for = self.shared.is_for(&self.channel.sink, &self.log, &notice.rule);
        if is_for {
            self.send(&notice, alert.index, read).await;
        }
        let next = LeafIndex::new(alert.index.get() + 1).expect("an index below a tree's size");
        if let Some(cursor) = &mut self.cursor {
            cursor.pass(next);
        }
        if is_for {
            self.keep().await;
        }
    }

    /// Sends a notice until it is taken or set aside. `read` is how many were read from it on.
    async fn send(&self, notice: &Notice, index: LeafIndex, read: u64) {
        loop {
            let waiting = self.log.count_since(index).max(read);
            self.shared.meter.waiting(self.name(), self.log.origin().as_str(), waiting);
            match self.channel.attempt(&self.shared, notice).await {
                Ok(()) => return,
                Err(failure) if failure.is_final() => {
                    if self.set_aside(notice.clone(), failure).await {
                        return;
                    }
                    sleep(DISK_PAUSE).await;
                }
                Err(_again) => {}
            }
        }
    }

    /// Sets an alert aside; returns whether it is durable there.
    async fn set_aside(&self, notice: Notice, failure: Failure) -> bool {
        let (origin, leaf_index) = (self.log.origin().clone(), notice.index);
        let path: PathBuf = aside::path(&self.shared.dir, self.name());
        let now = self.shared.pipeline.clock().now();
        let now = Timestamp::from_micros(now.0.saturating_mul(1_000)).unwrap_or_default();
        let chain = failure.chain();
        let write = move || set_aside(&path, &notice, &failure, now);
        let error = match spawn_blocking(write).await {
            Ok(Ok(())) => {
                self.shared.meter.set_aside(self.name());
                tracing::error!(
                    origin = origin.as_str(),
                    leaf_index,
                    sink = self.name(),
                    error = chain,
                    "an alert will never be taken and was set aside"
                );
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(
            origin = origin.as_str(),
            leaf_index,
            sink = self.name(),
            error,
            "an alert can't be set aside"
        );
        false
    }

    /// Goes on to an index without alerts before it, and keeps the place now and then.
    async fn pass(&mut self, next: LeafIndex) {
        let Some(cursor) = &mut self.cursor else { return };
        cursor.pass(next);
        if cursor.behind() >= KEEP_ENTRIES {
            self.keep().await;
        }
    }

    /// Makes the place durable. If it can't be, delivery goes on, and a start repeats what was sent since.
    async fn keep(&mut self) {
        let Some(mut cursor) = self.cursor.take() else { return };
        let keep = move || {
            let kept = cursor.keep();
            (cursor, kept)
        };
        match spawn_blocking(keep).await {
            Ok((cursor, kept)) => {
                self.cursor = Some(cursor);
                if let Err(error) = kept {
                    let (origin, sink) = (self.log.origin().as_str(), self.name());
                    tracing::error!(origin, sink, error = %error, "a place in the alerts can't be kept");
                }
            }
            // The process ends: nobody is left to wait for.
            Err(error) => drop(self.stuck(&error.to_string())),
        }
    }
}
