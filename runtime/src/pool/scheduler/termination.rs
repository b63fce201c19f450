//! Ends, as the scheduler sees them: of a worker, and of a call.

use super::{CallFailure, CallId, InFlight, OnCancel, Scheduler, Slot};
use crate::error::{NativeBacktrace, Printed, TaskErrorKind};
use crate::pool::chunk_size::Revocation;
use crate::task::Origin;
use crate::transport::Chunk;
use crate::transport::{CompletedTasks, Outcomes, Span};

impl Scheduler {
    /// Closes a call: its chunks that wait are dropped. The workers that still hold some of its chunks are given back; they are
    /// to be killed, or to begin nothing more.
    pub(in crate::pool) fn close(&mut self, id: CallId, on_cancel: OnCancel) -> Vec<Slot> {
        self.end_remote(id, on_cancel, None);
        let Some(call) = self.calls.remove(&id) else {
            return Vec::new();
        };
        self.placed -= usize::from(!call.is_unpinned());
        self.detach_from_call(call.workers, on_cancel)
    }

    /// Gives every task of a call that has no result this error, whose deadline that is if it is one of time: as many of a worker's as `begun` says count as executed, the last
    /// of them, which is running, first.
    /// The workers that hold some of them are given back, as by [`close`](Self::close).
    pub(in crate::pool) fn expire(
        &mut self,
        id: CallId,
        error: &TaskErrorKind,
        on_cancel: OnCancel,
        begun: impl Fn(Slot) -> u32,
    ) -> Vec<Slot> {
        self.end_remote(id, on_cancel, Some(error));
        let Some(call) = self.calls.get_mut(&id) else {
            return Vec::new();
        };
        let held = std::mem::take(&mut call.workers);
        for &slot in &held {
            let worker = &self.workers[slot];
            let mut begun = begun(slot);
            for held in &worker.chunks {
                let mut rest = held.clone();
                if begun > 0 {
                    let outcomes = || Outcomes::Error(error.clone());
                    let (before, mut done) = rest.ended(std::mem::take(&mut begun), outcomes, worker.identity(slot));
                    done.printed.clone_from(&worker.printed);
                    call.done.push(done.spanning(worker.span).of_deadline(error));
                    call.done.extend(before.map(|before| before.of_deadline(error)));
                }
                call.done.extend(rest.into_rest().map(|chunk| chunk.not_begun(error.clone()).of_deadline(error)));
            }
        }
        call.done.extend(call.backlog.drain(..).map(|chunk| chunk.not_begun(error.clone()).of_deadline(error)));
        self.detach_from_call(held, on_cancel)
    }

