//! Gives chunks to workers, and takes tasks back from those that would begin them later than another (rules 6 and 8 of `queue`).

use std::time::{Duration, Instant};

use super::chunk_size::Patience;
use super::core::Core;
use super::queue::{Assignment, CallId, Slot};
use super::seat::Live;
use super::turn::Wakes;
use crate::transport::Load;

/// Tasks that take less than this together are not taken back from a worker that is at work.
const MOVE_WORTH: Duration = Duration::from_micros(100);
/// A worker that has given no result for so long may be in a task that takes long.
const STALLED: Duration = Duration::from_millis(2);

impl Core {
    /// Sends the chunks that wait to the workers that take them; tells whether there was one.
    pub(super) fn dispatch(&mut self) -> bool {
        let mut any = false;
        loop {
            self.take_back_earlier();
            let Some(assignment) = self.queue.assign() else {
                return any;
            };
            self.assign(assignment);
            any = true;
        }
    }

    fn assign(&mut self, Assignment { slot, chunk, grain }: Assignment) {
        // The driver waits for the workers that had chunks when it began to.
        self.turn.concerns(Wakes::DRIVER);
        let is_first = self.queue.has_only(slot, chunk.len());
        self.with_link(slot, |live, _| {
            if is_first {
                live.given = Instant::now();
            }
            live.link.assign(&chunk, grain)
        });
    }

    /// Before a free worker is given the next task of a call: takes back earlier ones from the worker that has given no result for
    /// the longest time, if it is at a task for long (rule 8 of the queue).
    fn take_back_earlier(&mut self) {
        let Some((_, patience, holders)) = self.queue.holders_before_next() else {
            return;
        };
        let since = |slot: &Slot| self.seats[*slot].worker.as_ref().map(Live::gets_on_since);
        let Some(slot) = holders.into_iter().min_by_key(since) else {
            return;
        };
        self.take_back_stalled(slot, patience);
    }

    /// Takes back what a worker has not claimed, if it is at a task for long; and recalls what it has claimed and not begun, if a
    /// worker is free for it. Results stay where they stand: if they were taken here, then the driver would find none, and sleep on
    /// them.
    fn take_back_stalled(&mut self, slot: Slot, patience: Patience) {
        self.with_link(slot, |live, queue| {
            let load = live.link.load()?;
            if load.claimed > 0 && load.claimed + load.open > 1 && live.is_stalled(patience) {
                live.take_back(slot, queue, u32::MAX)?;
                live.recall(slot, queue)?;
                queue.stalled(slot);
            }
            Ok(())
        });
    }

    /// Takes back what workers have not claimed that are at a task for long, so that it goes to the next one that is free. Gives
    /// whether there are workers that have several tasks.
    pub(super) fn look_for_stalled(&mut self) -> bool {
        let several: Vec<Slot> = self.queue.busy().filter(|&slot| self.queue.has_several(slot)).collect();
        for &slot in &several {
            self.take_back_stalled(slot, Patience::Since(self.queue.patience_of(slot).max(STALLED)));
        }
        !several.is_empty()
    }

    /// Takes back what the workers of a call have not claimed.
    pub(super) fn take_back_all(&mut self, call: CallId) {
        for slot in self.queue.workers_of(call).to_vec() {
            self.with_link(slot, |live, queue| {
                live.take(slot, queue)?;
                live.take_back(slot, queue, u32::MAX)
            });
        }
    }

    /// Takes back tasks of a call for each worker that is free, from the worker that has the most (rule 6 of the queue);
    /// tells whether one was given some.
    pub(super) fn rebalance(&mut self, call: CallId) -> bool {
        let mut any = false;
        // Each round makes a free worker busy, and no busy one free: a task that was given just now stays where it is.
        while self.rebalance_once(call) {
            any = true;
        }
        any
    }

    fn rebalance_once(&mut self, call: CallId) -> bool {
        if !self.queue.is_short_of_chunks(call) {
            return false;
        }
        let mut most = 0;
        let mut from = None;
        for slot in self.queue.workers_of(call).to_vec() {
            self.with_link(slot, |live, _| {
                let Load { claimed, open } = live.link.load()?;
                let is_stalled = live.is_stalled(Patience::Since(STALLED));
                // A worker that is about to wake keeps what it will begin; it may be stopped if it does not for long.
                let spare = if claimed == 0 && !is_stalled { open.saturating_sub(1) } else { open };
                if spare > most {
                    most = spare;
                    from = Some((slot, is_stalled));
                }
                Ok(())
            });
        }
        let Some((slot, is_stalled)) = from else {
            return false;
        };
        let is_short = self.queue.time_of(call, most).is_some_and(|time| time < MOVE_WORTH);
        if is_short && !is_stalled {
            return false;
        }
        self.with_link(slot, |live, queue| live.take_back(slot, queue, most.div_ceil(2)));
        let assignment = self.queue.assign_to_idle(call);
        let was_idle = assignment.is_some();
        assignment.into_iter().for_each(|assignment| self.assign(assignment));
        self.dispatch() || was_idle
    }
}

impl Live {
    /// When it has given its last result, or was given something when it had nothing.
    fn gets_on_since(&self) -> Instant {
        self.answers.last.max(self.given)
    }

    /// Whether it is at a task for long.
    fn is_stalled(&self, patience: Patience) -> bool {
        match patience {
            Patience::Since(limit) => !self.link.has_results() && self.gets_on_since().elapsed() > limit,
            Patience::Watched(time) => {
                let mark = self.link.mark();
                let started = Instant::now();
                while self.link.mark() == mark {
                    if started.elapsed() > time {
                        return true;
                    }
                    std::hint::spin_loop();
                }
                false
            }
        }
    }
}
