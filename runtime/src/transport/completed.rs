//! Tasks that have their outcomes, from the channel that brings them to the engine that decodes them.

use std::sync::Arc;

use super::arguments::TaskArguments;
use crate::error::{NativeBacktrace, Printed, TaskErrorKind};
use crate::task::WorkerIdentity;
use crate::wire::{Records, Status};

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
    /// The arguments of the tasks, where one may have failed.
    pub(crate) arguments: Option<Box<TaskArguments>>,
    /// What else is known of where and when they ran.
    pub(crate) ran: Option<Box<Ran>>,
}

/// Where and when tasks ran, as far as their results do not say it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ran {
    /// When the one task whose worker has ended began, and when it was ended, where that is measured.
    pub(crate) span: Option<Span>,
    /// The machine, if it is another one.
    pub(crate) machine: Option<Arc<str>>,
}

/// When a task began and when it was ended, in nanoseconds of the clock that the processes of its machine share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begun_nanos: u64,
    pub(crate) ended_nanos: u64,
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
    /// How many of them have an error, as far as that shows without decoding.
    pub(crate) fn failed(&self) -> usize {
        match &self.outcomes {
            Outcomes::Records(records) => {
                let mut failed = 0;
                records.visit(|status, _| failed += usize::from(status != Status::Output));
                failed
            }
            Outcomes::Error(_) => self.count,
        }
    }

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
            ran: None,
            arguments: None,
        }
    }

    /// The same of one task that stands by itself: its index is 0.
    pub(crate) fn into_first(self) -> Self {
        let arguments = self.arguments.map(|arguments| Box::new(arguments.into_first()));
        Self { first_index: 0, arguments, ..self }
    }

    /// The same with the arguments, which are kept where one of the tasks may have failed, or each is measured. Of many it is not looked
    /// at here.
    pub(crate) fn with_arguments(self, is_measured: bool, arguments: impl FnOnce() -> TaskArguments) -> Self {
        let has_output = match &self.outcomes {
            Outcomes::Records(records) => self.count <= 1 && records.begins_with_output(),
            Outcomes::Error(_) => false,
        };
        let is_kept = !has_output || is_measured;
        Self { arguments: is_kept.then(|| Box::new(arguments())), ..self }
    }

    /// The same, where this error is that of a deadline if it is one of time.
    pub(crate) fn of_deadline(self, error: &TaskErrorKind) -> Self {
        Self { is_late: matches!(error, TaskErrorKind::TimedOut { .. }), ..self }
    }

    /// The same of the one task that was running from and to these moments, if they are known.
    pub(crate) fn spanning(self, span: Option<Span>) -> Self {
        let machine = self.machine().cloned();
        let ran = (span.is_some() || machine.is_some()).then(|| Box::new(Ran { span, machine }));
        Self { ran, ..self }
    }

    /// When the one task whose worker has ended began, and when it was ended.
    pub(crate) fn span(&self) -> Option<Span> {
        self.ran.as_ref()?.span
    }

    /// The machine that ran them, if it is another one.
    pub(crate) fn machine(&self) -> Option<&Arc<str>> {
        self.ran.as_ref()?.machine.as_ref()
    }

    /// The bytes of the results: they count against the window until they are yielded, as those of the arguments do.
    pub(crate) fn result_bytes(&self) -> usize {
        match &self.outcomes {
            Outcomes::Records(records) => records.bytes_left(),
            Outcomes::Error(_) => 0,
        }
    }
}
