//! Where the entries of `attestree append` come from: the lines of a file, or files as a whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::core::entry::{self, ENTRY_BYTES_MAX};
use crate::core::record::SUBMISSION_LIMITS;

/// Lines that may wait to be sent: four batches of the default size, so that the reader is never
/// what a batch waits for.
const LINES_AHEAD: usize = 4_096;

/// One line that can be an entry.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its number in the input, from 1, empty lines included.
    pub(super) number: u64,
    /// Its bytes, without the newline.
    pub(super) bytes: Bytes,
    /// Bytes of the input up to its end.
    pub(super) offset: u64,
}

/// What the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Entries as they are to stand in the log.
    Raw,
    /// Audit events, of which the log makes records.
    Event,
}

impl Content {
    /// Returns how many bytes one may have.
    const fn bytes_max(self) -> usize {
        match self {
            Self::Raw => ENTRY_BYTES_MAX,
            Self::Event => SUBMISSION_LIMITS.bytes,
        }
    }

    /// Checks the length of one; the rest is the server's to judge.
    fn check(self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Raw => Ok(entry::check(bytes)?),
            Self::Event if bytes.is_empty() => {
                bail!("an event is a JSON object, and there is none")
            }
            Self::Event if bytes.len() > self.bytes_max() => {
                bail!("the event has more than {} bytes; send less", self.bytes_max())
            }
            Self::Event => Ok(()),
        }
    }
}

/// What the reader comes upon.
pub(super) type Found = anyhow::Result<Line>;

/// Opens the input; `-` is standard input. Returns its length too where that is known.
pub(super) fn open(path: &Path) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let meta = file.metadata().with_context(|| format!("read {}", path.display()))?;
    if meta.is_dir() {
        bail!("{} is a directory; name a file, or pipe entries in with -", path.display());
    }
    Ok((Box::new(file), meta.is_file().then_some(meta.len())))
}

/// Reads lines on a thread of its own, so that those of a pipe are sent as they come.
///
/// Empty lines are passed over: an entry has at least one byte. A line that is too long ends the
/// input with an error, after the lines before it.
pub(super) fn lines(
    input: Box<dyn Read + Send>,
    path: &Path,
    content: Content,
) -> mpsc::Receiver<Found> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let path = path.to_owned();
    // The thread ends with the input, or when nobody takes its lines any more. One that waits for
    // standard input ends with the process.
    thread::spawn(move || {
        let mut reader = BufReader::with_capacity(1 << 16, input);
        let (mut number, mut offset) = (0, 0);
        loop {
            number += 1;
            let line = match read_line(&mut reader, &path, number, content) {
                Ok(Some((bytes, read))) => {
                    offset += read;
                    Ok(Line { number, bytes, offset })
                }
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let failed = line.is_err();
            let empty = line.as_ref().is_ok_and(|line| line.bytes.is_empty());
            if !empty && sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// Reads one line and returns it without its newline, and how many bytes it took.
fn read_line(
    reader: &mut BufReader<Box<dyn Read + Send>>,
    path: &Path,
    number: u64,
    content: Content,
) -> anyhow::Result<Option<(Bytes, u64)>> {
    let mut bytes = Vec::new();
    // One byte more than an entry and its newline: what is cut there is too long.
    let limit = u64::try_from(content.bytes_max() + 2).expect("a line is short");
    let read = reader
        .by_ref()
        .take(limit)
        .read_until(b'\n', &mut bytes)
        .with_context(|| format!("read {}", path.display()))?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if !bytes.is_empty() {
        content.check(&bytes).with_context(|| format!("line {number} of {}", path.display()))?;
    }
    Ok(Some((bytes.into(), u64::try_from(read).expect("a line is short"))))
}

/// Reads the whole input as one entry.
pub(super) fn whole(
    mut input: Box<dyn Read + Send>,
    path: &Path,
    content: Content,
) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(content.bytes_max() + 1).expect("an entry is short");
    input
        .by_ref()
        .take(limit)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {}", path.display()))?;
    if content == Content::Raw && bytes.len() > ENTRY_BYTES_MAX {
        bail!(
            "{} has more than the {ENTRY_BYTES_MAX} bytes of an entry; append its hash, or split it",
            path.display()
        );
    }
    content.check(&bytes).with_context(|| path.display().to_string())?;
    Ok(bytes.into())
}
