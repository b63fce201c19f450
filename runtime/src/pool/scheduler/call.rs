//! A call, as the scheduler sees it, and what it asks for.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{CallId, POOL, Scheduler, Slot, Worker};
use crate::error::{Error, Kind, StartFailure};
use crate::pool::chunk_size::{ChunkSize, TARGET, TARGET_FOLDED};
use crate::recording::CallEvents;
use crate::task::Limits;
use crate::transport::Chunk;
use crate::transport::CompletedTasks;

/// The rules of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallRules {
    /// How many tasks travel together, if not as many as measured times say.
    pub(crate) chunk_size: Option<usize>,
    /// How often a task is executed whose worker dies.
    pub(crate) attempts: u32,
    /// The limits of each task.
    pub(crate) limits: Limits,
    pub(crate) pace: Consumer,
    /// Workers fold outputs, so chunks are larger, and are run as a whole.
    pub(crate) is_folded: bool,
    pub(crate) placement: Placement,
    /// The priority of each task.
    pub(crate) priority: i32,
}

/// Which workers the tasks of a call go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    Anywhere,
    /// Each to the worker with its index.
    OneForEach,
}

/// How the consumer of a call's results decides when the call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// A thread that waits for all of it.
    Waited,
    /// The consumer pulls an iterator, or does not.
    Pulled,
    /// The consumer polls a stream, or does not. Between polls the thread of `streams` waits for it.
    #[cfg_attr(not(feature = "stream"), allow(dead_code, reason = "streams alone poll a call"))]
    Polled,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            chunk_size: None,
            attempts: 1,
            limits: Limits::default(),
            pace: Consumer::Waited,
            is_folded: false,
            placement: Placement::Anywhere,
            priority: 0,
        }
    }
}

/// Why a call as a whole has failed.
#[derive(Clone)]
pub(crate) enum CallFailure {
    Start(StartFailure),
    PoolClosed,
    /// The pool is that of the process that this one was forked from.
    Forked,
}

impl From<CallFailure> for Error {
    fn from(failure: CallFailure) -> Self {
        Self::new(match failure {
            CallFailure::Start(failure) => Kind::Start(failure),
            CallFailure::PoolClosed => Kind::Closed,
            CallFailure::Forked => Kind::Forked(POOL),
        })
    }
}

pub(super) struct OpenCall {
    pub(super) rules: CallRules,
    pub(super) failure: Option<CallFailure>,
    pub(super) backlog: VecDeque<Chunk>,
    pub(super) done: Vec<CompletedTasks>,
    pub(super) chunk_size: ChunkSize,
    pub(super) workers: Vec<Slot>,
    /// How many tasks are still to be read, if that was known when it was asked last.
    pub(super) left: Option<usize>,
    /// Other machines have had tasks of it.
    pub(super) is_remote: bool,
    /// Its tasks are not so short that the first would have ended: all workers get some.
    pub(super) is_ramped_up: bool,
    /// The number of the last time that it was given a free worker.
    pub(super) served: u64,
    /// Where what happens to its workers is noted, if it is.
    pub(super) events: Option<Arc<CallEvents>>,
}

impl OpenCall {
    /// A call without tasks, whose chunks are so large.
    pub(super) fn new(rules: CallRules, chunk_size: Option<usize>) -> Self {
        Self {
            rules,
            failure: None,
            backlog: VecDeque::new(),
            done: Vec::new(),
            chunk_size: ChunkSize::new(chunk_size, if rules.is_folded { TARGET_FOLDED } else { TARGET }),
            workers: Vec::new(),
            left: None,
            is_remote: false,
            is_ramped_up: false,
            served: 0,
            events: None,
        }
    }

    /// The limits of each task of a chunk.
    pub(super) fn limits_of(&self, chunk: &Chunk) -> Limits {
        chunk.rules().map_or(self.rules.limits, |rules| rules.limits)
    }

    /// How often a task of a chunk is executed if its worker dies.
    pub(super) fn attempts_of(&self, chunk: &Chunk) -> u32 {
        chunk.rules().map_or(self.rules.attempts, |rules| rules.attempts)
    }

    /// The priority of each task of a chunk.
    pub(super) fn priority_of(&self, chunk: &Chunk) -> i32 {
        chunk.rules().map_or(self.rules.priority, |rules| rules.priority)
    }
}

impl Scheduler {
    /// Whether nothing is to be waited for, beside this call: the other calls are closed, or nobody pulls them and their workers
    /// have nothing to do.
    pub(in crate::pool) fn is_at_rest(&self, but: CallId) -> bool {
        let is_at_rest = |id: CallId, call: &OpenCall| {
            let has_nothing = call.backlog.is_empty() && call.workers.is_empty() && !self.is_remote(id);
            call.failure.is_some() || (call.rules.pace != Consumer::Waited && has_nothing)
        };
        self.calls.iter().all(|(&id, call)| id == but || is_at_rest(id, call))
    }

    /// How many calls are open for which a thread of the caller's may wait: all but those of streams.
    pub(in crate::pool) fn calls_of_threads(&self) -> usize {
        self.calls.values().filter(|call| call.rules.pace != Consumer::Polled).count()
    }

    /// Whether a call is open for all of which a thread waits, and which has not failed.
    pub(in crate::pool) fn has_waited_call(&self) -> bool {
        self.calls.values().any(|call| call.rules.pace == Consumer::Waited && call.failure.is_none())
    }

    /// Whether a call has results that nobody has taken, has failed, or is closed.
    pub(in crate::pool) fn has_news(&self, id: CallId) -> bool {
        self.calls.get(&id).is_none_or(|call| !call.done.is_empty() || call.failure.is_some())
    }

    /// Has what happens to workers noted for a call.
    pub(in crate::pool) fn observe_call(&mut self, id: CallId, events: Arc<CallEvents>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.events = Some(events);
        }
    }

    /// Where what happens to workers is noted: for each call that asks for it.
    pub(in crate::pool) fn observers(&self) -> impl Iterator<Item = &Arc<CallEvents>> {
        self.calls.values().filter_map(|call| call.events.as_ref())
    }

    /// Changes how many workers there are to be. Those beyond it are to be exhausted.
    pub(in crate::pool) fn resize(&mut self, size: usize) {
        self.size = size;
        if self.workers.len() < size {
            self.workers.resize_with(size, Worker::default);
        }
        self.cancel_placed_beyond(size);
    }
}
