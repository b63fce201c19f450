//! The settings of a pool, as plain data.

use std::time::Duration;

use super::per_worker::PerWorker;
use super::recycling::Retirement;
use crate::child::{EntryPoint, Start};
use crate::functions::EncodedCall;
use crate::in_process::InProcess;
use crate::sys::SurroundingsChanges;
use crate::task::{Limits, TaskRules};

/// The settings that a pool was built with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Why it has no processes, if it has none.
    pub(crate) in_process: Option<InProcess>,
    pub(crate) workers: usize,
    pub(crate) transport: Transport,
    pub(crate) startup_timeout: Duration,
    pub(crate) retirement: Retirement,
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
        Some(TaskRules { limits, attempts: 1 })
    }
}
