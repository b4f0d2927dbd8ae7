//! Locks that another test's process holds for a moment.

use core::{fmt::Display, time::Duration};
use std::time::Instant;

/// How long a lock may stay held.
const PATIENCE: Duration = Duration::from_mins(1);

/// Opens something that has a lock, again while it is in use: a process that another test starts holds every
/// lock between its fork and its exec.
pub fn open<T, E: Display>(open: impl Fn() -> Result<T, E>) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error)
                if error.to_string().contains("in use by another process")
                    && begun.elapsed() < PATIENCE =>
            {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}
