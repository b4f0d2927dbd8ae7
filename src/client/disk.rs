//! Files that are there completely, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::core::evidence::Evidence;

/// Keeps evidence in a directory, durably, and returns the path of the file.
///
/// Its name follows from its bytes, so that the same evidence is kept once. A directory that does not
/// exist is made.
pub fn keep_evidence(dir: &Path, evidence: &Evidence) -> io::Result<PathBuf> {
    // The empty path is the working directory.
    if !dir.as_os_str().is_empty() && !dir.exists() {
        fs::create_dir_all(dir)?;
        sync_parent(dir)?;
    }
    let path = dir.join(evidence.file_name());
    replace(&path, &evidence.format())?;
    Ok(path)
}

/// Writes a file so that a crash leaves the old one or the new one, never a part; durable on return.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_parent(path)
}

/// Makes a new name durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    // The parent of a bare name is the working directory.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
