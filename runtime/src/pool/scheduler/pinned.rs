//! Calls whose tasks are each for one worker: the task with the worker's number goes to it, and to no other.

use std::collections::VecDeque;

use super::{CallFailure, CallId, OpenCall, Placement, Scheduler, Slot};
use crate::error::TaskErrorKind;

impl OpenCall {
    /// Whether its tasks may go to any worker.
    pub(super) fn is_unpinned(&self) -> bool {
        self.rules.placement == Placement::Anywhere
    }
}

impl Scheduler {
    /// A free worker for which a task waits; that is then the next of its call.
    pub(super) fn placed_assignment(&mut self) -> Option<(CallId, Slot)> {
        if self.placed == 0 {
            return None;
        }
        // Some may have come back since the pool was made smaller.
        self.cancel_placed_beyond(self.size);
        let idle = &self.idle;
        self.calls.iter_mut().filter(|(_, call)| !call.is_unpinned()).find_map(|(&id, call)| {
            let place = call.backlog.iter().position(|chunk| idle.contains(&chunk.index(0)))?;
            let chunk = call.backlog.remove(place)?;
            let slot = chunk.index(0);
            call.backlog.push_front(chunk);
            Some((id, slot))
        })
    }

    /// Ends tasks for workers that there are to be no more.
    pub(super) fn cancel_placed_beyond(&mut self, size: usize) {
        for call in self.calls.values_mut().filter(|call| !call.is_unpinned()) {
            let backlog = std::mem::take(&mut call.backlog);
            let (kept, over): (VecDeque<_>, VecDeque<_>) = backlog.into_iter().partition(|chunk| chunk.index(0) < size);
            call.backlog = kept;
            call.done.extend(over.iter().map(|chunk| chunk.not_begun(TaskErrorKind::Cancelled)));
        }
    }

    /// Fails the calls that wait for a worker of their own, which cannot be started.
    pub(in crate::pool) fn fail_placed(&mut self, failure: &CallFailure) {
        for call in self.calls.values_mut().filter(|call| !call.is_unpinned() && !call.backlog.is_empty()) {
            call.failure.get_or_insert_with(|| failure.clone());
        }
    }
}
