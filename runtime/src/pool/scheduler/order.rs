//! First come, first served: the order in which chunks wait, and which workers hold tasks that come before those that wait (rule 8), or
//! behind them (rule 10).

use std::cmp::Reverse;
use std::time::Duration;

use super::{CallId, OpenCall, Scheduler, Slot};
use crate::pool::chunk_size::{Revocation, StallEvidence};
use crate::transport::Chunk;

/// While there are priorities, so many chunks of a call wait beside one for each worker: another thread may drive, and give workers
/// some in turn before the call's own thread runs.
const AHEAD_OF_LOWER: usize = 16;

impl OpenCall {
    /// Adds a chunk to those that wait, in the order of their tasks (rules 8 and 10).
    pub(super) fn line_up(&mut self, chunk: Chunk) {
        let rank = self.rank(&chunk, 0);
        let is_last = self.backlog.back().is_none_or(|last| self.rank(last, 0) < rank);
        let place =
            if is_last { self.backlog.len() } else { self.backlog.partition_point(|other| self.rank(other, 0) < rank) };
        self.backlog.insert(place, chunk);
    }

    /// The place of a chunk's task in the order of the call's tasks.
    fn rank(&self, chunk: &Chunk, position: usize) -> (Reverse<i32>, usize) {
        (Reverse(self.priority_of(chunk)), chunk.index(position))
    }

    /// The priority of the chunk that is next, if one waits that any worker may have.
    pub(super) fn waiting_priority(&self) -> Option<i32> {
        self.backlog.front().filter(|_| self.is_unpinned()).map(|next| self.priority_of(next))
    }

    /// Whether the chunk that is next goes to a worker that has nothing else.
    pub(super) fn next_goes_alone(&self) -> bool {
        self.backlog.front().is_some_and(Chunk::is_suspect)
    }
}

impl Scheduler {
    /// How many chunks of a call are to wait beside those that workers take now.
    pub(super) fn chunks_ahead(&self, call: &OpenCall) -> usize {
        if self.has_priorities && self.calls.len() > 1 {
            // A worker that becomes free goes to a chunk that waits, and not to a call of a lower priority because the caller of this one
            // has not had the time to read another (rule 10).
            return self.size + AHEAD_OF_LOWER;
        }
        // Where nothing is taken back, one is ready for the worker that is free first.
        usize::from(self.revocation == Revocation::Unsupported || call.workers.is_empty())
    }

    /// The call whose next task is about to go to a free worker, and the workers of it that were given earlier ones and may not have
    /// begun them.
    pub(in crate::pool) fn holders_before_next(&self) -> Option<(CallId, StallEvidence, Vec<Slot>)> {
        if self.revocation == Revocation::Unsupported {
            return None;
        }
        let (id, _) = self.idle_assignment()?;
        let call = self.calls.get(&id)?;
        let next = call.rank(call.backlog.front()?, 0);
        let holds_earlier = |slot: &Slot| {
            let worker = &self.workers[*slot];
            let is_earlier = |(chunk, position)| call.rank(chunk, position) < next;
            worker.tasks > 1 && !worker.is_stalled && worker.second().is_some_and(is_earlier)
        };
        let holders: Vec<Slot> = call.workers.iter().copied().filter(holds_earlier).collect();
        (!holders.is_empty()).then(|| (id, call.chunk_size.patience(), holders))
    }

    /// The workers that hold tasks of a lower priority than the first that waits, behind the one that each is at. None while a worker is
    /// free: the task that waits goes to that one.
    pub(in crate::pool) fn holders_behind_next(&self) -> Vec<Slot> {
        if !self.has_priorities || !self.idle.is_empty() {
            return Vec::new();
        }
        let Some(next) = self.calls.values().filter_map(OpenCall::waiting_priority).max() else {
            return Vec::new();
        };
        let holds_lower = |slot: &Slot| {
            let worker = &self.workers[*slot];
            let call = worker.call.and_then(|id| self.calls.get(&id)).filter(|call| call.is_unpinned());
            let is_lower = |(chunk, _): (&Chunk, usize)| call.is_some_and(|call| call.priority_of(chunk) < next);
            worker.tasks > 1 && !worker.revoked && worker.second().is_some_and(is_lower)
        };
        self.busy.iter().copied().filter(holds_lower).collect()
    }

    /// Whether a task waits that has a higher priority than this call's, of which workers claim many at once, as they were asked to.
    pub(super) fn is_fixed_before_next(&self, call: &OpenCall) -> bool {
        let next = self.calls.values().filter_map(OpenCall::waiting_priority).max();
        let is_lower = next.is_some_and(|next| call.rules.priority < next);
        is_lower && call.chunk_size.fixed().is_some() && !call.rules.is_folded
    }

    /// How many tasks a worker holds behind the one that it is at.
    pub(in crate::pool) fn tasks_behind_first(&self, slot: Slot) -> u32 {
        u32::try_from(self.workers[slot].tasks.saturating_sub(1)).unwrap_or(u32::MAX)
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
