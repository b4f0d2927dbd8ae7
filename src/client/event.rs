//! Appending audit events, and checking that their records hold what was submitted.

use bytes::Bytes;

use super::{Appended, Client, ClientError, NewEntry, Placed, Untrue};
use crate::core::hash::TreeHash;
use crate::core::record::{Echo, Given, Path, SALT_BYTES, Salt, Verdict, check_echo};
use crate::proto::{
    self, Answer, AppendEventBatchRequest, AppendEventRequest, BatchDuplicate, BatchEvent,
    EventRecord,
};

/// The record that an event became, checked against what was submitted.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The exact bytes of the leaf.
    pub entry: Bytes,
    /// What they hold, and what opens what they hide.
    pub echo: Echo,
}

/// What became of an event.
#[derive(Clone, Debug)]
pub enum Became {
    /// A record, which holds what was submitted.
    Recorded(Box<Recorded>),
    /// Nothing new: it was in the log before, and nothing of it was compared.
    Before,
    /// Nothing: the policy has such events counted instead of recorded, so the log says.
    Suppressed,
}

/// What became of an event, and where its record is, proved.
#[derive(Clone, Debug)]
pub struct AppendedEvent {
    /// Where it is; `None` if it was suppressed.
    pub appended: Option<Appended>,
    /// What it is.
    pub became: Became,
}

/// What became of the events of a batch, and where their records are, proved.
#[derive(Debug)]
pub struct PlacedEvents {
    /// Where they are: one place for each that was not suppressed, in the order of the request.
    pub placed: Placed,
    /// What each is, in the order of the request.
    pub became: Vec<Became>,
}

impl Became {
    /// Returns whether there is a record.
    pub const fn is_in_log(&self) -> bool {
        !matches!(self, Self::Suppressed)
    }
}

impl Client {
    /// Appends one event.
    pub async fn append_event(&self, event: NewEntry) -> Result<AppendedEvent, ClientError> {
        let request = AppendEventRequest {
            log: self.origin(),
            event: event.bytes.clone(),
            idempotency_key: event.key,
            answer: Answer::Receipt.into(),
            wait: self.wait(),
            ..AppendEventRequest::default()
        };
        let answer = self.events.clone().append_event(request).await;
        let answer = answer.map_err(|status| self.failed(status))?.into_inner();
        if let Some(appended) = &answer.appended
            && appended.checkpoint.is_none()
            && self.has_quorum()
        {
            return Err(ClientError::Unshown { index: appended.leaf_index });
        }
        Ok(self.appended_event(&event.bytes, &answer)?)
    }

    /// Verifies the answer for one event.
    pub fn appended_event(
        &self,
        submitted: &[u8],
        answer: &proto::AppendEventResponse,
    ) -> Result<AppendedEvent, Untrue> {
        let record = answer.record.as_ref().ok_or(missing("record"))?;
        let Some(appended) = &answer.appended else {
            let (_, became) = became(submitted, record, false)?;
            return match became {
                Became::Suppressed => Ok(AppendedEvent { appended: None, became }),
                Became::Recorded(_) | Became::Before => Err(missing("appended")),
            };
        };
        let (leaf, became) = became(submitted, record, appended.duplicate)?;
        let appended = Some(self.appended(leaf, appended)?);
        Ok(AppendedEvent { appended, became })
    }

    /// Appends up to 4,096 events (16 MiB) atomically.
    pub async fn append_event_batch(
        &self,
        events: Vec<NewEntry>,
    ) -> Result<PlacedEvents, ClientError> {
        let submitted: Vec<Bytes> = events.iter().map(|event| event.bytes.clone()).collect();
        let request =
            AppendEventBatchRequest { wait: self.wait(), ..event_batch(self.origin(), events) };
        let answer = self.events.clone().append_event_batch(request).await;
        let answer = answer.map_err(|status| self.failed(status))?.into_inner();
        if let Some(appended) = &answer.appended
            && appended.checkpoint.is_none()
            && self.has_quorum()
        {
            return Err(ClientError::Unshown { index: appended.from });
        }
        Ok(self.placed_events(&submitted, &answer)?)
    }

