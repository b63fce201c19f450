//! When a worker has served long enough: after so many tasks, above so much memory, without work for so long. It ends by itself
//! once it has nothing to do, and another takes its place.

use std::time::Instant;

use super::core::Core;
use super::queue::Slot;
use super::seat::{Cause, Life};
use super::turn::Wakes;
use crate::sys;

impl Core {
    /// Tells the workers to end that are to be given nothing more.
    pub(super) fn retire_spent(&mut self) {
        for slot in self.queue.take_spent() {
            if self.queue.finalize(slot) {
                // Nobody else may take what it gives.
                self.turn.concerns(Wakes::SUPERVISOR);
            } else {
                self.dismiss(slot, Cause::Retired);
            }
        }
    }

    /// Looks for workers that have too much memory, or had no work for too long.
    pub(super) fn retire_others(&mut self, now: Instant) {
        if !self.retirement.is_looked_after() {
            return;
        }
        if self.retirement.is_to_measure(self.measured, now) {
            self.measured = now;
            for slot in self.in_service() {
                let pid = self.seats[slot].worker.as_ref().map(|live| live.process.pid());
                if self.retirement.is_too_large(pid.and_then(sys::resident_bytes)) {
                    self.with_link(slot, |live, queue| {
                        live.take_back(slot, queue, u32::MAX)?;
                        queue.exhaust(slot);
                        Ok(())
                    });
                }
            }
        }
        for slot in self.in_service() {
            if self.retirement.is_idle_for_long(self.idle_since(slot), now) {
                self.queue.exhaust(slot);
                self.seats[slot].is_dormant = true;
            }
        }
        self.retire_spent();
    }

    /// When to look again.
    pub(super) fn next_retirement(&self, now: Instant) -> Option<Instant> {
        if !self.retirement.is_looked_after() {
            return None;
        }
        let idle_since: Vec<_> = self.in_service().into_iter().map(|slot| self.idle_since(slot)).collect();
        self.retirement.next_look(&idle_since, now)
    }

    /// Since when a worker has had no work, if it has none.
    fn idle_since(&self, slot: Slot) -> Option<Instant> {
        if self.queue.calls() > 0 || self.queue.is_busy(slot) {
            return None;
        }
        let live = self.seats[slot].worker.as_ref()?;
        Some(live.answers.last.max(self.last_closed))
    }

    fn in_service(&self) -> Vec<Slot> {
        self.lives()
            .filter(|(slot, live)| matches!(live.state, Life::Ready) && !self.queue.is_hooked(*slot))
            .map(|(slot, _)| slot)
            .collect()
    }
}
