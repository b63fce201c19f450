//! How long a worker is at its task, and whether that is over a limit. Facts come in, and a decision goes out: nothing here asks a
//! clock or the system. The rules are in `pool/time_limits`; a `Process` has one task.

use std::time::{Duration, Instant};

use super::verdict::Cause;
use crate::task::Limits;

/// A limit is looked after so many times before it is over …
const LOOKS: u32 = 8;
/// … and no more often than this, …
const LOOK_MIN: Duration = Duration::from_millis(1);
/// … but at least this often, or, where that is less, a hundred times: a pool that waits for a long task is to take no processor time.
const LOOK_OFTEN: Duration = Duration::from_millis(20);
const LOOKS_LONG: u32 = 100;
const LOOK_MAX: Duration = Duration::from_millis(100);
/// Between two looks no more than so many intervals count: this process was stopped then (Ctrl-Z), or had no processor, and
/// the task may have been in the same state.
const LOOKS_COUNTED_MAX: u32 = 4;
/// A worker that does not begin a task that it has claimed, or that it could claim, is ended after this, or after the task's
/// limit if that is longer: it was stopped. It costs no task if it was not, but had no processor for this long.
const BEGIN_TIME_MAX: Duration = Duration::from_millis(1500);

/// How often a worker is looked at whose task has this limit.
pub(crate) fn interval(limit: Duration) -> Duration {
    (limit / LOOKS).clamp(LOOK_MIN, (limit / LOOKS_LONG).clamp(LOOK_OFTEN, LOOK_MAX))
}

/// The facts that a look at a worker has shown.
#[derive(Clone, Copy)]
pub(crate) struct Observation {
    pub(crate) now: Instant,
    /// Changes when the worker gets on.
    pub(crate) progress_stamp: u64,
    /// It has begun a task that has no result.
    pub(crate) has_begun: bool,
    /// The processor time that it has taken in its life, where its task has a limit of that and the system reports it.
    pub(crate) cpu: Option<Duration>,
}

/// How long a worker is at a task.
pub(crate) struct TaskTimer {
    progress_stamp: u64,
    /// As far as is known.
    time: Duration,
    looked: Instant,
    /// The processor time that the worker had taken before.
    cpu_before: Option<Duration>,
}

impl TaskTimer {
    /// Begins to count, from the moment at which the task was first seen.
    pub(crate) fn new(observation: &Observation) -> Self {
        Self {
            progress_stamp: observation.progress_stamp,
            time: Duration::ZERO,
            looked: observation.now,
            cpu_before: observation.cpu,
        }
    }

    /// When the task's limit is over, if it goes on.
    pub(crate) fn over_at(&self, limit: Duration) -> Option<Instant> {
        self.looked.checked_add(limit.saturating_sub(self.time))
    }

    /// When the worker is to be looked at again.
    pub(crate) fn next_look(&self, interval: Duration) -> Instant {
        self.looked + interval
    }

    /// Whether the worker has not got on since.
    pub(crate) fn is_at(&self, progress_stamp: u64) -> bool {
        self.progress_stamp == progress_stamp
    }

