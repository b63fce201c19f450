//! Applies the verdict of `child` on each end of a worker: to its tasks, to the starts, and to what is counted.

use std::time::{Duration, Instant};

use super::counters::nanos_of;
use super::lifecycle_results::initializer_failure;
use super::scheduler::Slot;
use super::starts::KILLED_INITIALIZER;
use super::state::PoolState;
use super::times_intake::{EndedTasks, TimeBounds};
use super::worker_slot::{Life, WorkerProcess};
use crate::child::{StartOutcome, Verdict};
use crate::output::PendingOutput;
use crate::sys::{self, End};
use crate::trace::TraceEvent;

impl PoolState {
    /// Applies the verdict on a worker's end, now that it is reaped, or given up; returns what is left of it.
    pub(super) fn on_exit(&mut self, slot: Slot, end: End, startup_timeout: Duration) -> Option<WorkerProcess> {
        let mut worker = self.slots[slot].worker.take()?;
        let Life::Doomed { cause, .. } = std::mem::replace(&mut worker.life, Life::Ready) else {
            return None;
        };
        // The results that it had sent before are kept.
        if cause.may_have_sent_more() {
            worker.drain(slot, &mut self.scheduler);
        }
        worker.channel.end_log();
        let pid = worker.process.pid();
        let said_hello = worker.channel.said_hello();
        // A worker that has given no result has had a proper start if it ended in a task, and not in its initializer.
        let begun = worker.channel.begun();
        let is_initializing = begun > 0 && self.scheduler.is_initializing(slot);
        let has_started = worker.result_clock.any || (begun > 0 && !is_initializing);
        let mut verdict = Verdict::new(cause, end, &worker.process, &worker.channel, begun, has_started);
        self.log.note(TraceEvent::ended(slot, pid, verdict.is_in_order, &verdict.cause, &end));
        self.note_end_for_calls(slot, pid, &verdict);
        self.scheduler.ran(slot, worker.span());
        self.slots[slot].not_before = Instant::now();
        self.count_end(slot, &mut worker, &verdict);
        // Before the caller learns of the death; what nobody reads at the moment waits.
        self.unwritten.extend(verdict.unwritten.take().and_then(PendingOutput::write_now));
        self.scheduler.printed(slot, verdict.printed.take());
        self.scheduler.ended_at(slot, verdict.native.take());
        let death = verdict.error.clone().map(|error| (error, verdict.origin));
        self.scheduler.lost(slot, verdict.begun, death);
        self.attend_hooks();
        let start = verdict.start;
        if start == StartOutcome::Succeeded {
            self.slots[slot].killed = 0;
            return Some(worker);
        }
        let message = self.start_failure(slot, pid, verdict, is_initializing, startup_timeout);
        if start == StartOutcome::Killed {
            let weight = if is_initializing { KILLED_INITIALIZER } else { u32::from(!said_hello) };
            self.start_killed(slot, &message, weight);
        } else {
            self.start_failed(slot, message);
        }
        Some(worker)
    }

    /// Returns why a worker never became ready.
    fn start_failure(
        &self,
        slot: Slot,
        pid: u32,
        verdict: Verdict,
        is_initializing: bool,
        startup_timeout: Duration,
    ) -> String {
        let longer = ", or give it more time with Pool::builder().startup_timeout(…)";
        let by_itself = verdict.start_failure(&format!("worker {slot}"), startup_timeout, longer);
        let in_initializer = verdict.error.filter(|_| is_initializing);
        in_initializer.map_or(by_itself, |kind| initializer_failure(slot, pid, self.initializer, kind))
    }

    /// Brings the counts of a worker's tasks up to now.
    pub(super) fn count_tasks_of(&mut self, slot: Slot) {
        let since = self.counters.since;
        if let Some(worker) = &mut self.slots[slot].worker
            && worker.result_clock.times.has_news()
        {
            let tasks = worker.ended_tasks(0, since);
            self.counters.ended(&tasks);
        }
    }

    /// Counts a worker that has ended, the tasks that it has ended, and those that it had begun, which end with it.
    pub(super) fn count_end(&mut self, slot: Slot, worker: &mut WorkerProcess, verdict: &Verdict) {
        let is_ready = worker.channel.said_hello() && !self.scheduler.is_initializing(slot);
        let interrupted = if self.scheduler.is_hooked(slot) { 0 } else { verdict.begun };
        let tasks = worker.ended_tasks(interrupted, self.counters.since);
        self.counters.ended(&tasks);
        self.scheduler.count_interrupted(slot, interrupted);
        self.counters.worker_ended(verdict, worker.retired_for, is_ready);
    }
}

impl WorkerProcess {
    /// Takes what the worker has counted of the tasks that have ended. `interrupted` more end with the worker.
    fn ended_tasks(&mut self, interrupted: u32, pool_since: Instant) -> EndedTasks {
        let bounds = TimeBounds {
            waiting_nanos: nanos_of(pool_since.elapsed()),
            running_nanos: nanos_of(self.started.elapsed()),
        };
        let last_nanos = sys::monotonic_nanos().saturating_sub(self.channel.begun_nanos());
        self.result_clock.times.take(&self.channel.times(), (u64::from(interrupted), last_nanos), bounds)
    }
}
