//! Callers that keep many entries on their way over one stream.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tonic::transport::Channel;

use super::callers::Caller;
use super::run::Turn;
use crate::client::{ClientError, Refused};
use crate::proto::{
    AppendStreamRequest, append_stream_response::Outcome, log_service_client::LogServiceClient,
};

/// What the sending and the receiving side of a stream share.
#[derive(Default)]
struct Flow {
    /// What was sent and is not answered: when it was due, and its number.
    sent: VecDeque<(Instant, u64)>,
    /// Whom to wake when there is room.
    waker: Option<Waker>,
}

/// The messages of one stream: as many as may be on their way.
struct Outgoing {
    caller: Caller,
    flow: Arc<Mutex<Flow>>,
    in_flight: usize,
    first: bool,
    /// A turn that was taken and is not due yet.
    waiting: Option<(Turn, Pin<Box<Sleep>>)>,
}

/// Everything runs on one thread, so the lock is never waited for.
fn locked(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outgoing {
    /// Returns the message for a turn.
    fn message(&mut self, turn: &Turn) -> AppendStreamRequest {
        let number = self.caller.run.payload.reserve(1);
        let entry = self.caller.run.payload.entry(number);
        locked(&self.flow).sent.push_back((turn.due, number));
        let idempotency_key = self.caller.key(number);
        if core::mem::take(&mut self.first) {
            let log = self.caller.target.field.clone();
            return AppendStreamRequest {
                log,
                answer: self.caller.answer.into(),
                entry,
                idempotency_key,
                ..AppendStreamRequest::default()
            };
        }
        AppendStreamRequest { entry, idempotency_key, ..AppendStreamRequest::default() }
    }
}

impl Stream for Outgoing {
    type Item = AppendStreamRequest;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<AppendStreamRequest>> {
        let this = self.get_mut();
        {
            let mut flow = locked(&this.flow);
            if flow.sent.len() >= this.in_flight {
                flow.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        let turn = if let Some((turn, mut due)) = this.waiting.take() {
            if due.as_mut().poll(context).is_pending() {
                this.waiting = Some((turn, due));
                return Poll::Pending;
            }
            turn
        } else {
            let Some(turn) = this.caller.run.try_turn(1) else {
                return Poll::Ready(None);
            };
            turn
        };
        if turn.due > Instant::now() {
            let mut due = Box::pin(tokio::time::sleep_until(turn.due));
            if due.as_mut().poll(context).is_pending() {
                this.waiting = Some((turn, due));
                return Poll::Pending;
            }
        }
        let message = this.message(&turn);
        Poll::Ready(Some(message))
    }
}

/// Appends over one stream with up to `in_flight` entries on their way.
pub(super) async fn stream(
    caller: Caller,
    channel: Channel,
    in_flight: usize,
) -> anyhow::Result<()> {
    let flow = Arc::new(Mutex::new(Flow::default()));
    let outgoing = Outgoing {
        caller: caller.clone(),
        flow: Arc::clone(&flow),
        in_flight,
        first: true,
        waiting: None,
    };
    let failed = |status| ClientError::from_status(caller.target.client.server().url(), status);
    let answers = LogServiceClient::new(channel).append_stream(outgoing).await.map_err(failed)?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await.map_err(failed)? {
        let (due, number) = {
            let mut flow = locked(&flow);
            let sent = flow.sent.pop_front();
            // Waking the sender for every answer would have it send one message at a time.
            if flow.sent.len() <= in_flight - in_flight / 8
                && let Some(waker) = flow.waker.take()
            {
                waker.wake();
            }
            sent.context("more answers came than entries were sent")?
        };
        let appended = match answer.outcome.context("an answer of the stream is empty")? {
            Outcome::Appended(appended) => appended,
            Outcome::Refused(refusal) => {
                caller.run.refused_one(Refused::from_refusal(refusal)).await?;
                continue;
            }
        };
        caller.run.answered(due, 1);
        if caller.run.samples() {
            caller.check(number, &appended)?;
        }
    }
    Ok(())
}
