//! One file that is followed: lines off its end, in order, each once.

use std::{
    fs::File,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::line::{Cursor, FileId, Form, HEAD_BYTES_MAX, Head, LINE_BYTES_MAX, Line, Part};
use crate::core::record::Timestamp;

/// Most bytes that are read at once: a line and as much again, so that a long one is seen to be long.
const READ_BYTES: usize = 2 * LINE_BYTES_MAX;

/// Most bytes that the lines of one read take in the spool: an eighth of the smallest spool.
const TAKEN_BYTES_MAX: usize = 512 << 10;

/// What a line costs in the spool besides its bytes and its path, rounded up.
const LINE_COST: usize = 160;

/// What a look at a file found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Lines, in order.
    pub(super) lines: Vec<Line>,
    /// Where to go on, once they are in the spool.
    next: Next,
    /// Whether the file holds no whole line behind them.
    pub(super) at_end: bool,
    /// Whether the file turned out to have been truncated since the last look.
    pub(super) truncated: bool,
}

/// Where to go on.
#[derive(Debug, Default)]
struct Next {
    offset: u64,
    parts: u32,
    head: Vec<u8>,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: File,
    device: u64,
    inode: u64,
    /// The first bytes, as far as they are known.
    head: Vec<u8>,
    offset: u64,
    parts: u32,
    /// Whether its name is another file's, or nobody's.
    pub(super) left: bool,
    /// How many looks in a row found nothing.
    pub(super) quiet: u32,
}

impl Tail {
    /// Opens a file and goes on where a cursor says; `None` if it is no regular file.
    pub(super) fn open<'c>(
        path: &Path,
        cursor: impl FnOnce((u64, u64)) -> Option<&'c Cursor>,
    ) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let (device, inode) = (meta.dev(), meta.ino());
        let (path, left, quiet) = (path.to_owned(), false, 0);
        let mut tail =
            Self { path, file, device, inode, head: Vec::new(), offset: 0, parts: 0, left, quiet };
        let head = read_at(&tail.file, 0, HEAD_BYTES_MAX)?;
        // A file that begins otherwise is another one with the same number.
        let known = cursor((device, inode))
            .filter(|cursor| cursor.file.head.begins(&head) && cursor.offset <= meta.len());
        if let Some(known) = known {
            (tail.offset, tail.parts) = (known.offset, known.parts);
            tail.head = head;
            tail.head.truncate(known.file.head.length.into());
        }
        Ok(Some(tail))
    }

    /// Returns device and inode.
    pub(super) const fn number(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Returns the name under which the file was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where reading goes on.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks for lines, which are read `now`. With `last`, what stands at the end without an end of line is one.
    pub(super) fn look(&self, form: Form, now: Timestamp, last: bool) -> io::Result<Found> {
        let length = self.file.metadata()?.len();
        let mut truncated = length < self.offset;
        let (mut offset, mut parts) = (self.offset, self.parts);
        let mut bytes = match truncated {
            true => Vec::new(),
            false => read_at(&self.file, offset, READ_BYTES)?,
        };
        if bytes.is_empty() && !truncated {
            return Ok(Found { next: self.here(), at_end: true, ..Found::default() });
        }
        // Read after the lines: had the file been truncated and written anew before they were read, it
        // would begin otherwise.
        let mut head = read_at(&self.file, 0, HEAD_BYTES_MAX)?;
        truncated |= !head.starts_with(&self.head);
        if truncated {
            (offset, parts) = (0, 0);
            bytes = read_at(&self.file, 0, READ_BYTES)?;
            head = bytes.get(..HEAD_BYTES_MAX.min(bytes.len())).unwrap_or_default().to_vec();
        }
        let whole = bytes.len() < READ_BYTES;
        let (lines, taken) = (Vec::new(), 0);
        let mut cut = Cut { tail: self, form, now, head: &head, offset, parts, lines, taken };
        let at_end = cut.run(bytes.into(), last && whole) && whole;
        let (lines, offset, parts) = (cut.lines, cut.offset, cut.parts);
        Ok(Found { lines, next: Next { offset, parts, head }, at_end, truncated })
    }

    /// Goes on behind lines that are in the spool.
    pub(super) fn advance(&mut self, found: Found) {
        let Next { offset, parts, head } = found.next;
        (self.offset, self.parts, self.head) = (offset, parts, head);
    }

    fn here(&self) -> Next {
        Next { offset: self.offset, parts: self.parts, head: self.head.clone() }
    }
}

/// Bytes of a file that are cut into lines.
struct Cut<'t> {
    tail: &'t Tail,
    form: Form,
    now: Timestamp,
    head: &'t [u8],
    offset: u64,
    parts: u32,
    lines: Vec<Line>,
    /// What the lines take in the spool.
    taken: usize,
}

impl Cut<'_> {
    /// Cuts lines off the front; returns whether no whole one is left.
    fn run(&mut self, mut bytes: Bytes, last: bool) -> bool {
        while self.taken < TAKEN_BYTES_MAX {
            let window = bytes.get(..bytes.len().min(LINE_BYTES_MAX + 1)).unwrap_or_default();
            match window.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    let line = bytes.split_to(at);
                    let _end = bytes.split_to(1);
                    self.line(line, 1);
                }
                None if window.len() > LINE_BYTES_MAX => {
                    let part = bytes.split_to(part_length(window));
                    self.part(part, true);
                }
                None if last && !bytes.is_empty() => {
                    let line = core::mem::take(&mut bytes);
                    self.line(line, 0);
                }
                None => return true,
            }
        }
        false
    }

    /// Takes a line with the bytes of its end.
    fn line(&mut self, line: Bytes, end: u64) {
        if self.parts > 0 {
            self.part(line, false);
            self.offset += end;
            // Behind the end of a line, so that who goes on here does not find an empty one.
            if let Some(line) = self.lines.last_mut() {
                line.cursor.offset = self.offset;
            }
            return;
        }
        self.offset += bytes_u64(line.len()) + end;
        if !line.is_empty() {
            self.push(line, None);
        }
    }

    /// Takes a part of a long line.
    fn part(&mut self, part: Bytes, more: bool) {
        let number = self.parts;
        self.offset += bytes_u64(part.len());
        self.parts = if more { number.saturating_add(1) } else { 0 };
        self.push(part, Some(Part { number, more }));
    }

    fn push(&mut self, bytes: Bytes, part: Option<Part>) {
        let path = self.tail.path.as_os_str().as_bytes().to_vec();
        self.taken += bytes.len() + path.len() + LINE_COST;
        let (device, inode) = self.tail.number();
        let file = FileId { device, inode, head: Head::of(self.head) };
        let cursor = Cursor { file, path, offset: self.offset, parts: self.parts };
        self.lines.push(Line { cursor, form: self.form, read: self.now, part, bytes });
    }
}

/// Returns how much of a long line is its next part: not half a character of UTF-8.
fn part_length(window: &[u8]) -> usize {
    let is_inside = |at: usize| window.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(|at| !is_inside(*at)).unwrap_or(LINE_BYTES_MAX)
}

/// Reads at most so many bytes; fewer only at the end of the file.
fn read_at(file: &File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bytes_max];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + bytes_u64(filled)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Widens a length.
fn bytes_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}
