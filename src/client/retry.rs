//! How often and how long to wait before a request is sent again.

use core::time::Duration;

use super::ClientError;

/// First wait where the server names none.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Longest wait. A server that restarts is back sooner; one that is not back after the tries
/// below needs a person.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Most tries of one request: with the doubling waits about half a minute in all.
const TRIES_MAX: u32 = 10;

/// The retries of one request.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Returns how long to wait before the request is sent again; `None` to give up.
    ///
    /// Waits at least as long as the server asks, doubles where it keeps saying no, and gives up at
    /// once on an answer that no retry changes. A request may be repeated only if repeating it
    /// does no harm: reads, and appends whose entries have an idempotency key.
    pub fn next(&mut self, error: &ClientError) -> Option<Duration> {
        let asked = error.retry_after()?;
        if self.tries >= TRIES_MAX {
            return None;
        }
        let doubled = WAIT_MIN.saturating_mul(1 << self.tries.min(6));
        self.tries += 1;
        Some(asked.max(doubled.min(WAIT_MAX)))
    }
}