    /// Gives a call the outcome of a task that was taken from it or from a worker.
    pub(in crate::pool) fn ended(&mut self, id: CallId, done: CompletedTasks) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.done.push(done);
        }
    }

    /// Takes the chunk that is this one task out of those of a call that wait, with this error.
    pub(in crate::pool) fn withdraw(
        &mut self,
        id: CallId,
        index: usize,
        error: &TaskErrorKind,
    ) -> Option<CompletedTasks> {
        let backlog = &mut self.calls.get_mut(&id)?.backlog;
        let place = backlog.iter().position(|chunk| chunk.len() == 1 && chunk.index(0) == index)?;
        backlog.remove(place).map(|chunk| chunk.not_begun(error.clone()))
    }

    /// The worker that holds this one task of a call, and the task's place among what it holds.
    pub(in crate::pool) fn holder_of(&self, id: CallId, index: usize) -> Option<(Slot, usize)> {
        let is_this = |held: &InFlight| held.chunk.len() == 1 && held.chunk.index(0) == index && !held.is_aborted;
        let workers = &self.calls.get(&id)?.workers;
        workers.iter().find_map(|&slot| Some((slot, self.workers[slot].chunks.iter().position(is_this)?)))
    }

    /// The worker that is at this one task of a call, or comes to it next.
    pub(in crate::pool) fn worker_at(&self, id: CallId, index: usize) -> Option<Slot> {
        self.holder_of(id, index).filter(|(_, place)| *place == 0).map(|(slot, _)| slot)
    }

    /// The single tasks of a call that its workers are at, or come to next, and those that other machines have.
    pub(in crate::pool) fn indices_at_workers(&self, id: CallId) -> impl Iterator<Item = usize> {
        self.tasks_at_workers(id).map(|(_, index)| index).chain(self.remote_indices(id))
    }

    /// The single tasks of a call that workers are at, or come to next.
    pub(in crate::pool) fn tasks_at_workers(&self, id: CallId) -> impl Iterator<Item = (Slot, usize)> {
        self.workers_of(id).iter().filter_map(|&slot| {
            let held = self.workers[slot].chunks.front().filter(|held| !held.is_aborted)?;
            Some((slot, held.chunk.index(held.next)))
        })
    }

    /// Which execution of its task it is that a worker is at.
    pub(in crate::pool) fn attempt_at(&self, slot: Slot) -> Option<u32> {
        Some(self.workers[slot].chunks.front()?.chunk.attempt())
    }

    /// Ends the task at a place among those that a worker holds with this error. The worker is to be killed for it, unless it is out of
    /// service, and holds the task's memory until then.
    pub(in crate::pool) fn abort(
        &mut self,
        (slot, place): (Slot, usize),
        has_begun: bool,
        error: &TaskErrorKind,
    ) -> Option<CompletedTasks> {
        let worker = &mut self.workers[slot];
        let identity = worker.identity(slot);
        let held = worker.chunks.get_mut(place)?;
        held.is_aborted = true;
        Some(if has_begun {
            held.clone().done(1, Outcomes::Error(error.clone()), identity)
        } else {
            held.chunk.not_begun(error.clone())
        })
    }

    /// Handles what the task has printed that a worker was running when it ended, or is ended.
    pub(in crate::pool) fn printed(&mut self, slot: Slot, printed: Option<Box<Printed>>) {
        self.workers[slot].printed = printed;
    }

    /// Notes when the task began that a worker was at, and when it was ended, where it is known.
    pub(in crate::pool) fn ran(&mut self, slot: Slot, span: Option<Span>) {
        self.workers[slot].span = span;
    }

    /// Notes which functions a worker was in when it ended.
    pub(in crate::pool) fn ended_at(&mut self, slot: Slot, native: Option<NativeBacktrace>) {
        self.workers[slot].native = native;
    }

    /// Records that workers hold chunks of a call no more; returns those that are to be killed for them, or to begin nothing more of
    /// them. A worker that has yet to tell that it does not run what was recalled has none, and is left alone.
    fn detach_from_call(&mut self, mut held: Vec<Slot>, on_cancel: OnCancel) -> Vec<Slot> {
        held.iter().for_each(|&slot| self.workers[slot].call = None);
        held.retain(|&slot| !self.is_in_lone_recall(slot));
        for &slot in &held {
            let worker = &mut self.workers[slot];
            match on_cancel {
                OnCancel::Kill => {
                    worker.ready = false;
                    worker.drop_chunks();
                    self.busy.remove(&slot);
                }
                OnCancel::Finish => worker.revoked |= self.revocation == Revocation::Unsupported,
            }
        }
        held
    }

    /// Records that a worker is gone. If it had begun its next task, that gets this error; without one, it goes with its
    /// call, and where the call allows it and it died by itself, it is executed again, alone. The tasks behind it move on, in
    /// halves of their chunks. Had it begun more than one, to give their results together, they all get the error, the last first,
    /// which was running. If it had begun none, its first task is suspected at most (rule 9).
    pub(in crate::pool) fn lost(&mut self, slot: Slot, begun: u32, death: Option<(TaskErrorKind, Origin)>) {
        let has_begun = begun > 0;
        let (error, origin) = death.unzip();
        let mut worker = std::mem::take(&mut self.workers[slot]);
        self.busy.remove(&slot);
        self.idle.retain(|&idle| idle != slot);
        self.hook_lost(slot, &mut worker, error.clone());
        let Some(call) = worker.call.and_then(|id| self.calls.get_mut(&id)) else {
            return;
        };
        call.workers.retain(|&other| other != slot);
        let identity = worker.identity(slot);
        let mut chunks = worker.chunks;
        let mut suspect = None;
        if chunks.front().is_some_and(|first| first.is_aborted) {
            // It has its outcome, and no other had begun: what was not claimed had been taken back.
            chunks.pop_front();
        } else if let Some(first) = chunks.front_mut()
            && (has_begun || origin.is_some_and(|origin| first.is_first && first.chunk.died_alone(origin)))
        {
            let may_run_again = deaths(first.chunk.earlier()) + 1 < call.attempts_of(&first.chunk);
            match error {
                Some(error) if may_run_again && is_death(&error) => {
                    if let Some(mut rest) = chunks.pop_front().and_then(InFlight::into_rest) {
                        chunks.push_front(InFlight::behind(rest.split(1)));
                        if let Some(events) = &call.events {
                            let span = worker.span.filter(|_| has_begun);
                            events.lost(rest.index(0), rest.attempt(), identity, &error, span);
                        }
                        let again_nanos = worker.span.map_or(rest.handed_nanos(), |span| span.ended_nanos);
                        self.totals.retried += 1;
                        suspect = Some(rest.again(error).handed(again_nanos));
                    }
                }
                Some(error) => {
                    let outcomes = || Outcomes::Error(error.clone());
                    let (before, mut done) = first.ended(begun, outcomes, identity);
                    done.printed = worker.printed.filter(|_| has_begun);
                    done.native = worker.native.filter(|_| has_begun);
                    call.done.push(done.spanning(worker.span.filter(|_| has_begun)));
                    call.done.extend(before);
                }
                None => first.next += (begun as usize).min(first.left()),
            }
        } else if origin.is_some() && chunks.front().is_some_and(|first| first.is_first && !first.chunk.is_suspect()) {
            suspect = chunks.pop_front().and_then(InFlight::into_rest).map(|mut first| {
                chunks.push_front(InFlight::behind(first.split(1)));
                first.suspect();
                first
            });
        }
        // What was aborted has its outcome.
        let rest = chunks.into_iter().filter(|held| !held.is_aborted);
        for mut chunk in rest.filter_map(InFlight::into_rest) {
            if chunk.len() > 1 {
                call.line_up(chunk.split(chunk.len() / 2));
            }
            call.line_up(chunk);
        }
        if let Some(suspect) = suspect {
            call.line_up(suspect);
        }
    }

    /// Returns the chunks that a worker holds, those of ended calls included. They must be kept for as long as the worker lives.
    pub(in crate::pool) fn chunks_until_reaped(&mut self, slot: Slot) -> Vec<Chunk> {
        let worker = &mut self.workers[slot];
        let held = worker.chunks.iter().map(|held| held.chunk.clone());
        held.chain(std::mem::take(&mut worker.lent)).collect()
    }

    /// Fails every open call; returns whether there was one.
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

/// Whether a task ended because its worker died by itself, and not by a limit.
fn is_death(error: &TaskErrorKind) -> bool {
    matches!(
        error,
        TaskErrorKind::Crashed { .. }
            | TaskErrorKind::MemoryLimit { .. }
            | TaskErrorKind::Denied { .. }
            | TaskErrorKind::Panicked { .. }
    )
}

/// How many of these executions died. Where a panic is no death, a task that panicked runs again only as one that failed.
pub(crate) fn deaths(earlier: &[TaskErrorKind]) -> u32 {
    let died = |error: &&TaskErrorKind| {
        is_death(error) && (cfg!(panic = "abort") || !matches!(error, TaskErrorKind::Panicked { .. }))
    };
    u32::try_from(earlier.iter().filter(died).count()).unwrap_or(u32::MAX)
}
