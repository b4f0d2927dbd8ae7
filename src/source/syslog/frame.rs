//! Where one message of a connection ends and the next begins: RFC 6587, both ways.
//!
//! ```text
//! 83 <34>1 2026-11-21T00:14:00Z web-7 sshd 812 LOGIN - ...      octet counting (section 3.4.1)
//! <34>1 2026-11-21T00:14:00Z web-7 sshd 812 LOGIN - ...\n       non-transparent (section 3.4.2)
//! ```
//!
//! The first frame of a connection says which of the two its sender speaks. Should the counts of one turn out
//! to be none, the rest of the connection is read as lines: what begins like a message is one again, and
//! everything else is handed on as a piece. Nothing that came is passed over but the ends of lines.

use bytes::{Buf as _, Bytes, BytesMut};

/// Most digits of a count: 10^9 bytes and more are taken in pieces, which no number of digits has to bound.
const COUNT_DIGITS_MAX: usize = 10;

/// What stands between two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole frame.
    Whole(Bytes),
    /// A part of one that is longer than a message may be, or was never finished.
    Piece(Bytes),
}

/// How a sender marks the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing has come.
    Unknown,
    /// By the number of bytes before each.
    Counted,
    /// By a line feed behind each.
    Lines,
}

/// What begins a frame, as far as it has come.
enum Head {
    /// So many bytes of a count, and what it counts.
    Count(usize, u64),
    /// Nobody knows yet.
    Short,
    /// No count.
    None,
}

/// The framing of one connection.
#[derive(Debug)]
pub struct Framing {
    mode: Mode,
    bytes_max: usize,
    /// Bytes of a counted frame that have not been handed on; `None` between two frames.
    missing: Option<u64>,
    /// Whether the beginning of the frame was handed on as a piece.
    long: bool,
    /// Bytes that hold no line feed, from the front.
    searched: usize,
}

impl Framing {
    /// Begins a connection whose messages have at most so many bytes.
    ///
    /// # Panics
    ///
    /// If that is nothing.
    pub fn new(bytes_max: usize) -> Self {
        assert!(bytes_max > 0, "a message has bytes");
        Self { mode: Mode::Unknown, bytes_max, missing: None, long: false, searched: 0 }
    }

    /// Takes the next frame off the front of what has come; `None` if more has to come first.
    ///
    /// What is left in `came` is then at most as long as a message may be, and the digits of its count.
    pub fn next(&mut self, came: &mut BytesMut) -> Option<Frame> {
        if self.missing.is_none() && !self.long {
            match self.head(came) {
                Head::Short => return None,
                Head::Count(length, count) => {
                    came.advance(length);
                    self.mode = Mode::Counted;
                    self.missing = Some(count);
                }
                Head::None => self.mode = Mode::Lines,
            }
        }
        match self.missing {
            Some(missing) => self.counted(missing, came),
            None => self.line(came),
        }
    }

    /// Takes what is left when the connection ends: half a message is never a message.
    pub fn end(&mut self, came: &mut BytesMut) -> Option<Frame> {
        self.missing = None;
        (!came.is_empty()).then(|| Frame::Piece(came.split().freeze()))
    }

    /// Returns whether the connection may end here without anything being cut.
    pub fn is_between(&self, came: &BytesMut) -> bool {
        came.is_empty() && self.missing.is_none() && !self.long
    }

    /// Looks at the beginning of a frame.
    fn head(&self, came: &mut BytesMut) -> Head {
        if self.mode == Mode::Lines {
            return Head::None;
        }
        if self.mode == Mode::Counted {
            // Some senders end a counted message like a line as well.
            let ends = came.iter().take_while(|byte| **byte == b'\n').count();
            came.advance(ends);
        }
        let Some(first) = came.first() else { return Head::Short };
        if !matches!(first, b'1'..=b'9') {
            return Head::None;
        }
        let digits =
            came.iter().take(COUNT_DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit());
        let digits = digits.count();
        match came.get(digits) {
            None if digits <= COUNT_DIGITS_MAX => Head::Short,
            Some(b' ') if digits <= COUNT_DIGITS_MAX => {
                let digit = |count: u64, byte: &u8| count * 10 + u64::from(byte - b'0');
                Head::Count(digits + 1, came.iter().take(digits).fold(0, digit))
            }
            _ => Head::None,
        }
    }

    /// Takes as much of a counted frame as is due.
    fn counted(&mut self, missing: u64, came: &mut BytesMut) -> Option<Frame> {
        let due = usize::try_from(missing).unwrap_or(usize::MAX);
        let length = due.min(self.bytes_max);
        if came.len() < length {
            return None;
        }
        let mut bytes = came.split_to(length).freeze();
        if length < due {
            self.missing = Some(missing - bytes_u64(length));
            self.long = true;
            return Some(Frame::Piece(bytes));
        }
        self.missing = None;
        if bytes.ends_with(b"\n") {
            // syslog-ng ends a counted message like a line as well, and counts the end.
            bytes.truncate(length - 1);
        }
        Some(if core::mem::take(&mut self.long) {
            Frame::Piece(bytes)
        } else {
            Frame::Whole(bytes)
        })
    }

    /// Takes a line, without its end; of nothing between two ends there is none.
    fn line(&mut self, came: &mut BytesMut) -> Option<Frame> {
        loop {
            let rest = came.get(self.searched..).unwrap_or_default();
            match rest.iter().position(|byte| *byte == b'\n').map(|at| self.searched + at) {
                Some(at) if at <= self.bytes_max => {
                    let bytes = came.split_to(at).freeze();
                    came.advance(1);
                    self.searched = 0;
                    let long = core::mem::take(&mut self.long);
                    if bytes.is_empty() {
                        continue;
                    }
                    return Some(if long { Frame::Piece(bytes) } else { Frame::Whole(bytes) });
                }
                None if came.len() <= self.bytes_max => {
                    self.searched = came.len();
                    return None;
                }
                _ => {
                    self.long = true;
                    self.searched = 0;
                    return Some(Frame::Piece(came.split_to(self.bytes_max).freeze()));
                }
            }
        }
    }
}

/// Widens a length.
fn bytes_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}
