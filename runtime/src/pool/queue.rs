//! Who does what: calls, their chunks, and the workers that hold them. Pure bookkeeping: no I/O, no clock, no process.
//!
//! 1. A worker holds chunks of one call at a time, so that ending a call early never costs another call's task.
//! 2. A worker tells which chunk it begins, runs the tasks of its chunks in order, and answers each before the next. So the
//!    first task without an answer of a chunk that was begun is the one that was running when the worker died; the others
//!    had not begun, and go to another worker.
//! 3. A task has one outcome. It is given to the call when the answer arrives, and the task is forgotten here.
//! 4. A worker that is free goes to the call with the fewest workers, and among those to the one that has waited longest;
//!    and no call fills up the workers it has while another has none.
//! 5. A chunk waits behind another at a worker only while the call's chunks are short and of many tasks: a task should not
//!    wait for a long one while another worker is idle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::chunk_size::ChunkSize;
use crate::error::{StartFailure, TaskErrorKind};
use crate::task::{Done, Outcome};
use crate::wire::{Chunk, Violation};

/// A call that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(u64);

/// A worker's place in the pool.
pub(super) type Slot = usize;

/// A frame to send to a worker.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) slot: Slot,
    pub(super) frame: Arc<[u8]>,
}

/// What happens to workers that hold chunks of a call when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Running {
    Kill,
    Finish,
}

/// A worker's answer for one task.
pub(super) struct Answer {
    pub(super) chunk: u64,
    pub(super) position: u32,
    /// How long the task took.
    pub(super) elapsed: Duration,
    pub(super) outcome: Outcome,
    pub(super) result_bytes: usize,
}

/// A chunk that so many workers died with before they began it is taken for the cause, and its first task gets the blame.
const MOVES_MAX: u32 = 3;

/// Why a call as a whole has failed.
#[derive(Clone)]
pub(crate) enum CallFailure {
    Start(StartFailure),
    PoolClosed,
}

pub(super) struct Queue {
    calls: BTreeMap<CallId, Call>,
    workers: Vec<Worker>,
    /// Ready workers without chunks, the longest idle first.
    idle: VecDeque<Slot>,
    next_call: u64,
    next_chunk: u64,
}

#[derive(Default)]
struct Worker {
    ready: bool,
    pid: u32,
    /// The call whose chunks it holds; none of a call that has ended.
    call: Option<CallId>,
    chunks: VecDeque<Held>,
    /// It was asked to begin nothing more, and has not answered.
    revoked: bool,
}

/// A chunk that a worker has.
struct Held {
    id: u64,
    chunk: Chunk,
    begun: bool,
    /// The position of the first task without an answer.
    next: usize,
    /// The time that its answered tasks took.
    elapsed: Duration,
}

struct Call {
    failure: Option<CallFailure>,
    backlog: VecDeque<Chunk>,
    done: Vec<Done>,
    chunk_size: ChunkSize,
    workers: Vec<Slot>,
    /// The number of the last chunk that it was given a free worker for.
    served: u64,
}

impl Held {
    fn new(id: u64, chunk: Chunk) -> Self {
        Self { id, chunk, begun: false, next: 0, elapsed: Duration::ZERO }
    }

    /// The first task without an answer, with this outcome.
    fn done(&self, outcome: Outcome, result_bytes: usize, pid: u32) -> Done {
        Done {
            index: self.chunk.index(self.next),
            outcome,
            attempts: self.chunk.attempt(),
            worker_pid: Some(pid),
            argument_bytes: self.chunk.argument_bytes(self.next),
            result_bytes,
        }
    }
}

