//! The tasks of a pool in process, which no worker is given: the thread of their call takes them one by one.

use super::{CallId, Scheduler};
use crate::transport::{Chunk, CompletedTasks};

impl Scheduler {
    /// Whether a task of a call waits.
    pub(in crate::pool) fn has_waiting(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| !call.backlog.is_empty())
    }

    /// Takes the next task of a call.
    pub(in crate::pool) fn take_next(&mut self, id: CallId) -> Option<Chunk> {
        let backlog = &mut self.calls.get_mut(&id)?.backlog;
        let mut next = backlog.pop_front()?;
        if next.len() > 1 {
            backlog.push_front(next.split(1));
        }
        Some(next)
    }

    /// Handles the result of a task that was taken.
    pub(in crate::pool) fn finish_own(&mut self, id: CallId, done: CompletedTasks) {
        // Another execution of it was counted when it was pushed.
        self.count_own(&done, 1);
        if let Some(call) = self.calls.get_mut(&id) {
            call.done.push(done);
        }
    }

    /// Counts a task that has its result, and is of no call if that is not its first execution.
    pub(in crate::pool) fn count_own(&mut self, done: &CompletedTasks, attempt: u32) {
        self.totals.retried += u64::from(attempt > 1);
        self.totals.ended_elsewhere(done);
    }
}
