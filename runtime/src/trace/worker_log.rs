//! A worker as its channel listens to it. It is asked under the lock of the pool, and runs nothing of the program's.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;

use super::call_log::{CallKind, CallLog};
use super::call_sites::level_number;
use super::reader::WorkerSource;
use super::record::{LIFECYCLE, TICKET_SHIFT};

/// A worker that somebody may listen to.
#[derive(Default)]
pub(crate) struct WorkerLog {
    worker: usize,
    pid: u32,
    state: State,
}

/// How it is listened to.
#[derive(Default)]
enum State {
    /// It has had no task of a call that somebody listens to.
    #[default]
    Unasked,
    Open(Arc<WorkerSource>),
    /// It has ended, or there was no descriptor or no thread for it.
    Closed,
}

impl WorkerLog {
    /// Sets the worker's place in its pool, and its process.
    pub(crate) fn set_worker(&mut self, worker: usize, pid: u32) {
        (self.worker, self.pid) = (worker, pid);
    }

    /// Returns the word that a chunk of this call says, and the descriptor that the worker must be sent before: 0 and none where nobody
    /// listens.
    pub(crate) fn word(&mut self, log: &CallLog) -> (u64, Option<OwnedFd>) {
        let (CallLog(Some(call)), Some(level)) = (log, LevelFilter::current().into_level()) else {
            return (0, None);
        };
        let mut new = None;
        if matches!(self.state, State::Unasked) {
            self.state = match WorkerSource::open(self.worker, self.pid) {
                Ok((source, theirs)) => {
                    new = Some(theirs);
                    State::Open(source)
                }
                // Its tasks run all the same.
                Err(_) => State::Closed,
            };
        }
        let State::Open(source) = &self.state else {
            return (0, None);
        };
        source.expect(call);
        let lifecycle = if call.kind == CallKind::Lifecycle { LIFECYCLE } else { 0 };
        (call.ticket << TICKET_SHIFT | lifecycle | u64::from(level_number(&level)), new)
    }

    /// Results of the worker were taken.
    #[inline]
    pub(crate) fn note_results(&self) {
        if let State::Open(source) = &self.state {
            source.note_results();
        }
    }

    /// The worker has ended, or is given up.
    pub(crate) fn end(&mut self) {
        if let State::Open(source) = std::mem::replace(&mut self.state, State::Closed) {
            source.end();
        }
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.end();
    }
}
