//! What `attestree ship` sends: lines of files, each in an envelope, one envelope a line.
//!
//! ```text
//! {"file":"/var/log/app.log","id":"5f0c...-17","line":"started","read":"2026-11-21T00:14:00.000001Z"}
//! {"bytes":"_w","file":"/var/log/app.log","id":"5f0c...-18"}                         a line that is no UTF-8
//! {"file":"/var/log/app.log","form":"json","id":"5f0c...-19","line":"{\"level\":\"info\"}"}
//! {"file":"/var/log/app.log","id":"5f0c...-20","line":"aaa...","more":true,"part":0} the beginning of a long line
//! ```
//!
//! | form | the event |
//! |---|---|
//! | none, for text | `ctx.file` with `path`, `read`, `line` or `bytes`, and of a part `part` and `more` |
//! | `json` | `ctx.file` with `path` and `read`, and the object as `ctx.json` |
//! | `event` | the line itself, which is one |
//!
//! `read` says when the line was read, if the sender says it (RFC 3339): what occurred did so before. The id is the
//! idempotency key: the name of a spool and a number in it. A line of which no event can be made is kept as it stood
//! in the file, and what is no envelope as it came, as `unparsed`.

use bytes::Bytes;

use super::{EventDraft, Item, json};
use crate::core::record::{
    SUBMISSION_LIMITS, Timestamp,
    json::{Limits, Object, Value},
    parse_bytes,
};

/// Most bytes of an id.
const ID_BYTES_MAX: usize = 256;

/// What a JSON line may ask of the reader: it stands two levels deep, beside a few other values.
const LINE_LIMITS: Limits = Limits {
    depth: SUBMISSION_LIMITS.depth - 2,
    values: SUBMISSION_LIMITS.values - 16,
    ..SUBMISSION_LIMITS
};

/// What is to be made of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Event,
}

/// One line of a file.
struct Envelope<'a> {
    id: &'a str,
    file: &'a str,
    form: Form,
    line: Line,
    /// When it was read, as it is written and as it is.
    read: Option<(&'a str, Timestamp)>,
    /// The number of the part that it is, and whether others follow.
    part: Option<(&'a Value<'a>, bool)>,
}

/// The bytes of a line.
enum Line {
    Text(String),
    Bytes(Vec<u8>),
}

/// Makes the items of a body: one for each line that is not empty; `None` if those are more than `lines_max`.
pub fn items(body: &Bytes, lines_max: usize) -> Option<Vec<Item>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty());
    if lines.clone().nth(lines_max).is_some() {
        return None;
    }
    Some(lines.flat_map(|line| item(body, line)).collect())
}

/// Makes the item of one line.
fn item(body: &Bytes, line: &[u8]) -> Vec<Item> {
    let value = json::read(line, &SUBMISSION_LIMITS);
    let envelope = value.as_ref().ok().and_then(Value::as_object).and_then(Envelope::of);
    let Some(envelope) = envelope else { return Item::unparsed(&body.slice_ref(line), None) };
    let key = envelope.id.as_bytes().to_vec();
    let came = Bytes::copy_from_slice(envelope.line.as_bytes());
    let made = match envelope.form {
        Form::Text => Some(envelope.text(&key, &came)),
        Form::Json => envelope.json(&key, &came),
        Form::Event => event(&key, &came),
    };
    let mut items = made.unwrap_or_else(|| Item::unparsed(&came, Some(&key)));
    for item in &mut items {
        item.occurred = item.occurred.or(envelope.read.map(|(_, time)| time));
    }
    items
}

impl<'a> Envelope<'a> {
    /// Takes the members of an envelope, which has no others.
    fn of(object: &'a Object<'a>) -> Option<Self> {
        let known = |name: &str| {
            matches!(name, "bytes" | "file" | "form" | "id" | "line" | "more" | "part" | "read")
        };
        if !object.members().iter().all(|(name, _)| known(name)) {
            return None;
        }
        let text = |name| object.get(name).and_then(Value::as_str);
        let form = match object.get("form").map(Value::as_str) {
            None => Form::Text,
            Some(Some("json")) => Form::Json,
            Some(Some("event")) => Form::Event,
            Some(_) => return None,
        };
        let line = match (object.get("line"), object.get("bytes")) {
            (Some(Value::String(line)), None) => Line::Text(line.clone().into_owned()),
            (None, Some(Value::String(bytes))) => Line::Bytes(parse_bytes(bytes)?),
            _ => return None,
        };
        let part = match (object.get("part"), object.get("more")) {
            (None, None) => None,
            (Some(part), Some(Value::Bool(more))) if part.as_natural().is_some() => {
                Some((part, *more))
            }
            _ => return None,
        };
        let read = match object.get("read") {
            None => None,
            Some(read) => {
                let text = read.as_str()?;
                Some((text, Timestamp::parse_occurred(text)?))
            }
        };
        let id = text("id").filter(|id| (1..=ID_BYTES_MAX).contains(&id.len()))?;
        Some(Self { id, file: text("file")?, form, line, read, part })
    }

    /// Makes the event of a line of text.
    fn text(&self, key: &[u8], came: &Bytes) -> Vec<Item> {
        let mut file = self.place();
        match &self.line {
            Line::Text(text) => file.insert("line", text.as_str().into()),
            Line::Bytes(bytes) => {
                file.insert("bytes", crate::core::record::format_bytes(bytes).into())
            }
        };
        if let Some((part, more)) = self.part {
            file.insert("part", part.clone());
            file.insert("more", Value::Bool(more));
        }
        let mut event = EventDraft::new();
        event.put("ctx", "file", file);
        event.item(Some(key.to_vec()), came)
    }

    /// Makes the event of a line that is a JSON object of anybody's.
    fn json(&self, key: &[u8], came: &Bytes) -> Option<Vec<Item>> {
        let object = match json::read(came, &LINE_LIMITS) {
            Ok(object @ Value::Object(_)) if self.part.is_none() => object,
            _ => return None,
        };
        let mut event = EventDraft::new();
        event.put("ctx", "file", self.place());
        event.put("ctx", "json", object);
        Some(event.item(Some(key.to_vec()), came))
    }

    /// Says which file it is, and when it was read.
    fn place(&self) -> Object<'_> {
        let mut place = Object::from([("path", self.file.into())]);
        if let Some((read, _)) = self.read {
            place.insert("read", read.into());
        }
        place
    }
}

impl Line {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Takes a line that is an event.
fn event(key: &[u8], came: &Bytes) -> Option<Vec<Item>> {
    let value = json::read(came, &SUBMISSION_LIMITS).ok()?;
    let object = value.as_object()?;
    let occurred = object.get("ot").and_then(Value::as_str).and_then(Timestamp::parse_occurred);
    let item =
        Item { bytes: value.format().into(), key: Some(key.to_vec()), is_event: true, occurred };
    Some(vec![item])
}
