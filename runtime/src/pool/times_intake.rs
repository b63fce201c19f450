//! The intake of a worker's counts of its tasks' times by the parent, which believes none of them.
//!
//! 1. The parent knows how many tasks have ended at the worker, and takes so many from what the worker has counted, no more and no fewer.
//! 2. Where the worker has counted more, the rest is taken the next time: it counts a task before the parent knows of its end.
//! 3. Where it has counted fewer, the others go where most went the last time, and the worker's counts of them are not taken later: it
//!    counts tasks of a few microseconds after they have ended, together. So no count ever becomes smaller.
//! 4. No task has taken longer than its worker has lived, or waited longer than the pool has, and the sum is one that the buckets allow.

use crate::wire::{BUCKETS, TaskTimes, WorkerTimes, bucket_of, longest_of, shortest_of};

/// The counts taken from a worker so far.
#[derive(Default)]
pub(super) struct TimesIntake {
    waiting: Taken,
    running: Taken,
    failed: u64,
    /// The tasks that have ended, and whose times were not taken.
    ended: u64,
}

/// The counts taken of one kind of times.
#[derive(Default)]
struct Taken {
    times: TaskTimes,
    /// Where most went the last time.
    usual: usize,
}

/// How long something may have taken, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeBounds {
    pub(super) waiting_nanos: u64,
    pub(super) running_nanos: u64,
}

/// Tasks that have ended, and their times.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EndedTasks {
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) waiting: TaskTimes,
    pub(super) running: TaskTimes,
}

impl TimesIntake {
    /// Notes that tasks have given results.
    pub(super) fn ended(&mut self, tasks: u64) {
        self.ended += tasks;
    }

    /// Whether there is something to take.
    pub(super) fn has_news(&self) -> bool {
        self.ended > 0
    }

    /// Takes nothing of what the worker has counted so far: it was not of tasks.
    pub(super) fn skip(&mut self, counted: &WorkerTimes) {
        (self.waiting.times, self.running.times, self.failed) = (counted.waiting, counted.running, counted.failed);
    }

    /// Takes the times of the tasks that have ended. `interrupted` more have begun and end with the worker, the last of them at the moment
    /// that is `last_nanos` behind its begin.
    pub(super) fn take(
        &mut self,
        counted: &WorkerTimes,
        (interrupted, last_nanos): (u64, u64),
        bounds: TimeBounds,
    ) -> EndedTasks {
        let ended = std::mem::take(&mut self.ended);
        let all = ended + interrupted;
        let failed = (counted.failed.wrapping_sub(self.failed) as i64).clamp(0, i64::MAX) as u64;
        let failed = failed.min(ended);
        self.failed = self.failed.wrapping_add(failed);
        let waiting = self.waiting.take(&counted.waiting, all, bounds.waiting_nanos);
        let mut running = self.running.take(&counted.running, all - interrupted.min(1), bounds.running_nanos);
        if interrupted > 0 {
            running.add(last_nanos.min(bounds.running_nanos), 1);
        }
        EndedTasks { done: ended - failed, failed: failed + interrupted, waiting, running }
    }
}

