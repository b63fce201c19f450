//! When a worker has served long enough: after so many tasks, above so much memory, without work for so long. It ends by itself
//! once it has nothing to do, and another takes its place.

use std::time::{Duration, Instant};

use super::core::Core;
use super::queue::Slot;
use super::seat::{Cause, State};
use crate::sys;

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
}

impl Retirement {
    /// Whether the supervisor must look: the queue counts tasks by itself.
    fn is_looked_after(&self) -> bool {
        self.memory_max.is_some() || self.idle_timeout.is_some()
    }
}

impl Core {
    /// Tells the workers to end that are to be given nothing more.
    pub(super) fn retire_spent(&mut self) {
        for slot in self.queue.take_spent() {
            if self.queue.finalize(slot) {
                // Nobody else may take what it gives.
                self.unattended = true;
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
        if let Some(memory_max) = self.retirement.memory_max
            && now >= self.measured + MEASURE_INTERVAL
        {
            self.measured = now;
            for slot in self.in_service() {
                let pid = self.seats[slot].worker.as_ref().map(|live| live.process.pid());
                if pid.and_then(sys::resident_bytes).is_some_and(|bytes| bytes > memory_max) {
                    self.with_link(slot, |live, queue| {
                        live.take_back(slot, queue, u32::MAX)?;
                        queue.exhaust(slot);
                        Ok(())
                    });
                }
            }
        }
        for slot in self.in_service() {
            if self.idle_until(slot).is_some_and(|until| until <= now) {
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
        let in_service = self.in_service();
        let measure = self.retirement.memory_max.filter(|_| !in_service.is_empty()).map(|_| now + MEASURE_INTERVAL);
        in_service.into_iter().filter_map(|slot| self.idle_until(slot)).chain(measure).min()
    }

    /// When a worker has had no work for too long, if it has none.
    fn idle_until(&self, slot: Slot) -> Option<Instant> {
        let timeout = self.retirement.idle_timeout.filter(|_| self.queue.calls() == 0 && !self.queue.is_busy(slot))?;
        let live = self.seats[slot].worker.as_ref()?;
        live.answers.last.max(self.last_closed).checked_add(timeout)
    }

    fn in_service(&self) -> Vec<Slot> {
        self.lives()
            .filter(|(slot, live)| matches!(live.state, State::Ready) && !self.queue.is_hooked(*slot))
            .map(|(slot, _)| slot)
            .collect()
    }
}
