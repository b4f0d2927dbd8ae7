//! What the tour appends, and how the cheat changes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use crate::core::entry::ENTRY_BYTES_MAX;

/// Logs that most machines have and anyone may read: what the package manager did.
const MACHINE_LOGS: [&str; 5] = [
    "/var/log/dpkg.log",
    "/var/log/apt/history.log",
    "/var/log/dnf.log",
    "/var/log/pacman.log",
    "/var/log/apk.log",
];

/// Lines of `dpkg.log` from a machine that never was.
const SAMPLE: &str = include_str!("sample.log");

/// Fewest lines that the tour can show something with.
const LINES_MIN: usize = 8;

/// Most lines that are appended, so that the tour stays short: a tenth of a second's work.
const LINES_MAX: usize = 20_000;

/// The lines to append.
#[derive(Debug)]
pub(super) struct Input {
    /// Where they are from, for people.
    pub(super) name: String,
    /// The lines, each of which can be an entry.
    pub(super) lines: Vec<Bytes>,
}

/// Reads the given file; or the machine's own log; or takes the sample.
pub(super) fn read(given: Option<&Path>) -> anyhow::Result<Input> {
    if let Some(path) = given {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let input = Input { name: path.display().to_string(), lines: lines(&bytes) };
        ensure!(
            input.lines.len() >= LINES_MIN,
            "{} has fewer than {LINES_MIN} lines; the tour needs something to show",
            input.name
        );
        return Ok(input);
    }
    for path in MACHINE_LOGS.map(PathBuf::from) {
        // Not being there, or not readable, only means that the next one is tried.
        let Ok(bytes) = fs::read(&path) else {
            continue;
        };
        let lines = lines(&bytes);
        if lines.len() >= LINES_MIN {
            return Ok(Input { name: path.display().to_string(), lines });
        }
    }
    Ok(Input { name: "a sample of dpkg.log".to_owned(), lines: lines(SAMPLE.as_bytes()) })
}

fn lines(bytes: &[u8]) -> Vec<Bytes> {
    let fits = |line: &&[u8]| (1..=ENTRY_BYTES_MAX).contains(&line.len());
    let lines = bytes.split(|byte| *byte == b'\n').filter(fits).take(LINES_MAX);
    lines.map(Bytes::copy_from_slice).collect()
}

/// Words that someone with something to hide would exchange.
const EXCHANGES: [(&str, &str); 5] = [
    ("install ", "remove "),
    ("remove ", "install "),
    ("upgrade ", "status "),
    ("failed", "passed"),
    ("denied", "granted"),
];

/// Chooses the entry to change: one in the second eighth to half of the log, where a word can be
/// exchanged if there is such a line.
pub(super) fn victim(lines: &[Bytes]) -> usize {
    let (from, to) = (lines.len() / 8, lines.len() / 2);
    let telling = |line: &Bytes| {
        let text = String::from_utf8_lossy(line);
        EXCHANGES.iter().any(|(word, _)| text.contains(word))
    };
    let early = lines.iter().enumerate().take(to).skip(from);
    early.into_iter().find(|(_, line)| telling(line)).map_or(from, |(index, _)| index)
}

/// Returns the line as the cheat would have it: changed, and as plausible as before.
pub(super) fn forge(line: &Bytes) -> Bytes {
    let Ok(text) = core::str::from_utf8(line) else {
        return flip(line);
    };
    let exchange = EXCHANGES.iter().find(|(word, _)| text.contains(word));
    match exchange {
        Some((word, other)) => Bytes::from(text.replacen(word, other, 1)),
        None => flip(line),
    }
}

/// Changes the last byte of a line to a neighbour that is as printable.
fn flip(line: &Bytes) -> Bytes {
    let mut line = line.to_vec();
    if let Some(last) = line.last_mut() {
        *last = if *last == b'0' { b'1' } else { b'0' };
    }
    line.into()
}
