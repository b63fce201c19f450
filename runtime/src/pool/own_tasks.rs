//! What a pool in process knows of the tasks that its callers run.

use std::collections::BTreeMap;
use std::thread::ThreadId;

use super::scheduler::CallId;
use crate::shared::OwnMemory;

/// The tasks that the callers of a pool in process run, under the pool's lock.
#[derive(Default)]
pub(super) struct OwnTasks {
    pub(super) initializer: InitializerState,
    /// How many are being run.
    pub(super) running: usize,
    /// The threads that are in tasks, in submitted calls and in the finalizer, as often as they are. A join waits for them.
    inside: Vec<ThreadId>,
    /// The memory of values that all tasks of a call share, by the call. A call is run by one thread at a time, which takes it out
    /// to change it: its drop may run code of the program's.
    pub(super) kept: BTreeMap<CallId, OwnMemory>,
}

impl OwnTasks {
    /// Notes that this thread runs a task.
    pub(super) fn begin_task(&mut self) {
        self.running += 1;
        self.enter();
    }

    /// Notes that the task of this thread has ended.
    pub(super) fn end_task(&mut self) {
        self.running -= 1;
        self.leave();
    }

    /// Notes that this thread is in a call.
    pub(super) fn enter(&mut self) {
        self.inside.push(std::thread::current().id());
    }

    /// Notes that this thread is in one call less.
    pub(super) fn leave(&mut self) {
        let this = std::thread::current().id();
        if let Some(place) = self.inside.iter().position(|thread| *thread == this) {
            self.inside.swap_remove(place);
        }
    }

    /// Whether this thread is in a call or a task.
    pub(super) fn has_this_thread(&self) -> bool {
        self.inside.contains(&std::thread::current().id())
    }

    /// Whether no thread is in a call or a task.
    pub(super) fn is_at_rest(&self) -> bool {
        self.inside.is_empty()
    }
}

/// How far the initializer has come, which is run once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InitializerState {
    /// The next call runs it.
    #[default]
    Due,
    /// This thread runs it. The others wait.
    Running(ThreadId),
    Done,
}
