//! `AppendStream`: entries in, answers out, in the order of the requests.
//!
//! One object is the whole stream: it is polled for answers, and while it is, it reads whatever
//! requests are there, submits them together and keeps their ticket. There is no task and no
//! channel in between, so a client that does not read its answers is not read from either.
//!
//! # Invariants
//!
//! - `waiting` holds the groups that were read and not yet answered, oldest first; `in_flight` is
//!   the number of their entries.
//! - The answers of one group are given out before the next group's ticket is looked at.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Status, Streaming};

use super::{
    answer::{appended, hashes, parse_answer, place},
    append::key,
    status::{Denial, Fields},
    wait::{Cover, Waiting},
};
use crate::{
    core::entry,
    pipeline::{
        Content, Failure, IDEMPOTENCY_KEY_BYTES_MAX, Log, NewEntry, Receipted, Submission, Ticket,
    },
    proto::{Answer, AppendStreamRequest, AppendStreamResponse, append_stream_response::Outcome},
    service::{Desk, Principal},
};

/// Most entries of one submission.
///
/// Large enough that the cost of a ticket (an allocation and a wake-up, about 200 ns) disappears
/// beside 256 leaf hashes (50 microseconds), small enough that 256 entries of any size stay below
/// the largest batch: 256 * 65,535 < 16 MiB.
const GROUP_ENTRIES_MAX: usize = 256;

/// Most entries of one stream that are read and not yet answered.
///
/// Four commits at the limit: one that is synced, one that is prepared, and as much on the way.
/// The bytes are bounded by the pool, for all streams together.
const IN_FLIGHT_ENTRIES_MAX: usize = 16_384;

/// Most groups that are read before an answer is looked for, so that a fast sender does not keep
/// its connection's other streams waiting: 8 groups are half a millisecond of hashing.
const GROUPS_PER_POLL_MAX: usize = 8;

/// What the first message said.
struct Header {
    log: Arc<Log>,
    answer: Answer,
    wait: i32,
    wait_ms: u32,
}

/// Entries that were read together.
struct Group {
    /// Entries that were refused before they were submitted, by their position in the group.
    refused: Vec<(usize, Denial)>,
    /// Number of entries, the refused ones included.
    entries: usize,
    submitted: Submitted,
}

/// What became of the entries of a group that were not refused one by one.
enum Submitted {
    /// They are on their way, or there are none.
    Waiting(Option<Ticket>),
    /// They are on their way, and then a quorum is waited for.
    Covering(Covering),
    /// All of them were refused for the same reason.
    Refused(Denial),
}

/// The answer to a group, once a quorum covers it or its time is over.
type Covering = Pin<Box<dyn Future<Output = Covered> + Send>>;

/// What became of a group, and what covers it.
type Covered = Result<(Receipted, Cover), Failure>;

