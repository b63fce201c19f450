//! What is known of one execution of a task. Each text that is shown of a task has one place, here.

use crate::error::{TaskErrorKind, kind_text};

/// What is known of one execution of a task. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) index: usize,
    /// Which execution of the task it is, from 1; 0 if no worker has begun it.
    pub(super) attempt: u32,
    /// The worker's place in its pool.
    pub(super) worker: Option<u32>,
    pub(super) pid: Option<u32>,
    /// The machine.
    pub(super) node: Option<&'a str>,
    pub(super) times: Times,
    pub(super) peak_bytes: Option<u64>,
    pub(super) argument_bytes: Option<u64>,
    pub(super) result_bytes: Option<u64>,
    pub(super) ending: &'a ExecutionEnd,
}

/// When an execution was, since the start of its call, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) start: Option<u64>,
    pub(super) duration: Option<u64>,
    pub(super) cpu: Option<u64>,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecutionEnd {
    pub(super) outcome: OutcomeName,
    /// The text of the failure; it names no argument.
    pub(super) detail: String,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
}

/// What an execution ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutcomeName {
    Ok,
    Failed,
    Panicked,
    Crashed,
    TimedOut,
    CpuLimit,
    MemoryLimit,
    Denied,
    Encode,
    Decode,
    /// No worker has run it to its end, as it was cancelled, or as there is no worker.
    Cancelled,
}

impl OutcomeName {
    /// Its name in the files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryLimit => "memory_limit",
            Self::Denied => "denied",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Cancelled => "cancelled",
        }
    }
}

/// With which a process ends that panics.
const PANIC_CODE: i32 = 101;

impl ExecutionEnd {
    pub(super) const OK: Self =
        Self { outcome: OutcomeName::Ok, detail: String::new(), exit_code: Some(0), signal: Some(0) };

    /// The end of a task whose output an earlier run of the program has computed.
    pub(super) fn of_journal() -> Self {
        Self { detail: "taken from the journal".to_owned(), ..Self::OK }
    }

    pub(super) fn of_kind(kind: &TaskErrorKind) -> Self {
        let (outcome, exit_code, signal) = match *kind {
            TaskErrorKind::Failed(_) => (OutcomeName::Failed, Some(1), Some(0)),
            TaskErrorKind::Panicked { .. } => (OutcomeName::Panicked, Some(PANIC_CODE), Some(0)),
            TaskErrorKind::Crashed { signal, exit_code, .. } => {
                (OutcomeName::Crashed, exit_code, signal.or(exit_code.map(|_| 0)))
            }
            TaskErrorKind::TimedOut { .. } => (OutcomeName::TimedOut, None, None),
            TaskErrorKind::CpuLimit { .. } => (OutcomeName::CpuLimit, None, None),
            TaskErrorKind::MemoryLimit { .. } => (OutcomeName::MemoryLimit, None, None),
            TaskErrorKind::Denied { .. } => (OutcomeName::Denied, None, None),
            TaskErrorKind::Encode(_) => (OutcomeName::Encode, None, None),
            TaskErrorKind::Decode(_) => (OutcomeName::Decode, None, None),
            TaskErrorKind::Cancelled | TaskErrorKind::NotStarted { .. } => (OutcomeName::Cancelled, None, None),
        };
        Self { outcome, detail: kind_text(kind).to_string(), exit_code, signal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_has_its_signal_or_its_code() {
        let crash = |signal, exit_code| {
            let ending = ExecutionEnd::of_kind(&TaskErrorKind::Crashed { signal, exit_code, note: None });
            (ending.outcome.name(), ending.exit_code, ending.signal)
        };
        assert_eq!(crash(Some(11), None), ("crashed", None, Some(11)));
        assert_eq!(crash(None, Some(3)), ("crashed", Some(3), Some(0)));
        assert_eq!(crash(None, None), ("crashed", None, None));
    }
}
