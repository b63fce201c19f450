//! When a worker has served long enough. Facts come in, and a decision goes out: nothing here asks a clock or the system.

use std::time::{Duration, Instant};

/// The memory of the workers is measured this often.
const MEASURE_INTERVAL: Duration = Duration::from_millis(100);

/// How long workers serve; without any of these, as long as they live.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retirement {
    /// How many tasks.
    pub(crate) tasks_max: Option<usize>,
    /// Up to how many bytes of resident memory.
    pub(crate) memory_max: Option<u64>,
    /// For how long without work.
    pub(crate) idle_timeout: Option<Duration>,
    /// For how long in all.
    pub(crate) age_max: Option<Duration>,
}

impl Retirement {
    /// Whether the supervisor must look: the scheduler counts tasks by itself.
    pub(super) fn is_looked_after(&self) -> bool {
        self.memory_max.is_some() || self.idle_timeout.is_some() || self.age_max.is_some()
    }

    /// Whether the memory of the workers is to be measured now, which it was at that moment before.
    pub(super) fn is_to_measure(&self, measured: Instant, now: Instant) -> bool {
        self.memory_max.is_some() && now >= measured + MEASURE_INTERVAL
    }

    /// Whether a worker has too much memory, as far as that is known.
    pub(super) fn is_too_large(&self, resident_bytes: Option<u64>) -> bool {
        let (Some(memory_max), Some(bytes)) = (self.memory_max, resident_bytes) else {
            return false;
        };
        bytes > memory_max
    }

    /// Whether a worker has had no work for too long. `idle_since` is none while it has some.
    pub(super) fn is_idle_for_long(&self, idle_since: Option<Instant>, now: Instant) -> bool {
        self.idle_until(idle_since).is_some_and(|until| until <= now)
    }

    /// Whether a worker that was started then has served for long enough.
    pub(super) fn is_old(&self, started: Instant, now: Instant) -> bool {
        self.young_until(started).is_some_and(|until| until <= now)
    }

    /// When to look again at workers that are in service: of each, when it was started, and since when it is without work, if it has
    /// none.
    pub(super) fn next_look(&self, workers: &[(Instant, Option<Instant>)], now: Instant) -> Option<Instant> {
        let measure = self.memory_max.filter(|_| !workers.is_empty()).map(|_| now + MEASURE_INTERVAL);
        let of_worker = |(started, idle_since): &(Instant, Option<Instant>)| {
            self.young_until(*started).filter(|until| *until > now).into_iter().chain(self.idle_until(*idle_since))
        };
        workers.iter().flat_map(of_worker).chain(measure).min()
    }

    fn young_until(&self, started: Instant) -> Option<Instant> {
        started.checked_add(self.age_max?)
    }

    fn idle_until(&self, idle_since: Option<Instant>) -> Option<Instant> {
        idle_since?.checked_add(self.idle_timeout?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NONE: Retirement = Retirement { tasks_max: None, memory_max: None, idle_timeout: None, age_max: None };
    const IDLE: Retirement = Retirement { idle_timeout: Some(SECOND), ..NONE };
    const LARGE: Retirement = Retirement { memory_max: Some(1000), ..NONE };
    const OLD: Retirement = Retirement { age_max: Some(SECOND), ..NONE };

    #[test]
    fn nobody_looks_after_what_the_queue_counts() {
        let tasks = Retirement { tasks_max: Some(1), ..Retirement::default() };
        assert!(!tasks.is_looked_after());
        let now = Instant::now();
        assert_eq!(tasks.next_look(&[(now, Some(now))], now), None);
        assert!(IDLE.is_looked_after() && LARGE.is_looked_after() && OLD.is_looked_after());
    }

    #[test]
    fn a_worker_is_too_large_above_the_limit_and_not_at_it() {
        assert!(!LARGE.is_too_large(Some(1000)));
        assert!(LARGE.is_too_large(Some(1001)));
        assert!(!LARGE.is_too_large(None) && !IDLE.is_too_large(Some(u64::MAX)));
    }

    #[test]
    fn memory_is_measured_now_and_then() {
        let now = Instant::now();
        assert!(!LARGE.is_to_measure(now, now + MEASURE_INTERVAL / 2));
        assert!(LARGE.is_to_measure(now, now + MEASURE_INTERVAL));
        assert!(!IDLE.is_to_measure(now, now + SECOND));
    }

    #[test]
    fn a_worker_without_work_is_idle_for_long_at_the_timeout() {
        let now = Instant::now();
        assert!(!IDLE.is_idle_for_long(Some(now), now + SECOND - Duration::from_nanos(1)));
        assert!(IDLE.is_idle_for_long(Some(now), now + SECOND));
        assert!(!IDLE.is_idle_for_long(None, now + SECOND) && !LARGE.is_idle_for_long(Some(now), now + SECOND));
        let endless = Retirement { idle_timeout: Some(Duration::MAX), ..IDLE };
        assert!(!endless.is_idle_for_long(Some(now), now + SECOND));
    }

    #[test]
    fn the_next_look_is_at_the_first_that_may_be_due() {
        let now = Instant::now();
        let ready = [Some(now), None, Some(now - SECOND / 2)].map(|idle_since| (now, idle_since));
        assert_eq!(IDLE.next_look(&ready, now), Some(now + SECOND / 2));
        assert_eq!(IDLE.next_look(&[(now, None)], now), None);
        assert_eq!(LARGE.next_look(&ready, now), Some(now + MEASURE_INTERVAL));
        assert_eq!(LARGE.next_look(&[], now), None);
    }

    #[test]
    fn a_worker_is_old_at_its_age_and_is_looked_at_then_and_not_again() {
        let now = Instant::now();
        assert!(!OLD.is_old(now, now + SECOND - Duration::from_nanos(1)) && OLD.is_old(now, now + SECOND));
        assert!(!IDLE.is_old(now, now + 9 * SECOND));
        let workers = [(now, None), (now - SECOND / 2, Some(now)), (now - SECOND, None)];
        assert_eq!(OLD.next_look(&workers, now), Some(now + SECOND / 2));
        assert_eq!(OLD.next_look(&workers[2..], now), None);
    }
}
