//! The settings of a pool, as plain data.

use std::time::Duration;

use super::per_worker::PerWorker;
use super::recycling::Retirement;
use super::retry_policy::RetryRules;
use crate::child::{EntryPoint, Start};
use crate::functions::EncodedCall;
use crate::sys::SurroundingsChanges;
use crate::task::{Limits, TaskRules};

/// The settings that a pool was built with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) transport: Transport,
    pub(crate) startup_timeout: Duration,
    pub(crate) retirement: Retirement,
    /// How many submitted calls may wait.
    pub(crate) waiting_max: Option<usize>,
    pub(crate) start: Start,
    pub(crate) surroundings: SurroundingsChanges,
    pub(crate) per_worker: PerWorker,
    pub(crate) entry: EntryPoint,
    pub(crate) initializer: LifecycleCall,
    pub(crate) finalizer: LifecycleCall,
}

/// How chunks and results travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// By memory that the processes share, where the system has it; else by the socket.
    SharedMemory,
    Socket,
}

/// What holds for a submitted call, beside the rules of its task.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubmissionRules {
    /// The time from its submission to its outcome.
    pub(crate) deadline: Option<Duration>,
    /// Which failures of it are executed again, and when.
    pub(crate) retry: Option<RetryRules>,
    pub(crate) admission: Admission,
}

/// Whether a call may be refused because others wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    #[default]
    Bounded,
    /// Its thread waits for it, so there are no more of them than threads. It does not count.
    Always,
}

/// What each worker begins or ends with.
#[derive(Clone, Debug, Default)]
pub(crate) struct LifecycleCall {
    pub(crate) call: Option<EncodedCall>,
    pub(crate) timeout: Option<Duration>,
}

impl LifecycleCall {
    /// What holds for the call as a task, if it has a limit.
    pub(super) fn rules(&self) -> Option<TaskRules> {
        let limits = Limits { timeout: Some(self.timeout?), cpu_limit: None };
        Some(TaskRules { limits, attempts: 1, priority: 0 })
    }
}
