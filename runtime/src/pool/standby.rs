//! The process that follows a worker, made before that has ended: where each task has a process of its own, the start of the one and the
//! end of the other would else be waited for in turn.
//!
//! 1. A fork server makes it, which takes a fraction of a millisecond of one processor. A program that is executed takes ten times that,
//!    for a process that may never be needed.
//! 2. It is made once its worker is given nothing more, when the supervisor looks at the pool: it is not woken for that. There are as many
//!    as CPUs, as more would start no faster, and at most one for each slot.
//! 3. It runs nothing of the program's, and its channel is not read, until the worker before it was reaped and it has taken the slot:
//!    so no initializer runs beside the task of another process of its slot.
//! 4. How it ends meanwhile is learnt when it takes the slot.
//! 5. Where it could not be made, the worker that follows is started as any other, which says why.

use std::time::Duration;

use super::scheduler::Slot;
use super::state::{Phase, PoolState};
use super::turn::Wakes;
use super::worker_slot::{Life, Standby, WorkerProcess};
use crate::child::{self, Cause};
use crate::sys::ChildProcess;

impl PoolState {
    /// How many there are.
    pub(super) fn standbys(&self) -> usize {
        self.slots.iter().filter(|worker_slot| worker_slot.standby.process().is_some()).count()
    }

    /// A slot whose worker is given nothing more, and has none to follow it, while there are fewer than `most`.
    pub(super) fn wants_standby(&self, most: usize) -> Option<Slot> {
        // A pool that makes none does not count them at each look.
        if most == 0 || self.waits_for_server || !self.may_start() || self.standbys() >= most {
            return None;
        }
        let is_last = |slot: Slot, worker: &WorkerProcess| match &worker.life {
            Life::Starting { .. } => false,
            Life::Ready => self.scheduler.is_given_no_more(slot),
            Life::Doomed { cause, .. } => *cause == Cause::Retired,
        };
        let is_needed = |(slot, worker): &(Slot, &WorkerProcess)| {
            let worker_slot = &self.slots[*slot];
            let is_free = matches!(worker_slot.standby, Standby::None) && !worker_slot.is_dormant && *slot < self.size;
            is_free && is_last(*slot, worker)
        };
        self.processes().find(is_needed).map(|(slot, _)| slot)
    }

    /// Gives an empty slot to the process that was made for it; returns whether there was one.
    pub(super) fn take_up_standby(&mut self, slot: Slot, startup_timeout: Duration) -> bool {
        let Standby::Made(standby) = std::mem::take(&mut self.slots[slot].standby) else {
            return false;
        };
        let (process, channel) = *standby;
        self.occupy(slot, process, channel, startup_timeout);
        // As a rule it has said hello.
        self.exchange(slot);
        self.dispatch();
        // They may wait for it to be ready.
        self.turn.concerns(Wakes::CALLERS);
        true
    }

    /// The processes that follow no worker any more: the pool ends or has become smaller, or the slot waits for a call.
    pub(super) fn take_surplus_standbys(&mut self) -> Vec<ChildProcess> {
        let (is_running, size) = (self.phase == Phase::Running, self.size);
        let surplus = self.slots.iter_mut().enumerate().filter_map(|(slot, worker_slot)| {
            if is_running && slot < size && !worker_slot.is_dormant {
                return None;
            }
            worker_slot.standby.take_process()
        });
        surplus.collect()
    }
}

impl Standby {
    /// The process, if there is one.
    pub(super) fn process(&self) -> Option<&ChildProcess> {
        match self {
            Self::Made(made) => Some(&made.0),
            Self::None | Self::Refused => None,
        }
    }

    /// Takes the process out, killed.
    pub(super) fn take_process(&mut self) -> Option<ChildProcess> {
        match std::mem::take(self) {
            Self::Made(made) => {
                let (mut process, mut channel) = *made;
                child::kill(&mut process, &mut channel);
                Some(process)
            }
            Self::None | Self::Refused => None,
        }
    }
}
