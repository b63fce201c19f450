//! Pools without processes: when a pool is one, and how it runs a task, on the thread that asks for it. It is where pools meet what
//! runs tasks in a worker.
//!
//! 1. A pool is in process if it is built so, if the environment variable says so of all pools, or if a task of a pool in process makes
//!    it: that task has no process of its own whose workers could be its.
//! 2. A task's arguments, output and failures are bytes here too, so it has the outcome that it has in a worker.
//! 3. Whatever is kept for a thread while it runs a task is put back behind it. So a task may run others, of this pool and of others.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::child::{self, DEPTH_MAX};
use crate::error::{Error, Kind, Result, TaskErrorKind};
use crate::functions;
use crate::shared::OwnMemory;
use crate::sys;
use crate::task::WorkerIdentity;
use crate::transport::{Chunk, CompletedTasks, Outcomes};
use crate::worker;

/// Says that no pool has processes.
const VARIABLE: &str = "POOLMAP_IN_PROCESS";

/// Why a pool is in process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InProcess {
    /// It was built so.
    Built,
    /// The environment variable says so.
    Variable,
    /// A task of a pool in process has made it.
    Nested,
}

impl InProcess {
    /// Returns why a pool is in process, or none if it has processes. `is_built` is whether it is built so.
    ///
    /// # Errors
    ///
    /// The variable is neither 0 nor 1.
    pub(crate) fn of_pool(is_built: bool) -> Result<Option<Self>> {
        let is_set = is_set()?;
        Ok(if is_set {
            Some(Self::Variable)
        } else if is_built {
            Some(Self::Built)
        } else {
            (depth() > 0).then_some(Self::Nested)
        })
    }

    /// The error of an option that needs a process.
    pub(crate) fn refuse(self, option: &str) -> Error {
        Error::invalid_option(match self {
            Self::Built => format!(
                "`{option}` needs a worker process, and `in_process()` makes a pool without one: leave one of the two out",
            ),
            Self::Variable => format!(
                "`{option}` needs a worker process, and the environment variable {VARIABLE}=1 allows none: leave the option out, or \
                 unset the variable",
            ),
            Self::Nested => format!(
                "`{option}` needs a worker process, and a pool inside a task of a pool in process has none: leave the option out",
            ),
        })
    }
}

/// Whether the environment variable says that no pool has processes.
fn is_set() -> Result<bool> {
    match sys::variable(VARIABLE) {
        None => Ok(false),
        Some(value) if value == "0" => Ok(false),
        Some(value) if value == "1" => Ok(true),
        Some(value) => Err(Error::invalid_option(format!(
            "the environment variable {VARIABLE} must be 1 (no processes) or 0 (the default), got {value:?}",
        ))),
    }
}

/// Refuses what is a process by itself where the environment variable allows none.
pub(crate) fn check_process(what: &str) -> Result<()> {
    if is_set()? {
        return Err(Error::invalid_option(format!(
            "{what} needs a process of its own, and the environment variable {VARIABLE}=1 allows none: unset the variable, or run the \
             call on a pool",
        )));
    }
    Ok(())
}

thread_local! {
    /// How many tasks this thread runs in process, each inside of the one before.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// How many tasks this thread runs in process, each inside of the one before.
pub(crate) fn depth() -> u32 {
    DEPTH.get()
}

/// Refuses pools that stand deeper in the tasks of pools than a pool of processes may.
pub(crate) fn check_depth() -> Result<()> {
    let depth = child::depth() + depth();
    if depth >= DEPTH_MAX {
        return Err(Error::new(Kind::NestedTooDeep { depth: depth + 1, depth_max: DEPTH_MAX }));
    }
    Ok(())
}

/// The states of a pool's functions, on each thread that runs its tasks.
#[derive(Debug)]
pub(crate) struct States(u64);

impl States {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Drops those of this thread.
    pub(crate) fn forget(&self) {
        functions::forget_states_of(self.0);
    }
}

/// Runs the first task of a chunk, whose result takes up to so many bytes. It runs code of the program's.
pub(crate) fn run(chunk: &Chunk, states: &States, bytes_max: usize) -> (CompletedTasks, OwnMemory) {
    let memory = OwnMemory::lend(chunk.memory());
    let outcomes = {
        let _states = functions::enter_states(states.0);
        let _deeper = Deeper::enter();
        match worker::run_in_process(chunk, bytes_max) {
            Ok(records) => Outcomes::Records(records),
            Err(violation) => {
                let note = Some(format!("the task could not be run: {}", violation.0));
                Outcomes::Error(TaskErrorKind::Crashed { signal: None, exit_code: None, note })
            }
        }
    };
    let done = CompletedTasks {
        first_index: chunk.index(0),
        count: 1,
        outcomes,
        attempts: chunk.attempt(),
        earlier: chunk.earlier().to_vec(),
        worker: Some(WorkerIdentity { slot: 0, pid: std::process::id() }),
        argument_bytes: chunk.weight,
        printed: None,
        native: None,
        is_late: false,
        ran: None,
        arguments: None,
    }
    .with_arguments(functions::is_measured(chunk.head().function), || chunk.arguments());
    (done, memory)
}

/// Counts a task that this thread runs.
struct Deeper;

impl Deeper {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
