//! How the one call of a process has ended, from the reaper to whoever asks for the outcome.

use crate::child::Verdict;
use crate::error::{NativeBacktrace, Printed, TaskErrorKind};
use crate::wire::Records;

/// The outcome of the call.
pub(super) enum ProcessEnd {
    /// The records that the process has written.
    Result(Records),
    Died(ProcessDeath),
    /// Why it never became a worker.
    NotStarted(String),
    /// It was asked for before.
    Taken,
}

/// Why there is no output.
pub(super) struct ProcessDeath {
    pub(super) kind: TaskErrorKind,
    pub(super) has_begun: bool,
    /// What it has printed, where that is captured.
    pub(super) printed: Option<Box<Printed>>,
    /// The calls that it was at.
    pub(super) native: Option<NativeBacktrace>,
}

impl ProcessEnd {
    pub(super) fn died(verdict: Verdict) -> Self {
        let kind = verdict.error.expect("the causes without an error are those of pools");
        let (printed, native) = (verdict.printed, verdict.native);
        Self::Died(ProcessDeath { kind, has_begun: verdict.begun > 0, printed, native })
    }
}
