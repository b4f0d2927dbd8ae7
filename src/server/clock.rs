//! The process's clock: the only place where time is read.

#![expect(clippy::disallowed_methods, reason = "everything else takes its time from here")]

use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{core::number::UnixMillis, pipeline::Clock};

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock before 1970 counts as 1970: every log then refuses to open, because its newest
        // entry is later.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis =
            u64::try_from(since.as_millis()).expect("2^64 milliseconds are 584 million years");
        UnixMillis(millis)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
