//! Handles the results of initializers and finalizers.

use super::scheduler::{Hook, Slot};
use super::state::{Phase, PoolState};
use super::worker_slot::Life;
use crate::child::Cause;
use crate::error::{TaskError, TaskErrorKind};
use crate::functions;
use crate::task::WorkerIdentity;
use crate::transport::{CompletedTasks, Outcomes};

impl PoolState {
    /// Handles what initializers and finalizers have given.
    pub(super) fn attend_hooks(&mut self) {
        while let Some((slot, hook, done)) = self.scheduler.take_hook_done() {
            match hook {
                Hook::Initializer => self.initialized(slot, done),
                Hook::Finalizer => {
                    self.finalized.lock().push(done);
                    self.ask_to_exit(
                        slot,
                        if self.phase == Phase::Running { Cause::Retired } else { Cause::PoolClosed },
                    );
                }
            }
        }
    }

    /// Puts a worker into service whose initializer went well, and ends it otherwise.
    fn initialized(&mut self, slot: Slot, done: CompletedTasks) {
        // One that died in it is gone, and judged.
        let (Outcomes::Records(records), Some(WorkerIdentity { pid, .. })) = (done.outcomes, done.worker) else {
            return;
        };
        // So may one be whose result is found after its death.
        let is_there = self.slots[slot]
            .worker
            .as_ref()
            .is_some_and(|worker| worker.process.pid() == pid && matches!(worker.life, Life::Ready));
        if !is_there {
            return;
        }
        match functions::failure(records, self.output) {
            None => {
                self.scheduler.put_into_service(slot);
                self.starts.succeeded();
            }
            Some(kind) => {
                let message = initializer_failure(slot, pid, self.initializer, kind);
                self.begin_ending(slot, Cause::NotInitialized(message));
            }
        }
    }
}

/// Why a worker is not ready: its initializer did not go well.
pub(super) fn initializer_failure(slot: Slot, pid: u32, function: &'static str, kind: TaskErrorKind) -> String {
    let error = TaskError::new(0, function, 1, Some(pid), kind);
    format!("worker {slot} could not be initialized: {}", error.without_index())
}