impl Taken {
    /// Takes as many as these, none of which is longer than that.
    fn take(&mut self, counted: &TaskTimes, count: u64, longest_nanos: u64) -> TaskTimes {
        let last = bucket_of(longest_nanos);
        let (mut taken, mut left, mut most) = (TaskTimes::default(), count, 0);
        for bucket in 0..BUCKETS {
            let new = (counted.buckets[bucket].wrapping_sub(self.times.buckets[bucket]) as i64).max(0) as u64;
            let of_bucket = new.min(left);
            if of_bucket > most {
                (most, self.usual) = (of_bucket, bucket);
            }
            self.times.buckets[bucket] = self.times.buckets[bucket].wrapping_add(of_bucket);
            taken.buckets[bucket.min(last)] += of_bucket;
            left -= of_bucket;
        }
        self.times.buckets[self.usual] = self.times.buckets[self.usual].wrapping_add(left);
        taken.buckets[self.usual.min(last)] += left;
        let sum = |bound: fn(usize) -> u64| {
            let of_bucket = |(bucket, count): (usize, &u64)| bound(bucket).min(longest_nanos).saturating_mul(*count);
            taken.buckets.iter().enumerate().map(of_bucket).fold(0, u64::saturating_add)
        };
        let new = (counted.sum_nanos.wrapping_sub(self.times.sum_nanos) as i64).max(0) as u64;
        taken.sum_nanos = new.clamp(sum(shortest_of), sum(longest_of));
        self.times.sum_nanos = self.times.sum_nanos.wrapping_add(taken.sum_nanos);
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: TimeBounds = TimeBounds { waiting_nanos: 1 << 40, running_nanos: 1 << 40 };

    fn counted(tasks: &[(u64, u64)]) -> WorkerTimes {
        let mut times = WorkerTimes::default();
        for &(nanos, count) in tasks {
            times.waiting.add(1, count);
            times.running.add(nanos, count);
        }
        times
    }

    #[test]
    fn what_is_counted_before_its_end_is_known_is_taken_when_it_is() {
        let (mut intake, times) = (TimesIntake::default(), counted(&[(5_000, 2)]));
        assert_eq!(intake.take(&times, (0, 0), BOUNDS), EndedTasks::default());
        intake.ended(2);
        let taken = intake.take(&times, (0, 0), BOUNDS);
        assert_eq!((taken.done, taken.failed, taken.running, taken.waiting), (2, 0, times.running, times.waiting));
        assert_eq!(intake.take(&times, (0, 0), BOUNDS), EndedTasks::default());
    }

    #[test]
    fn what_is_counted_late_is_taken_once() {
        let mut intake = TimesIntake::default();
        intake.ended(10);
        let early = intake.take(&counted(&[(5_000, 4)]), (0, 0), BOUNDS).running;
        assert_eq!(early.buckets[bucket_of(5_000)], 10);
        intake.ended(1);
        let mut all = intake.take(&counted(&[(5_000, 11)]), (0, 0), BOUNDS).running;
        all.extend(&early);
        assert_eq!(all.buckets, counted(&[(5_000, 11)]).running.buckets);
        // The sum was that of the least that they may have taken, and is made up for by and by.
        intake.ended(3);
        all.extend(&intake.take(&counted(&[(5_000, 14)]), (0, 0), BOUNDS).running);
        assert_eq!(all, counted(&[(5_000, 14)]).running);
    }

    #[test]
    fn tasks_that_end_with_their_worker_have_failed_and_the_last_has_its_time() {
        let (mut intake, mut times) = (TimesIntake::default(), counted(&[(5_000, 3)]));
        times.waiting.add(1, 1);
        times.failed = 1;
        intake.ended(2);
        let taken = intake.take(&times, (2, 9_000_000), BOUNDS);
        assert_eq!((taken.done, taken.failed), (1, 3));
        let mut running = times.running;
        running.add(9_000_000, 1);
        assert_eq!((taken.running, taken.waiting), (running, times.waiting));
    }

    #[test]
    fn what_was_counted_of_an_initializer_is_left_out() {
        let mut intake = TimesIntake::default();
        intake.skip(&counted(&[(1 << 30, 1)]));
        intake.ended(1);
        assert_eq!(
            intake.take(&counted(&[(1 << 30, 1), (3_000, 1)]), (0, 0), BOUNDS).running,
            counted(&[(3_000, 1)]).running
        );
    }

    fn any_times() -> impl Strategy<Value = WorkerTimes> {
        let number = || prop_oneof![any::<u64>(), 0..9u64];
        (vec(number(), 2 * BUCKETS), number(), number(), number()).prop_map(|(buckets, waiting, running, failed)| {
            let times = |part: &[u64], sum_nanos| TaskTimes { buckets: part.try_into().unwrap(), sum_nanos };
            WorkerTimes {
                waiting: times(&buckets[..BUCKETS], waiting),
                running: times(&buckets[BUCKETS..], running),
                failed,
            }
        })
    }

    proptest! {
        #[test]
        fn whatever_a_worker_counts_the_number_is_the_parents(
            steps in vec((any_times(), 0..1000u64, 0..3u64, any::<u64>()), 0..8),
            longest in any::<u64>(),
        ) {
            let mut intake = TimesIntake::default();
            for (times, ended, interrupted, last_nanos) in steps {
                intake.ended(ended);
                let bounds = TimeBounds { waiting_nanos: 7, running_nanos: longest };
                let taken = intake.take(&times, (interrupted, last_nanos), bounds);
                prop_assert_eq!(taken.done + taken.failed, ended + interrupted);
                for (kind, longest) in [(taken.running, longest), (taken.waiting, 7)] {
                    prop_assert_eq!(kind.buckets.iter().sum::<u64>(), ended + interrupted);
                    prop_assert!(kind.sum_nanos <= longest.saturating_mul(ended + interrupted));
                    prop_assert!(kind.buckets[bucket_of(longest) + 1..].iter().all(|count| *count == 0));
                }
            }
        }
    }
}
