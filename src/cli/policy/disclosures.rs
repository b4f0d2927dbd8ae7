//! Disclosed fields from files: of whichever records they are, each is found by the commitment that it opens.
//!
//! A commitment is a hash over path, salt and value, so that what a record commits to is what was disclosed, or
//! nothing is.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use zeroize::Zeroizing;

use super::super::output::read_at_most;
use crate::core::record::{Commitment, Disclosed, Opening, Record, SUBMISSION_LIMITS};

/// Most bytes of one file: sixteen of the longest submissions, in base64.
const FILE_BYTES_MAX: usize = 32 * SUBMISSION_LIMITS.bytes;

/// Most bytes of all files.
const BYTES_MAX: usize = 1 << 30;

/// How the files in a directory end that are looked at: what `append --receipts` writes, and what people call
/// the lines of `disclose`.
const ENDINGS: [&str; 2] = [".openings.json", ".disclosure.json"];

/// What was disclosed.
#[derive(Default)]
pub(super) struct Disclosures {
    openings: HashMap<Commitment, Opening>,
    used: usize,
}

impl Disclosures {
    /// Reads a file, or the files of a directory.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut disclosures = Self::default();
        let mut bytes = 0;
        for path in files(path)? {
            let content = Zeroizing::new(read_at_most(&path, FILE_BYTES_MAX)?);
            bytes += content.len();
            ensure!(bytes <= BYTES_MAX, "there are more than {BYTES_MAX} bytes of disclosures");
            disclosures.take(&content).with_context(|| format!("read {}", path.display()))?;
        }
        Ok(disclosures)
    }

    /// Takes one field, or one a line.
    fn take(&mut self, content: &[u8]) -> anyhow::Result<()> {
        let fields = match Disclosed::parse(content) {
            Ok(field) => vec![field],
            Err(_) => {
                let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                lines.map(Disclosed::parse).collect::<Result<Vec<_>, _>>()?
            }
        };
        for field in fields {
            let opening = field.opening().clone();
            self.openings.insert(opening.commitment(), opening);
        }
        Ok(())
    }

    /// Returns what opens commitments of a record.
    pub(super) fn of(&mut self, record: &Record<'_>) -> Vec<Opening> {
        let committed = record.commitments().into_iter();
        let found = committed.filter_map(|(path, commitment)| {
            self.openings.get(&commitment).filter(|opening| opening.path == path).cloned()
        });
        let found: Vec<Opening> = found.collect();
        self.used += found.len();
        found
    }

    /// Returns how many opened nothing.
    pub(super) fn unused(&self) -> usize {
        self.openings.len().saturating_sub(self.used)
    }
}

/// Returns the files to read, in the order of their names.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let list = || format!("list {}", path.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(list)? {
        let entry = entry.with_context(list)?.path();
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(entry);
        }
    }
    ensure!(
        !found.is_empty(),
        "{} has no files that end in {}",
        path.display(),
        ENDINGS.join(" or ")
    );
    found.sort_unstable();
    Ok(found)
}
