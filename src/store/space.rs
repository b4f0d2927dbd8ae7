//! Room on the disk.

use std::{io, path::Path};

/// Returns the bytes that a process without privileges can still write to the file system of `dir`.
pub fn free_space(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
