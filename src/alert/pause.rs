//! When a receiver that failed is tried again: pure state, without a clock.

use core::time::Duration;

/// The wait after a first failure, before jitter: a receiver that is restarted is back soon.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest wait, before jitter: an outage that ends is noticed within eight minutes, and one that lasts
/// costs a request every five.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// The failures of a receiver since it last took something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
    /// When it may be tried again.
    not_before: Duration,
}

impl Pauses {
    /// Takes note that something was taken; returns how many tries failed before.
    pub(super) fn taken(&mut self) -> u32 {
        core::mem::take(self).failures
    }

    /// Takes note of a failure. `draw` is any number; `asked` is how long the receiver asks to wait.
    ///
    /// From half to one and a half of a wait that doubles, so that many senders do not come back together, and
    /// never earlier than the receiver asks. Returns how many have failed in a row.
    pub(super) fn failed(&mut self, now: Duration, asked: Option<Duration>, draw: u64) -> u32 {
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        let millis = u64::try_from(pause.as_millis()).expect("five minutes");
        let pause = Duration::from_millis(millis / 2 + draw % (millis + 1));
        self.not_before = now + pause.max(asked.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Returns how long it is until the receiver may be tried.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.not_before.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_end_with_what_is_taken() {
        let mut pauses = Pauses::default();
        let mut now = Duration::from_secs(1);
        assert_eq!(pauses.wait(now), Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..40 {
            let failures = pauses.failed(now, None, u64::MAX / 2);
            assert_eq!(failures as usize, waits.len() + 1);
            waits.push(pauses.wait(now));
            now += pauses.wait(now);
        }
        assert!(waits[0] >= PAUSE_MIN / 2 && waits[0] <= PAUSE_MIN * 3 / 2, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= PAUSE_MAX * 3 / 2), "{waits:?}");
        assert!(waits[39] >= PAUSE_MAX / 2, "{waits:?}");
        assert_eq!(pauses.taken(), 40);
        assert_eq!((pauses.taken(), pauses.wait(now)), (0, Duration::ZERO));
    }

    #[test]
    fn a_receiver_is_never_tried_before_the_time_that_it_names() {
        let mut pauses = Pauses::default();
        let now = Duration::from_secs(1);
        pauses.failed(now, Some(Duration::from_secs(90)), 7);
        assert_eq!(pauses.wait(now), Duration::from_secs(90));
        pauses.failed(now, Some(Duration::ZERO), 7);
        assert!(pauses.wait(now) >= PAUSE_MIN);
    }
}