    /// Counts the time since the last look, and returns the limit that is over, if one is. It begins anew where the worker got on.
    pub(crate) fn check(&mut self, observation: &Observation, limits: &Limits) -> Option<Cause> {
        if !self.is_at(observation.progress_stamp) {
            *self = Self::new(observation);
            return None;
        }
        let counted_max = limits.shortest().map_or(Duration::ZERO, |limit| interval(limit) * LOOKS_COUNTED_MAX);
        self.time += (observation.now - self.looked).min(counted_max);
        self.looked = observation.now;
        if !observation.has_begun {
            let limit = limits.timeout.unwrap_or_default().max(BEGIN_TIME_MAX);
            return (self.time >= limit).then_some(Cause::TimedOut(limit));
        }
        if let Some(limit) = limits.timeout.filter(|limit| self.time >= *limit) {
            return Some(Cause::TimedOut(limit));
        }
        let limit = limits.cpu_limit?;
        let taken = observation.cpu?.saturating_sub(self.cpu_before?);
        (taken >= limit).then_some(Cause::CpuLimit(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMEOUT: Limits = Limits { timeout: Some(SECOND), cpu_limit: None };
    const CPU_LIMIT: Limits = Limits { timeout: None, cpu_limit: Some(SECOND) };

    /// A worker that is at its first task, and was first seen there now.
    fn at_a_task() -> (Observation, TaskTimer) {
        let observation =
            Observation { now: Instant::now(), progress_stamp: 1, has_begun: true, cpu: Some(7 * SECOND) };
        (observation, TaskTimer::new(&observation))
    }

    /// Returns the first cause that looks at this interval find, and the time it takes them.
    fn over(timer: &mut TaskTimer, observation: Observation, limits: &Limits, every: Duration) -> (Duration, Cause) {
        let time_of = |looks: u32| every * looks;
        let found = (1..10_000).find_map(|looks| {
            let cause = timer.check(&Observation { now: observation.now + time_of(looks), ..observation }, limits)?;
            Some((time_of(looks), cause))
        });
        found.expect("a limit ends the task")
    }

    #[test]
    fn a_limit_is_looked_after_often_and_not_all_the_time() {
        assert_eq!(interval(Duration::from_millis(80)), Duration::from_millis(10));
        assert_eq!(interval(Duration::from_micros(10)), LOOK_MIN);
        assert_eq!(interval(SECOND), LOOK_OFTEN);
        assert_eq!(interval(5 * SECOND), Duration::from_millis(50));
        assert_eq!(interval(60 * SECOND), LOOK_MAX);
    }

    #[test]
    fn it_is_known_when_a_limit_will_be_over() {
        let (observation, mut timer) = at_a_task();
        assert_eq!(timer.over_at(SECOND), Some(observation.now + SECOND));
        let later = Observation { now: observation.now + SECOND / 50, ..observation };
        assert_eq!(timer.check(&later, &TIMEOUT), None);
        assert_eq!(timer.over_at(SECOND), Some(observation.now + SECOND));
        assert_eq!(timer.over_at(SECOND / 100), Some(later.now));
    }

    #[test]
    fn a_task_is_over_its_timeout_at_the_timeout_and_not_before() {
        let (observation, mut timer) = at_a_task();
        let every = interval(SECOND);
        assert_eq!(over(&mut timer, observation, &TIMEOUT, every), (SECOND, Cause::TimedOut(SECOND)));
    }

    #[test]
    fn a_worker_that_gets_on_begins_anew() {
        let (mut observation, mut timer) = at_a_task();
        for task in 2..100 {
            observation.now += interval(SECOND);
            observation.progress_stamp = task;
            assert_eq!(timer.check(&observation, &TIMEOUT), None);
        }
        assert!(timer.is_at(99) && !timer.is_at(98));
        assert_eq!(over(&mut timer, observation, &TIMEOUT, interval(SECOND)).0, SECOND);
    }

    #[test]
    fn a_pause_of_this_process_counts_for_a_few_intervals() {
        let (mut observation, mut timer) = at_a_task();
        observation.now += 3600 * SECOND;
        assert_eq!(timer.check(&observation, &TIMEOUT), None);
        let left = SECOND - interval(SECOND) * LOOKS_COUNTED_MAX;
        assert_eq!(over(&mut timer, observation, &TIMEOUT, interval(SECOND)).0, left);
    }

    #[test]
    fn a_worker_that_begins_nothing_has_longer_than_a_short_timeout() {
        let (mut observation, mut timer) = at_a_task();
        observation.has_begun = false;
        let short = Limits { timeout: Some(Duration::from_millis(160)), cpu_limit: None };
        assert_eq!(
            over(&mut timer, observation, &short, Duration::from_millis(20)),
            (BEGIN_TIME_MAX, Cause::TimedOut(BEGIN_TIME_MAX)),
        );
        let mut timer = TaskTimer::new(&observation);
        let long = Limits { timeout: Some(3 * SECOND), cpu_limit: None };
        assert_eq!(over(&mut timer, observation, &long, Duration::from_millis(20)).1, Cause::TimedOut(3 * SECOND));
    }

    #[test]
    fn processor_time_counts_from_where_the_task_was_seen() {
        let (mut observation, mut timer) = at_a_task();
        observation.cpu = Some(8 * SECOND - Duration::from_nanos(1));
        assert_eq!(timer.check(&observation, &CPU_LIMIT), None);
        observation.cpu = Some(8 * SECOND);
        assert_eq!(timer.check(&observation, &CPU_LIMIT), Some(Cause::CpuLimit(SECOND)));
    }

    #[test]
    fn processor_time_that_is_not_known_ends_nothing() {
        let (observation, mut timer) = at_a_task();
        assert_eq!(timer.check(&Observation { cpu: None, ..observation }, &CPU_LIMIT), None);
        let mut timer_without = TaskTimer::new(&Observation { cpu: None, ..observation });
        assert_eq!(timer_without.check(&Observation { cpu: Some(100 * SECOND), ..observation }, &CPU_LIMIT), None);
    }

    #[test]
    fn of_two_limits_the_timeout_is_named_first() {
        let (mut observation, mut timer) = at_a_task();
        let both = Limits { timeout: Some(SECOND), cpu_limit: Some(SECOND) };
        observation.cpu = Some(100 * SECOND);
        assert_eq!(timer.check(&observation, &both), Some(Cause::CpuLimit(SECOND)));
        timer.time = SECOND;
        assert_eq!(timer.check(&observation, &both), Some(Cause::TimedOut(SECOND)));
    }
}