impl Queue {
    /// A queue for so many workers, none of them there yet.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            workers: (0..slots).map(|_| Worker::default()).collect(),
            idle: VecDeque::new(),
            next_call: 0,
            next_chunk: 0,
        }
    }

    /// Opens a call.
    pub(super) fn open(&mut self, chunk_size: ChunkSize) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        let call = Call {
            failure: None,
            backlog: VecDeque::new(),
            done: Vec::new(),
            chunk_size,
            workers: Vec::new(),
            served: 0,
        };
        self.calls.insert(id, call);
        id
    }

    /// Closes a call: its chunks that wait are dropped. The workers that hold some of its chunks are given back; they are
    /// to be killed, or asked to begin nothing more.
    pub(super) fn close(&mut self, id: CallId, running: Running) -> Vec<Slot> {
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
                }
                Running::Finish => worker.revoked = true,
            }
        }
        call.workers
    }

    /// Adds a worker that waits for chunks.
    pub(super) fn add_worker(&mut self, slot: Slot, pid: u32) {
        self.workers[slot] = Worker { ready: true, pid, ..Worker::default() };
        self.idle.push_back(slot);
    }

    /// Whether a worker holds chunks, be it of a call that has ended.
    pub(super) fn is_busy(&self, slot: Slot) -> bool {
        self.workers.get(slot).is_some_and(|worker| !worker.chunks.is_empty())
    }

    /// Whether a worker has begun a chunk that it has not finished.
    pub(super) fn has_begun(&self, slot: Slot) -> bool {
        self.workers[slot].chunks.front().is_some_and(|held| held.begun)
    }

    /// How many tasks the call's next chunk should have, if one is wanted now. `left` is how many are still to be read.
    pub(super) fn wanted(&self, id: CallId, left: Option<usize>) -> Option<usize> {
        let call = self.calls.get(&id)?;
        let depth = call.chunk_size.depth();
        let room_behind: usize = call
            .workers
            .iter()
            .map(|&slot| &self.workers[slot])
            .filter(|worker| worker.ready)
            .map(|worker| depth.saturating_sub(worker.chunks.len()))
            .sum();
        // One chunk more than the workers take now is ready for the one that is free first.
        let wanted = self.idle.len() + room_behind + 1;
        (call.backlog.len() < wanted).then(|| call.chunk_size.next(left, self.workers.len()))
    }

    /// Adds a chunk to a call's backlog.
    pub(super) fn push(&mut self, id: CallId, chunk: Chunk) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.backlog.push_back(chunk);
        }
    }

    /// Gives a chunk that waits to a worker that takes one, if there are both.
    pub(super) fn assign(&mut self) -> Option<Assignment> {
        let (id, slot) = self.idle_assignment().or_else(|| self.next_in_line())?;
        let call = self.calls.get_mut(&id)?;
        let mut chunk = call.backlog.pop_front()?;
        let worker = &mut self.workers[slot];
        self.next_chunk += 1;
        let chunk_id = self.next_chunk;
        if worker.chunks.is_empty() {
            self.idle.retain(|&idle| idle != slot);
            worker.call = Some(id);
            call.workers.push(slot);
            call.served = chunk_id;
        }
        let frame = chunk.seal(chunk_id);
        worker.chunks.push_back(Held::new(chunk_id, chunk));
        Some(Assignment { slot, frame })
    }

    /// An idle worker, and the call with the fewest workers among those that wait for one.
    fn idle_assignment(&self) -> Option<(CallId, Slot)> {
        let &slot = self.idle.front()?;
        let (&id, _) = self
            .calls
            .iter()
            .filter(|(_, call)| !call.backlog.is_empty())
            .min_by_key(|(_, call)| (call.workers.len(), call.served))?;
        Some((id, slot))
    }

    /// A worker that takes another chunk of the call whose chunks it holds, unless a call waits for a worker (rule 4).
    fn next_in_line(&self) -> Option<(CallId, Slot)> {
        let starving = self.calls.values().any(|call| !call.backlog.is_empty() && call.workers.is_empty());
        if starving {
            return None;
        }
        self.calls.iter().filter(|(_, call)| !call.backlog.is_empty()).find_map(|(&id, call)| {
            let depth = call.chunk_size.depth();
            let slot = call
                .workers
                .iter()
                .copied()
                .filter(|&slot| {
                    let worker = &self.workers[slot];
                    worker.ready && worker.chunks.len() < depth
                })
                .min_by_key(|&slot| self.workers[slot].chunks.len())?;
            Some((id, slot))
        })
    }

    /// Takes in that a worker begins a chunk.
    pub(super) fn begun(&mut self, slot: Slot, chunk: u64) -> Result<(), Violation> {
        let held = self.workers[slot]
            .chunks
            .front_mut()
            .filter(|held| held.id == chunk && !held.begun)
            .ok_or_else(|| Violation::new("it began a chunk that was not its next"))?;
        held.begun = true;
        Ok(())
    }

    /// Takes in a worker's answer for one task.
    pub(super) fn answered(&mut self, slot: Slot, answer: Answer) -> Result<(), Violation> {
        let worker = &mut self.workers[slot];
        let held = worker
            .chunks
            .front_mut()
            .filter(|held| held.begun && held.id == answer.chunk && held.next == answer.position as usize)
            .ok_or_else(|| Violation::new("it answered a task that it was not running"))?;
        let mut call = worker.call.and_then(|id| self.calls.get_mut(&id));
        if let Some(call) = &mut call {
            call.done.push(held.done(answer.outcome, answer.result_bytes, worker.pid));
        }
        held.next += 1;
        held.elapsed += answer.elapsed;
        if held.next == held.chunk.len() {
            if let Some(call) = call {
                call.chunk_size.observe(held.chunk.len(), held.elapsed);
            }
            worker.chunks.pop_front();
            if worker.chunks.is_empty() && !worker.revoked {
                self.release(slot);
            }
        }
        Ok(())
    }

    /// Takes in that a worker begins nothing more of the chunks that it holds.
    pub(super) fn returned(&mut self, slot: Slot) -> Result<(), Violation> {
        let worker = &mut self.workers[slot];
        if !worker.revoked {
            return Err(Violation::new("it returned chunks that it was not asked for"));
        }
        worker.revoked = false;
        worker.chunks.clear();
        self.release(slot);
        Ok(())
    }

    /// Takes in that a worker is gone. The task that it was running gets this error; without one, it goes with its call.
    /// The tasks behind it move on.
    pub(super) fn lost(&mut self, slot: Slot, error: Option<TaskErrorKind>) {
        let worker = std::mem::take(&mut self.workers[slot]);
        self.idle.retain(|&idle| idle != slot);
        let Some(call) = worker.call.and_then(|id| self.calls.get_mut(&id)) else {
            return;
        };
        call.workers.retain(|&other| other != slot);
        let mut chunks = worker.chunks;
        if let Some(mut first) = chunks.pop_front() {
            if first.begun || first.chunk.moved() > MOVES_MAX {
                call.done.extend(error.map(|error| first.done(Outcome::Error(error), 0, worker.pid)));
                first.chunk = first.chunk.split_off(first.next + 1);
            }
            chunks.push_front(first);
        }
        for held in chunks.into_iter().rev() {
            if held.chunk.len() > 0 {
                call.backlog.push_front(held.chunk);
            }
        }
    }

    fn release(&mut self, slot: Slot) {
        let worker = &mut self.workers[slot];
        if let Some(call) = worker.call.take().and_then(|id| self.calls.get_mut(&id)) {
            call.workers.retain(|&other| other != slot);
        }
        if worker.ready {
            self.idle.push_back(slot);
        }
    }

    /// Takes a worker out of service; it keeps its chunks until it is known how it ended.
    pub(super) fn suspend(&mut self, slot: Slot) {
        if let Some(worker) = self.workers.get_mut(slot) {
            worker.ready = false;
            self.idle.retain(|&idle| idle != slot);
        }
    }

    /// Fails every open call; tells whether there was one.
    pub(super) fn fail_calls(&mut self, failure: &CallFailure) -> bool {
        for call in self.calls.values_mut() {
            call.failure.get_or_insert_with(|| failure.clone());
        }
        !self.calls.is_empty()
    }

    /// Why a call has failed, if it has.
    pub(super) fn failure(&self, id: CallId) -> Option<CallFailure> {
        self.calls.get(&id)?.failure.clone()
    }

    /// Takes what has been done of a call.
    pub(super) fn take_done(&mut self, id: CallId) -> Vec<Done> {
        self.calls.get_mut(&id).map(|call| std::mem::take(&mut call.done)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
