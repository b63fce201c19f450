//! The initializer and the finalizer: calls that each worker runs by itself, before its first task and after its last.

use std::collections::VecDeque;

use super::{Assignment, Hook, InFlight, Scheduler, Slot, Worker};
use crate::error::TaskErrorKind;
use crate::transport::{Chunk, ResultBatch};
use crate::transport::{CompletedTasks, Outcomes};
use crate::wire::Violation;

/// The calls, and what has become of them.
#[derive(Default)]
pub(in crate::pool) struct Hooks {
    pub(in crate::pool) initializer: Option<Chunk>,
    pub(in crate::pool) finalizer: Option<Chunk>,
    /// Those that workers are to be given.
    due: VecDeque<(Slot, Hook)>,
    done: VecDeque<(Slot, Hook, CompletedTasks)>,
}

impl Scheduler {
    /// Sets what each worker runs.
    pub(in crate::pool) fn set_hooks(&mut self, initializer: Option<Chunk>, finalizer: Option<Chunk>) {
        self.hooks = Hooks { initializer, finalizer, ..Hooks::default() };
    }

    /// Has a worker begin with the initializer; false if there is none.
    pub(super) fn initialize(&mut self, slot: Slot) -> bool {
        let has_one = self.hooks.initializer.is_some();
        if has_one {
            self.hooks.due.push_back((slot, Hook::Initializer));
        }
        has_one
    }

    /// Has a worker that has nothing to do end with the finalizer; false if there is none, or it has run it.
    pub(in crate::pool) fn finalize(&mut self, slot: Slot) -> bool {
        if self.hooks.finalizer.is_none() || std::mem::replace(&mut self.workers[slot].is_finalized, true) {
            return false;
        }
        self.suspend(slot);
        self.hooks.due.push_back((slot, Hook::Finalizer));
        true
    }

    /// Whether a worker runs one of these calls, or is to.
    pub(in crate::pool) fn is_hooked(&self, slot: Slot) -> bool {
        self.workers.get(slot).is_some_and(|worker| worker.hook.is_some())
            || self.hooks.due.iter().any(|(due, _)| *due == slot)
    }

    /// Whether a worker is given nothing more than what it has.
    pub(in crate::pool) fn is_given_no_more(&self, slot: Slot) -> bool {
        self.workers[slot].quota == Some(0)
    }

    /// Whether a worker runs its initializer, or is to.
    pub(in crate::pool) fn is_initializing(&self, slot: Slot) -> bool {
        self.workers[slot].hook == Some(Hook::Initializer) || self.hooks.due.contains(&(slot, Hook::Initializer))
    }

    /// Gives a worker the call that it is to run.
    pub(super) fn hook_assignment(&mut self) -> Option<Assignment> {
        let (slot, hook) = self.hooks.due.pop_front()?;
        let chunk = match hook {
            Hook::Initializer => self.hooks.initializer.clone(),
            Hook::Finalizer => self.hooks.finalizer.clone(),
        }?;
        let worker = &mut self.workers[slot];
        worker.hook = Some(hook);
        worker.tasks = 1;
        worker.chunks.push_back(InFlight::behind(chunk.clone()));
        self.busy.insert(slot);
        Some(Assignment { slot, chunk, claim_batch: 1 })
    }

    /// Handles the result of such a call.
    pub(super) fn on_hook_results(&mut self, slot: Slot, hook: Hook, taken: ResultBatch) -> Result<(), Violation> {
        let worker = &mut self.workers[slot];
        if taken.count == 0 {
            // It was hung up on before it began, and is about to end.
            return Ok(());
        }
        let (1, Some(mut held)) = (taken.count, worker.chunks.pop_front()) else {
            return Err(Violation::new("it gives results of no task"));
        };
        worker.hook = None;
        worker.tasks = 0;
        self.busy.remove(&slot);
        let done = held.done(1, Outcomes::Records(taken.records), worker.identity(slot));
        self.hooks.done.push_back((slot, hook, done));
        Ok(())
    }

    /// Records that a worker is gone that may have been to run such a call; this is why, if it was running it.
    pub(super) fn hook_lost(&mut self, slot: Slot, worker: &mut Worker, error: Option<TaskErrorKind>) {
        self.hooks.due.retain(|(due, _)| *due != slot);
        let running = worker.hook.and_then(|hook| Some((hook, worker.chunks.pop_front()?)));
        if let (Some((hook, mut held)), Some(error)) = (running, error) {
            let mut done = held.done(1, Outcomes::Error(error), worker.identity(slot));
            done.printed = worker.printed.take();
            done.native = worker.native.take();
            self.hooks.done.push_back((slot, hook, done));
        }
    }

    /// A call that is done, and in which worker.
    pub(in crate::pool) fn take_hook_done(&mut self) -> Option<(Slot, Hook, CompletedTasks)> {
        self.hooks.done.pop_front()
    }

    /// Puts a worker into service.
    pub(in crate::pool) fn put_into_service(&mut self, slot: Slot) {
        let worker = &mut self.workers[slot];
        worker.ready = worker.quota != Some(0);
        if worker.ready {
            self.idle.push_back(slot);
        } else {
            self.drained.push(slot);
        }
    }
}
