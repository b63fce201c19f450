//! Ends, as the queue sees them: of a worker, and of a call.

use super::{CallFailure, CallId, MOVES_MAX, Queue, Running, Slot};
use crate::error::TaskErrorKind;
use crate::pool::chunk_size::Return;
use crate::task::Outcomes;

impl Queue {
    /// Closes a call: its chunks that wait are dropped. The workers that still hold some of its chunks are given back; they are
    /// to be killed, or to begin nothing more.
    pub(in crate::pool) fn close(&mut self, id: CallId, running: Running) -> Vec<Slot> {
        let Some(call) = self.calls.remove(&id) else {
            return Vec::new();
        };
        for &slot in &call.workers {
            let worker = &mut self.workers[slot];
            worker.call = None;
            match running {
                Running::Kill => {
                    worker.ready = false;
                    worker.chunks.clear();
                    worker.tasks = 0;
                    self.busy.remove(&slot);
                }
                Running::Finish => worker.revoked = self.returns == Return::Never,
            }
        }
        call.workers
    }

    /// Takes in that a worker is gone. If it had begun its next task, that gets this error; without one, it goes with its
    /// call. The tasks behind it move on.
    pub(in crate::pool) fn lost(&mut self, slot: Slot, has_begun: bool, error: Option<TaskErrorKind>) {
        let worker = std::mem::take(&mut self.workers[slot]);
        self.busy.remove(&slot);
        self.idle.retain(|&idle| idle != slot);
        let Some(call) = worker.call.and_then(|id| self.calls.get_mut(&id)) else {
            return;
        };
        call.workers.retain(|&other| other != slot);
        let mut chunks = worker.chunks;
        if let Some(first) = chunks.front_mut()
            && (has_begun || first.chunk.moved() > MOVES_MAX)
        {
            first.chunk.stayed();
            match error {
                Some(error) => call.done.push(first.done(1, Outcomes::Error(error), (slot, worker.pid))),
                None => first.next += 1,
            }
        }
        for mut held in chunks.into_iter().rev() {
            if held.left() > 0 {
                let left = held.left();
                call.backlog.push_front(held.split_back(left));
            }
        }
    }

    /// Fails every open call; tells whether there was one.
    pub(in crate::pool) fn fail_calls(&mut self, failure: &CallFailure) -> bool {
        for call in self.calls.values_mut() {
            call.failure.get_or_insert_with(|| failure.clone());
        }
        !self.calls.is_empty()
    }

    /// Why a call has failed, if it has.
    pub(in crate::pool) fn failure(&self, id: CallId) -> Option<CallFailure> {
        self.calls.get(&id)?.failure.clone()
    }
}
