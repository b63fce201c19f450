//! Starts that fail, and what they mean for the pool. Facts come in, and a decision goes out: nothing here asks a clock or starts a
//! process. Where the cause of a death lies is decided in `child`.
//!
//! 1. A process that ends by itself before it is ready, or cannot be started, is a mistake of the set-up: a few in a row fail the
//!    calls that wait for workers.
//! 2. One that is ended from outside is started again, and is no mistake. Kills without end are bounded all the same: many in a
//!    row without a worker that gets ready fail the calls, and the error says so.
//! 3. Calls fail only where no worker is in service, and none that may have finished tasks is still to be reaped.

use std::time::Duration;

use crate::error::StartFailure;

/// So many processes in a row that end by themselves before they are ready fail the calls that wait for them.
const FAILED_STARTS_MAX: u32 = 5;
/// After a failed start the next waits this long, and twice as long each time, up to the second.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// So many processes in a row that are killed from outside before they are ready fail the calls: on a machine where something
/// kills every process that is started, nothing else ends them.
const KILLED_STARTS_MAX: u32 = 100;
/// A worker that is killed in its initializer counts for so many: that may take long, and may be what draws the out-of-memory
/// killer.
pub(super) const KILLED_INITIALIZER: u32 = 5;
/// After a kill the next start of the same worker waits this long, and twice as long each time. It is short: the kill was no
/// fault of the worker.
const KILLED_BACKOFF_MIN: Duration = Duration::from_millis(1);
const KILLED_DOUBLINGS_MAX: u32 = 6;

/// How the starts of a pool's workers have gone.
#[derive(Default)]
pub(super) struct StartPolicy {
    /// Processes in a row that ended before they had given a result.
    failed: u32,
    /// The weight of the processes in a row that were killed from outside before they were ready.
    killed: u32,
    /// No process is started until the next call, because too many have failed.
    is_halted: bool,
    /// Why a worker's last start failed.
    last: Option<StartFailure>,
    /// Why the pool's last start failed, until a call reports it.
    unreported: Option<StartFailure>,
}

/// The consequences of a start that failed.
pub(super) struct FailedStart {
    /// The next start for the same slot waits this long.
    pub(super) wait: Duration,
    /// The error of the calls that wait for workers, if they are to fail.
    pub(super) failure: Option<StartFailure>,
}

impl StartPolicy {
    /// Whether processes are started at all.
    pub(super) fn may_start(&self) -> bool {
        !self.is_halted
    }

    /// Counts a process that could not be started, or ended by itself before it was ready (rule 1).
    pub(super) fn failed(&mut self, message: String) -> FailedStart {
        let wait = BACKOFF_MIN * 2u32.saturating_pow(self.failed.min(10));
        self.failed += 1;
        let failure = StartFailure { message };
        self.last = Some(failure.clone());
        let failure = (self.failed >= FAILED_STARTS_MAX).then_some(failure);
        FailedStart { wait: wait.min(BACKOFF_MAX), failure }
    }

    /// Counts a process that was ended from outside before it was ready, for so many (rule 2). As many in a row were killed before
    /// in the same slot as `before` says.
    pub(super) fn killed(&mut self, message: &str, weight: u32, before: u32) -> FailedStart {
        let wait = KILLED_BACKOFF_MIN * 2u32.pow(before.min(KILLED_DOUBLINGS_MAX));
        self.killed += weight;
        let failure = (self.killed >= KILLED_STARTS_MAX).then(|| {
            let message = format!("{message}; that was the last of many workers in a row, and none got ready");
            StartFailure { message }
        });
        if failure.is_some() {
            self.last.clone_from(&failure);
        }
        FailedStart { wait, failure }
    }

    /// A worker is in service: its start is no failure, and shows that nothing kills all of them.
    pub(super) fn succeeded(&mut self) {
        self.killed = 0;
    }

    /// A worker has given a result: the set-up is no mistake.
    #[inline]
    pub(super) fn answered(&mut self) {
        self.failed = 0;
    }

    /// Whether calls may go on waiting for what a worker had finished that is still to be reaped (rule 3). One that cannot end is
    /// not waited for without end.
    pub(super) fn may_wait_for_results(&self) -> bool {
        self.failed < 2 * FAILED_STARTS_MAX && self.killed < 2 * KILLED_STARTS_MAX
    }

    /// Starts no more processes until the next call.
    pub(super) fn halt(&mut self) {
        self.is_halted = true;
    }

    /// Keeps a failure that no call has failed with, for the next one.
    pub(super) fn report_later(&mut self, failure: StartFailure) {
        self.unreported = Some(failure);
    }

    /// Takes the failure that no call has reported yet.
    pub(super) fn take_unreported(&mut self) -> Option<StartFailure> {
        self.unreported.take()
    }

    /// Lets processes be started again; returns whether they were not.
    pub(super) fn resume(&mut self) -> bool {
        let was_halted = std::mem::take(&mut self.is_halted);
        if was_halted {
            (self.failed, self.killed) = (0, 0);
        }
        was_halted
    }

