//! Alerts that their receiver will never take: `NAME.undelivered`, one JSON object a line.
//!
//! ```text
//! {"at":"2026-05-28T20:26:40.000000Z","failure":"the receiver answers with status 400: ...","alert":{...}}
//! ```

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{cursor::sync_parent, failure::Failure, notice::Notice, text::cut, webhook};
use crate::core::record::Timestamp;

/// Most characters that are kept of what a receiver says.
const FAILURE_CHARS_MAX: usize = 1_000;

/// A line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    at: String,
    failure: String,
    alert: &'a RawValue,
}

/// Returns the place of the file.
pub(super) fn path(dir: &Path, sink: &str) -> PathBuf {
    dir.join(format!("{sink}.undelivered"))
}

/// Sets an alert aside; durable on return. A crash after it may set the same one aside again.
pub(super) fn set_aside(
    path: &Path,
    notice: &Notice,
    failure: &Failure,
    now: Timestamp,
) -> io::Result<()> {
    let alert = RawValue::from_string(webhook::body(notice)).map_err(io::Error::other)?;
    let failure = cut(&failure.chain(), FAILURE_CHARS_MAX);
    let line = Line { at: now.to_string(), failure, alert: &alert };
    let line = serde_json::to_string(&line).map_err(io::Error::other)?;
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // A crash may have left a part of a line, which must not spoil this one.
    let start = if ends_with_line(&mut file)? { "" } else { "\n" };
    file.write_all(format!("{start}{line}\n").as_bytes())?;
    file.sync_all()?;
    sync_parent(path)
}

/// Returns whether a file is empty or ends with a whole line.
fn ends_with_line(file: &mut std::fs::File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