    /// Verifies the answer for a batch of events.
    pub fn placed_events(
        &self,
        submitted: &[Bytes],
        answer: &proto::AppendEventBatchResponse,
    ) -> Result<PlacedEvents, Untrue> {
        let appended = answer.appended.as_ref().ok_or(missing("appended"))?;
        if answer.records.len() != submitted.len() {
            let problem = "are not one for each event";
            return Err(Untrue::Malformed { field: "records", problem });
        }
        let mut duplicates = appended.duplicates.iter().peekable();
        let mut there = proto::AppendBatchResponse { duplicates: Vec::new(), ..appended.clone() };
        let (mut leaves, mut all) = (Vec::new(), Vec::new());
        for (position, (submitted, record)) in (0_u32..).zip(submitted.iter().zip(&answer.records))
        {
            let duplicate = duplicates.next_if(|one| one.position == position);
            let (leaf, became) = became(submitted, record, duplicate.is_some())?;
            if became.is_in_log() {
                // What was suppressed has no leaf: the others are counted without it.
                let position =
                    u32::try_from(leaves.len()).expect("a batch has 4,096 events at most");
                there.duplicates.extend(duplicate.map(|one| BatchDuplicate { position, ..*one }));
                leaves.push(leaf);
            }
            all.push(became);
        }
        if duplicates.next().is_some() {
            let problem = "are not in the order of their positions";
            return Err(Untrue::Malformed { field: "duplicates", problem });
        }
        Ok(PlacedEvents { placed: self.placed(&leaves, &there)?, became: all })
    }
}

/// Checks one record of an answer. Returns the hash of its leaf too, which is still to be proved.
fn became(
    submitted: &[u8],
    record: &EventRecord,
    duplicate: bool,
) -> Result<(TreeHash, Became), Untrue> {
    let malformed = |field, problem| Untrue::Malformed { field, problem };
    if record.suppressed {
        let alone = EventRecord { suppressed: true, ..EventRecord::default() };
        return if *record == alone && !duplicate {
            Ok((TreeHash::leaf(&[]), Became::Suppressed))
        } else {
            Err(malformed("record.suppressed", "is said of an event that is in the log"))
        };
    }
    let leaf = TreeHash::from_slice(&record.leaf_hash);
    let leaf = leaf.ok_or(malformed("record.leaf_hash", "is not 32 bytes long"))?;
    if duplicate {
        return Ok((leaf, Became::Before));
    }
    if TreeHash::leaf(&record.entry) != leaf {
        return Err(malformed("record.leaf_hash", "is not that of the entry"));
    }
    let given: Vec<Given> = record.openings.iter().map(given).collect::<Result<_, _>>()?;
    let echo = check_echo(submitted, &record.entry, given).map_err(Box::new)?;
    if verdict(record.verdict()) != Some(echo.verdict) || record.rules != echo.rules {
        return Err(malformed("record.verdict and rules", "are not those of the entry"));
    }
    Ok((leaf, Became::Recorded(Box::new(Recorded { entry: record.entry.clone(), echo }))))
}

/// Reads one opening of an answer.
fn given(opening: &proto::FieldOpening) -> Result<Given, Untrue> {
    let malformed = |field, problem| Untrue::Malformed { field, problem };
    let path = Path::parse(&opening.path);
    let path = path.ok_or(malformed("openings.path", "is no JSON pointer"))?;
    let salt = <[u8; SALT_BYTES]>::try_from(&opening.salt[..]);
    let salt = salt.map_err(|_length| malformed("openings.salt", "is not 32 bytes long"))?;
    Ok(Given::new(path, Salt::new(salt), opening.value.as_deref()))
}

fn missing(field: &'static str) -> Untrue {
    Untrue::Malformed { field, problem: "is missing" }
}

/// Returns the verdict that a message names.
const fn verdict(verdict: proto::Verdict) -> Option<Verdict> {
    match verdict {
        proto::Verdict::Unspecified => None,
        proto::Verdict::Accept => Some(Verdict::Accept),
        proto::Verdict::Warn => Some(Verdict::Warn),
        proto::Verdict::Quarantine => Some(Verdict::Quarantine),
        proto::Verdict::Error => Some(Verdict::Error),
    }
}

/// Puts the request for a batch together, in the short form if no event has a key.
pub fn event_batch(log: String, events: Vec<NewEntry>) -> AppendEventBatchRequest {
    let answer = Answer::Receipt.into();
    if events.iter().all(|event| event.key.is_empty()) {
        let events = events.into_iter().map(|event| event.bytes).collect();
        return AppendEventBatchRequest { log, events, answer, ..Default::default() };
    }
    let keyed = |event: NewEntry| BatchEvent { event: event.bytes, idempotency_key: event.key };
    let keyed_events = events.into_iter().map(keyed).collect();
    AppendEventBatchRequest { log, keyed_events, answer, ..Default::default() }
}
