//! Counts of tasks and of their bytes, over the whole life of a pool.

use super::{Scheduler, Slot};
use crate::transport::{Chunk, CompletedTasks, ResultBatch};

/// The totals so far. Initializers and finalizers count in nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pool) struct Totals {
    /// Tasks that have a result.
    pub(in crate::pool) finished: u64,
    /// Executions that are not the first of their task.
    pub(in crate::pool) retried: u64,
    /// The bytes of the arguments of tasks that have ended, and of the results.
    pub(in crate::pool) argument_bytes: u64,
    pub(in crate::pool) result_bytes: u64,
}

impl Totals {
    /// Counts results of a worker, but for the arguments.
    pub(super) fn arrived(&mut self, taken: &ResultBatch) {
        self.finished += u64::from(taken.count);
        self.result_bytes += taken.records.bytes_left() as u64;
    }

    /// Counts tasks that no worker of this pool has run.
    pub(super) fn ended_elsewhere(&mut self, done: &CompletedTasks) {
        self.finished += done.count as u64;
        self.argument_bytes += done.argument_bytes as u64;
        self.result_bytes += done.result_bytes() as u64;
    }
}

impl Scheduler {
    /// Tasks that wait, tasks that workers have, and workers that have some.
    pub(in crate::pool) fn counts(&self) -> (usize, usize, usize) {
        let waiting = self.calls.values().flat_map(|call| &call.backlog).map(Chunk::len).sum();
        let held = self.workers.iter().map(|worker| worker.tasks).sum::<usize>() + self.remote_tasks();
        (waiting, held, self.busy.len())
    }

    /// The totals so far.
    pub(in crate::pool) fn totals(&self) -> Totals {
        self.totals
    }

    /// Counts the arguments of tasks that a worker had begun when it ended.
    pub(in crate::pool) fn count_interrupted(&mut self, slot: Slot, tasks: u32) {
        let worker = &self.workers[slot];
        // Those of a call that has ended are lent, the one that it is at first.
        let held = worker.chunks.front().map(|held| (held.chunk.weight, held.left()));
        let of_ended = || worker.lent.first().map(|chunk| (chunk.weight, chunk.len()));
        if let Some((weight, left)) = held.or_else(of_ended) {
            let bytes = weight * (tasks as usize).min(left) / left.max(1);
            self.totals.argument_bytes += bytes as u64;
        }
    }
}
