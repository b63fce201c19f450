//! How many tasks travel together: what was asked for, or what the measured time of the call's tasks says.

use std::time::Duration;

/// A chunk aims at so much work: long against the cost of a message, short against what a person notices.
const TARGET: Duration = Duration::from_micros(500);

/// A chunk that takes longer has none behind it at its worker, so that no task waits for a long one.
const LONG: Duration = Duration::from_millis(2);

/// So many chunks are at a worker at once while they are short, so that it does not wait for the next.
const DEPTH: usize = 2;

/// Chunks of fewer tasks have none behind them: their tasks are few or long, or were asked to go one by one.
const DEEP_TASKS_MIN: usize = 8;

/// No chunk is larger, however short its tasks are.
const TASKS_MAX: usize = 1 << 16;

/// The chunk size of one call.
#[derive(Clone, Debug)]
pub(super) struct ChunkSize {
    /// The size that was asked for.
    fixed: Option<usize>,
    /// The size that the time of the last chunk suggests.
    measured: usize,
    /// The time of the last chunk, if one was answered.
    last: Option<Duration>,
}

impl ChunkSize {
    pub(super) fn new(fixed: Option<usize>) -> Self {
        Self { fixed, measured: 1, last: None }
    }

    /// The size of the next chunk, when so many tasks are left (if that is known) for so many workers.
    pub(super) fn next(&self, left: Option<usize>, workers: usize) -> usize {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        // Smaller towards the end, so that the workers end together.
        let share = left.map_or(TASKS_MAX, |left| left.div_ceil(2 * workers.max(1)));
        self.measured.min(share).max(1)
    }

    /// How many chunks a worker may have at once.
    pub(super) fn depth(&self) -> usize {
        let short = self.last.is_some_and(|last| last <= LONG);
        let many = self.fixed.unwrap_or(self.measured) >= DEEP_TASKS_MIN;
        if short && many { DEPTH } else { 1 }
    }

    /// Takes in the time that a chunk took.
    pub(super) fn observe(&mut self, tasks: usize, elapsed: Duration) {
        self.last = Some(elapsed);
        let tasks = tasks.max(1);
        let per_task = (elapsed.as_nanos() / tasks as u128).max(1);
        let fitting = usize::try_from(TARGET.as_nanos() / per_task).unwrap_or(TASKS_MAX);
        // At most doubling: a few short tasks at the start say little of the others.
        self.measured = fitting.clamp(1, TASKS_MAX).min(tasks * 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(times: &[(usize, Duration)]) -> ChunkSize {
        let mut size = ChunkSize::new(None);
        for &(tasks, elapsed) in times {
            size.observe(tasks, elapsed);
        }
        size
    }

    #[test]
    fn it_starts_at_one_and_at_most_doubles() {
        assert_eq!(observed(&[]).next(None, 2), 1);
        assert_eq!(observed(&[(1, Duration::from_nanos(10))]).next(None, 2), 2);
        assert_eq!(observed(&[(64, Duration::from_nanos(10))]).next(None, 2), 128);
    }

    #[test]
    fn long_tasks_go_one_by_one_and_wait_behind_nothing() {
        let size = observed(&[(1, Duration::from_millis(20))]);
        assert_eq!((size.next(None, 2), size.depth()), (1, 1));
    }

    #[test]
    fn it_aims_at_half_a_millisecond() {
        let size = observed(&[(64, Duration::from_micros(640))]);
        assert_eq!((size.next(None, 2), size.depth()), (50, DEPTH));
    }

    #[test]
    fn chunks_shrink_towards_the_end() {
        let size = observed(&[(1000, Duration::from_nanos(1000))]);
        assert_eq!(size.next(Some(40), 2), 10);
        assert_eq!(size.next(Some(1), 2), 1);
    }

    #[test]
    fn a_size_that_was_asked_for_stands() {
        let mut size = ChunkSize::new(Some(7));
        size.observe(7, Duration::from_secs(1));
        assert_eq!(size.next(Some(1), 2), 7);
    }
}
