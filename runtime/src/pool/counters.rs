//! The counters behind a pool's statistics, under its lock. They decide nothing.

use std::time::{Duration, Instant};

use super::deaths::{DeathCause, Deaths};
use super::times_intake::EndedTasks;
use crate::child::{Cause, Verdict};
use crate::error::TaskErrorKind;
use crate::sys::{self, End};
use crate::task::Origin;
use crate::transport::{Chunk, CompletedTasks};
use crate::wire::TaskTimes;

/// The counters, from the start of the pool on.
pub(super) struct Counters {
    /// When the pool was made.
    pub(super) since: Instant,
    /// Processes that were started, and those that the system has not started.
    pub(super) started: u64,
    pub(super) starts_refused: u64,
    pub(super) deaths: Deaths,
    /// Workers that ended in order, by why.
    pub(super) retired: u64,
    pub(super) idle_stopped: u64,
    pub(super) surplus: u64,
    pub(super) aborted: u64,
    /// Executions of tasks that have ended.
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) waiting: TaskTimes,
    pub(super) running: TaskTimes,
}

/// Why a worker that ends in order has no place in the pool any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RetiredFor {
    /// It has served for long enough.
    #[default]
    Service,
    /// It had nothing to do.
    Idleness,
    /// The pool was made smaller.
    Size,
}

/// When an execution on a thread of this process was handed over, began and ended, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnExecution {
    handed_nanos: u64,
    begun_nanos: u64,
    ended_nanos: u64,
}

impl OwnExecution {
    /// Runs a task, and notes when.
    pub(super) fn of<T>(chunk: &Chunk, run: impl FnOnce() -> T) -> (T, Self) {
        let begun_nanos = sys::monotonic_nanos();
        let given = run();
        (given, Self { handed_nanos: chunk.handed_nanos(), begun_nanos, ended_nanos: sys::monotonic_nanos() })
    }
}

impl Default for Counters {
    fn default() -> Self {
        let (times, deaths) = (TaskTimes::default(), Deaths::default());
        Self {
            since: Instant::now(),
            started: 0,
            starts_refused: 0,
            deaths,
            retired: 0,
            idle_stopped: 0,
            surplus: 0,
            aborted: 0,
            done: 0,
            failed: 0,
            waiting: times,
            running: times,
        }
    }
}

impl Counters {
    /// Counts tasks that a worker has ended.
    pub(super) fn ended(&mut self, tasks: &EndedTasks) {
        self.done += tasks.done;
        self.failed += tasks.failed;
        self.waiting.extend(&tasks.waiting);
        self.running.extend(&tasks.running);
    }

    /// Counts a task that a thread of this process has run.
    pub(super) fn ended_here(&mut self, done: &CompletedTasks, execution: OwnExecution) {
        let OwnExecution { handed_nanos, begun_nanos, ended_nanos } = execution;
        let waited = if handed_nanos == 0 { 0 } else { begun_nanos.saturating_sub(handed_nanos) };
        self.ended_elsewhere((done.count, done.failed()), waited, ended_nanos.saturating_sub(begun_nanos));
    }

    /// Counts tasks that no worker of this pool has run, of which some have failed, by how long each has waited and taken.
    pub(super) fn ended_elsewhere(&mut self, (count, failed): (usize, usize), waiting_nanos: u64, running_nanos: u64) {
        let (count, failed) = (count as u64, failed.min(count) as u64);
        self.done += count - failed;
        self.failed += failed;
        self.waiting.add(waiting_nanos, count);
        self.running.add(running_nanos, count);
    }

    /// Counts the end of a worker. `is_ready` is whether it could run tasks.
    pub(super) fn worker_ended(&mut self, verdict: &Verdict, retired_for: RetiredFor, is_ready: bool) {
        match (&verdict.cause, retired_for) {
            (Cause::Retired, RetiredFor::Service) => self.retired += 1,
            (Cause::Retired, RetiredFor::Idleness) => self.idle_stopped += 1,
            (Cause::Retired, RetiredFor::Size) => self.surplus += 1,
            (Cause::CallEnded, _) => self.aborted += 1,
            // The pool ends.
            (Cause::PoolClosed, _) => {}
            _ => self.deaths.count(death_cause(verdict, is_ready)),
        }
    }
}

/// A time in nanoseconds, as far as they go.
pub(super) fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn death_cause(verdict: &Verdict, is_ready: bool) -> DeathCause {
    if !is_ready {
        return DeathCause::FailedStart;
    }
    match (&verdict.cause, verdict.end, &verdict.error) {
        (Cause::TimedOut(_), ..) => DeathCause::TimedOut,
        (Cause::CpuLimit(_), ..) => DeathCause::CpuLimit,
        (Cause::NotInitialized(_) | Cause::Late, ..) => DeathCause::FailedStart,
        (Cause::Closed, _, Some(TaskErrorKind::MemoryLimit { .. })) => DeathCause::MemoryLimit,
        (Cause::Closed, End::OutOfMemory, _) => DeathCause::OutOfMemory,
        (Cause::Closed, End::Signaled(signal), _) => match verdict.origin {
            Origin::Itself => DeathCause::Crashed { signal },
            Origin::Outside => DeathCause::Killed { signal },
        },
        (Cause::Closed, End::Exited(_), _) => DeathCause::Exited,
        (Cause::Closed, End::Unknown, _) => DeathCause::Unknown,
        _ => DeathCause::Faulty,
    }
}
