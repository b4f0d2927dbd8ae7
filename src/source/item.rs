//! One item of what a sender sent, and the event that is made of it.

use bytes::Bytes;

use crate::core::record::json::{Object, Value};
use crate::core::record::{SUBMISSION_LIMITS, Timestamp};

/// One item that a sender sent, as it is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// An event, or what came where none could be made of it; 1 byte to 1 MiB.
    pub bytes: Bytes,
    /// What names it at its source, if something does: the same item has the same key whenever it comes.
    pub key: Option<Vec<u8>>,
    /// Whether `bytes` are an event; otherwise they are recorded as `unparsed`.
    pub is_event: bool,
    /// When it occurred, if it says so: how far its sender lags behind.
    pub occurred: Option<Timestamp>,
}

impl Item {
    /// Keeps bytes of which no event can be made, in items of at most 1 MiB; of no bytes there is none.
    pub fn unparsed(bytes: &Bytes, key: Option<&[u8]>) -> Vec<Self> {
        let pieces = bytes.chunks(SUBMISSION_LIMITS.bytes).enumerate();
        let item = |(number, piece): (usize, &[u8])| Self {
            bytes: bytes.slice_ref(piece),
            key: key.map(|key| match number {
                0 => key.to_vec(),
                _ => [key, b"#", number.to_string().as_bytes()].concat(),
            }),
            is_event: false,
            occurred: None,
        };
        pieces.map(item).collect()
    }
}

/// An event as a decoder puts it together.
///
/// Foreign names stand below one member of `ctx`, `actor` or `resource` that the decoder names, so that they
/// never meet those that the server keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDraft<'a> {
    members: Object<'a>,
    occurred: Option<Timestamp>,
}

impl<'a> EventDraft<'a> {
    /// Begins an event that says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when it occurred, as microseconds since 1970; a time after the year 9999 is left out.
    pub fn occurred(&mut self, micros: u64) {
        if let Some(time) = Timestamp::from_micros(micros) {
            self.occurred = Some(time);
            self.set("ot", time.to_string());
        }
    }

    /// Sets when it occurred, as a text of RFC 3339; returns whether it is one.
    pub fn occurred_text(&mut self, text: &str) -> bool {
        self.occurred = Timestamp::parse_occurred(text);
        if self.occurred.is_some() {
            self.set("ot", text.to_owned());
        }
        self.occurred.is_some()
    }

    /// Sets `class`, `act`, `out`, `seq` or `source`.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value<'a>>) {
        self.members.insert(name, value.into());
    }

    /// Sets a member of `actor`, `resource` or `ctx`.
    pub fn put(&mut self, part: &'static str, name: &'static str, value: impl Into<Value<'a>>) {
        if self.members.get(part).is_none() {
            self.members.insert(part, Object::new().into());
        }
        if let Some(Value::Object(part)) = self.members.member_mut(part) {
            part.insert(name, value.into());
        }
    }

    /// Returns whether a member of `actor`, `resource` or `ctx` was set.
    pub fn has(&self, part: &str, name: &str) -> bool {
        let part = self.members.get(part).and_then(Value::as_object);
        part.is_some_and(|part| part.get(name).is_some())
    }

    /// Makes the item; one that is longer than an event may be is kept as it came.
    pub fn item(self, key: Option<Vec<u8>>, came: &Bytes) -> Vec<Item> {
        let Self { members, occurred } = self;
        let text = Value::from(members).format();
        if text.len() > SUBMISSION_LIMITS.bytes {
            return Item::unparsed(came, key.as_deref());
        }
        vec![Item { bytes: text.into(), key, is_event: true, occurred }]
    }
}
