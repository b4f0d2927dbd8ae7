//! Syslog: RFC 5424 messages in the frames of RFC 6587.
//!
//! | of the message | in the event |
//! |---|---|
//! | TIMESTAMP | `ot` |
//! | MSGID | `act` |
//! | APP-NAME | `source`, which the record shows as `ctx.claimed_source` |
//! | facility `auth` or `authpriv` | class `authentication`; of other facilities the policy gives one |
//! | HOSTNAME | `resource.host` |
//! | PRI, PROCID, STRUCTURED-DATA, MSG | `ctx.syslog`: `facility`, `severity`, `procid`, `sd`, and `msg` or `msg_bytes` |
//! | `[attestree@32473 id="..." seq="..."]` | the idempotency key, with HOSTNAME and APP-NAME; `seq` |
//!
//! A message that breaks the grammar is kept as it came, as `unparsed`. So is one whose timestamp is no day of
//! the years 1970 to 9999, and what is left of one that was cut off.
//!
//! # Out of scope
//!
//! - The connection, its time limits and its rate: `crate::server`.
//! - UDP: what is lost there is not noticed, which is no way for an audit log to be fed.

mod frame;
mod message;

use bytes::Bytes;

pub use frame::{Frame, Framing};
pub use message::{Element, Message, Text};

use super::{EventDraft, Item};
use crate::core::{
    hash::TreeHash,
    record::{
        SUBMISSION_LIMITS, format_bytes,
        json::{Number, Object, Value},
    },
};

/// The SD-ID of what is meant for the log. 32473 is the enterprise number of examples (RFC 5612); whoever sends
/// this element means it.
const ELEMENT: &str = "attestree@32473";

/// Most bytes of an idempotency key as it is; of a longer one the hash is taken.
const KEY_BYTES_MAX: usize = 256;

/// Most elements and parameters of a message: more, and the members beside them, are more values than an event
/// may have.
const PARAMS_MAX: usize = SUBMISSION_LIMITS.values - 32;

/// The names of the facilities (RFC 5424, table 1), as the configurations of senders write them.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// The names of the severities (RFC 5424, table 2).
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Makes the items of one frame: one, unless it is empty or longer than an event may be.
pub fn items(frame: &Frame) -> Vec<Item> {
    match frame {
        Frame::Whole(bytes) => event(bytes).unwrap_or_else(|| Item::unparsed(bytes, None)),
        Frame::Piece(bytes) => Item::unparsed(bytes, None),
    }
}

/// Makes the event of a message.
fn event(bytes: &Bytes) -> Option<Vec<Item>> {
    let message = Message::parse(bytes)?;
    let values: usize = message.elements.iter().map(|element| 1 + element.params.len()).sum();
    if values > PARAMS_MAX {
        return None;
    }
    let mut event = EventDraft::new();
    if let Some(timestamp) = message.timestamp
        && !event.occurred_text(timestamp)
    {
        return None;
    }
    let facility = FACILITIES.get(usize::from(message.facility)).copied()?;
    if matches!(facility, "auth" | "authpriv") {
        event.set("class", "authentication");
    }
    if let Some(id) = message.id {
        event.set("act", id);
    }
    if let Some(app) = message.app {
        event.set("source", app);
    }
    if let Some(host) = message.host {
        event.put("resource", "host", host);
    }
    let mut syslog = Object::new();
    syslog.insert("facility", facility.into());
    syslog.insert("severity", SEVERITIES.get(usize::from(message.severity)).copied()?.into());
    if let Some(process) = message.process {
        syslog.insert("procid", process.into());
    }
    if !message.elements.is_empty() {
        let mut elements = Object::new();
        for element in &message.elements {
            elements.insert(element.id, params(element).into());
        }
        syslog.insert("sd", elements.into());
    }
    match message.text {
        None => {}
        Some(Text::Utf8(text)) => drop(syslog.insert("msg", text.into())),
        Some(Text::Bytes(bytes)) => drop(syslog.insert("msg_bytes", format_bytes(bytes).into())),
    }
    let ours = message.element(ELEMENT);
    if let Some(seq) = ours.and_then(|ours| ours.value("seq")).and_then(number) {
        event.set("seq", seq);
    }
    let key = ours.and_then(|ours| ours.value("id")).and_then(|id| key(&message, id));
    event.put("ctx", "syslog", syslog);
    Some(event.item(key, bytes))
}

/// Returns the values of an element; those of a name that stands there again as a list.
fn params<'a>(element: &Element<'a>) -> Object<'a> {
    let mut object = Object::new();
    for (name, value) in &element.params {
        let value = Value::String(value.clone());
        match object.member_mut(name) {
            None => drop(object.insert(*name, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(place) => {
                let first = core::mem::replace(place, Value::Null);
                *place = Value::Array(vec![first, value]);
            }
        }
    }
    object
}

/// Reads a number of an event at its source: decimal, without leading zeros.
fn number(text: &str) -> Option<Number> {
    let number =
        text.parse::<i64>().ok().filter(|number| *number >= 0 && number.to_string() == text)?;
    Number::from_integer(number)
}

/// Makes the key of a message that has an id: two programs, and two hosts, may count alike.
///
/// Names of hosts and programs hold no space, so that no two keys are written alike.
fn key(message: &Message<'_>, id: &str) -> Option<Vec<u8>> {
    if id.is_empty() {
        return None;
    }
    let name = |name: Option<&str>| name.unwrap_or("-").to_owned();
    let key = format!("{} {} {id}", name(message.host), name(message.app)).into_bytes();
    if key.len() <= KEY_BYTES_MAX {
        return Some(key);
    }
    Some(format!("sha256:{}", TreeHash::digest(&key).to_base64()).into_bytes())
}
