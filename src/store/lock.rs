//! The lock of a file or directory, given up with its holder.

use std::fs::File;

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// A file or directory that nobody else has locked, in this process or another.
///
/// A child that was forked and has not called `exec` yet holds the file as well, so that closing it alone would leave
/// it locked for a moment. A process that starts others and opens the same directory again would meet its own lock.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks a file; `WOULDBLOCK` says that another holds it.
    pub fn take(file: File) -> Result<Self, Errno> {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self(file))
    }

    /// Returns what is locked.
    pub const fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where this fails, the end of the last holder does it.
        let _released = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_though_a_child_has_the_file() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let open = || File::options().write(true).open(&path).unwrap();
        let held = Lock::take(open()).unwrap();
        assert_eq!(Lock::take(open()).unwrap_err(), Errno::WOULDBLOCK);
        // What a child would have until it calls `exec`.
        let inherited = held.file().try_clone().unwrap();
        drop(held);
        drop(Lock::take(open()).unwrap());
        drop(inherited);
    }
}
