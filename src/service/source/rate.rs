//! How many items a second a source may bring: a bucket that fills with time.
//!
//! A request is let in while anything is in the bucket, whatever its size, and what is missing has to fill before
//! the next one is. So a batch that is larger than a second's worth gets in, and over time no more than the rate
//! does.

use core::time::Duration;

/// Microseconds of a second.
const MICROS: u128 = 1_000_000;

/// The bucket of one source.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Items a second.
    rate: u32,
    /// When it is as full as it gets, one second's worth, counted like `now`.
    full_at: Duration,
}

impl Bucket {
    /// Makes a full bucket.
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, full_at: Duration::ZERO }
    }

    /// Takes items out at a time, which never goes back; otherwise returns how long to wait.
    pub(super) fn take(&mut self, items: usize, now: Duration) -> Result<(), Duration> {
        let missing = self.full_at.saturating_sub(now);
        // A second away from being full, it is empty.
        if let Some(wait) = missing.checked_sub(Duration::from_secs(1)) {
            return Err(wait.saturating_add(Duration::from_millis(1)));
        }
        let items = u128::try_from(items).unwrap_or(u128::MAX);
        let micros = items.saturating_mul(MICROS).div_ceil(self.rate.into());
        let taken = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.full_at = now.saturating_add(missing).saturating_add(taken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_than_the_rate_gets_in() {
        let mut bucket = Bucket::new(100);
        let (mut now, mut taken) = (Duration::from_secs(5), 0_usize);
        let began = now;
        for step in 0..1_000_u32 {
            let items = usize::try_from(step % 7 * 20).expect("a small number");
            match bucket.take(items, now) {
                Ok(()) => taken += items,
                Err(wait) => now += wait,
            }
            let seconds = now.saturating_sub(began).as_secs_f64();
            assert!(taken as f64 <= 100.0 * (seconds + 1.0) + 120.0, "{taken} in {seconds} s");
        }
        let seconds = now.saturating_sub(began).as_secs_f64();
        assert!(taken as f64 >= 100.0 * seconds - 120.0, "and hardly less");
    }

    #[test]
    fn a_batch_beyond_a_second_gets_in_and_is_paid_for() {
        let mut bucket = Bucket::new(10);
        assert_eq!(bucket.take(100, Duration::ZERO), Ok(()));
        let wait = bucket.take(1, Duration::ZERO).expect_err("it owes nine seconds");
        assert!(wait > Duration::from_secs(9) && wait < Duration::from_secs(10));
        assert_eq!(bucket.take(1, wait), Ok(()));
    }
}