/// The answers of one stream.
pub struct Appends {
    desk: Desk,
    principal: Bytes,
    requests: Streaming<AppendStreamRequest>,
    header: Option<Header>,
    waiting: VecDeque<Group>,
    in_flight: usize,
    answers: VecDeque<AppendStreamResponse>,
    /// Whether no more requests are read.
    ended: bool,
    /// What the stream ends with after all answers; `None` is the client's own end.
    last: Option<Status>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Appends {
    /// Starts to answer a stream of requests.
    pub(super) fn new(desk: Desk, request: Request<Streaming<AppendStreamRequest>>) -> Self {
        let principal = Principal::of(request.extensions());
        let closing = Box::pin(desk.closing.clone().cancelled_owned());
        Self {
            desk,
            principal,
            requests: request.into_inner(),
            header: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            answers: VecDeque::new(),
            ended: false,
            last: None,
            closing,
        }
    }

    fn end(&mut self, last: Option<Status>) {
        self.ended = true;
        self.last = last;
    }

    /// Reads the requests that are there, up to one group, and submits them.
    ///
    /// Returns pending when it read nothing and waits for the client.
    fn poll_group(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let room = GROUP_ENTRIES_MAX.min(IN_FLIGHT_ENTRIES_MAX - self.in_flight);
        let mut entries = Vec::new();
        let mut refused = Vec::new();
        let mut count = 0;
        let mut drained = false;
        while count < room && !self.ended && !drained {
            match Pin::new(&mut self.requests).poll_next(context) {
                Poll::Pending => drained = true,
                Poll::Ready(None) => self.end(None),
                Poll::Ready(Some(Err(status))) => self.end(Some(status)),
                Poll::Ready(Some(Ok(request))) => match self.parse(request) {
                    Ok(None) => {}
                    Ok(Some(Ok(entry))) => {
                        entries.push(entry);
                        count += 1;
                    }
                    Ok(Some(Err(denial))) => {
                        refused.push((count, denial));
                        count += 1;
                    }
                    Err(denial) => self.end(Some(self.desk.metrics.denied(denial).into())),
                },
            }
        }
        if count == 0 {
            return if drained { Poll::Pending } else { Poll::Ready(()) };
        }
        let submitted = self.submit(entries);
        self.in_flight += count;
        self.waiting.push_back(Group { refused, entries: count, submitted });
        Poll::Ready(())
    }

    /// Submits the entries of a group.
    fn submit(&self, entries: Vec<NewEntry>) -> Submitted {
        if entries.is_empty() {
            return Submitted::Waiting(None);
        }
        let header = self.header.as_ref().expect("entries follow the first message");
        let submission = Submission {
            entries,
            principal: self.principal.clone(),
            content: Content::Raw,
            atomic: false,
        };
        match self.desk.pipeline.submit(&header.log, submission) {
            Ok(ticket) => match Waiting::parse(&header.log, header.wait, header.wait_ms, None) {
                Ok(Waiting::Signed) | Err(_) => Submitted::Waiting(Some(ticket)),
                // The time of a group begins when it is submitted.
                Ok(waiting) => {
                    let (desk, log) = (self.desk.clone(), Arc::clone(&header.log));
                    Submitted::Covering(Box::pin(async move {
                        let receipted = ticket.await?;
                        let cover = Cover::of(&desk, &log, &receipted, waiting).await;
                        Ok((receipted, cover))
                    }))
                }
            },
            Err(refusal) => Submitted::Refused(Denial::refused(&refusal, Fields::Single)),
        }
    }

    /// Reads one request: nothing for a first message without entry, else an entry or why it is
    /// refused. The outer error ends the stream.
    fn parse(
        &mut self,
        request: AppendStreamRequest,
    ) -> Result<Option<Result<NewEntry, Denial>>, Denial> {
        if self.header.is_none() {
            let (wait, wait_ms) = (request.wait, request.wait_ms);
            let log = self.desk.log(&request.log)?;
            Waiting::parse(&log, wait, wait_ms, None)?;
            let header = Header { log, answer: parse_answer(request.answer)?, wait, wait_ms };
            self.header = Some(header);
            if request.entry.is_empty() && request.idempotency_key.is_empty() {
                return Ok(None);
            }
        } else if !request.log.is_empty()
            || (request.answer, request.wait, request.wait_ms) != (0, 0, 0)
        {
            let message = "log, answer and wait belong into the first message; \
                open a stream for each log";
            return Ok(Some(Err(Denial::field("log", message))));
        }
        if let Err(error) = entry::check(&request.entry) {
            return Ok(Some(Err(Denial::entry(0, error, Fields::Single))));
        }
        let key_bytes = request.idempotency_key.len();
        if key_bytes > IDEMPOTENCY_KEY_BYTES_MAX {
            return Ok(Some(Err(Denial::key_length(0, key_bytes, Fields::Single))));
        }
        // Messages of a stream share their receive buffers, so that keeping one costs little more
        // than its bytes while its neighbours wait as well.
        Ok(Some(Ok(NewEntry { bytes: request.entry, key: key(request.idempotency_key) })))
    }

    /// Turns an answered group into the answers of its entries.
    fn answer(&mut self, group: Group, receipted: Option<Covered>) {
        self.in_flight -= group.entries;
        let mut refused = group.refused.into_iter().peekable();
        let mut places = Places::new(&group.submitted, receipted);
        for position in 0..group.entries {
            let outcome = match refused.next_if(|(at, _)| *at == position) {
                Some((_, denial)) => Err(denial),
                None => places.next(&self.desk, self.header.as_ref()),
            };
            let outcome = match outcome {
                Ok(appended) => Outcome::Appended(appended),
                Err(denial) => Outcome::Refused(self.desk.metrics.denied(denial).into_refusal()),
            };
            self.answers.push_back(AppendStreamResponse { outcome: Some(outcome) });
        }
    }
}

/// Gives out the answers of the submitted entries of a group, in order.
enum Places {
    Denied(Denial),
    Receipted { receipted: Receipted, cover: Cover, hashes: std::vec::IntoIter<Bytes>, next: usize },
}

impl Places {
    /// Begins with the first entry of a group.
    fn new(submitted: &Submitted, receipted: Option<Covered>) -> Self {
        match (submitted, receipted) {
            (Submitted::Refused(denial), _) => Self::Denied(denial.clone()),
            (_, Some(Ok((receipted, cover)))) => {
                let hashes = hashes(&receipted.leaf_hashes).into_iter();
                Self::Receipted { receipted, cover, hashes, next: 0 }
            }
            (_, Some(Err(failure))) => Self::Denied(Denial::failed(&failure, Fields::Single)),
            // Every entry of the group was refused by itself, and nobody will ask.
            (Submitted::Waiting(_) | Submitted::Covering(_), None) => {
                Self::Denied(Denial::internal())
            }
        }
    }

