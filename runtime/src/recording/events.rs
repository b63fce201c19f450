//! What happens to workers while a call is open, as the pool's threads note it for the call.

use std::time::Duration;

use crate::error::TaskErrorKind;
use crate::locks::{Lock, Rank, Ranked};
use crate::sys;
use crate::task::WorkerIdentity;
use crate::transport::Span;

/// What was noted and not taken yet.
#[derive(Default)]
pub(crate) struct CallEvents(Lock<NotedEvents>);

#[derive(Default)]
pub(super) struct NotedEvents {
    pub(super) lost: Vec<LostExecution>,
    pub(super) workers: Vec<NotedWorker>,
}

impl Ranked for NotedEvents {
    const RANK: Rank = Rank::CallEvents;
}

/// An execution that ended with its worker, of a task that is executed again.
pub(super) struct LostExecution {
    pub(super) index: usize,
    pub(super) attempt: u32,
    pub(super) worker: WorkerIdentity,
    pub(super) kind: TaskErrorKind,
    pub(super) span: Option<Span>,
}

/// What has happened to a worker, and when, by the clock that processes share.
pub(super) struct NotedWorker {
    pub(super) worker: usize,
    pub(super) pid: u32,
    pub(super) at_nanos: u64,
    pub(super) event: WorkerEvent,
}

/// What happens to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerEvent {
    /// It has said hello, so long after its process was made.
    Ready(Duration),
    /// It has ended as the pool wanted it.
    Ended,
    /// It has ended otherwise, as this says.
    Died(String),
}

impl CallEvents {
    /// A task is executed again, as its worker has ended.
    pub(crate) fn lost(
        &self,
        index: usize,
        attempt: u32,
        worker: WorkerIdentity,
        kind: &TaskErrorKind,
        span: Option<Span>,
    ) {
        self.0.lock().lost.push(LostExecution { index, attempt, worker, kind: kind.clone(), span });
    }

    /// Something has happened to a worker.
    pub(crate) fn happened(&self, worker: usize, pid: u32, event: WorkerEvent) {
        let noted = NotedWorker { worker, pid, at_nanos: sys::monotonic_nanos(), event };
        self.0.lock().workers.push(noted);
    }

    pub(super) fn take(&self) -> NotedEvents {
        std::mem::take(&mut *self.0.lock())
    }
}
