//! How often something may happen: leaky buckets of one number each.
//!
//! A bucket holds the time at which it will be empty again (the "theoretical arrival time" of the generic
//! cell rate algorithm). What comes in moves it on by one interval; what would move it further ahead of
//! now than the burst allows is refused. So a bucket needs no timer, and one that is idle is empty.

use core::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::core::hash::TreeHash;

/// Buckets of addresses. Two addresses that meet in one share what it lets through; with 65,536 of them
/// (half a MiB) a thousand clients rarely do, and a stranger with many addresses costs no memory.
const ADDRESS_BUCKETS: usize = 65_536;

/// A rate and how far it may be exceeded for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many a second; 0 sets no limit.
    pub per_second: u32,
}

impl Rate {
    /// Returns the time of one, in microseconds; none without a limit.
    fn interval(self) -> Option<u64> {
        1_000_000_u64.checked_div(self.per_second.into()).map(|interval| interval.max(1))
    }

    /// A burst is what comes in two seconds, and four at least: a log that was away sends its heads
    /// quickly, and nobody's clock is even.
    fn burst(self) -> u64 {
        (2 * u64::from(self.per_second)).max(4)
    }
}

/// One bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket(AtomicU64);

impl Bucket {
    /// Takes one, or says how long to wait for it.
    pub(super) fn take(&self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let Some(interval) = rate.interval() else { return Ok(()) };
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let most = now.saturating_add(interval.saturating_mul(rate.burst() - 1));
        let next = |until: u64| (until <= most).then(|| until.max(now).saturating_add(interval));
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(drop).map_err(|until| Duration::from_micros(until.saturating_sub(most)))
    }
}

/// The buckets of all addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    rate: Rate,
    /// Makes the places unpredictable, so that nobody can choose to share one with somebody else.
    seed: [u8; 32],
    buckets: Vec<Bucket>,
}

impl Addresses {
    /// Makes empty buckets.
    pub(super) fn new(rate: Rate, seed: [u8; 32]) -> Self {
        let buckets = (0..ADDRESS_BUCKETS).map(|_| Bucket::default()).collect();
        Self { rate, seed, buckets }
    }

    /// Takes one for an address, or says how long to wait.
    pub(super) fn take(&self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            // One customer usually has a whole /64.
            IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
        };
        let hash = TreeHash::digest(&[self.seed.as_slice(), &bytes].concat());
        let (place, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        let place = usize::from(u16::from_be_bytes(*place));
        self.buckets.get(place).expect("65,536 buckets").take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let (bucket, rate) = (Bucket::default(), Rate { per_second: 10 });
        let mut now = Duration::from_secs(5);
        let through = (0..100).filter(|_| bucket.take(rate, now).is_ok()).count();
        assert_eq!(through, 20);
        assert_eq!(bucket.take(rate, now), Err(Duration::from_millis(100)));
        let mut through = 0;
        for _ in 0..1_000 {
            now += Duration::from_millis(10);
            through += u32::from(bucket.take(rate, now).is_ok());
        }
        assert_eq!(through, 100);
        // However long it was idle, it never gives more than a burst.
        now += Duration::from_hours(1);
        assert_eq!((0..100).filter(|_| bucket.take(rate, now).is_ok()).count(), 20);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (bucket, rate) = (Bucket::default(), Rate { per_second: 0 });
        assert!((0..10_000).all(|_| bucket.take(rate, Duration::ZERO) == Ok(())));
    }

    #[test]
    fn addresses_have_buckets_of_their_own_and_networks_of_version_6_share_one() {
        let addresses = Addresses::new(Rate { per_second: 1 }, [3; 32]);
        let used_up = |address: &str| {
            let address = address.parse().unwrap();
            (0..9).filter(|_| addresses.take(address, Duration::ZERO).is_ok()).count()
        };
        assert_eq!([used_up("192.0.2.1"), used_up("192.0.2.2"), used_up("192.0.2.1")], [4, 4, 0]);
        assert_eq!([used_up("2001:db8::1"), used_up("2001:db8::2")], [4, 0]);
        assert_eq!(used_up("2001:db8:0:1::1"), 4);
    }
}
