//! `AppendStream`: entries in, answers out, in the order of the requests. Events take the same way.
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
    append::{Single, key},
    status::{Denial, Fields},
    wait::{Cover, Waiting},
};
use crate::{
    core::entry,
    pipeline::{
        Content, Failure, IDEMPOTENCY_KEY_BYTES_MAX, Log, NewEntry, Outcome, Receipted, Recorded,
        Submission, Ticket,
    },
    proto::{
        Answer, AppendRefusal, AppendResponse, AppendStreamRequest, AppendStreamResponse,
        append_stream_response,
    },
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

/// What differs between a stream of entries and one of events.
pub trait Kind: Unpin + Send + 'static {
    /// A message of the client's.
    type Request: Send + 'static;
    /// A message of the server's.
    type Response: Unpin + Send + 'static;
    /// What is sent.
    const CONTENT: Content;
    /// How wrong fields are called.
    const FIELDS: Fields;

    /// Takes a request apart.
    fn read(request: Self::Request) -> Single;
    /// Refuses bytes that can be no entry, or no event, because of their length.
    fn check(bytes: &[u8]) -> Result<(), Denial>;
    /// Fills in what only the log knows of those that were in it before.
    fn fill(desk: &Desk, log: &Log, receipted: &mut Receipted) -> Result<(), Denial>;
    /// Makes the answer to one that is in the log, or is counted.
    fn appended(appended: Option<AppendResponse>, became: Became) -> Self::Response;
    /// Makes the answer to one that is not.
    fn refused(refusal: AppendRefusal) -> Self::Response;
}

/// What became of one entry, as far as only events need it.
pub struct Became {
    pub(super) answer: Answer,
    pub(super) outcome: Outcome,
    pub(super) leaf_hash: Bytes,
    pub(super) recorded: Option<Recorded>,
}

/// A stream of entries.
#[derive(Debug)]
pub struct Entries;

impl Kind for Entries {
    type Request = AppendStreamRequest;
    type Response = AppendStreamResponse;
    const CONTENT: Content = Content::Raw;
    const FIELDS: Fields = Fields::Single;

    fn read(request: AppendStreamRequest) -> Single {
        Single {
            log: request.log,
            bytes: request.entry,
            idempotency_key: request.idempotency_key,
            answer: request.answer,
            wait: request.wait,
            wait_ms: request.wait_ms,
        }
    }

    fn check(bytes: &[u8]) -> Result<(), Denial> {
        entry::check(bytes).map_err(|error| Denial::entry(0, error, Fields::Single))
    }

    fn fill(_desk: &Desk, _log: &Log, _receipted: &mut Receipted) -> Result<(), Denial> {
        Ok(())
    }

    fn appended(appended: Option<AppendResponse>, _became: Became) -> AppendStreamResponse {
        AppendStreamResponse { outcome: appended.map(append_stream_response::Outcome::Appended) }
    }

    fn refused(refusal: AppendRefusal) -> AppendStreamResponse {
        AppendStreamResponse { outcome: Some(append_stream_response::Outcome::Refused(refusal)) }
    }
}

/// What the first message said.
struct Header {
    log: Arc<Log>,
    answer: Answer,
    wait: i32,
    wait_ms: u32,
}

