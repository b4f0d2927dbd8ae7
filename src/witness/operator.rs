//! What the operator may ask and order, over the socket in the witness's directory or on its files.
//!
//! Orders are recorded with their reason and kept for ever. There is none that removes a log, and none
//! that sets what was cosigned back.

use serde::{Deserialize, Serialize};

use super::{
    Witness,
    book::{Book, Log, State},
    journal::{Act, ActKind, AppendError, Journal, REASON_BYTES_MAX, Record},
    keeper::NotKept,
};
use crate::core::{note::CosignatureTime, origin::Origin};

/// An order about one log, as JSON on the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// `disable`, `enable`, `freeze` or `unfreeze`.
    pub act: String,
    /// The log.
    pub origin: String,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What a witness remembers, as JSON on the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The witness's vkey.
    pub vkey: String,
    /// Its logs.
    pub logs: Vec<LogStatus>,
}

/// What a witness remembers of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The log.
    pub origin: String,
    /// Size of the newest tree that was cosigned; none if none ever was.
    pub size: Option<u64>,
    /// Its root, in base64.
    pub root: Option<String>,
    /// Time of the cosignature, in seconds since 1970.
    pub time: Option<u64>,
    /// Whether an operator has disabled the log.
    pub disabled: bool,
    /// Why the witness has stopped for it by itself.
    pub frozen: Option<String>,
}

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no such order.
    #[error("{act:?} is no order; use disable, enable, freeze or unfreeze")]
    Act {
        /// What was given.
        act: String,
    },
    /// The witness knows no such log.
    #[error(
        "this witness knows no log {origin:?}; `attestree witness status` lists those it knows"
    )]
    Origin {
        /// What was given.
        origin: String,
    },
    /// The reason is missing or too long.
    #[error("say why, in 1 to {REASON_BYTES_MAX} bytes: the reason is kept for ever")]
    Reason,
    /// The journal could not be written.
    #[error("the order was not recorded: {0}")]
    Journal(String),
}

impl Order {
    /// Checks the order.
    fn parse(&self) -> Result<(ActKind, Origin), OperatorError> {
        let kinds = [ActKind::Disable, ActKind::Enable, ActKind::Freeze, ActKind::Unfreeze];
        let kind = kinds.into_iter().find(|kind| kind.to_string() == self.act);
        let kind = kind.ok_or_else(|| OperatorError::Act { act: self.act.clone() })?;
        let unknown = |_| OperatorError::Origin { origin: self.origin.clone() };
        let origin = Origin::parse(&self.origin).map_err(unknown)?;
        let is_told = (1..=REASON_BYTES_MAX).contains(&self.reason.trim().len());
        if is_told { Ok((kind, origin)) } else { Err(OperatorError::Reason) }
    }
}

impl Status {
    fn new(vkey: String, book: &Book) -> Self {
        Self { vkey, logs: book.logs().iter().map(LogStatus::new).collect() }
    }
}

impl LogStatus {
    fn new(log: &Log) -> Self {
        let State { latest, disabled, frozen } = log.state();
        Self {
            origin: log.origin().to_string(),
            size: latest.as_ref().map(|latest| latest.head().size.get()),
            root: latest.as_ref().map(|latest| latest.head().root.to_base64()),
            time: latest.as_ref().map(|latest| latest.time().get()),
            disabled,
            frozen,
        }
    }
}

impl Witness {
    /// Returns what is remembered of every log.
    pub fn status(&self) -> Status {
        Status::new(self.key().verifier_key().to_string(), self.book())
    }

    /// Carries out an order; returns whether it changed anything. It is durable when this returns.
    pub async fn order(&self, order: &Order) -> Result<bool, OperatorError> {
        let (kind, origin) = order.parse()?;
        if self.book().log(&origin).is_none() {
            return Err(OperatorError::Origin { origin: order.origin.clone() });
        }
        let reason = order.reason.trim().to_owned();
        let done = self.keeper.act(kind, &origin, reason).await;
        let changed = done.map_err(|why| {
            OperatorError::Journal(match why {
                NotKept::NotWritten => "the disk took nothing".to_owned(),
                _ => "the witness stops".to_owned(),
            })
        })?;
        if changed {
            tracing::warn!(origin = %origin, "{kind}: the operator has acted");
        }
        Ok(changed)
    }
}

/// Carries out orders on the files of a witness that is not running; returns what it remembers then.
pub fn give_orders(
    journal: &mut Journal,
    records: &[Record],
    vkey: String,
    orders: &[Order],
    now: CosignatureTime,
) -> Result<Status, OperatorError> {
    let mut records = records.to_vec();
    let enabled = |record: &Record| match record {
        Record::Cosigned(cosigned) => cosigned.origin.clone(),
        Record::Act(act) => act.origin.clone(),
    };
    let mut known: Vec<Origin> = records.iter().map(enabled).collect();
    known.sort_unstable();
    known.dedup();
    for order in orders {
        let (kind, origin) = order.parse()?;
        if !known.contains(&origin) {
            return Err(OperatorError::Origin { origin: order.origin.clone() });
        }
        let reason = order.reason.trim().to_owned();
        let record = Record::Act(Act { kind, origin, time: now, reason });
        journal.append(core::slice::from_ref(&record)).map_err(|error| {
            OperatorError::Journal(match error {
                AppendError::NotWritten(error) => error.to_string(),
                AppendError::Unknown(error) => error.to_string(),
            })
        })?;
        records.push(record);
    }
    Ok(Status::new(vkey, &Book::recalled(&records)))
}
