//! The settings of a pool, as plain data.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::per_worker::PerWorker;
use super::recycling::Retirement;
use super::retry_policy::RetryRules;
use crate::child::{EntryPoint, Start};
use crate::functions::EncodedCall;
use crate::in_process::InProcess;
use crate::recording::CallRecorder;
#[cfg(feature = "sandbox")]
use crate::sandbox::Settled;
use crate::sys::{LazyNamespaces, SurroundingsChanges};
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
    /// Whether no worker can read the arguments of another, which then are copied for each.
    pub(crate) private_memory: bool,
    /// How many submitted calls may wait.
    pub(crate) waiting_max: Option<usize>,
    pub(crate) start: Start,
    pub(crate) surroundings: SurroundingsChanges,
    pub(crate) per_worker: PerWorker,
    pub(crate) entry: EntryPoint,
    pub(crate) initializer: LifecycleCall,
    pub(crate) finalizer: LifecycleCall,
    pub(crate) start_method: StartMethod,
    pub(crate) preload: Preload,
    /// The sandbox of its workers, where they are not trusted.
    #[cfg(feature = "sandbox")]
    pub(crate) sandbox: Settled,
}

impl Settings {
    /// Where each worker notes system calls, if its sandbox only does that.
    pub(super) fn notes(&self) -> Option<Arc<File>> {
        #[cfg(feature = "sandbox")]
        return self.sandbox.notes.clone();
        #[cfg(not(feature = "sandbox"))]
        None
    }

    /// The namespaces that each worker enters with its sandbox, if there are some.
    pub(super) fn namespaces(&self) -> Option<Arc<LazyNamespaces>> {
        #[cfg(feature = "sandbox")]
        return self.sandbox.namespaces.clone();
        #[cfg(not(feature = "sandbox"))]
        None
    }

    /// The sandbox as each worker is sent it; empty where there is none.
    pub(super) fn sandbox(&self) -> Arc<[u8]> {
        #[cfg(feature = "sandbox")]
        return Arc::clone(&self.sandbox.bytes);
        #[cfg(not(feature = "sandbox"))]
        Arc::default()
    }
}

/// How chunks and results travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// By memory that the processes share, where the system has it; else by the socket.
    SharedMemory,
    Socket,
}

/// Selects how the processes of workers are made ([`Builder::start_method`](crate::Builder::start_method)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartMethod {
    /// Each worker is this program, executed anew. That takes 1 to 2 ms.
    #[default]
    Spawn,
    /// This program is executed once more, as a fork server, and each worker is a copy of that one. Linux with glibc, on 64 bits, only.
    ///
    /// A copy is made in 0.1 ms, plus 0.01 ms for each MiB that the server has touched in pages of 4 KiB. It has what
    /// [`preload`](crate::Builder::preload) has loaded, in memory that all copies share until they write to it.
    ///
    /// A worker that has its last task ([`max_tasks_per_worker`](crate::Builder::max_tasks_per_worker)) may already have a process that
    /// waits to follow it. That one runs nothing of the program's, no initializer either, before the worker has ended. It does not count
    /// in [`Pool::workers`](crate::Pool::workers), and takes as many descriptors as a worker. There are at most as many as CPUs
    /// ([`cpu_count`](crate::cpu_count)).
    ForkServer,
}

/// What the fork server begins with.
#[derive(Clone, Debug)]
pub(crate) struct Preload {
    pub(crate) call: Option<EncodedCall>,
    pub(crate) timeout: Duration,
}

/// The default of `preload_timeout`.
const PRELOAD_TIMEOUT: Duration = Duration::from_secs(600);

impl Default for Preload {
    fn default() -> Self {
        Self { call: None, timeout: PRELOAD_TIMEOUT }
    }
}

/// What holds for a submitted call, beside the rules of its task.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubmissionRules {
    /// The time from its submission to its outcome.
    pub(crate) deadline: Option<Duration>,
    /// Which failures of it are executed again, and when.
    pub(crate) retry: Option<RetryRules>,
    pub(crate) admission: Admission,
    /// What records its executions, if they are.
    pub(crate) recorder: Option<CallRecorder>,
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
