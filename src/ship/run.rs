//! The loop: look at the files, keep what there is, send what is kept.

use core::{future::Future, pin::Pin, time::Duration};
use std::{io, path::PathBuf};

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::{
    follow::{Files, Round, Seen},
    frame::SegmentId,
    line::Form,
    spool::{Batch, Spool, SpoolError},
};
use crate::{
    client::{ClientError, Posted, Poster},
    core::record::Timestamp,
};

/// How often files are looked at that had nothing to say: what a line waits at most before it is read.
const LOOK: Duration = Duration::from_millis(250);

/// First wait after a failure; it doubles with each.
const WAIT_MIN: Duration = Duration::from_millis(250);

/// Longest wait: a server that is back is noticed within so long.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Failures in a row after which `once` gives up: with the waits above, most of a minute.
const TRIES_MAX: u32 = 8;

/// Most lines of one body: what a source takes at once unless its configuration says less.
const BATCH_LINES_MAX: usize = 4_096;

/// Most bytes of lines in one body. The envelopes around them may write a byte as six, and a source takes 16 MiB.
const BATCH_BYTES_MAX: usize = 2 << 20;

/// What is shipped, and how.
#[derive(Debug)]
pub struct Settings {
    /// Names of files, and patterns of names.
    pub patterns: Vec<PathBuf>,
    /// What the lines are.
    pub form: Form,
    /// The spool's directory.
    pub state: PathBuf,
    /// Most bytes of the spool.
    pub spool_bytes_max: u64,
    /// Whether to end when all files were read to their ends.
    pub once: bool,
    /// Makes the names of segments.
    pub random: fn() -> io::Result<SegmentId>,
    /// Says when it is.
    pub now: fn() -> Timestamp,
}

/// What happens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something about a file.
    File(Seen),
    /// The spool is full, and reading stops.
    Full,
    /// There is room again.
    Room,
    /// The server can't be reached, or does not take what is sent.
    Away {
        /// Why.
        reason: String,
    },
    /// It takes what is sent again.
    Back,
    /// A batch is in the log.
    Sent {
        /// Lines that were sent since the start.
        lines: u64,
    },
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Lines that are in the log.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What waits in the spool.
    pub waiting: u64,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The spool can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// There is no room, and nothing that could be sent to make some.
    #[error("there is no room in {}; what was not read stays in its files", .path.display())]
    NoRoom {
        /// The spool's directory.
        path: PathBuf,
    },
    /// The server did not take what was sent.
    #[error(
        "the server does not take what is sent ({reason}); {waiting} lines wait in the spool for the next run"
    )]
    Away {
        /// Why.
        reason: String,
        /// What waits.
        waiting: u64,
    },
}

/// An answer that is waited for.
type Sending = Pin<Box<dyn Future<Output = Result<Posted, ClientError>>>>;

/// What is under way.
struct Shipping<'e> {
    settings: Settings,
    poster: Poster,
    spool: Spool,
    files: Files,
    tell: &'e mut dyn FnMut(Event),
    done: Done,
    /// The batch that was sent and is not answered.
    batch: Option<Batch>,
    failures: u32,
    /// Until when nothing is sent, after a failure.
    hold: Option<Pin<Box<Sleep>>>,
    full: bool,
    /// Most lines of the next batch: fewer where the server takes fewer.
    lines_max: usize,
}

/// Ships until `ending`, or to the end of the files.
pub async fn run(
    settings: Settings,
    poster: Poster,
    ending: impl Future<Output = ()>,
    tell: &mut dyn FnMut(Event),
) -> Result<Done, RunError> {
    let spool = Spool::open(&settings.state, settings.spool_bytes_max, settings.random)?;
    let files = Files::new(settings.patterns.clone(), settings.form, settings.once);
    let mut shipping = Shipping {
        settings,
        poster,
        spool,
        files,
        tell,
        done: Done::default(),
        batch: None,
        failures: 0,
        hold: None,
        full: false,
        lines_max: BATCH_LINES_MAX,
    };
    let done = shipping.run(ending).await;
    shipping.done.waiting = shipping.spool.waiting();
    done.map(|()| shipping.done)
}

