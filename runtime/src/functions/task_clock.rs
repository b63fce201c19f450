//! The clock of a worker: how long tasks have waited, and how long each has taken, for the statistics of the pool.
//!
//! 1. A task takes from the end of the one before it, or from when its worker woke, to its own end: so a task costs one reading of the clock.
//! 2. Tasks of less than about 6 µs are not clocked one by one. When the worker reads the clock, at the latest after 50 µs of
//!    them, each counts with the share that it has in the time of all since the last look.
//! 3. A task has waited from when it was handed to the pool to when its worker has read the clock last before it claimed it.
//! 4. A task that is not begun counts in nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::TimesWords;

/// The facts about the tasks since the worker has read the clock for all of them.
#[derive(Debug, Default)]
pub(crate) struct TaskClock {
    /// When it has read the clock last, or when the task clocked last has ended, in nanoseconds of the clock that processes share.
    now_nanos: u64,
    /// The tasks that were clocked one by one since then, and their time.
    clocked: u32,
    clocked_nanos: u64,
    /// Those that were not begun.
    not_run: u32,
    /// The number behind the last task whose waiting is counted, and how long it has waited.
    counted: u32,
    waited_nanos: u64,
}

impl TaskClock {
    /// Notes that the worker is awake, and reads the clock now.
    pub(crate) fn wake(&mut self, now_nanos: u64) {
        self.now_nanos = now_nanos;
    }

    /// Counts the waiting of tasks that are about to begin, `count` from this number on, and which were handed to the pool at that moment.
    /// `begun` is where others see when a task has begun.
    #[inline]
    pub(crate) fn claimed(
        &mut self,
        (number, count): (u32, u32),
        handed_nanos: u64,
        begun: &AtomicU64,
        times: TimesWords<'_>,
    ) {
        begun.store(self.now_nanos, Ordering::Relaxed);
        let end = number.wrapping_add(count);
        // Of what was claimed before, some may be left.
        let new = end.wrapping_sub(self.counted).min(count);
        self.counted = end;
        if new > 0 {
            self.waited_nanos = self.now_nanos.saturating_sub(handed_nanos);
            times.add_waiting(self.waited_nanos, new);
        }
    }

    /// Counts a task that has ended at this moment.
    #[inline]
    pub(super) fn ended(&mut self, now_nanos: u64, begun: &AtomicU64, times: TimesWords<'_>) {
        let nanos = now_nanos.saturating_sub(self.now_nanos);
        times.add_running(nanos, 1);
        self.clocked += 1;
        self.clocked_nanos += nanos;
        self.now_nanos = now_nanos;
        // The next begins now, if there is one.
        begun.store(now_nanos, Ordering::Relaxed);
    }

    /// Notes tasks that were claimed and are not begun.
    #[cold]
    pub(super) fn not_run(&mut self, count: u32, times: TimesWords<'_>) {
        self.not_run = self.not_run.saturating_add(count);
        times.take_back_waiting(self.waited_nanos, count);
    }

    /// Notes that the worker has read the clock, for the first time in so many nanoseconds. Counts those of the `tasks` since that were not
    /// clocked.
    pub(crate) fn looked(&mut self, now_nanos: u64, elapsed_nanos: u64, tasks: u32, times: TimesWords<'_>) {
        let left = tasks.saturating_sub(self.clocked).saturating_sub(self.not_run);
        if left > 0 {
            times.add_running(elapsed_nanos.saturating_sub(self.clocked_nanos) / u64::from(left), left);
        }
        (self.clocked, self.clocked_nanos, self.not_run) = (0, 0, 0);
        self.now_nanos = now_nanos;
    }
}

#[cfg(test)]
#[cfg(poolmap_linux)]
mod tests {
    use super::*;
    use crate::sys::{self, Words};
    use crate::wire::WorkerTimes;

    #[test]
    fn each_task_counts_once_and_what_is_not_begun_counts_in_nothing() {
        let memory = sys::raced_memory(4096).unwrap();
        let words = Words::new(&memory, 4096).unwrap();
        let (times, begun) = (TimesWords::at(&words, 0), AtomicU64::new(0));
        let mut clock = TaskClock::default();
        clock.wake(10_000);
        // Ten are claimed, of which six are run one by one, and the rest after the results have found room.
        clock.claimed((0, 10), 7_000, &begun, times);
        assert_eq!(begun.load(Ordering::Relaxed), 10_000);
        for task in 1..=6 {
            clock.ended(10_000 + task * 9_000, &begun, times);
        }
        clock.claimed((6, 4), 7_000, &begun, times);
        clock.not_run(2, times);
        // Two are left, which took 1 µs together.
        clock.looked(65_000, 55_000, 10, times);
        let mut expected = WorkerTimes::default();
        expected.running.add(9_000, 6);
        expected.running.add(500, 2);
        assert_eq!(times.read().running, expected.running);
        assert_eq!(times.read().waiting.buckets.iter().sum::<u64>(), 8);
        clock.claimed((10, 1), 64_000, &begun, times);
        clock.looked(66_000, 1_000, 1, times);
        assert_eq!(times.read().waiting.buckets.iter().sum::<u64>(), 9);
        assert_eq!(times.read().running.buckets.iter().sum::<u64>(), 9);
    }
}