    /// The failure for a thread that waits for all workers, if too many starts have failed. An open call may have got it already;
    /// a later one does not get it.
    pub(super) fn take_failure(&mut self) -> Option<StartFailure> {
        if !self.is_halted && self.failed < FAILED_STARTS_MAX && self.killed < KILLED_STARTS_MAX {
            return None;
        }
        self.unreported = None;
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(policy: &mut StartPolicy) -> FailedStart {
        policy.failed("it ended".to_owned())
    }

    fn killed(policy: &mut StartPolicy, before: u32) -> FailedStart {
        policy.killed("it was killed", 1, before)
    }

    #[test]
    fn a_few_failures_in_a_row_fail_the_calls() {
        let mut policy = StartPolicy::default();
        for _ in 1..FAILED_STARTS_MAX {
            assert!(failed(&mut policy).failure.is_none());
            assert!(policy.take_failure().is_none());
        }
        assert_eq!(failed(&mut policy).failure.unwrap().message, "it ended");
        assert!(policy.take_failure().is_some());
    }

    #[test]
    fn the_wait_after_a_failure_doubles_up_to_a_second() {
        let mut policy = StartPolicy::default();
        let waits: Vec<Duration> = (0..40).map(|_| failed(&mut policy).wait).collect();
        assert_eq!(waits[..3], [10, 20, 40].map(Duration::from_millis));
        assert!(waits[7..].iter().all(|wait| *wait == BACKOFF_MAX));
    }

    #[test]
    fn a_result_between_failures_lets_them_count_anew() {
        let mut policy = StartPolicy::default();
        for _ in 0..10 * FAILED_STARTS_MAX {
            assert!(failed(&mut policy).failure.is_none());
            policy.answered();
        }
        assert_eq!(failed(&mut policy).wait, BACKOFF_MIN);
    }

    #[test]
    fn kills_are_no_failures_and_many_fail_the_calls_all_the_same() {
        let mut policy = StartPolicy::default();
        assert!((1..KILLED_STARTS_MAX).all(|before| killed(&mut policy, before).failure.is_none()));
        assert!(policy.take_failure().is_none());
        assert_eq!(failed(&mut policy).wait, BACKOFF_MIN);
        let failure = killed(&mut policy, 0).failure.unwrap();
        assert!(failure.message.starts_with("it was killed; that was the last of many"), "{}", failure.message);
        assert_eq!(policy.take_failure().unwrap().message, failure.message);
    }

    #[test]
    fn a_worker_that_gets_ready_shows_that_not_all_are_killed() {
        let mut policy = StartPolicy::default();
        for _ in 0..3 * KILLED_STARTS_MAX {
            assert!(killed(&mut policy, 0).failure.is_none());
            policy.succeeded();
        }
        // It shows nothing of those that end by themselves.
        let failures = (0..FAILED_STARTS_MAX).filter_map(|_| {
            policy.succeeded();
            failed(&mut policy).failure
        });
        assert_eq!(failures.count(), 1);
    }

    #[test]
    fn a_kill_in_the_initializer_counts_for_several() {
        let mut policy = StartPolicy::default();
        let mut kill = || policy.killed("it was killed", KILLED_INITIALIZER, 0).failure.is_some();
        let kills = (1..).find(|_| kill()).unwrap();
        assert_eq!(kills, KILLED_STARTS_MAX / KILLED_INITIALIZER);
    }

    #[test]
    fn the_wait_after_a_kill_is_that_of_the_seat_and_short() {
        let mut policy = StartPolicy::default();
        let waits: Vec<Duration> = (0..20).map(|before| killed(&mut policy, before).wait).collect();
        assert_eq!(waits[..3], [1, 2, 4].map(Duration::from_millis));
        assert_eq!(*waits.last().unwrap(), KILLED_BACKOFF_MIN * 2u32.pow(KILLED_DOUBLINGS_MAX));
        assert_eq!(killed(&mut policy, 0).wait, KILLED_BACKOFF_MIN);
    }

    #[test]
    fn a_pool_that_has_halted_starts_anew_with_the_next_call() {
        let mut policy = StartPolicy::default();
        assert!(policy.may_start() && !policy.resume());
        (0..FAILED_STARTS_MAX).for_each(|_| drop(failed(&mut policy)));
        policy.halt();
        assert!(!policy.may_start());
        assert!(policy.resume() && policy.may_start());
        assert!(policy.take_failure().is_none());
        assert!(failed(&mut policy).failure.is_none());
    }

    #[test]
    fn a_failure_is_reported_once() {
        let mut policy = StartPolicy::default();
        let failure = (0..FAILED_STARTS_MAX).find_map(|_| failed(&mut policy).failure).unwrap();
        policy.halt();
        policy.report_later(failure.clone());
        assert_eq!(policy.take_unreported().unwrap().message, failure.message);
        assert!(policy.take_unreported().is_none());
        policy.report_later(failure);
        // A thread that waits for all workers gets the failure, and the next call does not.
        assert!(policy.take_failure().is_some() && policy.take_unreported().is_none());
    }

    #[test]
    fn results_of_a_worker_that_does_not_end_are_not_waited_for_without_end() {
        let mut policy = StartPolicy::default();
        (1..2 * FAILED_STARTS_MAX).for_each(|_| drop(failed(&mut policy)));
        assert!(policy.may_wait_for_results());
        failed(&mut policy);
        assert!(!policy.may_wait_for_results());
        policy.answered();
        (0..2 * KILLED_STARTS_MAX).for_each(|_| drop(killed(&mut policy, 0)));
        assert!(!policy.may_wait_for_results());
    }
}
