//! How many tasks travel together: what was asked for, or what the measured time of the call's tasks says.

use std::time::Duration;

/// A chunk aims at so much work: long against the cost of a message, short against what a person notices.
pub(super) const TARGET: Duration = Duration::from_micros(500);

/// One whose outputs are folded into one aims at so much: what comes back of it is less, the more its tasks are.
pub(super) const TARGET_FOLDED: Duration = Duration::from_millis(10);

/// A worker is given about so much work ahead, so that the parent sleeps meanwhile.
const LOOKAHEAD: Duration = Duration::from_millis(4);

/// Behind a chunk that takes longer nothing waits: the time until the next one comes is little against it.
const NO_LOOKAHEAD_ABOVE: Duration = Duration::from_millis(1);

/// Nothing waits behind a chunk before so many tasks are timed: the first say little of the next.
const KNOWN_TASKS: usize = 16;

/// Where tasks were asked to go one by one, they are given ahead only once so many in a row are timed, and only while they take no
/// longer than this: half of the time that a message takes to a worker that sleeps.
const KNOWN_TASKS_SINGLE: usize = 64;
const SHORT_SINGLE: Duration = Duration::from_micros(20);

/// So many chunks are at a worker at once, at most.
const DEPTH_MAX: usize = 8;

/// Where chunks cannot be taken back, so many are at a worker at once while they are short, so that it does not wait.
const DEPTH_FIXED: usize = 2;

/// There, a chunk that takes longer has none behind it, so that no task waits for a long one.
const NO_LOOKAHEAD_ABOVE_SOCKET: Duration = Duration::from_millis(2);

/// There, chunks of fewer tasks have none behind them: their tasks are few or long, or were asked to go one by one.
pub(super) const DEEP_TASKS_MIN: usize = 8;

/// No chunk is larger, however short its tasks are.
const TASKS_MAX: usize = 1 << 16;

/// Whether tasks that a worker has not begun can be taken back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revocation {
    Supported,
    Unsupported,
}

/// How it is learnt that a worker is at a task for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StallEvidence {
    /// It has given no result for this long.
    Since(Duration),
    /// It begins no other task while it is watched for this long, which is no longer than a message takes.
    Watched(Duration),
}

/// A worker is not taken to be at a task for long before this.
const PATIENCE_MIN: Duration = Duration::from_micros(100);
/// A task that is known to take no time is given so much.
const WATCHED_MIN: Duration = Duration::from_micros(1);

/// The chunk size of one call.
#[derive(Clone, Debug)]
pub(super) struct ChunkSize {
    /// The size that was asked for.
    fixed: Option<usize>,
    /// The time that is aimed at.
    target: Duration,
    /// How many tasks were timed (since a worker has stalled, where they go one by one), and what one takes by the last of them.
    timed: usize,
    per_task: Option<Duration>,
}

impl ChunkSize {
    pub(super) fn new(fixed: Option<usize>, target: Duration) -> Self {
        Self { fixed, target, timed: 0, per_task: None }
    }

    /// The size that was asked for.
    pub(super) fn fixed(&self) -> Option<usize> {
        self.fixed
    }

    /// Returns the time of one task, if it is known.
    pub(super) fn per_task(&self) -> Option<Duration> {
        self.per_task
    }

    /// The size of the next chunk, when so many tasks are left (if that is known) for so many workers.
    pub(super) fn next(&self, left: Option<usize>, workers: usize, revocation: Revocation) -> usize {
        match (self.fixed, revocation) {
            (Some(fixed), Revocation::Unsupported) => return fixed,
            // The worker claims as many as were asked for; what is sent is a multiple of that.
            (Some(fixed), Revocation::Supported) => return (self.fitting() / fixed).max(1).saturating_mul(fixed),
            _ => {}
        }
        // Tasks that cannot be taken back must be known to be short.
        if revocation == Revocation::Unsupported && self.timed < KNOWN_TASKS {
            return 1;
        }
        // Smaller towards the end, so that the workers end together.
        let share = left.map_or(TASKS_MAX, |left| left.div_ceil(2 * workers.max(1)));
        self.fitting().min(share).max(1)
    }

    /// As many as take the time that is aimed at. At most twice as many as were timed: a few short tasks at the start say
    /// little of the others.
    fn fitting(&self) -> usize {
        let Some(per_task) = self.per_task.filter(|_| self.may_look_ahead()) else {
            return 1;
        };
        let fitting = self.target.as_nanos() / per_task.as_nanos().max(1);
        usize::try_from(fitting).unwrap_or(TASKS_MAX).clamp(1, TASKS_MAX).min(self.timed * 2).max(1)
    }

    /// Whether a worker may be given tasks that it cannot begin at once: not where they were asked to go one by one, unless they are
    /// known to be short.
    fn may_look_ahead(&self) -> bool {
        let is_short = self.per_task.is_some_and(|per_task| per_task <= SHORT_SINGLE);
        self.fixed != Some(1) || self.timed >= KNOWN_TASKS_SINGLE && is_short
    }

    /// A worker is at a task for long that had others behind it. Where they go one by one, they are not given ahead until many were
    /// short again.
    pub(super) fn stalled(&mut self) {
        if self.fixed == Some(1) {
            self.timed = 0;
        }
    }

