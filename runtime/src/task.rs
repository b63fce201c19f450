//! What tasks and workers are to each other, as plain data.

use crate::error::TaskErrorKind;

/// A worker: the process that runs tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    index: usize,
    pid: u32,
    parent_pid: u32,
    attempt: u32,
}

impl WorkerInfo {
    pub(crate) fn new(index: usize, pid: u32, parent_pid: u32, attempt: u32) -> Self {
        Self { index, pid, parent_pid, attempt }
    }

    /// The worker's place in its pool, from 0. A worker that replaces a dead one takes its place.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The worker's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process that owns the pool.
    pub fn parent_pid(&self) -> u32 {
        self.parent_pid
    }

    /// Which execution of its task this is: 1 for the first; 0 outside a task.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// What became of one task.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The encoded output.
    Output(Vec<u8>),
    /// Why there is none.
    Error(TaskErrorKind),
}

/// A task that has its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) index: usize,
    pub(crate) outcome: Outcome,
    pub(crate) attempts: u32,
    pub(crate) worker_pid: Option<u32>,
    /// The bytes of its arguments, and those of its result or error: they count against the window until it is yielded.
    pub(crate) argument_bytes: usize,
    pub(crate) result_bytes: usize,
}
