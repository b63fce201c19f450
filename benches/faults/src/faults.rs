//! The faults, and the libraries that they are put against.

use serde::{Deserialize, Serialize};

/// The Rust libraries, then Python's.
pub const LIBRARIES: [&str; 7] = ["poolmap", "procspawn", "Pool", "ProcessPoolExecutor", "loky", "mpire", "pebble"];
pub const RUST: &[&str] = &["poolmap", "procspawn"];
/// Those that can end a task after a time, or let their caller end it.
const WITH_TIME_LIMIT: &[&str] = &["poolmap", "procspawn", "mpire", "pebble"];

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    None,
    Killed,
    IdleKilled,
    Exit,
    ExitAtOnce,
    Abort,
    Segfault,
    Panic,
    ResultNotWritten,
    ResultNotRead,
    ArgumentNotRead,
    Endless,
    Stopped,
    ParentKilled,
}

/// Each with its name on the command line, and in the table.
pub const ALL: [(Fault, &str, &str); 14] = [
    (Fault::None, "none", "no fault, to compare with"),
    (Fault::Killed, "killed", "a worker is killed by SIGKILL in a task"),
    (Fault::IdleKilled, "idle_killed", "an idle worker is killed by SIGKILL, half a second before the tasks"),
    (Fault::Exit, "exit", "a task calls `exit(0)`"),
    (Fault::ExitAtOnce, "exit_at_once", "a task calls `_exit(0)`"),
    (Fault::Abort, "abort", "a task calls `abort()`"),
    (Fault::Segfault, "segfault", "a task reads at a bad address"),
    (Fault::Panic, "panic", "a task panics, or raises"),
    (Fault::ResultNotWritten, "result_not_written", "a result cannot be serialised"),
    (Fault::ResultNotRead, "result_not_read", "a result cannot be deserialised by the parent"),
    (Fault::ArgumentNotRead, "argument_not_read", "an argument cannot be deserialised by the worker"),
    (Fault::Endless, "endless", "a task loops without end, under a time limit of 1 s"),
    (Fault::Stopped, "stopped", "a worker is stopped by SIGSTOP, under a time limit of 1 s"),
    (Fault::ParentKilled, "parent_killed", "the parent is killed by SIGKILL while both workers run tasks of a minute"),
];

impl Fault {
    pub fn named(name: &str) -> Self {
        let found = ALL.iter().find(|(_, known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no fault {name}")).0
    }

    /// Whether a library has what the fault is put against.
    pub fn is_met_by(self, library: &str) -> bool {
        !self.has_time_limit() || WITH_TIME_LIMIT.contains(&library)
    }

    pub fn has_time_limit(self) -> bool {
        matches!(self, Self::Endless | Self::Stopped)
    }
}