/// One request: an entry, or why it is none.
type Read = Result<NewEntry, Denial>;

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
pub struct Appends<K: Kind> {
    desk: Desk,
    principal: Bytes,
    requests: Streaming<K::Request>,
    header: Option<Header>,
    waiting: VecDeque<Group>,
    in_flight: usize,
    answers: VecDeque<K::Response>,
    /// Whether no more requests are read.
    ended: bool,
    /// What the stream ends with after all answers; `None` is the client's own end.
    last: Option<Status>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<K: Kind> Appends<K> {
    /// Starts to answer a stream of requests.
    pub(super) fn new(desk: Desk, request: Request<Streaming<K::Request>>) -> Self {
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
        let mut group = Vec::new();
        let mut drained = false;
        while group.len() < room && !self.ended && !drained {
            match Pin::new(&mut self.requests).poll_next(context) {
                Poll::Pending => drained = true,
                Poll::Ready(None) => self.end(None),
                Poll::Ready(Some(Err(status))) => self.end(Some(status)),
                Poll::Ready(Some(Ok(request))) => match self.parse(K::read(request)) {
                    Ok(read) => group.extend(read),
                    Err(denial) => self.end(Some(self.desk.metrics.denied(denial).into())),
                },
            }
        }
        if group.is_empty() {
            return if drained { Poll::Pending } else { Poll::Ready(()) };
        }
        self.queue(group);
        Poll::Ready(())
    }

    /// Submits what was read together, and lets it wait for its answer.
    fn queue(&mut self, group: Vec<Read>) {
        let entries = group.iter().filter_map(|read| read.as_ref().ok().cloned()).collect();
        let submitted = self.submit(entries);
        // One event that is at fault refuses all that are submitted with it: then each stands for itself.
        if group.len() > 1
            && matches!(&submitted, Submitted::Refused(denial) if denial.is_about_one())
        {
            group.into_iter().for_each(|read| self.queue(vec![read]));
            return;
        }
        let entries = group.len();
        let refused = group.into_iter().enumerate();
        let refused = refused.filter_map(|(at, read)| Some((at, read.err()?))).collect();
        self.in_flight += entries;
        self.waiting.push_back(Group { refused, entries, submitted });
    }

    /// Submits the entries of a group.
    fn submit(&self, entries: Vec<NewEntry>) -> Submitted {
        if entries.is_empty() {
            return Submitted::Waiting(None);
        }
        let header = self.header.as_ref().expect("entries follow the first message");
        let principal = self.principal.clone();
        let submission = Submission::new(entries, principal, K::CONTENT);
        match self.desk.submit(&header.log, submission, K::FIELDS) {
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
            Err(denial) => Submitted::Refused(denial),
        }
    }

    /// Reads one request: nothing for a first message without entry, else an entry or why it is
    /// refused. The outer error ends the stream.
    fn parse(&mut self, request: Single) -> Result<Option<Read>, Denial> {
        if self.header.is_none() {
            let (wait, wait_ms) = (request.wait, request.wait_ms);
            let log = self.desk.log(&request.log)?;
            Waiting::parse(&log, wait, wait_ms, None)?;
            let header = Header { log, answer: parse_answer(request.answer)?, wait, wait_ms };
            self.header = Some(header);
            if request.bytes.is_empty() && request.idempotency_key.is_empty() {
                return Ok(None);
            }
        } else if !request.log.is_empty()
            || (request.answer, request.wait, request.wait_ms) != (0, 0, 0)
        {
            let message = "log, answer and wait belong into the first message; \
                open a stream for each log";
            return Ok(Some(Err(Denial::field("log", message))));
        }
        if let Err(denial) = K::check(&request.bytes) {
            return Ok(Some(Err(denial)));
        }
        let key_bytes = request.idempotency_key.len();
        if key_bytes > IDEMPOTENCY_KEY_BYTES_MAX {
            return Ok(Some(Err(Denial::key_length(0, key_bytes, K::FIELDS))));
        }
        // Messages of a stream share their receive buffers, so that keeping one costs little more
        // than its bytes while its neighbours wait as well.
        Ok(Some(Ok(NewEntry::new(request.bytes, key(request.idempotency_key)))))
    }

    /// Turns an answered group into the answers of its entries.
    fn answer(&mut self, group: Group, mut receipted: Option<Covered>) {
        self.in_flight -= group.entries;
        let filled = match (&mut receipted, &self.header) {
            (Some(Ok((receipted, _))), Some(header)) => K::fill(&self.desk, &header.log, receipted),
            _ => Ok(()),
        };
        let mut refused = group.refused.into_iter().peekable();
        let mut places = Places::new(&group.submitted, receipted, K::FIELDS);
        for position in 0..group.entries {
            let outcome = match refused.next_if(|(at, _)| *at == position) {
                Some((_, denial)) => Err(denial),
                None if let Err(denial) = &filled => Err(denial.clone()),
                None => places.next(&self.desk, self.header.as_ref()),
            };
            self.answers.push_back(match outcome {
                Ok((appended, became)) => K::appended(appended, became),
                Err(denial) => K::refused(self.desk.metrics.denied(denial).into_refusal()),
            });
        }
    }
}

/// Gives out the answers of the submitted entries of a group, in order.
enum Places {
    Denied(Denial),
    Failed {
        failure: Failure,
        next: usize,
        fields: Fields,
    },
    Receipted {
        receipted: Receipted,
        cover: Cover,
        hashes: std::vec::IntoIter<Bytes>,
        next: usize,
        fields: Fields,
    },
}

impl Places {
    /// Begins with the first entry of a group.
    fn new(submitted: &Submitted, receipted: Option<Covered>, fields: Fields) -> Self {
        match (submitted, receipted) {
            (Submitted::Refused(denial), _) => Self::Denied(denial.clone()),
            (_, Some(Ok((receipted, cover)))) => {
                let hashes = hashes(&receipted.leaf_hashes).into_iter();
                Self::Receipted { receipted, cover, hashes, next: 0, fields }
            }
            (_, Some(Err(failure))) => Self::Failed { failure, next: 0, fields },
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
    ) -> Result<(Option<AppendResponse>, Became), Denial> {
        match self {
            Self::Denied(denial) => Err(denial.clone()),
            Self::Failed { failure, next, fields } => {
                *next += 1;
                Err(Denial::failed_at(failure, *next - 1, *fields))
            }
            Self::Receipted { receipted, cover, hashes, next, fields } => {
                let outcome =
                    *receipted.outcomes.get(*next).expect("a submission has one outcome an entry");
                let recorded = receipted.records.get_mut(*next).and_then(Option::take);
                let leaf_hash = hashes.next().expect("a submission has one leaf hash an entry");
                let header = header.expect("entries follow the first message");
                *next += 1;
                let (log, answer) = (&header.log, header.answer);
                if outcome == Outcome::Suppressed {
                    return Ok((None, Became { answer, outcome, leaf_hash, recorded }));
                }
                let place = place(0, outcome, *fields)?;
                let appended = appended(desk, log, cover, place, leaf_hash.clone(), answer)?;
                Ok((Some(appended), Became { answer, outcome, leaf_hash, recorded }))
            }
        }
    }
}

impl<K: Kind> Stream for Appends<K> {
    type Item = Result<K::Response, Status>;

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
