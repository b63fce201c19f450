//! Tasks that come back from a worker: unclaimed ones, and ones that it has claimed and not begun.

use super::{InFlight, Scheduler, Slot, Worker};
use crate::pool::chunk_size::Revocation;
use crate::wire::Violation;

impl Scheduler {
    /// Has each worker be given one task, and no other where that is taken back from it.
    pub(in crate::pool) fn use_workers_once(&mut self) {
        self.is_single_use = true;
    }

    /// Records that the last `count` tasks of a worker were taken back from it: they wait for another.
    pub(in crate::pool) fn reclaimed(&mut self, slot: Slot, count: usize) {
        self.line_up_last(slot, count, 1);
        let worker = &self.workers[slot];
        if worker.chunks.is_empty() && count > 0 && !worker.revoked {
            self.release(slot);
            // It did not come to them, so it is the last to be given others: it may be stopped.
            if self.idle.back() == Some(&slot) {
                self.idle.rotate_right(1);
            }
        }
    }

    /// Whether what a worker has claimed and not begun would begin sooner elsewhere, and may.
    pub(in crate::pool) fn may_recall(&self, slot: Slot) -> bool {
        let worker = &self.workers[slot];
        let call = worker.call.and_then(|id| self.calls.get(&id));
        let is_for_any = call.is_some_and(|call| {
            let has_limit = |held: &InFlight| call.limits_of(&held.chunk).shortest().is_some();
            call.is_unpinned() && !worker.chunks.iter().any(has_limit)
        });
        let is_wanted = !self.idle.is_empty() || call.is_some_and(|call| self.is_fixed_before_next(call));
        is_for_any && is_wanted && !self.is_hooked(slot) && !worker.revoked
    }

    /// Lines up the last `count` tasks of a worker, which were recalled: a part for each idle worker. The worker is assigned nothing
    /// until its results say that the recall is over. Until then it steps over the arguments, so the scheduler holds them.
    pub(in crate::pool) fn recalled(&mut self, slot: Slot, count: usize) {
        let worker = &mut self.workers[slot];
        worker.revoked = true;
        worker.lent.extend(worker.chunks.iter().map(|held| held.chunk.clone()));
        self.line_up_last(slot, count, self.idle.len().max(1));
    }

    /// Whether a worker has yet to tell that it does not run what was recalled, and no call is left that would hear of it.
    pub(in crate::pool) fn is_in_lone_recall(&self, slot: Slot) -> bool {
        let is_in_recall = |worker: &Worker| worker.revoked && worker.chunks.is_empty() && worker.call.is_none();
        self.revocation == Revocation::Supported && self.workers.get(slot).is_some_and(is_in_recall)
    }

    /// Records that a worker begins nothing more of the chunks that it holds.
    pub(in crate::pool) fn returned(&mut self, slot: Slot) -> Result<(), Violation> {
        let worker = &mut self.workers[slot];
        if !worker.revoked {
            return Err(Violation::new("it returned chunks that it was not asked for"));
        }
        worker.revoked = false;
        worker.give_back(worker.tasks);
        worker.chunks.clear();
        worker.lent.clear();
        worker.tasks = 0;
        self.release(slot);
        Ok(())
    }

    /// Takes the last `count` tasks from a worker, and lines them up in so many parts.
    fn line_up_last(&mut self, slot: Slot, count: usize, parts: usize) {
        let worker = &mut self.workers[slot];
        let mut call = worker.call.and_then(|id| self.calls.get_mut(&id));
        let part = count.div_ceil(parts).max(1);
        let mut left = count;
        while let Some(last) = worker.chunks.back_mut().filter(|_| left > 0) {
            let of_last = left.min(last.left());
            left -= of_last;
            worker.tasks -= of_last;
            let mut back = last.split_back(of_last);
            // One that was aborted has its outcome.
            let is_aborted = last.is_aborted;
            if last.left() == 0 {
                worker.chunks.pop_back();
            }
            if let Some(call) = call.as_mut().filter(|_| !is_aborted) {
                while back.len() > part {
                    call.line_up(back.split(back.len() - part));
                }
                call.line_up(back);
            }
        }
        worker.give_back(count);
    }
}
