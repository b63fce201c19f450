//! Tasks of a map that failed, and are executed again after a wait.
//!
//! 1. Of each chunk that is sent, its memory is kept until every task of it has an outcome.
//! 2. Outcomes that arrive take along the chunk that they are of, until they are decoded: only then is it known which have failed.
//! 3. A task that is executed again is cut out of it as a chunk of its own. It stays one of the tasks that are read and not yet
//!    yielded, with its bytes and those of its earlier outcomes, so the window, the order and the end of the call hold.
//! 4. Once the call's time is over, or no worker can be started, nothing is executed again, and what waits ends with that.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Engine, ResultDecoder};
use crate::error::{TaskError, TaskErrorKind};
use crate::transport::Chunk;
use crate::transport::CompletedTasks;

/// The arguments that are kept for tasks that may fail.
#[derive(Default)]
pub(super) struct Retries {
    /// The chunks that were sent, by the index of their first task, and how many of their tasks have no outcome.
    sent: BTreeMap<usize, (Chunk, usize)>,
    /// The same for tasks that were sent again, each alone.
    sent_again: BTreeMap<usize, Chunk>,
    /// Tasks that wait until they are sent again, by the time and their index.
    waiting: BTreeMap<(Instant, usize), Chunk>,
    /// The call's time is over, or it has no workers.
    is_over: bool,
}

impl Retries {
    pub(super) fn sent(&mut self, chunk: &Chunk) {
        self.sent.insert(chunk.index(0), (chunk.clone(), chunk.len()));
    }

    /// When the next task is to be sent again.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// The chunk that tasks which have their outcomes are of.
    fn arrived(&mut self, done: &CompletedTasks) -> Option<Chunk> {
        if let Some(alone) = self.sent_again.remove(&done.first_index) {
            return Some(alone);
        }
        // A row that did not encode is of no chunk.
        let before = self.sent.range_mut(..=done.first_index).next_back();
        let (&first, (chunk, left)) = before.filter(|(first, (chunk, _))| done.first_index < **first + chunk.len())?;
        *left = left.saturating_sub(done.count);
        let (chunk, is_done) = (chunk.clone(), *left == 0);
        if is_done {
            self.sent.remove(&first);
        }
        Some(chunk)
    }
}

impl Engine {
    /// Whether tasks that fail may be executed again.
    pub(in crate::map) fn executes_again(&self) -> bool {
        self.again.is_some()
    }

    /// Records tasks that have an outcome, of no worker, and takes them in.
    pub(super) fn arrived(&mut self, mut done: CompletedTasks) {
        self.record(std::slice::from_mut(&mut done));
        self.recorded(done);
    }

    /// Takes in tasks that have an outcome, which is recorded.
    pub(super) fn recorded(&mut self, done: CompletedTasks) {
        let chunk = self.again.as_mut().and_then(|again| again.arrived(&done));
        let known = chunk.as_ref().map_or(0, |chunk| chunk.earlier().len());
        self.executed_again(done.earlier.len().saturating_sub(known));
        // Of those that may be executed again it is the last that counts.
        if !self.executes_again() {
            self.has_outcomes(&done);
        }
        self.ready.push_back(ResultDecoder::new(done, self.shared.output()).of_chunk(chunk));
    }

    /// Lets a task that has failed wait for its next execution, if there is to be one. `bytes` are those that it and its outcome
    /// count for.
    #[cold]
    pub(super) fn try_again(&mut self, error: &TaskError, bytes: usize) -> bool {
        let Some(again) = self.again.as_mut().filter(|again| !again.is_over) else {
            return false;
        };
        let Some(chunk) = self.ready.front().and_then(ResultDecoder::chunk) else {
            return false;
        };
        let Some(at) = self.options.retry.wait_after(error).and_then(|wait| Instant::now().checked_add(wait)) else {
            return false;
        };
        let causes = error.causes().cloned().collect();
        let mut alone = chunk.alone_again(error.index() - chunk.index(0), error.attempts(), causes);
        alone.weight = bytes;
        again.waiting.insert((at, error.index()), alone);
        self.executed_again(1);
        true
    }

    /// Saves a task that is not executed again, where it is to be saved.
    #[cold]
    pub(super) fn save_last(&mut self, error: TaskError) -> TaskError {
        match self.ready.front_mut() {
            // A row that did not encode is of no chunk, and is done with.
            Some(batch) if batch.chunk().is_some() => batch.save(error),
            _ => error,
        }
    }

    /// Sends the tasks again whose time has come.
    pub(super) fn send_again(&mut self, now: Instant) {
        let Some(again) = &mut self.again else {
            return;
        };
        while let Some(first) = again.waiting.first_entry()
            && first.key().0 <= now
        {
            let ((_, index), chunk) = first.remove_entry();
            again.sent_again.insert(index, chunk.clone());
            self.shared.push(self.call, chunk);
        }
    }

    /// Ends the tasks that wait with this error: nothing is executed again.
    pub(super) fn expire_waiting(&mut self, error: &TaskErrorKind) {
        let Some(again) = &mut self.again else {
            return;
        };
        again.is_over = true;
        for chunk in std::mem::take(&mut again.waiting).into_values() {
            self.arrived(chunk.not_begun(error.clone()).of_deadline(error));
        }
    }
}
