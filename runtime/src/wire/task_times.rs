//! How long tasks have waited and have taken, as counts by duration: as plain numbers, and as the words in which a worker keeps them for
//! its parent. It asks no clock, and knows nothing of who counts what.
//!
//! 1. The first bucket is of durations up to 1 µs, each of the others of durations up to twice that of the one before, the last of all
//!    that are longer.
//! 2. The worker alone writes the words, and a reader may see some of them before others: the parent takes from them what it knows to
//!    have ended, and the rest the next time (`pool::times_intake`).
//! 3. What a worker writes of a task stands there before the task is counted as finished.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::Words;

/// How many buckets there are.
pub(crate) const BUCKETS: usize = 35;
/// The longest duration of the first bucket, in nanoseconds.
const FIRST_NANOS: u64 = 1000;

/// Counts of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskTimes {
    pub(crate) buckets: [u64; BUCKETS],
    /// All durations together, in nanoseconds.
    pub(crate) sum_nanos: u64,
}

/// What a worker has counted: each task that it has claimed and that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerTimes {
    pub(crate) waiting: TaskTimes,
    pub(crate) running: TaskTimes,
    /// How many of the tasks have failed.
    pub(crate) failed: u64,
}

impl Default for TaskTimes {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_nanos: 0 }
    }
}

/// The bucket of a duration.
#[inline]
pub(crate) fn bucket_of(nanos: u64) -> usize {
    match nanos.div_ceil(FIRST_NANOS) {
        0 | 1 => 0,
        firsts => ((u64::BITS - (firsts - 1).leading_zeros()) as usize).min(BUCKETS - 1),
    }
}

/// The longest duration of a bucket, in nanoseconds; that of the last is the longest there is.
pub(crate) fn longest_of(bucket: usize) -> u64 {
    if bucket < BUCKETS - 1 { FIRST_NANOS << bucket } else { u64::MAX }
}

/// The duration that all of a bucket are longer than, in nanoseconds; 0 for the first.
pub(crate) fn shortest_of(bucket: usize) -> u64 {
    bucket.checked_sub(1).map_or(0, longest_of)
}

impl TaskTimes {
    /// Counts so many durations like this.
    pub(crate) fn add(&mut self, nanos: u64, count: u64) {
        let bucket = &mut self.buckets[bucket_of(nanos)];
        *bucket = bucket.saturating_add(count);
        self.sum_nanos = self.sum_nanos.saturating_add(nanos.saturating_mul(count));
    }

    /// Counts what was counted elsewhere.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.saturating_add(more);
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }
}

/// The words of one kind of times: the buckets, and the sum.
const KIND_BYTES: usize = 8 * (BUCKETS + 1);
const WAITING: usize = 0;
const RUNNING: usize = KIND_BYTES;
const FAILED: usize = 2 * KIND_BYTES;
/// The bytes of all words.
pub(crate) const TIMES_BYTES: usize = FAILED + 8;

/// The words in which a worker counts; none where its parent counts by itself.
#[derive(Clone, Copy)]
pub(crate) struct TimesWords<'a>(Option<(&'a Words, usize)>);

impl<'a> TimesWords<'a> {
    /// Nothing is counted.
    pub(crate) const NONE: Self = Self(None);

    /// The words at an offset, a multiple of 8.
    #[inline]
    pub(crate) fn at(words: &'a Words, offset: usize) -> Self {
        Self(Some((words, offset)))
    }

    /// Counts tasks that have waited for so long.
    #[inline]
    pub(crate) fn add_waiting(self, nanos: u64, count: u32) {
        self.add(WAITING, nanos, u64::from(count));
    }

    /// Takes back what was counted of tasks that were not begun.
    pub(crate) fn take_back_waiting(self, nanos: u64, count: u32) {
        self.add(WAITING, nanos, u64::from(count).wrapping_neg());
    }

    /// Counts tasks that have taken so long, each.
    #[inline]
    pub(crate) fn add_running(self, nanos: u64, count: u32) {
        self.add(RUNNING, nanos, u64::from(count));
    }

    /// Counts a task that has failed.
    pub(crate) fn add_failed(self) {
        self.add_to(FAILED, 1);
    }

    /// Reads what is counted.
    pub(crate) fn read(self) -> WorkerTimes {
        WorkerTimes { waiting: self.times(WAITING), running: self.times(RUNNING), failed: self.load(FAILED) }
    }

    fn times(self, kind: usize) -> TaskTimes {
        let buckets = std::array::from_fn(|bucket| self.load(kind + 8 * bucket));
        TaskTimes { buckets, sum_nanos: self.load(kind + 8 * BUCKETS) }
    }

    #[inline]
    fn add(self, kind: usize, nanos: u64, count: u64) {
        self.add_to(kind + 8 * bucket_of(nanos), count);
        self.add_to(kind + 8 * BUCKETS, nanos.wrapping_mul(count));
    }

    /// Adds to a word that this thread alone writes.
    #[inline]
    fn add_to(self, place: usize, more: u64) {
        if let Some(word) = self.word(place) {
            word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        }
    }

    fn load(self, place: usize) -> u64 {
        self.word(place).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn word(self, place: usize) -> Option<&'a AtomicU64> {
        let (words, offset) = self.0?;
        Some(words.word(offset + place))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        assert_eq!((bucket_of(0), bucket_of(1000), bucket_of(1001), bucket_of(2000), bucket_of(2001)), (0, 0, 1, 1, 2));
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(longest_of(bucket)), bucket);
            assert_eq!(bucket_of(longest_of(bucket) + 1), bucket + 1);
            assert_eq!(shortest_of(bucket + 1), longest_of(bucket));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        // The last that is not open ends after 2.4 hours.
        assert_eq!(longest_of(BUCKETS - 2) / 1_000_000_000, 8589);
    }

    #[cfg(poolmap_linux)]
    #[test]
    fn the_words_are_read_as_they_were_counted() {
        let memory = crate::sys::raced_memory(4096).unwrap();
        let words = Words::new(&memory, 4096).unwrap();
        let times = TimesWords::at(&words, 64);
        times.add_waiting(1500, 3);
        times.take_back_waiting(1500, 1);
        times.add_running(u64::MAX, 1);
        times.add_failed();
        let mut expected = WorkerTimes { failed: 1, ..WorkerTimes::default() };
        expected.waiting.add(1500, 2);
        expected.running.add(u64::MAX, 1);
        assert_eq!(times.read(), expected);
        TimesWords::NONE.add_running(1, 1);
        assert_eq!(TimesWords::NONE.read(), WorkerTimes::default());
    }

    proptest! {
        #[test]
        fn a_duration_is_between_the_ends_of_its_bucket(nanos: u64) {
            let bucket = bucket_of(nanos);
            prop_assert!(nanos <= longest_of(bucket) && (bucket == 0 || nanos > shortest_of(bucket)));
        }
    }
}
