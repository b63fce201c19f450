//! The rules of calls and the outcomes of tasks, in the form in which they travel between nodes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::codec::{message_enum, message_struct};
use crate::error::{NativeBacktrace, Printed, TaskErrorKind};
use crate::pool::{CallRules, Consumer, deaths};
use crate::shared::write_grants;
use crate::sys;
use crate::task::{Limits, TaskRules, WorkerIdentity};
use crate::transport::{Chunk, CompletedTasks, Outcomes, Ran, Span};
use crate::wire::Records;

message_struct! {
    /// The rules of a call.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(super) struct RulesForm {
        chunk_size: Option<u64>,
        is_folded: bool,
        task: TaskRulesForm,
    }
}

message_struct! {
    /// The rules of a task.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(super) struct TaskRulesForm {
        pub(super) timeout: Option<Duration>,
        pub(super) cpu_limit: Option<Duration>,
        pub(super) attempts: u32,
        pub(super) priority: i32,
    }
}

impl From<&CallRules> for RulesForm {
    fn from(rules: &CallRules) -> Self {
        let &CallRules { chunk_size, attempts, limits, is_folded, priority, .. } = rules;
        let task = TaskRulesForm::from(&TaskRules { limits, attempts, priority });
        Self { chunk_size: chunk_size.map(|size| size as u64), is_folded, task }
    }
}

impl RulesForm {
    /// The rules as the pool of a node applies them.
    pub(super) fn into_rules(self) -> CallRules {
        let Self { chunk_size, is_folded, task } = self;
        let TaskRules { limits, attempts, priority } = task.into_rules();
        CallRules {
            chunk_size: chunk_size.map(|size| usize::try_from(size).unwrap_or(usize::MAX).max(1)),
            attempts,
            limits,
            pace: Consumer::Pulled,
            is_folded,
            priority,
            ..CallRules::default()
        }
    }
}

impl From<&TaskRules> for TaskRulesForm {
    fn from(&TaskRules { limits: Limits { timeout, cpu_limit }, attempts, priority }: &TaskRules) -> Self {
        Self { timeout, cpu_limit, attempts, priority }
    }
}

impl TaskRulesForm {
    pub(super) fn into_rules(self) -> TaskRules {
        let Self { timeout, cpu_limit, attempts, priority } = self;
        TaskRules { limits: Limits { timeout, cpu_limit }, attempts: attempts.max(1), priority }
    }
}

message_struct! {
    /// Tasks one behind the other, with what they have in common.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct ChunkForm {
        pub(super) function: u32,
        pub(super) attempt: u32,
        pub(super) first_index: u64,
        pub(super) count: u32,
        pub(super) seed: u64,
        pub(super) merge: Option<u32>,
        pub(super) rules: Option<TaskRulesForm>,
        pub(super) tasks: Vec<u8>,
        pub(super) sharing: SharingForm,
    }
}

message_struct! {
    /// The memory that tasks name.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(super) struct SharingForm {
        /// The parameters that it is of.
        pub(super) parameters: u16,
        /// The segments, by their numbers.
        pub(super) segments: Vec<u64>,
        /// What is granted of them, as workers read it.
        pub(super) grants: Vec<u8>,
    }
}

impl ChunkForm {
    /// Tasks of a call with these rules.
    pub(super) fn new(chunk: &Chunk, call: &CallRules) -> Self {
        let head = chunk.head();
        let mut rules = chunk.rules().copied();
        // Of an execution here, the node knows nothing: what it may do is what is left.
        if let dead @ 1.. = deaths(chunk.earlier()) {
            let CallRules { limits, attempts, priority, .. } = *call;
            let of_task = rules.get_or_insert(TaskRules { limits, attempts, priority });
            of_task.attempts = of_task.attempts.saturating_sub(dead).max(1);
        }
        Self {
            function: head.function,
            attempt: head.attempt,
            first_index: head.first_index,
            count: chunk.count(),
            seed: chunk.seed(),
            merge: chunk.merge(),
            rules: rules.as_ref().map(TaskRulesForm::from),
            tasks: chunk.tasks().to_vec(),
            sharing: SharingForm {
                parameters: chunk.shared_parameters(),
                segments: chunk.named_memory().iter().map(|segment| segment.id).collect(),
                grants: write_grants(chunk.grants()),
            },
        }
    }
}

message_struct! {
    /// Outcomes of tasks one behind the other.
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct OutcomeForm {
        pub(super) first_index: u64,
        pub(super) count: u64,
        result: ResultForm,
        attempts: u32,
        earlier: Vec<ErrorForm>,
        /// The process of the worker.
        worker: Option<u32>,
        printed: Option<(String, String)>,
        /// The calls that the worker was at, with the names that its machine knows.
        native: Option<String>,
        is_late: bool,
        /// When the one task whose worker has ended began, and when it was ended, by this machine's clock.
        span: Option<(u64, u64)>,
        /// The machine.
        machine: Option<String>,
    }
}

message_enum! {
    #[derive(Clone, Debug, PartialEq)]
    enum ResultForm {
        0 => Records(Vec<u8>),
        1 => Error(ErrorForm),
    }
}

