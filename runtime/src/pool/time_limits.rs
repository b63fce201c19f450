//! Limits of tasks, in time and in processor time: how long each worker is at its task, and the end of those that are over
//! their limit.
//!
//! 1. A worker tells when it begins and ends a task, and not when: a clock for each would take longer than a short task. So the
//!    supervisor looks, while a call with a limit is open, or a worker holds a task with one, and counts from when it has first seen
//!    the task. A limit is never applied too early, and late by no more than the interval of the looks.
//! 2. Tasks of such a call are claimed one by one. Before a worker is killed, all that it has not claimed is taken back, and
//!    only then is it looked at once more: the task that is over its limit is the only one that can end with it.
//! 3. A task that ends between that look and its worker's end has its result: what stands there is taken before the death is
//!    judged.
//! 4. A worker that waits for room for a result is at no task. So where it does not get on, and its caller takes nothing, the
//!    supervisor takes what is finished.

use std::time::{Duration, Instant};

use super::scheduler::Slot;
use super::state::PoolState;
use super::turn::Wakes;
use super::worker_slot::{Life, WorkerProcess};
use crate::child::{Observation, TaskTimer, interval};
use crate::sys;

impl WorkerProcess {
    /// Whether it does not get on, and results stand there that nobody has taken.
    fn is_blocked_on_full_ring(&self) -> bool {
        self.channel.has_results()
            && self.timer.as_ref().is_some_and(|timer| timer.is_at(self.channel.progress_stamp()))
    }
}

impl PoolState {
    /// How often the workers must be looked at, if a task has a limit.
    pub(super) fn look_interval(&self) -> Option<Duration> {
        self.scheduler.shortest_limit().map(interval)
    }

    /// When the task of a worker has been there for as long as it may, if it was seen and goes on.
    pub(super) fn over_at(&self, slot: Slot) -> Option<Instant> {
        let limit = self.scheduler.limits_of(slot)?.timeout?;
        let worker = self.slots[slot].worker.as_ref()?;
        worker.timer.as_ref().filter(|_| worker.channel.has_begun())?.over_at(limit)
    }

    /// Ends a worker whose task is over its limit.
    pub(super) fn enforce_time_limit(&mut self, slot: Slot, now: Instant) {
        // What is finished is at the front until it is taken, and says nothing of the limit of what runs.
        let hides_limit = |worker: &WorkerProcess| self.scheduler.has_own_rules(slot) && worker.channel.has_results();
        let is_to_take = |worker: &WorkerProcess| worker.is_blocked_on_full_ring() || hides_limit(worker);
        if self.slots[slot].worker.as_ref().is_some_and(is_to_take) {
            self.on_channel(slot, |worker, scheduler| worker.take(slot, scheduler));
            self.turn.concerns(Wakes::CALLERS);
        }
        let limits = self.scheduler.limits_of(slot);
        let Some(worker) = &mut self.slots[slot].worker else {
            return;
        };
        let Some(limits) = limits.filter(|_| matches!(worker.life, Life::Ready)) else {
            worker.timer = None;
            return;
        };
        let progress_stamp = worker.channel.progress_stamp();
        let cpu = limits.cpu_limit.and_then(|_| sys::cpu_time(worker.process.pid()));
        let has_begun = worker.channel.has_begun();
        let observation = Observation { now, progress_stamp, has_begun, cpu };
        let Some(timer) = &mut worker.timer else {
            worker.timer = Some(TaskTimer::new(&observation));
            return;
        };
        let Some(cause) = timer.check(&observation, &limits) else {
            return;
        };
        self.exchange(slot);
        self.turn.concerns(Wakes::CALLERS);
        let mut is_over = false;
        self.on_channel(slot, |worker, scheduler| {
            worker.take_back(slot, scheduler, u32::MAX)?;
            is_over = worker.channel.progress_stamp() == progress_stamp && (scheduler.is_busy(slot) || !has_begun);
            Ok(())
        });
        if is_over {
            self.begin_ending(slot, cause);
        }
    }
}
