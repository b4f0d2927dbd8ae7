//! One line of a file, and where it stood.

use bytes::Bytes;

use crate::core::{
    hash::TreeHash,
    record::{
        Timestamp, format_bytes,
        json::{Number, Object, Value},
    },
};

/// Most bytes of a line; a longer one is sent in parts that say so.
///
/// Of 128 KiB of control characters, which JSON writes with six bytes each, 768 KiB are left, less than the 1 MiB
/// of an event.
pub const LINE_BYTES_MAX: usize = 128 << 10;

/// Bytes at the beginning of a file by which it is recognised. Two logs of one program differ in the time of
/// their first line.
pub const HEAD_BYTES_MAX: usize = 256;

/// What is to be made of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A text, which stands in the event.
    #[default]
    Text,
    /// A JSON object, which stands in the event.
    Json,
    /// A JSON object that is an event.
    Event,
}

/// The first bytes of a file, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many they are, at most [`HEAD_BYTES_MAX`].
    pub length: u16,
    /// Their SHA-256.
    pub sum: TreeHash,
}

/// What makes a file the same one under any name: a number is given to another one when it is deleted, and a
/// file that is truncated is another one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// How it begins.
    pub head: Head,
}

/// How far a file has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The file.
    pub file: FileId,
    /// The name that it had.
    pub path: Vec<u8>,
    /// Bytes that have been read.
    pub offset: u64,
    /// How many parts of a line were cut off before this offset; 0 at the beginning of a line.
    pub parts: u32,
}

/// Which part of a long line a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0.
    pub number: u32,
    /// Whether others follow.
    pub more: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How far its file has been read when the line is.
    pub cursor: Cursor,
    /// What is to be made of it.
    pub form: Form,
    /// When it was read.
    pub read: Timestamp,
    /// Which part it is, if it was cut.
    pub part: Option<Part>,
    /// Its bytes, without the end of the line; never empty.
    pub bytes: Bytes,
}

impl Head {
    /// Takes the first bytes of a file.
    ///
    /// # Panics
    ///
    /// If they are too many.
    pub fn of(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= HEAD_BYTES_MAX, "the head of a file is short");
        let length = u16::try_from(bytes.len()).expect("256 fits 16 bits");
        Self { length, sum: TreeHash::digest(bytes) }
    }

    /// Returns whether a file that begins with some bytes begins so.
    pub fn begins(&self, bytes: &[u8]) -> bool {
        let known = bytes.get(..usize::from(self.length));
        known.is_some_and(|known| TreeHash::digest(known) == self.sum)
    }
}

impl Form {
    /// Returns the byte of a frame.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Json => 1,
            Self::Event => 2,
        }
    }

    /// Takes the byte of a frame.
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Text),
            1 => Some(Self::Json),
            2 => Some(Self::Event),
            _ => None,
        }
    }
}

impl Line {
    /// Appends the envelope in which the line is sent, and the end of it; see `crate::source::ship`.
    pub fn envelope(&self, id: &str, body: &mut Vec<u8>) {
        let path = String::from_utf8_lossy(&self.cursor.path);
        let read = Value::String(self.read.to_string().into());
        let mut envelope =
            Object::from([("file", Value::String(path)), ("id", id.into()), ("read", read)]);
        match str::from_utf8(&self.bytes) {
            Ok(text) => envelope.insert("line", text.into()),
            Err(_) => envelope.insert("bytes", format_bytes(&self.bytes).into()),
        };
        match self.form {
            Form::Text => {}
            Form::Json => drop(envelope.insert("form", "json".into())),
            Form::Event => drop(envelope.insert("form", "event".into())),
        }
        if let Some(Part { number, more }) = self.part {
            let number = Number::from_integer(number.into()).expect("32 bits are no large number");
            envelope.insert("part", number.into());
            envelope.insert("more", Value::Bool(more));
        }
        body.extend(Value::from(envelope).format().into_bytes());
        body.push(b'\n');
    }
}