    /// How long a worker may be at a task before it is taken to be at it for long.
    pub(super) fn patience(&self) -> StallEvidence {
        match self.per_task {
            Some(per_task) if self.fixed == Some(1) => StallEvidence::Watched(per_task * 2 + WATCHED_MIN),
            per_task => StallEvidence::Since((per_task.unwrap_or_default() * 4).max(PATIENCE_MIN)),
        }
    }

    /// How many chunks a worker may have at once.
    pub(super) fn depth(&self, revocation: Revocation) -> usize {
        let Some(per_task) = self.per_task.filter(|_| self.timed >= KNOWN_TASKS && self.may_look_ahead()) else {
            return 1;
        };
        let tasks = self.next(None, 1, revocation);
        let chunk = per_task.saturating_mul(u32::try_from(tasks).unwrap_or(u32::MAX));
        match revocation {
            Revocation::Supported if chunk > NO_LOOKAHEAD_ABOVE => 1,
            Revocation::Supported => {
                let ahead = LOOKAHEAD.as_nanos().div_ceil(chunk.as_nanos().max(1));
                usize::try_from(ahead).unwrap_or(DEPTH_MAX).clamp(2, DEPTH_MAX)
            }
            Revocation::Unsupported if chunk <= NO_LOOKAHEAD_ABOVE_SOCKET && tasks >= DEEP_TASKS_MIN => DEPTH_FIXED,
            Revocation::Unsupported => 1,
        }
    }

    /// Records the time that some tasks took.
    pub(super) fn observe(&mut self, tasks: u32, elapsed: Duration) {
        if tasks == 0 {
            return;
        }
        self.timed = self.timed.saturating_add(tasks as usize);
        let per_task = elapsed / tasks;
        // Half of it is what was known: tasks differ, and the last may be an exception.
        self.per_task = Some(self.per_task.map_or(per_task, |known| (known + per_task) / 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(times: &[(u32, Duration)]) -> ChunkSize {
        let mut size = ChunkSize::new(None, TARGET);
        for &(tasks, elapsed) in times {
            size.observe(tasks, elapsed);
        }
        size
    }

    #[test]
    fn it_starts_at_one_and_at_most_doubles() {
        for revocation in [Revocation::Supported, Revocation::Unsupported] {
            assert_eq!(observed(&[]).next(None, 2, revocation), 1);
            assert_eq!(observed(&[(64, Duration::from_nanos(10))]).next(None, 2, revocation), 128);
        }
        assert_eq!(observed(&[(1, Duration::from_nanos(10))]).next(None, 2, Revocation::Supported), 2);
        assert_eq!(
            observed(&[(1, Duration::from_nanos(10))]).next(None, 2, Revocation::Unsupported),
            1,
            "it is not taken back"
        );
    }

    #[test]
    fn tasks_that_are_to_go_one_by_one_are_given_ahead_only_while_they_are_known_to_be_short() {
        let mut size = ChunkSize::new(Some(1), TARGET);
        let given = |size: &ChunkSize| (size.next(None, 2, Revocation::Supported), size.depth(Revocation::Supported));
        for _ in 0..KNOWN_TASKS_SINGLE {
            assert_eq!(given(&size), (1, 1));
            size.observe(1, Duration::from_micros(1));
        }
        assert_eq!(given(&size), (128, 8));
        size.stalled();
        assert_eq!(given(&size), (1, 1), "one was long");
        size.observe(64, Duration::from_micros(64));
        assert!(given(&size).0 > 1);
        size.observe(1, Duration::from_millis(1));
        assert_eq!(given(&size), (1, 1), "they are not short");
        assert_eq!(size.next(None, 2, Revocation::Unsupported), 1);
    }

    #[test]
    fn long_tasks_go_one_by_one_and_wait_behind_nothing() {
        let size = observed(&[(1, Duration::from_millis(30))]);
        for revocation in [Revocation::Supported, Revocation::Unsupported] {
            assert_eq!((size.next(None, 2, revocation), size.depth(revocation)), (1, 1));
        }
    }

    #[test]
    fn it_aims_at_half_a_millisecond_and_looks_ahead() {
        let size = observed(&[(64, Duration::from_micros(640))]);
        assert_eq!((size.next(None, 2, Revocation::Supported), size.depth(Revocation::Supported)), (50, 8));
        assert_eq!((size.next(None, 2, Revocation::Unsupported), size.depth(Revocation::Unsupported)), (50, 2));
    }

    #[test]
    fn chunks_shrink_towards_the_end() {
        let size = observed(&[(1000, Duration::from_nanos(1000))]);
        assert_eq!(size.next(Some(40), 2, Revocation::Supported), 10);
        assert_eq!(size.next(Some(1), 2, Revocation::Supported), 1);
    }

    #[test]
    fn a_size_that_was_asked_for_stands() {
        let mut size = ChunkSize::new(Some(7), TARGET);
        size.observe(7, Duration::from_secs(1));
        assert_eq!(size.next(Some(1), 2, Revocation::Unsupported), 7);
        assert_eq!(size.next(Some(1), 2, Revocation::Supported), 7);
        size.observe(1000, Duration::from_micros(1));
        size.observe(1000, Duration::from_micros(1));
        assert_eq!(size.next(None, 2, Revocation::Supported) % 7, 0);
    }
}
