//! Durations by how often they were measured, in little memory.

use core::time::Duration;

/// Bits of a value that are kept: a bucket is at most 1/64 wide, so a percentile is at most 1.6
/// percent too high.
const PRECISION_BITS: u32 = 6;

/// Buckets of one power of two.
const BUCKETS: usize = 1 << PRECISION_BITS;

/// Powers of two above the exact ones: nanoseconds up to 2^40, eighteen minutes.
const POWERS: usize = 40 - 6 + 1;

/// Counts of durations in buckets that grow with the value (log-linear, as in HDR histograms).
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// Makes an empty histogram of 18 KiB.
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS * (POWERS + 1)], total: 0, max: 0 }
    }

    /// Counts one duration.
    pub(super) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        if let Some(count) = self.counts.get_mut(bucket(nanos).min(last)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// Returns how many durations were counted.
    pub(super) const fn count(&self) -> u64 {
        self.total
    }

    /// Returns the duration that `permille` of a thousand did not exceed.
    pub(super) fn at(&self, permille: u64) -> Duration {
        let rank = (self.total * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(bucket).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }

    /// Returns the longest duration, exactly.
    pub(super) const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }
}

/// Returns the bucket of a value: exact below 64, then 64 of each power of two.
fn bucket(value: u64) -> usize {
    let power = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    let within = usize::try_from(value >> power).unwrap_or(usize::MAX);
    // The top bit of `within` is set from the second power on; it counts as one row of buckets.
    usize::try_from(power).unwrap_or(usize::MAX).saturating_mul(BUCKETS).saturating_add(within)
}

/// Returns the largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let (row, within) = (bucket / BUCKETS, bucket % BUCKETS);
    let (power, within) = match row {
        0 => (0, within),
        _ => (row - 1, within + BUCKETS),
    };
    let within = u64::try_from(within).unwrap_or(u64::MAX);
    (((within + 1) << power) - 1).max(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_above_the_one_before() {
        for value in (0..10_000).chain((14..40).flat_map(|bits| {
            let power = 1u64 << bits;
            [power - 1, power, power + 1, power + power / 3]
        })) {
            let bucket = bucket(value);
            assert!(value <= upper(bucket), "{value} is above its bucket");
            assert!(bucket == 0 || value > upper(bucket - 1), "{value} is below its bucket");
            assert!(upper(bucket) - value <= value / 64, "the bucket of {value} is too wide");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::new();
        (1..=1_000).for_each(|value| histogram.record(Duration::from_nanos(value)));
        for permille in [1, 500, 900, 990, 1_000] {
            let found = u64::try_from(histogram.at(permille).as_nanos()).unwrap();
            assert!(found >= permille && found - permille <= permille / 64, "{permille}: {found}");
        }
        assert_eq!(histogram.max(), Duration::from_micros(1));
        assert_eq!(histogram.count(), 1_000);
    }
}
