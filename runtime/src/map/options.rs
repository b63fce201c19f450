//! The options of a map, as its engine gets them.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::pool::{OnCancel, RetryRules};
use crate::sys;
use crate::task::Limits;

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
    pub(super) seed: u64,
    pub(super) shortest: bool,
    pub(super) finish_running: bool,
    pub(super) progress: bool,
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
}
