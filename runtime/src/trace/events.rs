//! Events of the crate tracing, with the feature `tracing`: the only owner of that crate. Without the feature
//! nothing of it is left.
//!
//! A subscriber is code of the program's, so events of workers are noted while the pool's lock is held ([`Log`]), and emitted by the
//! pool's thread once it is not. A panic of the subscriber's ends neither that thread nor the call that the event is about.

use std::fmt::Debug;

use crate::error::{TaskError, TaskErrorKind};

/// Emits an event, or nothing.
#[cfg(feature = "tracing")]
macro_rules! tell {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)*) => {
        crate::foreign::run_quietly(|| {
            tracing::event!(target: "poolmap", tracing::Level::$level, $($field = $value,)* $message);
        })
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! tell {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)*) => {{
        let _ = ($(&$value,)*);
    }};
}

/// A pool's thread has begun to start so many workers.
pub(crate) fn pool_started(workers: usize) {
    tell!(INFO, "pool started", workers = workers);
}

/// No process of a pool is left.
pub(crate) fn pool_ended() {
    tell!(INFO, "pool ended");
}

/// A call of a function was opened; for so many tasks, if that is known.
pub(crate) fn call_opened(function: &str, length: Option<usize>) {
    tell!(DEBUG, "call opened", function = function, tasks = length.map(|length| length as u64));
}

/// A call was closed, of which so many tasks had their outcome.
pub(crate) fn call_closed(function: &str, outcomes: usize) {
    tell!(DEBUG, "call closed", function = function, outcomes = outcomes);
}

/// A task has no output. A function's own error is the program's affair, the rest is not.
#[cold]
pub(crate) fn task_failed(error: &TaskError) {
    // The text decodes the task's arguments, which is not done for nobody.
    if !is_listening() {
        return;
    }
    let (function, index, attempts) = (error.function(), error.index(), error.attempts());
    let (pid, text) = (error.worker_pid(), format!("{error:#}"));
    match error.kind() {
        TaskErrorKind::Failed(_) | TaskErrorKind::Cancelled => {
            tell!(
                DEBUG,
                "task failed",
                function = function,
                index = index,
                attempts = attempts,
                pid = pid,
                error = text
            );
        }
        TaskErrorKind::TimedOut { .. } | TaskErrorKind::CpuLimit { .. } => {
            tell!(
                WARN,
                "task timed out",
                function = function,
                index = index,
                attempts = attempts,
                pid = pid,
                error = text
            );
        }
        _ => {
            tell!(
                WARN,
                "task failed",
                function = function,
                index = index,
                attempts = attempts,
                pid = pid,
                error = text
            );
        }
    }
}

/// Whether a subscriber takes events of some level.
#[cfg(feature = "tracing")]
fn is_listening() -> bool {
    tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF
}

/// Nobody does.
#[cfg(not(feature = "tracing"))]
fn is_listening() -> bool {
    false
}

/// An event of a worker: its place in the pool, and its process.
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody is told"))]
pub(crate) enum TraceEvent {
    Started {
        worker: usize,
        pid: u32,
        replaces: Option<u32>,
    },
    Ready {
        worker: usize,
        pid: u32,
    },
    /// In order: as the pool wanted it.
    Ended {
        worker: usize,
        pid: u32,
    },
    Died {
        worker: usize,
        pid: u32,
        cause: String,
    },
}

impl TraceEvent {
    /// A worker has ended, for this cause and in this way.
    pub(crate) fn ended(worker: usize, pid: u32, in_order: bool, cause: &dyn Debug, end: &dyn Debug) -> Self {
        if in_order || cfg!(not(feature = "tracing")) {
            return Self::Ended { worker, pid };
        }
        Self::Died { worker, pid, cause: format!("{cause:?}, {end:?}") }
    }

    fn tell(self) {
        match self {
            Self::Started { worker, pid, replaces: None } => {
                tell!(DEBUG, "worker started", worker = worker, pid = pid);
            }
            Self::Started { worker, pid, replaces: Some(before) } => {
                tell!(DEBUG, "worker replaced", worker = worker, pid = pid, replaces = before);
            }
            Self::Ready { worker, pid } => tell!(DEBUG, "worker ready", worker = worker, pid = pid),
            Self::Ended { worker, pid } => tell!(DEBUG, "worker ended", worker = worker, pid = pid),
            Self::Died { worker, pid, cause } => {
                tell!(WARN, "worker died", worker = worker, pid = pid, cause = cause);
            }
        }
    }
}

/// The events of workers that were not emitted yet.
#[derive(Default)]
pub(crate) struct Log(Vec<TraceEvent>);

impl Log {
    /// Notes an event.
    pub(crate) fn note(&mut self, event: TraceEvent) {
        if cfg!(feature = "tracing") {
            self.0.push(event);
        }
    }

    /// Emits the noted events.
    pub(crate) fn tell(self) {
        self.0.into_iter().for_each(TraceEvent::tell);
    }
}
