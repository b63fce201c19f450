//! Tasks that have their outcomes, from the channel that brings them to the engine that decodes them.

use crate::error::{NativeBacktrace, Printed, TaskErrorKind};
use crate::task::WorkerIdentity;
use crate::wire::Records;

/// Tasks that have their outcomes: of one chunk, their indices one after another.
#[derive(Debug)]
pub(crate) struct CompletedTasks {
    pub(crate) first_index: usize,
    pub(crate) count: usize,
    pub(crate) outcomes: Outcomes,
    pub(crate) attempts: u32,
    /// The errors of the executions before this one, the oldest first.
    pub(crate) earlier: Vec<TaskErrorKind>,
    /// The worker that ended them, if one had them.
    pub(crate) worker: Option<WorkerIdentity>,
    /// The bytes of the arguments.
    pub(crate) argument_bytes: usize,
    /// The output of the one task whose worker has ended.
    pub(crate) printed: Option<Box<Printed>>,
    /// The calls that this worker was at.
    pub(crate) native: Option<NativeBacktrace>,
    /// Whether the deadline of their call ended them.
    pub(crate) is_late: bool,
}

/// The outcomes of some tasks.
#[derive(Debug)]
pub(crate) enum Outcomes {
    /// The records that the worker has written.
    Records(Records),
    /// Why the one task has no output.
    Error(TaskErrorKind),
}

impl CompletedTasks {
    /// Tasks whose first execution has given these, of nobody in particular.
    #[cfg(test)]
    pub(crate) fn of_test(first_index: usize, count: usize, records: Vec<u8>) -> Self {
        Self {
            first_index,
            count,
            outcomes: Outcomes::Records(Records::new(records)),
            attempts: 1,
            earlier: Vec::new(),
            worker: None,
            argument_bytes: 0,
            printed: None,
            native: None,
            is_late: false,
        }
    }

    /// The same, where this error is that of a deadline if it is one of time.
    pub(crate) fn of_deadline(self, error: &TaskErrorKind) -> Self {
        Self { is_late: matches!(error, TaskErrorKind::TimedOut { .. }), ..self }
    }

    /// The bytes of the results: they count against the window until they are yielded, as those of the arguments do.
    pub(crate) fn result_bytes(&self) -> usize {
        match &self.outcomes {
            Outcomes::Records(records) => records.bytes_left(),
            Outcomes::Error(_) => 0,
        }
    }
}
