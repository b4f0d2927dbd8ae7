//! How far the alerts of a log were brought to a sink, on disk.
//!
//! ```text
//! attestree-alerts@v1 <SHA-256 of the second line, in hexadecimal>
//! {"sink":"ops","origin":"log.example/audit","next":58}
//! ```
//!
//! One file for each sink and log, `NAME.NUMBER.cursor`, replaced as a whole by a rename after it was synced.
//!
//! # Invariants
//!
//! - Every alert below `next` was delivered to the sink, was not meant for it, or was set aside.
//! - What is damaged, or is another sink's or log's, is refused: to begin anew would skip alerts in silence.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::text::hex;
use crate::core::{
    hash::TreeHash,
    number::{LeafIndex, LogNumber},
    origin::Origin,
};

/// What the first line begins with.
const HEADER: &str = "attestree-alerts@v1 ";

/// Most bytes of a file that is read: two names and a number.
const CURSOR_BYTES_MAX: u64 = 4_096;

/// Why what was kept of a sink can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// A file can't be read or written.
    #[error("{} can't be read or written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file was changed, or is something else.
    #[error(
        "{} is damaged or of another sink or log: put the right one back, or remove it, after which the sink \
         begins with the alerts that come then", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The second line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    sink: String,
    origin: String,
    next: u64,
}

/// The place of a sink in a log.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    sink: String,
    origin: Origin,
    next: LeafIndex,
    /// What the file says.
    kept: LeafIndex,
}

impl Cursor {
    /// Reads the place of a sink, if it has one.
    pub(super) fn open(
        dir: &Path,
        sink: &str,
        number: LogNumber,
        origin: &Origin,
    ) -> Result<Option<Self>, CursorError> {
        let path = path(dir, sink, number);
        let failed = |source| CursorError::Io { path: path.clone(), source };
        let damaged = || CursorError::Damaged { path: path.clone() };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(meta) if meta.len() > CURSOR_BYTES_MAX => return Err(damaged()),
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let text = str::from_utf8(&bytes).map_err(|_not_text| damaged())?;
        let stored = parse(text).ok_or_else(damaged)?;
        let next = LeafIndex::new(stored.next).ok_or_else(damaged)?;
        if stored.sink != sink || stored.origin != origin.as_str() {
            return Err(damaged());
        }
        let (sink, origin) = (stored.sink, origin.clone());
        Ok(Some(Self { path, sink, origin, next, kept: next }))
    }

    /// Gives a sink its first place; durable on return.
    pub(super) fn create(
        dir: &Path,
        sink: &str,
        number: LogNumber,
        origin: &Origin,
        next: LeafIndex,
    ) -> Result<Self, CursorError> {
        let (path, sink, origin) = (path(dir, sink, number), sink.to_owned(), origin.clone());
        let mut cursor = Self { path, sink, origin, next, kept: next };
        cursor.keep()?;
        Ok(cursor)
    }

    /// Returns the first index that is still to be looked at.
    pub(super) const fn next(&self) -> LeafIndex {
        self.next
    }

    /// Goes on to an index, in memory alone.
    pub(super) fn pass(&mut self, next: LeafIndex) {
        self.next = self.next.max(next);
    }

    /// Returns how many entries the file is behind.
    pub(super) fn behind(&self) -> u64 {
        self.next.get().saturating_sub(self.kept.get())
    }

    /// Makes the place durable.
    pub(super) fn keep(&mut self) -> Result<(), CursorError> {
        let stored = Stored {
            sink: self.sink.clone(),
            origin: self.origin.to_string(),
            next: self.next.get(),
        };
        let failed = |source| CursorError::Io { path: self.path.clone(), source };
        replace(&self.path, format(&stored).as_bytes()).map_err(failed)?;
        self.kept = self.next;
        Ok(())
    }
}

/// Returns the place of the file.
fn path(dir: &Path, sink: &str, number: LogNumber) -> PathBuf {
    dir.join(format!("{sink}.{number}.cursor"))
}

/// Writes both lines.
fn format(stored: &Stored) -> String {
    let line = serde_json::to_string(stored).expect("strings and numbers are JSON");
    format!("{HEADER}{}\n{line}\n", sum(&line))
}

/// Takes both lines, if the sum is right.
fn parse(text: &str) -> Option<Stored> {
    let (summed, line) = text.strip_prefix(HEADER)?.split_once('\n')?;
    let line = line.strip_suffix('\n')?;
    (summed == sum(line)).then(|| serde_json::from_str(line).ok())?
}

fn sum(line: &str) -> String {
    hex(TreeHash::digest(line.as_bytes()).as_bytes())
}

/// Writes a file so that a crash leaves the old one or the new one, never a part; durable on return.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600);
    let mut file = file.open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_parent(path)
}

/// Makes a new name durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(index: u64) -> LeafIndex {
        LeafIndex::new(index).unwrap()
    }

    #[test]
    fn a_place_is_kept_and_nothing_else_is_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin::parse("log.example/audit").unwrap();
        let open = |sink: &str, number| Cursor::open(dir.path(), sink, LogNumber(number), &origin);
        assert!(open("ops", 3).unwrap().is_none());
        let mut cursor =
            Cursor::create(dir.path(), "ops", LogNumber(3), &origin, index(7)).unwrap();
        cursor.pass(index(9));
        cursor.pass(index(8));
        assert_eq!((cursor.next(), cursor.behind()), (index(9), 2));
        assert_eq!(open("ops", 3).unwrap().unwrap().next(), index(7), "it was not kept yet");
        cursor.keep().unwrap();
        assert_eq!((open("ops", 3).unwrap().unwrap().next(), cursor.behind()), (index(9), 0));

        let file = dir.path().join("ops.3.cursor");
        let whole = fs::read(&file).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            matches!(open("ops", 3), Err(CursorError::Damaged { .. }))
        };
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(refused(&flipped), "byte {at}");
            assert!(refused(&whole[..at]), "{at} bytes");
        }
        assert!(refused(&[&whole[..], b"\n"].concat()));
        assert!(refused(&[b' '; 5_000]));
        // Another sink's file under this one's name.
        fs::write(&file, &whole).unwrap();
        fs::copy(&file, dir.path().join("pager.3.cursor")).unwrap();
        assert!(matches!(open("pager", 3), Err(CursorError::Damaged { .. })));
        assert_eq!(open("ops", 3).unwrap().unwrap().next(), index(9));
    }
}
