//! Workers that cannot be ended: the system refuses every signal to them (a filter of system calls does), or they are in
//! uninterruptible sleep. Nobody waits for them.
//!
//! 1. A worker that cannot be killed is asked to end: its channel is shut down in both directions, at which the worker's own
//!    watch thread ends it. That fails only where the worker is stopped, or its watch thread is gone.
//! 2. A worker that lives on is *unkillable*: its task gets the outcome that it was to be killed for, its other tasks go to
//!    other workers, and the memory that it was lent stays lent until it has ended.
//! 3. Its slot gets no other process until it has ended. So there are never more processes than the pool is to have, and once
//!    every slot has an unkillable worker, calls fail with an error that says why.
//! 4. The kernel ends a worker with the thread that started it (Linux). So what is unkillable when the pool ends is reaped behind the
//!    end of that thread, for a moment; what lives even then is left alone.

use std::time::{Duration, Instant};

use super::scheduler::{CallFailure, Slot};
use super::state::{PoolShared, PoolState};
use super::worker_slot::{Unkillable, WorkerProcess};
use crate::child;
use crate::error::StartFailure;
use crate::sys::{ChildProcess, End};

impl WorkerProcess {
    /// Kills the worker, or asks it to end (rule 1).
    pub(super) fn kill(&mut self) {
        child::kill(&mut self.process, &mut self.channel);
    }
}

impl PoolState {
    /// Gives up a worker that was to be killed, if that has failed for too long.
    pub(super) fn give_up(&mut self, slot: Slot, startup_timeout: Duration) {
        let Some(why) = self.slots[slot].worker.as_ref().and_then(|worker| worker.process.out_of_reach()) else {
            return;
        };
        let lent = self.scheduler.chunks_until_reaped(slot);
        let Some(worker) = self.on_exit(slot, End::Unknown, startup_timeout) else {
            return;
        };
        let unkillable = Unkillable { process: worker.process, why, lent };
        let failure = CallFailure::Start(unkillable.failure(slot));
        self.slots[slot].unkillable = Some(unkillable);
        if self.unended_all().is_some() {
            self.scheduler.fail_calls(&failure);
        } else {
            self.scheduler.fail_placed(&failure);
        }
    }

    /// Reaps an unkillable worker that has ended after all: its slot is free again.
    pub(super) fn reap_unended(&mut self, slot: Slot) {
        let unkillable = &mut self.slots[slot].unkillable;
        if unkillable.as_mut().is_some_and(|unkillable| unkillable.process.try_reap().is_some()) {
            *unkillable = None;
            self.slots[slot].not_before = Instant::now();
        }
    }

    /// Why a worker cannot be replaced, if there is one.
    pub(super) fn unended_any(&self) -> Option<StartFailure> {
        let slots = self.slots.iter().take(self.size).enumerate();
        slots.into_iter().find_map(|(slot, worker_slot)| Some(worker_slot.unkillable.as_ref()?.failure(slot)))
    }

    /// Why no worker is left, where none can be replaced.
    pub(super) fn unended_all(&self) -> Option<StartFailure> {
        let is_all = self.slots.iter().take(self.size).all(|worker_slot| worker_slot.unkillable.is_some());
        if is_all { self.unended_any() } else { None }
    }

    /// Kills every process that is left, and waits for its end, for a moment.
    pub(super) fn end_all(&mut self) {
        let standbys = self.slots.iter_mut().filter_map(|worker_slot| worker_slot.standby.take_process());
        let mut standbys: Vec<ChildProcess> = standbys.collect();
        for slot in 0..self.slots.len() {
            if let Some(mut worker) = self.slots[slot].worker.take() {
                worker.kill();
                let lent = self.scheduler.chunks_until_reaped(slot);
                let unkillable = Unkillable { process: worker.process, why: String::new(), lent };
                self.slots[slot].unkillable = Some(unkillable);
            }
        }
        self.await_unended();
        child::await_killed(|| {
            standbys.retain_mut(|standby| standby.try_reap().is_none());
            standbys.is_empty()
        });
    }

    /// Waits for the end of every unkillable worker, for a moment.
    fn await_unended(&mut self) {
        child::await_killed(|| {
            (0..self.slots.len()).for_each(|slot| self.reap_unended(slot));
            self.slots.iter().all(|worker_slot| worker_slot.unkillable.is_none())
        });
    }
}

impl PoolShared {
    /// Reaps what the end of the supervisor has ended (rule 4). Nobody else uses the pool any more.
    pub(super) fn leave_unended(&self) {
        let mut state = self.lock();
        state.await_unended();
        state.slots.iter_mut().filter_map(|worker_slot| worker_slot.unkillable.take()).for_each(Unkillable::leave);
    }
}