impl Shipping<'_> {
    /// Looks and sends in turn. Nothing in here waits while there is something to do.
    async fn run(&mut self, ending: impl Future<Output = ()>) -> Result<(), RunError> {
        tokio::pin!(ending);
        let mut draining = false;
        let mut sending: Option<Sending> = None;
        loop {
            let round = if draining { Round::Nothing } else { self.look()? };
            if sending.is_none() {
                sending = self.begin()?;
            }
            let is_over = sending.is_none() && self.spool.waiting() == 0 && round == Round::Nothing;
            if is_over && (draining || self.settings.once) || draining && self.failures > 0 {
                return Ok(());
            }
            if self.settings.once && round == Round::Full && self.spool.waiting() == 0 {
                return Err(RunError::NoRoom { path: self.settings.state.clone() });
            }
            let look = if round == Round::Lines { Duration::ZERO } else { LOOK };
            tokio::select! {
                answer = answer(&mut sending), if sending.is_some() => {
                    sending = None;
                    self.answered(answer)?;
                }
                () = &mut ending, if !draining => draining = true,
                () = held(&mut self.hold), if self.hold.is_some() => self.hold = None,
                () = sleep(look) => {}
            }
        }
    }

    /// Reads what there is in the files, as far as there is room.
    fn look(&mut self) -> Result<Round, SpoolError> {
        let tell = &mut *self.tell;
        let now = (self.settings.now)();
        let round = self.files.round(&mut self.spool, now, &mut |seen| tell(Event::File(seen)))?;
        let full = round == Round::Full;
        if full != self.full {
            self.full = full;
            (self.tell)(if full { Event::Full } else { Event::Room });
        }
        Ok(round)
    }

    /// Sends the next batch, if there is one and it is time.
    fn begin(&mut self) -> Result<Option<Sending>, SpoolError> {
        if self.spool.waiting() == 0 || self.hold.is_some() {
            return Ok(None);
        }
        let batch = self.spool.unsent(self.lines_max, BATCH_BYTES_MAX)?;
        let mut body = Vec::new();
        for (name, line) in &batch.lines {
            line.envelope(name, &mut body);
        }
        self.batch = Some(batch);
        let poster = self.poster.clone();
        let post = async move { poster.post("application/x-ndjson", Bytes::from(body)).await };
        Ok(Some(Box::pin(post)))
    }

    /// Takes the answer to a batch.
    fn answered(&mut self, answer: Result<Posted, ClientError>) -> Result<(), RunError> {
        let batch = self.batch.take().expect("an answer is to a batch");
        let (reason, asked) = match answer {
            Ok(Posted { status: 200, .. }) => {
                self.spool.acknowledge(&batch)?;
                let bytes: usize = batch.lines.iter().map(|(_, line)| line.bytes.len()).sum();
                self.done.lines += u64_of(batch.lines.len());
                self.done.bytes += u64_of(bytes);
                if core::mem::take(&mut self.failures) > 0 {
                    (self.tell)(Event::Back);
                }
                self.lines_max = (self.lines_max * 2).min(BATCH_LINES_MAX);
                (self.tell)(Event::Sent { lines: self.done.lines });
                return Ok(());
            }
            Ok(Posted { status: 413, .. }) if batch.lines.len() > 1 => {
                // At once: nothing is wrong but the length.
                self.lines_max = batch.lines.len() / 2;
                return Ok(());
            }
            Ok(Posted { status, retry_after, text }) => {
                (format!("status {status}: {text}"), retry_after)
            }
            Err(error) => (reason(&error), None),
        };
        self.failures += 1;
        if self.failures == 1 {
            (self.tell)(Event::Away { reason: reason.clone() });
        }
        if self.settings.once && self.failures >= TRIES_MAX {
            return Err(RunError::Away { reason, waiting: self.spool.waiting() });
        }
        let doubled = WAIT_MIN.saturating_mul(1 << (self.failures - 1).min(6)).min(WAIT_MAX);
        self.hold = Some(Box::pin(sleep(asked.unwrap_or_default().max(doubled))));
        Ok(())
    }
}

/// Waits for an answer.
async fn answer(sending: &mut Option<Sending>) -> Result<Posted, ClientError> {
    match sending {
        Some(sending) => sending.await,
        None => core::future::pending().await,
    }
}

/// Waits for the end of a wait.
async fn held(hold: &mut Option<Pin<Box<Sleep>>>) {
    match hold {
        Some(hold) => hold.await,
        None => core::future::pending().await,
    }
}

/// Writes an error with its causes.
fn reason(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut cause = core::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).expect("a count fits 64 bits")
}
