//! Limits of tasks, in time and in processor time: how long each worker is at its task, and the end of those that are over
//! their limit.
//!
//! 1. A worker tells when it begins and ends a task, and not when: a clock for each would take longer than a short task. So the
//!    supervisor looks, while a call with a limit is open, and counts from when it has first seen the task. A limit is never
//!    applied too early, and late by no more than the interval of the looks.
//! 2. Tasks of such a call are claimed one by one. Before a worker is killed, all that it has not claimed is taken back, and
//!    only then is it looked at once more: the task that is over its limit is the only one that can end with it.
//! 3. A task that ends between that look and its worker's end has its result: what stands there is taken before the death is
//!    judged.
//! 4. A worker that waits for room for a result is at no task. So where it does not get on, and its caller takes nothing, the
//!    supervisor takes what is finished.

use std::time::{Duration, Instant};

use super::core::Core;
use super::queue::Slot;
use super::seat::{Life, Live};
use super::timers::{Sight, TaskTimer, interval};
use crate::sys;

impl Live {
    /// Whether it does not get on, and results stand there that nobody has taken.
    fn stands_behind_results(&self) -> bool {
        self.link.has_results() && self.timer.as_ref().is_some_and(|timer| timer.is_at(self.link.mark()))
    }
}

impl Core {
    /// How often the workers must be looked at, if a task has a limit.
    pub(super) fn look_interval(&self) -> Option<Duration> {
        self.queue.shortest_limit().map(interval)
    }

    /// Ends a worker whose task is over its limit.
    pub(super) fn keep_to_limit(&mut self, slot: Slot, now: Instant) {
        if self.seats[slot].worker.as_ref().is_some_and(Live::stands_behind_results) {
            self.with_link(slot, |live, queue| live.take(slot, queue));
        }
        let limits = self.queue.limits_of(slot);
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        let Some(limits) = limits.filter(|_| matches!(live.state, Life::Ready)) else {
            live.timer = None;
            return;
        };
        let mark = live.link.mark();
        let cpu = limits.cpu_limit.and_then(|_| sys::cpu_time(live.process.pid()));
        let has_begun = live.link.has_begun();
        let sight = Sight { now, mark, has_begun, cpu };
        let Some(timer) = &mut live.timer else {
            live.timer = Some(TaskTimer::new(&sight));
            return;
        };
        let Some(cause) = timer.look(&sight, &limits) else {
            return;
        };
        self.exchange(slot);
        let mut is_over = false;
        self.with_link(slot, |live, queue| {
            live.take_back(slot, queue, u32::MAX)?;
            is_over = live.link.mark() == mark && (queue.is_busy(slot) || !has_begun);
            Ok(())
        });
        if is_over {
            self.doom(slot, cause);
        }
    }
}