message_enum! {
    /// Why a task has no output, where its worker has written nothing of it.
    #[derive(Clone, Debug, PartialEq)]
    enum ErrorForm {
        /// The message, the place and the backtrace.
        0 => Panicked((String, Option<String>, Option<String>)),
        /// The signal, the exit code and a note.
        1 => Crashed((Option<i32>, Option<i32>, Option<String>)),
        2 => TimedOut(Duration),
        3 => CpuLimit(Duration),
        4 => MemoryLimit(u64),
        5 => Cancelled(()),
        6 => NotStarted(String),
        7 => Other(String),
        /// The call and the path.
        8 => Denied((Option<String>, Option<Vec<u8>>)),
    }
}

impl From<CompletedTasks> for OutcomeForm {
    fn from(done: CompletedTasks) -> Self {
        let span = done.span().map(|span| (span.begun_nanos, span.ended_nanos));
        let result = match done.outcomes {
            Outcomes::Records(records) => ResultForm::Records(records.into_rest().into_buffer()),
            Outcomes::Error(kind) => ResultForm::Error((&kind).into()),
        };
        Self {
            first_index: done.first_index as u64,
            count: done.count as u64,
            result,
            attempts: done.attempts,
            earlier: done.earlier.iter().map(ErrorForm::from).collect(),
            worker: done.worker.map(|worker| worker.pid),
            printed: done.printed.map(|printed| (printed.stdout, printed.stderr)),
            native: done.native.map(|native| native.text().to_owned()),
            is_late: done.is_late,
            span,
            machine: done.worker.map(|_| own_machine().to_owned()),
        }
    }
}

/// The name of this machine.
fn own_machine() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(sys::host_name)
}

impl OutcomeForm {
    /// Tasks that no worker has run, and why.
    #[cfg(any(feature = "nats", test))]
    pub(super) fn failed(first_index: u64, count: u64, note: String) -> Self {
        let error = ErrorForm::Crashed((None, None, Some(note)));
        Self {
            first_index,
            count,
            result: ResultForm::Error(error),
            attempts: 1,
            earlier: Vec::new(),
            worker: None,
            printed: None,
            native: None,
            is_late: false,
            span: None,
            machine: None,
        }
    }

    /// The outcomes, as they are given to their call; none where the numbers are none of this machine's.
    pub(super) fn into_completed(self) -> Option<CompletedTasks> {
        let outcomes = match self.result {
            ResultForm::Records(bytes) => Outcomes::Records(Records::new(bytes)),
            ResultForm::Error(form) => Outcomes::Error(form.into()),
        };
        Some(CompletedTasks {
            first_index: usize::try_from(self.first_index).ok()?,
            count: usize::try_from(self.count).ok()?,
            outcomes,
            attempts: self.attempts,
            earlier: self.earlier.into_iter().map(TaskErrorKind::from).collect(),
            worker: self.worker.map(WorkerIdentity::remote),
            argument_bytes: 0,
            printed: self.printed.map(|(stdout, stderr)| Box::new(Printed { stdout, stderr })),
            native: self.native.map(|text| NativeBacktrace::new(|| text)),
            is_late: self.is_late,
            ran: Some(Box::new(Ran {
                span: self.span.map(|(begun_nanos, ended_nanos)| Span { begun_nanos, ended_nanos }),
                machine: self.machine.map(Arc::from),
            })),
            // The call that they are of has them.
            arguments: None,
        })
    }
}

impl From<&TaskErrorKind> for ErrorForm {
    fn from(kind: &TaskErrorKind) -> Self {
        match kind.clone() {
            TaskErrorKind::Panicked { message, location, backtrace } => Self::Panicked((message, location, backtrace)),
            TaskErrorKind::Crashed { signal, exit_code, note } => Self::Crashed((signal, exit_code, note)),
            TaskErrorKind::TimedOut { limit } => Self::TimedOut(limit),
            TaskErrorKind::CpuLimit { limit } => Self::CpuLimit(limit),
            TaskErrorKind::MemoryLimit { limit } => Self::MemoryLimit(limit),
            TaskErrorKind::Denied { call, path } => {
                Self::Denied((call, path.map(|path| path.into_os_string().into_vec())))
            }
            TaskErrorKind::Cancelled => Self::Cancelled(()),
            TaskErrorKind::NotStarted { message } => Self::NotStarted(message),
            // A pool gives these as records, or not at all.
            TaskErrorKind::Failed(error) => Self::Other(error.to_string()),
            TaskErrorKind::Encode(error) | TaskErrorKind::Decode(error) => Self::Other(error.to_string()),
        }
    }
}

impl From<ErrorForm> for TaskErrorKind {
    fn from(form: ErrorForm) -> Self {
        match form {
            ErrorForm::Panicked((message, location, backtrace)) => Self::Panicked { message, location, backtrace },
            ErrorForm::Crashed((signal, exit_code, note)) => Self::Crashed { signal, exit_code, note },
            ErrorForm::TimedOut(limit) => Self::TimedOut { limit },
            ErrorForm::CpuLimit(limit) => Self::CpuLimit { limit },
            ErrorForm::MemoryLimit(limit) => Self::MemoryLimit { limit },
            ErrorForm::Denied((call, path)) => {
                Self::Denied { call, path: path.map(|path| PathBuf::from(OsString::from_vec(path))) }
            }
            ErrorForm::Cancelled(()) => Self::Cancelled,
            ErrorForm::NotStarted(message) => Self::NotStarted { message },
            ErrorForm::Other(note) => Self::Crashed { signal: None, exit_code: None, note: Some(note) },
        }
    }
}
