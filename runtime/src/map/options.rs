//! The options of a map, as its engine gets them.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::journal::VARIABLE;
use crate::pool::{OnCancel, RetryRules};
use crate::recording::Paths;
use crate::task::Limits;
use crate::{child, in_process, sys};

/// The options of a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) chunk_size: Option<usize>,
    pub(super) attempts: Option<u32>,
    pub(super) retry: RetryRules,
    pub(super) limits: Limits,
    pub(super) deadline: Option<Duration>,
    pub(super) window: Option<usize>,
    pub(super) priority: i32,
    pub(super) seed: Option<u64>,
    /// The file for outputs of one run of the program for another.
    pub(super) journal: Option<PathBuf>,
    /// The file with a line for each task.
    pub(super) job_log: Option<PathBuf>,
    /// The file that shows them over time.
    pub(super) timeline: Option<PathBuf>,
    pub(super) shortest: bool,
    pub(super) finish_running: bool,
    pub(super) progress: bool,
    /// The folder for tasks that fail.
    pub(super) save_failed: Option<PathBuf>,
    /// The index of the function by which workers fold outputs, where they do.
    pub(super) merge: Option<u32>,
}

impl Options {
    /// Refuses values that allow nothing.
    pub(super) fn check(&self) -> Result<()> {
        let zeros = [
            ("chunk_size", self.chunk_size == Some(0)),
            ("window", self.window == Some(0)),
            ("attempts", self.attempts == Some(0)),
            ("retry_errors", self.retry.executions == Some(0)),
            ("timeout", self.limits.timeout == Some(Duration::ZERO)),
            ("cpu_limit", self.limits.cpu_limit == Some(Duration::ZERO)),
            ("deadline", self.deadline == Some(Duration::ZERO)),
        ];
        for (option, is_zero) in zeros {
            if is_zero {
                return Err(Error::zero_option(option));
            }
        }
        self.retry.check()?;
        if self.limits.cpu_limit.is_some() && !sys::CAN_TELL_CPU_TIME {
            return Err(Error::invalid_option(
                "`cpu_limit` is not supported on this platform: it does not report the processor time of another process",
            ));
        }
        Ok(())
    }

    /// How the call treats its running tasks if it ends early.
    pub(super) fn on_cancel(&self) -> OnCancel {
        if self.finish_running { OnCancel::Finish } else { OnCancel::Kill }
    }

    /// The files that a map with these options is recorded in.
    pub(super) fn recorded(&self) -> Paths<'_> {
        Paths { job_log: self.job_log.as_deref(), timeline: self.timeline.as_deref() }
    }

    /// The journal of a map with these options, if it has one.
    ///
    /// # Errors
    ///
    /// The map names one, and runs inside a task: another process has the file, or this task's own map.
    pub(super) fn journal_path(&self) -> Result<Option<JournalPath>> {
        let is_in_task = child::depth() + in_process::depth() > 0;
        if let Some(path) = &self.journal {
            if is_in_task {
                return Err(Error::invalid_option(
                    "`journal` is not supported for a map inside a task: set it for the map that the task belongs to",
                ));
            }
            return Ok(Some(JournalPath::Named(path.clone())));
        }
        let path = sys::variable(VARIABLE).filter(|path| !path.is_empty() && !is_in_task);
        Ok(path.map(|path| JournalPath::Variable(path.into())))
    }
}

/// The journal of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JournalPath {
    /// The map names it.
    Named(PathBuf),
    /// The environment does, for every map.
    Variable(PathBuf),
}
