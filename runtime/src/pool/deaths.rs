//! How workers have died, as counts by cause.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::signal_name;

/// Counts the deaths of a pool's workers by their causes ([`Stats::deaths`](crate::Stats::deaths)).
///
/// A death is the end of a worker process that the program did not ask for: by itself, from outside, or for a limit of its task. Ends that
/// are in order (a worker that served long enough, had nothing to do, or ran a task that was aborted) are no deaths: [`Stats`](crate::Stats)
/// counts them by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deaths(BTreeMap<DeathCause, u64>);

impl Deaths {
    /// Returns each cause that was met so far, and how many workers have died of it, in the order of the variants.
    pub fn iter(&self) -> impl Iterator<Item = (DeathCause, u64)> + '_ {
        self.0.iter().map(|(cause, count)| (*cause, *count))
    }

    /// Returns how many workers have died of this cause.
    pub fn of(&self, cause: DeathCause) -> u64 {
        self.0.get(&cause).copied().unwrap_or(0)
    }

    /// Returns how many workers have died: [`Stats::workers_lost`](crate::Stats::workers_lost).
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Counts a death.
    pub(super) fn count(&mut self, cause: DeathCause) {
        *self.0.entry(cause).or_default() += 1;
    }
}

/// The cause of a worker's death. Each death has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeathCause {
    /// A signal that the worker met with by itself: a fault of the processor (SIGSEGV), an abort (SIGABRT), or one that the task raised.
    Crashed {
        /// The number of the signal.
        signal: i32,
    },
    /// A signal from outside: an operator, a container that stops, the kernel. A SIGKILL that a task sends to itself counts here too.
    Killed {
        /// The number of the signal.
        signal: i32,
    },
    /// The kernel's out-of-memory killer, where the system reports that.
    OutOfMemory,
    /// The time limit of the task, or of a finalizer.
    TimedOut,
    /// The limit of the task's processor time.
    CpuLimit,
    /// The memory limit: an allocation beyond it failed.
    MemoryLimit,
    /// The worker exited by itself: `std::process::exit` in a task, for example.
    Exited,
    /// The worker ended before it could run a task: before [`init`](crate::init), in its initializer, as that failed, or as it was not ready
    /// in time. A process that the system did not start at all is no worker: [`Stats::starts_refused`](crate::Stats::starts_refused).
    FailedStart,
    /// The pool killed the worker: it closed its channel and went on, or wrote what no worker writes.
    Faulty,
    /// The system did not report how the worker ended: the program ignores SIGCHLD, or reaps processes that are not its own.
    Unknown,
}

impl DeathCause {
    /// Returns a short name, for a label: `crashed`, `killed`, `out_of_memory`, `timed_out`, `cpu_limit`, `memory_limit`, `exited`,
    /// `failed_start`, `faulty` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crashed { .. } => "crashed",
            Self::Killed { .. } => "killed",
            Self::OutOfMemory => "out_of_memory",
            Self::TimedOut => "timed_out",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryLimit => "memory_limit",
            Self::Exited => "exited",
            Self::FailedStart => "failed_start",
            Self::Faulty => "faulty",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the number of the signal that ended the worker, of those that crashed or were killed.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Crashed { signal } | Self::Killed { signal } => Some(signal),
            _ => None,
        }
    }

    /// Returns the name of that signal, as `SIGSEGV`. A signal whose name differs between systems has none.
    pub fn signal_name(self) -> Option<&'static str> {
        self.signal().and_then(signal_name)
    }
}

/// Displays the short name, and the signal behind it: `crashed (SIGSEGV)`.
impl fmt::Display for DeathCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.signal_name(), self.signal()) {
            (Some(name), _) => write!(f, "{} ({name})", self.name()),
            (None, Some(signal)) => write!(f, "{} (signal {signal})", self.name()),
            (None, None) => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted_by_their_causes() {
        let mut deaths = Deaths::default();
        for signal in [11, 6, 11] {
            deaths.count(DeathCause::Crashed { signal });
        }
        deaths.count(DeathCause::Killed { signal: 40 });
        deaths.count(DeathCause::Exited);
        let shown: Vec<String> = deaths.iter().map(|(cause, count)| format!("{cause}: {count}")).collect();
        assert_eq!(shown, ["crashed (SIGABRT): 1", "crashed (SIGSEGV): 2", "killed (signal 40): 1", "exited: 1"]);
        assert_eq!((deaths.total(), deaths.of(DeathCause::Crashed { signal: 11 })), (5, 2));
        assert_eq!(deaths.of(DeathCause::TimedOut), 0);
    }
}
