//! First come, first served: the order in which chunks wait, and which workers hold tasks that come before those that wait (rule 8).

use std::time::Duration;

use super::{CallId, OpenCall, Scheduler, Slot};
use crate::pool::chunk_size::{Revocation, StallEvidence};
use crate::transport::Chunk;

impl OpenCall {
    /// Adds a chunk to those that wait, in the order of their tasks (rule 8).
    pub(super) fn line_up(&mut self, chunk: Chunk) {
        let index = chunk.index(0);
        let is_last = self.backlog.back().is_none_or(|last| last.index(0) < index);
        let place =
            if is_last { self.backlog.len() } else { self.backlog.partition_point(|other| other.index(0) < index) };
        self.backlog.insert(place, chunk);
    }

    /// Whether the chunk that is next goes to a worker that has nothing else.
    pub(super) fn next_goes_alone(&self) -> bool {
        self.backlog.front().is_some_and(Chunk::is_suspect)
    }
}

impl Scheduler {
    /// The call whose next task is about to go to a free worker, and the workers of it that were given earlier ones and may not have
    /// begun them.
    pub(in crate::pool) fn holders_before_next(&self) -> Option<(CallId, StallEvidence, Vec<Slot>)> {
        if self.revocation == Revocation::Unsupported {
            return None;
        }
        let (id, _) = self.idle_assignment()?;
        let call = self.calls.get(&id)?;
        let next = call.backlog.front()?.index(0);
        let holds_earlier = |slot: &Slot| {
            let worker = &self.workers[*slot];
            worker.tasks > 1 && !worker.is_stalled && worker.first_index().is_some_and(|first| first < next)
        };
        let holders: Vec<Slot> = call.workers.iter().copied().filter(holds_earlier).collect();
        (!holders.is_empty()).then(|| (id, call.chunk_size.patience(), holders))
    }

    /// Notes that a worker's unclaimed tasks were taken back because it is at a task for long. It gets nothing behind that task.
    pub(in crate::pool) fn stalled(&mut self, slot: Slot) {
        let worker = &mut self.workers[slot];
        worker.is_stalled = true;
        if let Some(call) = worker.call.and_then(|id| self.calls.get_mut(&id)) {
            call.chunk_size.stalled();
        }
    }

    /// How long a worker may give no result before it is taken to be at a task for long.
    pub(in crate::pool) fn patience_of(&self, slot: Slot) -> Duration {
        let call = self.workers[slot].call.and_then(|id| self.calls.get(&id));
        match call.map(|call| call.chunk_size.patience()) {
            Some(StallEvidence::Since(limit) | StallEvidence::Watched(limit)) => limit,
            None => Duration::ZERO,
        }
    }

    /// Whether a worker has nothing but a chunk of so many tasks, which it was given just now.
    pub(in crate::pool) fn has_only(&self, slot: Slot, tasks: usize) -> bool {
        self.workers[slot].tasks == tasks
    }
}
