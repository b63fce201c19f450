//! A worker as the scheduler knows it, and the chunks that it holds.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::chunk_size::{DEEP_TASKS_MIN, Revocation};
use super::{CallId, Slot};
use crate::error::{NativeBacktrace, Printed};
use crate::functions;
use crate::task::WorkerIdentity;
use crate::transport::Chunk;
use crate::transport::{CompletedTasks, Outcomes, Span};

/// When in a worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) enum Hook {
    Initializer,
    Finalizer,
}

#[derive(Default)]
pub(super) struct Worker {
    pub(super) ready: bool,
    pub(super) pid: u32,
    /// The call whose chunks it holds; none of a call that has ended.
    pub(super) call: Option<CallId>,
    pub(super) chunks: VecDeque<InFlight>,
    /// The tasks of its chunks that have no result.
    pub(super) tasks: usize,
    /// The call that it has given a result of last. Of another, nobody knows how long its tasks take there.
    pub(super) answered: Option<CallId>,
    /// How many tasks more it may be given, if that has an end.
    pub(super) quota: Option<usize>,
    /// It is given nothing more, whatever comes back from it.
    pub(super) is_draining: bool,
    /// Its unclaimed tasks were taken back, because it is at a task for long. It gets nothing behind that task.
    pub(super) is_stalled: bool,
    /// It was asked to begin nothing more, and has not reported all that it had.
    pub(super) revoked: bool,
    /// The initializer or finalizer that it runs, if it runs one.
    pub(super) hook: Option<Hook>,
    /// It has run its finalizer, or is to.
    pub(super) is_finalized: bool,
    /// The chunks that it is killed for, or of which tasks were recalled. It may read their arguments, and write where they allow it, until it has ended.
    pub(super) lent: Vec<Chunk>,
    /// The output that its running task printed, once it is known that the task has no result.
    pub(super) printed: Option<Box<Printed>>,
    /// When that task began and when it was ended, where it is known.
    pub(super) span: Option<Span>,
    /// The calls that it was at when it ended.
    pub(super) native: Option<NativeBacktrace>,
}

impl Worker {
    /// The time that its tasks take, at so much for one.
    pub(super) fn time(&self, per_task: Duration) -> Duration {
        per_task.saturating_mul(u32::try_from(self.tasks).unwrap_or(u32::MAX))
    }

    /// Takes its chunks from it, which is killed for them.
    pub(super) fn drop_chunks(&mut self) {
        let chunks = std::mem::take(&mut self.chunks);
        self.lent.extend(chunks.into_iter().map(|held| held.chunk));
        self.tasks = 0;
    }

    /// Its process, with its place.
    pub(super) fn identity(&self, slot: Slot) -> WorkerIdentity {
        WorkerIdentity { slot, pid: self.pid }
    }

    /// Records that it has not begun so many tasks.
    pub(super) fn give_back(&mut self, tasks: usize) {
        if !self.is_draining {
            self.quota = self.quota.map(|quota| quota + tasks);
        }
    }

    /// Whether it takes another chunk behind those it has. Where chunks cannot be taken back, nothing goes behind one of few tasks: such
    /// are the last of a call, and one of them may be long while others are short.
    pub(super) fn takes_more(&self, depth: usize, revocation: Revocation) -> bool {
        let is_alone = self.is_stalled || self.chunks.front().is_some_and(|held| held.chunk.is_suspect());
        let depth = if self.answered == self.call && !is_alone { depth } else { 1 };
        let is_held_up =
            revocation == Revocation::Unsupported && self.chunks.iter().any(|held| held.chunk.len() < DEEP_TASKS_MIN);
        self.ready && !self.revoked && self.quota != Some(0) && self.chunks.len() < depth && !is_held_up
    }

    /// The chunk and the position of the task behind the one that it is at.
    pub(super) fn second(&self) -> Option<(&Chunk, usize)> {
        let first = self.chunks.front()?;
        let of_next = || self.chunks.get(1).map(|held| (&held.chunk, held.next));
        if first.left() > 1 { Some((&first.chunk, first.next + 1)) } else { of_next() }
    }
}

/// A chunk that a worker has.
#[derive(Clone)]
pub(super) struct InFlight {
    pub(super) chunk: Chunk,
    /// The position of the first task without a result.
    pub(super) next: usize,
    /// The worker had nothing else when it was given the chunk, and has finished no task since.
    pub(super) is_first: bool,
    /// It is one task that has its outcome, and for which the worker is killed.
    pub(super) is_aborted: bool,
}

impl InFlight {
    /// A chunk behind others, or one whose place says nothing.
    pub(super) fn behind(chunk: Chunk) -> Self {
        Self { chunk, next: 0, is_first: false, is_aborted: false }
    }

    pub(super) fn left(&self) -> usize {
        self.chunk.len() - self.next
    }

    /// The next `count` tasks, with their outcomes.
    pub(super) fn done(&mut self, count: usize, outcomes: Outcomes, worker: WorkerIdentity) -> CompletedTasks {
        let argument_bytes = self.take_weight(count);
        let chunk = &self.chunk;
        let first_index = chunk.index(self.next);
        self.next += count;
        self.is_first = false;
        CompletedTasks {
            first_index,
            count,
            outcomes,
            attempts: chunk.attempt(),
            earlier: chunk.earlier().to_vec(),
            worker: Some(worker),
            argument_bytes,
            printed: None,
            native: None,
            is_late: false,
            ran: None,
            arguments: None,
        }
        .with_arguments(functions::is_measured(chunk.head().function), || chunk.arguments())
    }

    /// The next `begun` tasks, or the next one, which end like this: those before the last, if there are any, and the last, which
    /// was running.
    pub(super) fn ended(
        &mut self,
        begun: u32,
        outcomes: impl Fn() -> Outcomes,
        worker: WorkerIdentity,
    ) -> (Option<CompletedTasks>, CompletedTasks) {
        let before = (begun as usize).min(self.left()).saturating_sub(1);
        let before = (before > 0).then(|| self.done(before, outcomes(), worker));
        (before, self.done(1, outcomes(), worker))
    }

    /// All tasks that are left, as a chunk.
    pub(super) fn into_rest(mut self) -> Option<Chunk> {
        let left = self.left();
        (left > 0).then(|| self.split_back(left))
    }

    /// The last `count` tasks, as a chunk of their own.
    pub(super) fn split_back(&mut self, count: usize) -> Chunk {
        let weight = self.take_weight(count);
        let mut back = self.chunk.split_off(self.chunk.len() - count);
        back.weight = weight;
        back
    }

    fn take_weight(&mut self, count: usize) -> usize {
        let weight = self.chunk.weight * count / self.left().max(1);
        self.chunk.weight -= weight;
        weight
    }
}
