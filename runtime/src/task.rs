//! Tasks, workers and outcomes, as plain data.

use std::time::Duration;

use crate::error::{Error, Printed, TaskError};

/// One process of a pool: a worker that replaces it has the same slot and another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerIdentity {
    pub(crate) slot: usize,
    pub(crate) pid: u32,
}

impl WorkerIdentity {
    /// A process of another machine, which has no place here.
    pub(crate) fn remote(pid: u32) -> Self {
        Self { slot: usize::MAX, pid }
    }
}

/// Describes a worker: a process that runs tasks.
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

    /// Returns the worker's place in its pool, from 0. A worker that replaces a dead one takes its place.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the process id of the worker.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the process id of the process that owns the pool.
    pub fn parent_pid(&self) -> u32 {
        self.parent_pid
    }

    /// Returns the number of this execution of the task: 1 for the first, 0 outside a task.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// The limits of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) timeout: Option<Duration>,
    /// The processor time of its worker.
    pub(crate) cpu_limit: Option<Duration>,
}

impl Limits {
    /// The one that may be over first; none where there is no limit.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.cpu_limit).min()
    }
}

/// What holds for one task, where that is not what holds for its call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskRules {
    pub(crate) limits: Limits,
    /// How often it is executed if its worker dies.
    pub(crate) attempts: u32,
    /// Of tasks that wait, one of a higher priority goes first.
    pub(crate) priority: i32,
}

/// Where the cause of a process's death lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In what the process did: it exited, aborted, faulted, broke the protocol or was too slow.
    Itself,
    /// In a signal that neither this process nor the dead one is known to have sent: an operator's, the out-of-memory killer's.
    Outside,
}

/// How a worker exits that cannot start, or that its parent or the protocol has failed: sysexits.h has it for a fault of the software
/// itself.
pub(crate) const EXIT_FAILED: i32 = 70;

/// The role that a process of this program was started in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It serves a pool.
    Worker,
    /// It runs one call, and ends with its parent.
    Daemon,
    /// It runs one call, and outlives its parent.
    Plain,
    /// It makes the workers of a pool, as copies of itself.
    Server,
}

impl Role {
    pub(crate) fn ends_with_parent(self) -> bool {
        self != Self::Plain
    }
}

/// Selects where the printed output of workers goes ([`Builder::output`](crate::Builder::output)).
///
/// It covers tasks, C code in them, and processes that they start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Output goes to the streams of this program, as it comes. That costs nothing.
    #[default]
    Inherited,
    /// Output goes to the streams of this program in whole lines, with the task before each: `[fetch #17] …`.
    ///
    /// A line of more than 4,096 bytes (512 on macOS) continues in another line. A last line without an end gets one when its task
    /// ends. While a task runs, its lines come about every 50 ms. Output between tasks has the tag of the task before.
    Tagged,
    /// Output goes into the outcome of its task: the last 64 KiB of each stream, after a line that says how much was left out.
    ///
    /// A failed task has it in its error ([`TaskError::stdout`](crate::TaskError::stdout)), and
    /// [`pool_map_captured!`](crate::pool_map_captured) returns it for every task. Output between tasks is dropped.
    Captured,
}

/// Holds the outcome of a task and its printed output. [`pool_map_captured!`](crate::pool_map_captured) returns one for each task.
///
/// It has the last 64 KiB of each stream, after a line that says how much was left out. Bytes that are not UTF-8 are replaced by
/// `U+FFFD`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Captured<T> {
    /// The output, or the error of the task.
    pub outcome: Result<T, TaskError>,
    /// The standard output of the task and of processes that it started.
    pub stdout: String,
    /// The standard error of the task and of processes that it started.
    pub stderr: String,
}

impl<T> Captured<T> {
    pub(crate) fn new(outcome: Result<T, TaskError>, printed: Option<Box<Printed>>) -> Self {
        let Printed { stdout, stderr } = printed.map_or_else(Printed::default, |printed| *printed);
        Self { outcome, stdout, stderr }
    }

    pub(crate) fn into_output(self) -> Result<T, Error> {
        self.outcome.map_err(Error::from)
    }
}
