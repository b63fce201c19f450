//! The task that has run longest, as looks at the workers show. It asks no clock.

use std::fmt;
use std::time::{Duration, Instant};

use super::RunningTask;

/// A task is named once it has run for so long.
const NAMED_AFTER: Duration = Duration::from_secs(10);

/// A task that has run for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlowTask {
    index: usize,
    time: Duration,
}

impl fmt::Display for SlowTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", task {} has run for {} s", self.index, self.time.as_secs())
    }
}

/// What the workers were at when they were last looked at, and since when.
#[derive(Default)]
pub(super) struct RunningTasks(Vec<(RunningTask, Instant)>);

impl RunningTasks {
    /// Takes in a look. A worker that has not got on is at its task since it was first seen at it.
    pub(super) fn observe(&mut self, now: Instant, running: &[RunningTask]) {
        let before = std::mem::take(&mut self.0);
        let since = |task: &RunningTask| {
            let is_at = |(earlier, _): &&(RunningTask, Instant)| {
                (earlier.worker, earlier.progress_stamp) == (task.worker, task.progress_stamp)
            };
            before.iter().find(is_at).map_or(now, |(_, since)| *since)
        };
        self.0 = running.iter().map(|task| (*task, since(task))).collect();
    }

    /// The task that has run longest, if that is long.
    pub(super) fn slowest(&self, now: Instant) -> Option<SlowTask> {
        let (task, since) = self.0.iter().min_by_key(|(_, since)| *since)?;
        let time = now.saturating_duration_since(*since);
        (time >= NAMED_AFTER).then_some(SlowTask { index: task.index, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_that_has_run_longest_is_named_once_that_is_long() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let at = |worker, index, progress_stamp| RunningTask { worker, index, progress_stamp };
        let mut running = RunningTasks::default();
        running.observe(start, &[at(0, 5, 1), at(1, 6, 1)]);
        running.observe(after(4), &[at(0, 7, 2), at(1, 6, 1)]);
        assert_eq!(running.slowest(after(9)), None);
        assert_eq!(running.slowest(after(10)).unwrap().to_string(), ", task 6 has run for 10 s");
        // It has ended, and its worker has another.
        running.observe(after(12), &[at(0, 7, 2), at(1, 8, 2)]);
        assert_eq!(running.slowest(after(13)), None);
        assert_eq!(running.slowest(after(15)).unwrap().to_string(), ", task 7 has run for 11 s");
        running.observe(after(16), &[]);
        assert_eq!(running.slowest(after(100)), None);
    }
}
