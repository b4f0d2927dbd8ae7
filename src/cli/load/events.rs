//! Callers that append audit events, one a request or many.

use tonic::transport::Channel;

use super::callers::Caller;
use super::run::Turn;
use crate::client::{ClientError, NewEntry, event_batch};
use crate::proto::{
    Answer, AppendEventBatchRequest, AppendEventRequest, event_service_client::EventServiceClient,
};

/// Most bytes of an answer: 4,096 records of what `--size` may be, with what opens them.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Appends one event after another.
pub(super) async fn unary(caller: Caller, channel: Channel) -> anyhow::Result<()> {
    let mut grpc = EventServiceClient::new(channel);
    let payload = &caller.run.payload;
    while let Some(turn) = caller.run.turn(1).await {
        let number = payload.reserve(1);
        let answer = loop {
            let request = AppendEventRequest {
                log: caller.target.field.clone(),
                event: payload.entry(number),
                idempotency_key: caller.key(number),
                answer: caller.answer.into(),
                ..AppendEventRequest::default()
            };
            match grpc.append_event(request).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => caller.run.refused(caller.failed(status)).await?,
            }
        };
        caller.run.answered(turn.due, 1);
        // Without a receipt nothing is known of the record that could be looked up afterwards.
        if caller.answer == Answer::Receipt && caller.run.samples() {
            let checked = caller.target.client.appended_event(&payload.entry(number), &answer);
            checked.map_err(ClientError::from)?;
            caller.run.verified(1);
        }
    }
    Ok(())
}

/// Appends one batch of events after another.
pub(super) async fn batch(caller: Caller, channel: Channel, size: usize) -> anyhow::Result<()> {
    let mut grpc = EventServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let payload = &caller.run.payload;
    while let Some(turn) = caller.run.turn(size).await {
        let first = payload.reserve(turn.entries);
        let answer = loop {
            match grpc.append_event_batch(request(&caller, &turn, first)).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => caller.run.refused(caller.failed(status)).await?,
            }
        };
        caller.run.answered(turn.due, turn.entries);
        if caller.answer == Answer::Receipt && caller.run.samples() {
            let events: Vec<_> =
                (first..).take(turn.entries).map(|number| payload.entry(number)).collect();
            let checked = caller.target.client.placed_events(&events, &answer);
            checked.map_err(ClientError::from)?;
            caller.run.verified(turn.entries);
        }
    }
    Ok(())
}

/// Makes the batch of a turn from the events numbered `first` and up.
fn request(caller: &Caller, turn: &Turn, first: u64) -> AppendEventBatchRequest {
    let event =
        |number| NewEntry { bytes: caller.run.payload.entry(number), key: caller.key(number) };
    let events = (first..).take(turn.entries).map(event).collect();
    let request = event_batch(caller.target.field.clone(), events);
    AppendEventBatchRequest { answer: caller.answer.into(), ..request }
}
