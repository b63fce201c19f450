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
    /// The memory of values that all tasks of a call share, by the call. A call is run by one thread at a time, which takes it out
    /// to change it: its drop may run code of the program's.
    pub(super) kept: BTreeMap<CallId, OwnMemory>,
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
