//! Gives chunks to workers, and takes tasks back from those that would begin them later than another (rules 6 and 8 of `scheduler`).

use std::time::{Duration, Instant};

use super::chunk_size::StallEvidence;
use super::scheduler::{Assignment, CallId, Slot};
use super::state::PoolState;
use super::turn::Wakes;
use super::worker_slot::WorkerProcess;
use crate::transport::Load;

/// Tasks that take less than this together are not taken back from a worker that is at work.
const STEAL_MIN: Duration = Duration::from_micros(100);
/// A worker that has given no result for this long may be in a task that takes long.
const STALL_AFTER: Duration = Duration::from_millis(2);

impl PoolState {
    /// Sends the chunks that wait to the workers that take them; returns whether there was one.
    pub(super) fn dispatch(&mut self) -> bool {
        let mut any = false;
        loop {
            self.take_back_earlier();
            if let Some(assignment) = self.scheduler.assign() {
                self.assign(assignment);
                any = true;
            } else if !self.take_back_lower() {
                return any;
            }
        }
    }

    /// While a task waits that has a higher priority: takes back what workers have behind the tasks that they are at (rule 10 of the
    /// scheduler); tells whether there was some. Each keeps one task, so none becomes free by this and is given the same again.
    fn take_back_lower(&mut self) -> bool {
        let mut any = false;
        for slot in self.scheduler.holders_behind_next() {
            let held = self.scheduler.tasks_behind_first(slot);
            self.on_channel(slot, |worker, scheduler| {
                worker.take_back(slot, scheduler, held)?;
                worker.recall(slot, scheduler)
            });
            any |= self.scheduler.tasks_behind_first(slot) < held;
        }
        any
    }

    fn assign(&mut self, Assignment { slot, chunk, claim_batch }: Assignment) {
        // The driver waits for the workers that had chunks when it began to.
        self.turn.concerns(Wakes::DRIVER);
        if chunk.rules().is_some_and(|rules| rules.limits.shortest().is_some()) {
            self.turn.concerns(Wakes::SUPERVISOR);
        }
        let is_first = self.scheduler.has_only(slot, chunk.len());
        self.on_channel(slot, |worker, _| {
            if is_first {
                worker.given = Instant::now();
            }
            worker.channel.assign(&chunk, claim_batch)
        });
    }

    /// Before a free worker is given the next task of a call: takes back earlier ones from the worker that has given no result for
    /// the longest time, if it is at a task for long (rule 8 of the scheduler).
    fn take_back_earlier(&mut self) {
        let Some((_, patience, holders)) = self.scheduler.holders_before_next() else {
            return;
        };
        let now = Instant::now();
        let silence = |slot: &Slot| {
            self.slots[*slot].worker.as_ref().map(|worker| worker.result_clock.silence(worker.given, now))
        };
        let Some(slot) = holders.into_iter().max_by_key(silence) else {
            return;
        };
        self.take_back_stalled(slot, patience);
    }

    /// Takes back what a worker has not claimed, if it is at a task for long; and recalls what it has claimed and not begun, if a
    /// worker is free for it. Results stay where they stand: if they were taken here, then the driver would find none, and sleep on
    /// them.
    fn take_back_stalled(&mut self, slot: Slot, patience: StallEvidence) {
        self.on_channel(slot, |worker, scheduler| {
            let load = worker.channel.load()?;
            if load.claimed > 0 && load.claimed + load.open > 1 && worker.is_stalled(patience, Instant::now()) {
                worker.take_back(slot, scheduler, u32::MAX)?;
                worker.recall(slot, scheduler)?;
                scheduler.stalled(slot);
            }
            Ok(())
        });
    }

    /// Takes back what workers have not claimed that are at a task for long, so that it goes to the next one that is free. Gives
    /// whether there are workers that have several tasks.
    pub(super) fn look_for_stalled(&mut self) -> bool {
        let several: Vec<Slot> = self.scheduler.busy().filter(|&slot| self.scheduler.has_queued_tasks(slot)).collect();
        for &slot in &several {
            self.take_back_stalled(slot, StallEvidence::Since(self.scheduler.patience_of(slot).max(STALL_AFTER)));
        }
        !several.is_empty()
    }

    /// Takes back what the workers of a call have not claimed.
    pub(super) fn take_back_all(&mut self, call: CallId) {
        for slot in self.scheduler.workers_of(call).to_vec() {
            self.on_channel(slot, |worker, scheduler| {
                worker.take(slot, scheduler)?;
                worker.take_back(slot, scheduler, u32::MAX)
            });
        }
    }

    /// Takes back tasks of a call for each worker that is free, from the worker that has the most (rule 6 of the scheduler);
    /// tells whether one was given some.
    pub(super) fn rebalance(&mut self, call: CallId) -> bool {
        // Each round makes a free worker busy, and frees none that was given its tasks since this moment: they stay where they are,
        // however long a round takes. Else two workers that are dead, and not reaped yet, would get one task in turn without an end.
        let now = Instant::now();
        let mut any = false;
        while self.rebalance_once(call, now) {
            any = true;
        }
        any
    }

    fn rebalance_once(&mut self, call: CallId, now: Instant) -> bool {
        if !self.scheduler.is_short_of_chunks(call) {
            return false;
        }
        let mut most = 0;
        let mut from = None;
        for slot in self.scheduler.workers_of(call).to_vec() {
            self.on_channel(slot, |worker, _| {
                let Load { claimed, open } = worker.channel.load()?;
                let is_stalled = worker.is_stalled(StallEvidence::Since(STALL_AFTER), now);
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
        let is_short = self.scheduler.time_of(call, most).is_some_and(|time| time < STEAL_MIN);
        if is_short && !is_stalled {
            return false;
        }
        self.on_channel(slot, |worker, scheduler| worker.take_back(slot, scheduler, most.div_ceil(2)));
        let assignment = self.scheduler.assign_to_idle(call);
        let was_idle = assignment.is_some();
        assignment.into_iter().for_each(|assignment| self.assign(assignment));
        self.dispatch() || was_idle
    }
}

impl WorkerProcess {
    /// Whether it is at a task for long. Without watching it, that is as it was `now`.
    fn is_stalled(&self, patience: StallEvidence, now: Instant) -> bool {
        match patience {
            StallEvidence::Since(limit) => {
                !self.channel.has_results() && self.result_clock.silence(self.given, now) > limit
            }
            StallEvidence::Watched(time) => {
                let progress_stamp = self.channel.progress_stamp();
                let started = Instant::now();
                while self.channel.progress_stamp() == progress_stamp {
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
