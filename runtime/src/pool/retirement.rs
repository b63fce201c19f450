//! When a worker has served long enough: after so many tasks, above so much memory, without work for this long. It ends by itself
//! once it has nothing to do, and another takes its place.

use std::time::Instant;

use super::counters::RetiredFor;
use super::scheduler::Slot;
use super::state::PoolState;
use super::turn::Wakes;
use super::worker_slot::{Cause, Life};
use crate::sys;

impl PoolState {
    /// Asks the drained workers to exit.
    pub(super) fn retire_spent(&mut self) {
        for slot in self.scheduler.take_drained() {
            if self.finalize(slot) {
                // Nobody else may take what it gives.
                self.turn.concerns(Wakes::SUPERVISOR);
            } else {
                self.ask_to_exit(slot, Cause::Retired);
            }
        }
    }

    /// Looks for workers that have too much memory, are too old, or had no work for too long.
    pub(super) fn retire_others(&mut self, now: Instant) {
        if !self.retirement.is_looked_after() {
            return;
        }
        if self.retirement.is_to_measure(self.measured, now) {
            self.measured = now;
            for slot in self.in_service() {
                let pid = self.slots[slot].worker.as_ref().map(|worker| worker.process.pid());
                let resident = pid.and_then(sys::resident_bytes);
                if self.retirement.is_too_large(resident.map(|bytes| bytes.saturating_sub(self.inherited_bytes))) {
                    self.let_finish(slot);
                }
            }
        }
        for slot in self.in_service() {
            let started = self.slots[slot].worker.as_ref().map(|worker| worker.started);
            if started.is_some_and(|started| self.retirement.is_old(started, now)) {
                self.let_finish(slot);
            }
        }
        for slot in self.in_service() {
            if self.retirement.is_idle_for_long(self.idle_since(slot), now) {
                self.scheduler.assign_no_more(slot);
                self.slots[slot].is_dormant = true;
                self.retire_for(slot, RetiredFor::Idleness);
            }
        }
        self.retire_spent();
    }

    /// Notes why a worker ends that is asked to.
    pub(super) fn retire_for(&mut self, slot: Slot, why: RetiredFor) {
        if let Some(worker) = &mut self.slots[slot].worker {
            worker.retired_for = why;
        }
    }

    /// Has a worker that has nothing to do end with the finalizer; false if there is none, or it has run it. Its tasks are counted before.
    pub(super) fn finalize(&mut self, slot: Slot) -> bool {
        self.count_tasks_of(slot);
        self.scheduler.finalize(slot)
    }

    /// Lets a worker end after the task that it runs.
    fn let_finish(&mut self, slot: Slot) {
        self.on_channel(slot, |worker, scheduler| {
            worker.take_back(slot, scheduler, u32::MAX)?;
            scheduler.assign_no_more(slot);
            Ok(())
        });
    }

    /// When to look again.
    pub(super) fn next_retirement(&self, now: Instant) -> Option<Instant> {
        if !self.retirement.is_looked_after() {
            return None;
        }
        let facts = |slot: Slot| Some((self.slots[slot].worker.as_ref()?.started, self.idle_since(slot)));
        let workers: Vec<_> = self.in_service().into_iter().filter_map(facts).collect();
        self.retirement.next_look(&workers, now)
    }

    /// Since when a worker has had no work, if it has none.
    fn idle_since(&self, slot: Slot) -> Option<Instant> {
        if self.scheduler.calls() > 0 || self.scheduler.is_busy(slot) {
            return None;
        }
        let worker = self.slots[slot].worker.as_ref()?;
        Some(worker.result_clock.last.max(self.last_closed))
    }

    fn in_service(&self) -> Vec<Slot> {
        self.processes()
            .filter(|(slot, worker)| matches!(worker.life, Life::Ready) && !self.scheduler.is_hooked(*slot))
            .map(|(slot, _)| slot)
            .collect()
    }
}
