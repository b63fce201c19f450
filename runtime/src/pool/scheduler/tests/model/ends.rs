//! How tasks end in the model: those that were recalled, and all of them at last.

use std::time::Duration;

use super::{Model, records};
use crate::error::TaskErrorKind;
use crate::pool::chunk_size::Revocation;
use crate::pool::scheduler::Slot;
use crate::transport::ResultBatch;
use crate::wire::Records;

impl Model {
    /// The same, of a worker that was recalled from: the last of its tasks is not run, if it gives results of all but that.
    pub(super) fn answer_recalled(&mut self, slot: Slot, count: usize) {
        let worker = &mut self.workers[slot];
        let not_run = usize::from(count > 0 && count + 1 == worker.tasks.len());
        let mut written = Vec::new();
        for index in worker.tasks.drain(..count) {
            written.extend(records(index..index + 1));
            if let Some(known) = worker.call.and_then(|call| self.calls.get_mut(&call)) {
                known.finished_by.insert(index, worker.pid);
            }
        }
        worker.tasks.drain(..not_run);
        worker.claimed = worker.tasks.len();
        worker.served += count;
        let ends_recall = worker.tasks.is_empty();
        if ends_recall {
            (worker.revoked, worker.is_recalled) = (false, false);
        }
        let results = ResultBatch::new(count as u32, Records::new(written), None);
        self.scheduler.on_results(slot, ResultBatch { not_run: not_run as u32, ends_recall, ..results }).unwrap();
    }

    /// As the pool does it: what can be taken back is taken back first.
    pub(super) fn recall(&mut self, slot: Slot, kept: usize) {
        self.take_back(slot, usize::MAX);
        let worker = &mut self.workers[slot];
        let kept = kept.min(worker.claimed);
        if !worker.alive || worker.is_aborted || worker.claimed == 0 || !self.scheduler.may_recall(slot) {
            return;
        }
        let recalled = worker.claimed - kept;
        worker.tasks.truncate(kept);
        worker.claimed = kept;
        (worker.revoked, worker.is_recalled) = (true, true);
        self.scheduler.recalled(slot, recalled);
    }

    /// As the pool does it: what can be taken back is taken back first, and the worker is out of service then. Of one that is out of
    /// service, nothing is taken back, and any of its tasks may be aborted.
    pub(super) fn abort(&mut self, slot: Slot, task: usize, has_begun: bool) {
        let Some(call) = self.workers[slot].call.filter(|_| !self.workers[slot].tasks.is_empty()) else {
            return;
        };
        let index = self.workers[slot].tasks[task % self.workers[slot].tasks.len()];
        if self.revocation == Revocation::Supported {
            let in_service = |slot: &Slot| self.workers[*slot].ready;
            let holders: Vec<Slot> = self.scheduler.workers_of(call).iter().copied().filter(in_service).collect();
            holders.into_iter().for_each(|slot| self.take_back(slot, usize::MAX));
        }
        let Some((holder, place)) = self.scheduler.holder_of(call, index) else {
            return;
        };
        if holder != slot || place > 0 && self.workers[slot].ready {
            return;
        }
        let has_begun = has_begun && place == 0 && self.workers[slot].claimed > 0;
        let done = self.scheduler.abort((slot, place), has_begun, &TaskErrorKind::Cancelled).unwrap();
        assert_eq!(
            (done.first_index, done.count, done.attempts > 0),
            (index, 1, has_begun || !done.earlier.is_empty())
        );
        assert!(self.scheduler.holder_of(call, index).is_none(), "a task is aborted twice");
        let known = self.calls.get_mut(&call).unwrap();
        assert!(known.done.insert(index), "task {index} has two outcomes");
        known.bytes_done += done.argument_bytes;
        self.workers[slot].is_aborted = true;
        self.suspend(slot);
    }

    /// Lets every call end, as a pool with living workers would.
    pub(in crate::pool::scheduler::tests) fn settle(&mut self) {
        while !self.parcels.is_empty() {
            self.end_parcel(0, false);
        }
        for slot in 0..self.workers.len() {
            if !self.workers[slot].ready {
                self.lose(slot, false);
            }
            self.start(slot);
        }
        for _ in 0..10_000 {
            self.retire();
            (0..self.workers.len()).for_each(|slot| self.start(slot));
            self.dispatch();
            self.check();
            self.collect();
            if self.workers.iter().all(|worker| worker.tasks.is_empty() && !worker.revoked) {
                return;
            }
            for slot in 0..self.workers.len() {
                self.claim(slot, 7);
                self.answer(slot, 7, Duration::from_micros(1));
            }
        }
        panic!("the workers have tasks for ever");
    }

    /// What holds once everything has settled.
    pub(in crate::pool::scheduler::tests) fn check_all_done(&self) {
        for call in self.open.iter().map(|call| &self.calls[call]) {
            assert_eq!(call.done, (0..call.tasks).collect());
            assert_eq!(call.bytes_done, call.bytes, "the bytes of the arguments");
        }
    }
}