    /// Returns the answer of the next submitted entry.
    fn next(
        &mut self,
        desk: &Desk,
        header: Option<&Header>,
    ) -> Result<crate::proto::AppendResponse, Denial> {
        match self {
            Self::Denied(denial) => Err(denial.clone()),
            Self::Receipted { receipted, cover, hashes, next } => {
                let outcome =
                    receipted.outcomes.get(*next).expect("a submission has one outcome an entry");
                let leaf_hash = hashes.next().expect("a submission has one leaf hash an entry");
                let header = header.expect("entries follow the first message");
                *next += 1;
                let place = place(0, *outcome)?;
                appended(desk, &header.log, cover, place, leaf_hash, header.answer)
            }
        }
    }
}

impl Stream for Appends {
    type Item = Result<AppendStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(answer) = this.answers.pop_front() {
            return Poll::Ready(Some(Ok(answer)));
        }
        if !this.ended && this.closing.as_mut().poll(context).is_ready() {
            this.end(Some(Denial::shutting_down().into()));
        }
        let mut groups = 0;
        while !this.ended && this.in_flight < IN_FLIGHT_ENTRIES_MAX {
            if groups == GROUPS_PER_POLL_MAX {
                // There may be more to read than this poll took.
                context.waker().wake_by_ref();
                break;
            }
            if this.poll_group(context).is_pending() {
                break;
            }
            groups += 1;
        }
        let Some(group) = this.waiting.front_mut() else {
            if !this.ended {
                return Poll::Pending;
            }
            return Poll::Ready(this.last.take().map(Err));
        };
        let receipted = match &mut group.submitted {
            Submitted::Waiting(Some(ticket)) => {
                Some(ready!(Pin::new(ticket).poll(context)).map(|receipted| {
                    let published = Some(Arc::clone(&receipted.published));
                    (receipted, Cover { published, cosigned: false })
                }))
            }
            Submitted::Covering(covering) => Some(ready!(covering.as_mut().poll(context))),
            Submitted::Waiting(None) | Submitted::Refused(_) => None,
        };
        let group = this.waiting.pop_front().expect("the group that was looked at");
        this.answer(group, receipted);
        Poll::Ready(this.answers.pop_front().map(Ok))
    }
}
