//! Standard output, as text or as JSON, and files.

use core::fmt::Display;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::core::hash::TreeHash;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// Prints results as JSON, or as text.
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Returns whether results are printed as JSON.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result: `value` as a line of JSON, or `text`.
    pub(super) fn print(self, value: &impl Serialize, text: impl Display) -> anyhow::Result<()> {
        if self.json {
            let line = serde_json::to_string(value).context("write JSON")?;
            return Self::line(line);
        }
        Self::line(text)
    }

    /// Prints a line of text.
    pub(super) fn line(text: impl Display) -> anyhow::Result<()> {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }
}

/// Writes a number of things: `1 entry`, `2 entries`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Writes a number of entries.
pub(super) fn entries(number: u64) -> String {
    count(number, "entry", "entries")
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("read standard input")?;
        return Ok(bytes);
    }
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Reads a file, or standard input for `-`, that has at most `limit` bytes.
pub(super) fn read_at_most(path: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let name = || format!("read {}", path.display());
    let mut bytes = Vec::new();
    // One byte more shows that there is more.
    let wanted = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(wanted).read_to_end(&mut bytes),
        false => fs::File::open(path).and_then(|file| file.take(wanted).read_to_end(&mut bytes)),
    };
    read.with_context(name)?;
    anyhow::ensure!(bytes.len() <= limit, "{} has more than {limit} bytes", path.display());
    Ok(bytes)
}

/// Writes a file, or standard output for `-`.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return Output::bytes(bytes);
    }
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("write {}", path.display()))
}

/// Writes a hash as checkpoints do, in base64.
pub(super) fn base64(hash: &TreeHash) -> String {
    hash.to_base64()
}

/// Writes bytes in hexadecimal, as key ids are.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Writes a list of hashes in base64.
pub(super) fn base64_list(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(base64).collect()
}
