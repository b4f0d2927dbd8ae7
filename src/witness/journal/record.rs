//! What the journal's records say, and their bytes.
//!
//! | cosigned | |
//! |---|---|
//! | 0 | 1 |
//! | 1..9 | u64 time of the cosignature, in seconds |
//! | 9.. | the checkpoint, under its log's signatures alone |
//!
//! | act | |
//! |---|---|
//! | 0 | 2 |
//! | 1 | what: 1 freeze, 2 unfreeze, 3 disable, 4 enable |
//! | 2..10 | u64 time, in seconds |
//! | 10 | u8 length of the origin |
//! | .. | the origin |
//! | .. | the reason, UTF-8, at most [`REASON_BYTES_MAX`] bytes |
//!
//! The cosignature itself is not kept: Ed25519 is deterministic, so that text and time give the same
//! bytes again, and no copy of the journal holds a cosignature that was not durable when it was made.

use core::{fmt, str};

use bytes::Bytes;

use crate::core::{
    checkpoint::CheckpointText,
    note::{CosignatureTime, NOTE_BYTES_MAX, SignedNote},
    origin::{ORIGIN_BYTES_MAX, Origin},
    tree::TreeHead,
};

/// Most bytes of an act's reason: a paragraph.
pub const REASON_BYTES_MAX: usize = 1_024;

/// Most bytes of a record: the longest note and what stands before it.
pub(super) const RECORD_BYTES_MAX: usize = 1 + 8 + NOTE_BYTES_MAX;

const _: () = assert!(11 + ORIGIN_BYTES_MAX + REASON_BYTES_MAX < RECORD_BYTES_MAX);

/// One thing that the witness remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It cosigns a checkpoint.
    Cosigned(Cosigned),
    /// It stops cosigning for a log, or goes on.
    Act(Act),
}

/// A checkpoint that is cosigned, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The log.
    pub origin: Origin,
    /// Its size and root.
    pub head: TreeHead,
    /// The time of the cosignature.
    pub time: CosignatureTime,
    /// The checkpoint, under its log's signatures alone.
    pub note: Bytes,
}

/// What is done about a log besides cosigning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// What.
    pub kind: ActKind,
    /// The log.
    pub origin: Origin,
    /// When.
    pub time: CosignatureTime,
    /// Why, in the words of the operator or of the program.
    pub reason: String,
}

/// What can be done about a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    /// The witness stops by itself: it has seen what must not be.
    Freeze,
    /// An operator has looked into it and lets the log go on.
    Unfreeze,
    /// An operator stops cosigning for the log.
    Disable,
    /// An operator lets a disabled log go on.
    Enable,
}

impl Record {
    /// Returns the bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Cosigned(Cosigned { time, note, .. }) => {
                [&[1][..], &time.get().to_be_bytes(), note].concat()
            }
            Self::Act(Act { kind, origin, time, reason }) => {
                let origin = origin.as_str().as_bytes();
                let length = u8::try_from(origin.len()).expect("an origin has at most 255 bytes");
                let time = time.get().to_be_bytes();
                [&[2, kind.byte()][..], &time, &[length], origin, reason.as_bytes()].concat()
            }
        }
    }

    /// Takes the bytes of a record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (1, rest) => {
                let (time, note) = split_time(rest)?;
                let parsed = SignedNote::parse(note).ok()?;
                let CheckpointText { origin, head } = CheckpointText::parse(parsed.text()).ok()?;
                let note = Bytes::copy_from_slice(note);
                Some(Self::Cosigned(Cosigned { origin, head, time, note }))
            }
            (2, rest) => {
                let (&kind, rest) = rest.split_first()?;
                let (time, rest) = split_time(rest)?;
                let (&length, rest) = rest.split_first()?;
                let (origin, reason) = rest.split_at_checked(length.into())?;
                Some(Self::Act(Act {
                    kind: ActKind::from_byte(kind)?,
                    origin: Origin::parse(str::from_utf8(origin).ok()?).ok()?,
                    time,
                    reason: str::from_utf8(reason).ok()?.to_owned(),
                }))
            }
            _ => None,
        }
    }
}

impl ActKind {
    fn byte(self) -> u8 {
        match self {
            Self::Freeze => 1,
            Self::Unfreeze => 2,
            Self::Disable => 3,
            Self::Enable => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Freeze, Self::Unfreeze, Self::Disable, Self::Enable]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

impl fmt::Display for ActKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Disable => "disable",
            Self::Enable => "enable",
        })
    }
}

/// Splits off a time.
fn split_time(bytes: &[u8]) -> Option<(CosignatureTime, &[u8])> {
    let (time, rest) = bytes.split_first_chunk()?;
    Some((CosignatureTime::new(u64::from_be_bytes(*time))?, rest))
}
