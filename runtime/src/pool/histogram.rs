//! How often something took how long, for people and for what they graph it with.

use std::fmt;
use std::time::Duration;

use crate::wire::{BUCKETS, TaskTimes, longest_of, shortest_of};

/// Counts durations by their length: the waiting or the running times of a pool's tasks ([`Stats`](crate::Stats)).
///
/// There are 35 buckets. The first counts durations up to 1 µs, each of the next 33 durations up to twice the bound of the one before it (2 µs,
/// 4 µs, and so on up to 2.4 hours), and the last all that are longer. So a duration is known to a factor of 2, while
/// [`count`](Self::count) is exact and [`sum`](Self::sum) is that of the durations themselves. The bounds never change.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use poolmap::{Pool, pool_map, worker};
///
/// #[worker]
/// fn nap(millis: u64) {
///     std::thread::sleep(Duration::from_millis(millis));
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// pool_map!(in &pool, nap, [1, 1, 1, 40])?;
/// let stats = pool.stats();
/// let running = stats.running();
/// assert_eq!(running.count(), 4);
/// assert!(running.sum() >= Duration::from_millis(43));
/// assert!(running.quantile(1.0).unwrap() > Duration::from_millis(32));
/// # Ok::<(), poolmap::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Histogram(TaskTimes);

impl Histogram {
    pub(super) fn of(times: TaskTimes) -> Self {
        Self(times)
    }

    /// Returns how many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns all durations together. It stays at 584 years if they are longer.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.0.sum_nanos)
    }

    /// Returns each bucket, the shortest durations first: its upper bound, which is in it, and how many durations it has.
    ///
    /// Each duration is in one bucket (a Prometheus histogram adds them up). The upper bound of the last is [`Duration::MAX`].
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (Duration, u64)> + '_ {
        self.0.buckets.iter().enumerate().map(|(bucket, count)| (upper_bound(bucket), *count))
    }

    /// Returns the duration that this share of all durations do not exceed: 0.5 for the median, 0.99 for all but one in a hundred.
    ///
    /// It is estimated within its bucket, as if the durations there were spread evenly, so it is wrong by a factor of 2 at most. Of what
    /// took longer than 2.4 hours, it is 2.4 hours. Returns `None` if nothing was counted, or `share` is not from 0 to 1.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        let rank = share * count as f64;
        let mut before = 0.0;
        for (bucket, &of_bucket) in self.0.buckets.iter().enumerate().filter(|(_, of_bucket)| **of_bucket > 0) {
            let of_bucket = of_bucket as f64;
            if before + of_bucket >= rank || bucket == BUCKETS - 1 {
                let shortest = shortest_of(bucket);
                let width = if bucket == BUCKETS - 1 { 0 } else { longest_of(bucket) - shortest };
                let inside = ((rank - before) / of_bucket).clamp(0.0, 1.0);
                return Some(Duration::from_nanos(shortest + (width as f64 * inside) as u64));
            }
            before += of_bucket;
        }
        // The sum of the buckets is rounded: it is the end of the last that has some.
        let last = self.0.buckets.iter().rposition(|of_bucket| *of_bucket > 0)?;
        Some(Duration::from_nanos(longest_of(last)))
    }
}

fn upper_bound(bucket: usize) -> Duration {
    if bucket == BUCKETS - 1 { Duration::MAX } else { Duration::from_nanos(longest_of(bucket)) }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some = self.buckets().filter(|(_, count)| *count > 0);
        f.debug_struct("Histogram").field("sum", &self.sum()).field("buckets", &some.collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations: &[(u64, u64)]) -> Histogram {
        let mut times = TaskTimes::default();
        durations.iter().for_each(|&(nanos, count)| times.add(nanos, count));
        Histogram::of(times)
    }

    #[test]
    fn a_quantile_is_within_the_bucket_of_its_duration() {
        let histogram = of(&[(900, 50), (3_000_000, 49), (10_000_000_000, 1)]);
        let nanos = |share| histogram.quantile(share).unwrap().as_nanos();
        assert!(nanos(0.0) <= 1000 && nanos(0.5) <= 1000);
        assert!((2_048_000..=4_096_000).contains(&nanos(0.9)));
        assert!((5_000_000_000..=20_000_000_000).contains(&nanos(1.0)));
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(histogram.quantile(share), None);
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_is_longer_than_all_bounds_is_counted_and_summed() {
        let histogram = of(&[(u64::MAX, 3)]);
        assert_eq!((histogram.count(), histogram.sum()), (3, Duration::from_nanos(u64::MAX)));
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_nanos(1000 << 33)));
        assert_eq!(histogram.buckets().last(), Some((Duration::MAX, 3)));
        let most = of(&[(1, u64::MAX), (5_000, u64::MAX)]);
        assert_eq!(most.count(), u64::MAX);
        assert!(most.quantile(1.0).is_some());
    }

    #[test]
    fn each_bound_is_twice_the_one_before() {
        let bounds: Vec<Duration> = Histogram::default().buckets().map(|(bound, _)| bound).collect();
        assert_eq!((bounds[0], bounds.len()), (Duration::from_micros(1), 35));
        assert!(bounds[..34].windows(2).all(|pair| pair[1] == 2 * pair[0]));
    }
}
