//! `Pool`, as its owner holds it.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::builder::Builder;
use super::rules::Settings;
use super::scheduler::POOL;
use super::state::{Phase, PoolShared, PoolState};
use super::supervisor;
use super::worker_slot::Life;
use crate::error::{Error, Kind, Result};
use crate::locks::{Lock, Locked, Rank, Ranked};
#[cfg(feature = "sandbox")]
use crate::sandbox::{SandboxStatus, Settled};
use crate::shared::Poller;
use crate::sys::{self, ForkMark, Surroundings};
use crate::task::{Output, WorkerInfo};
use crate::trace;
use crate::transport::CompletedTasks;

/// Owns workers, and runs tasks in them.
///
/// A pool is `Send + Sync`: several threads may map on it at once.
///
/// Dropping the pool ends it. Idle workers exit, and busy workers are killed. That takes milliseconds as a rule, and 5 seconds at
/// most.
///
/// # Worker death
///
/// A worker's death costs the task that the worker was running. The pool replaces the worker.
///
/// # Forks
///
/// A pool belongs to the process that made it. In a fork of that process (`fork`, `daemon`, a pre-fork server), each method that
/// returns a [`Result`] returns an error at once ([`Error::is_forked`]), and the other methods do nothing. No method, nor the drop,
/// touches the pool and its workers. The forked process makes a pool of its own, and has a global pool of its own.
///
/// # Examples
///
/// ```
/// use poolmap::{Pool, pool_map, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// let squares = pool_map!(in &pool, square, 1..=3)?;
/// assert_eq!(squares, [1, 4, 9]);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct Pool {
    inner: Lock<PoolInner>,
    /// The results of the finalizers, until they are taken, and the index of the finalizer's worker function.
    finalized: Arc<Lock<Vec<CompletedTasks>>>,
    finalizer: Option<u32>,
    output: Output,
    /// The walls around its workers.
    #[cfg(feature = "sandbox")]
    sandbox: Settled,
    /// The process that made it.
    owner: ForkMark,
}

impl Ranked for PoolInner {
    const RANK: Rank = Rank::PoolHandle;
}

pub(super) struct PoolInner {
    /// None once it is shut down.
    pub(super) shared: Option<Arc<PoolShared>>,
    pub(super) supervisor: Option<JoinHandle<()>>,
}

impl Pool {
    /// Builds a pool with one worker for each CPU that this process may use ([`cpu_count()`]).
    ///
    /// Every other option has its default.
    ///
    /// # Errors
    ///
    /// The errors of [`Builder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder, which sets options and builds the pool.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A pool that starts with its first call.
    pub(super) fn unstarted(settings: Settings) -> Result<Self> {
        let output = settings.start.output;
        let finalizer = settings.finalizer.call.as_ref().map(|call| call.function.index());
        #[cfg(feature = "sandbox")]
        let sandbox = settings.sandbox.clone();
        let shared = PoolShared::new(settings).map_err(|error| Error::start(sys::start_error("a pool", &error)))?;
        crate::shared::poll_while_waiting(&shared);
        let finalized = Arc::clone(&shared.finalized);
        let inner = Lock::new(PoolInner { shared: Some(shared), supervisor: None });
        Ok(Self {
            inner,
            finalized,
            finalizer,
            output,
            #[cfg(feature = "sandbox")]
            sandbox,
            owner: ForkMark::here(),
        })
    }

    /// Starts the workers of a pool that was just built.
    pub(super) fn start_built(&self) -> Result<()> {
        let shared = self.unstarted_shared()?;
        shared.ask_for_environments(shared.settings.workers)?;
        self.start().map(drop)
    }

    /// Starts the workers, unless they are, and waits until the system has made their processes.
    pub(super) fn start(&self) -> Result<Arc<PoolShared>> {
        let shared = self.begin()?;
        if shared.is_in_process() {
            return Ok(shared);
        }
        // Whoever learns of a failed start ends the pool.
        shared.started().inspect_err(|_| self.shut_down())
    }

    /// Has the workers started, unless they are, and does not wait for it.
    pub(super) fn begin(&self) -> Result<Arc<PoolShared>> {
        let mut inner = self.lock_here().ok_or_else(|| Error::new(Kind::Forked(POOL)))?;
        let shared = inner.shared.clone().ok_or_else(|| Error::new(Kind::Closed))?;
        if shared.is_in_process() {
            shared.lock().start_in_process();
            return Ok(Arc::clone(&shared));
        }
        if inner.supervisor.is_some() {
            return Ok(shared);
        }
        // Workers that are started later get the same.
        let surroundings = Surroundings::capture(&shared.settings.surroundings)
            .map_err(|error| Error::start(sys::start_error("a pool", &error)))?;
        shared.lock().phase = Phase::Running;
        let of_supervisor = Arc::clone(&shared);
        let spawned = std::thread::Builder::new()
            .name("poolmap-pool".to_owned())
            .spawn(move || supervisor::run(&of_supervisor, &surroundings))
            .map_err(|error| Error::start(sys::start_error("the pool's thread", &error)))?;
        inner.supervisor = Some(spawned);
        Ok(shared)
    }

    /// The place of its finalizer among the worker functions.
    pub(crate) fn finalizer(&self) -> Option<u32> {
        self.finalizer
    }

    /// Which walls hold its workers. A fork waits for nothing: the thread that makes namespaces is not in it.
    #[cfg(feature = "sandbox")]
    pub(super) fn walls(&self) -> SandboxStatus {
        self.sandbox.status(self.owner.is_here())
    }

    /// The line of a builder that opens all that its tasks have needed, where its sandbox only notes that.
    #[cfg(feature = "sandbox")]
    pub(super) fn suggestion(&self) -> Option<String> {
        self.sandbox.suggestion()
    }

    /// Where its workers' printed output goes.
    pub(crate) fn output(&self) -> Output {
        self.output
    }

    /// Takes what the finalizers gave.
    pub(crate) fn take_finalized(&self) -> Result<Vec<CompletedTasks>> {
        if !self.owner.is_here() {
            return Err(Error::new(Kind::Forked(POOL)));
        }
        Ok(std::mem::take(&mut *self.finalized.lock()))
    }

    /// Returns the shared state for a call that has no task yet: the workers may not be started.
    pub(crate) fn unstarted_shared(&self) -> Result<Arc<PoolShared>> {
        let inner = self.lock_here().ok_or_else(|| Error::new(Kind::Forked(POOL)))?;
        inner.shared.clone().ok_or_else(|| Error::new(Kind::Closed))
    }

    /// Whether its workers are started, or were.
    pub(crate) fn is_started(&self) -> bool {
        let is_started = |shared: &Arc<PoolShared>| shared.is_in_process();
        self.lock_here().is_none_or(|inner| inner.shared.as_ref().is_none_or(is_started) || inner.supervisor.is_some())
    }

    /// Returns the shared state for a call, and starts the workers if they are not started.
    pub(crate) fn shared(&self) -> Result<Arc<PoolShared>> {
        self.start()
    }

    /// Waits until every worker is ready.
    ///
    /// # Errors
    ///
    /// Five starts failed in a row; 100 workers in a row were killed from outside before they were ready; a worker could not be
    /// ended, and so not replaced; the pool was shut down.
    pub fn ready(&self) -> Result<()> {
        let shared = self.start()?;
        if shared.is_in_process() {
            return shared.ready_in_process();
        }
        shared.lock().resume()?;
        shared
            .wait(|state| {
                if let Some(failure) = state.starts.take_failure() {
                    return Some(Err(Error::new(Kind::Start(failure))));
                }
                if matches!(state.phase, Phase::Closing | Phase::Closed) {
                    return Some(Err(Error::new(Kind::Closed)));
                }
                if let Some(failure) = state.unended_any() {
                    return Some(Err(Error::new(Kind::Start(failure))));
                }
                state.are_all_ready().then_some(Ok(()))
            })
            .inspect(|()| trace::settle())
    }

    /// Returns the present workers, including workers that are starting. Empty in a fork of the process.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let Some(shared) = self.lock_here().and_then(|inner| inner.shared.clone()) else {
            return Vec::new();
        };
        if shared.is_in_process() {
            return vec![WorkerInfo::new(0, std::process::id(), std::process::id(), 0)];
        }
        let state = shared.lock();
        state
            .processes()
            .filter(|(_, worker)| !matches!(worker.life, Life::Doomed { .. }))
            .map(|(slot, worker)| WorkerInfo::new(slot, worker.process.pid(), std::process::id(), 0))
            .collect()
    }

    /// The state, in the process that made it alone: see `sys::forks`.
    pub(super) fn lock_here(&self) -> Option<Locked<'_, PoolInner>> {
        self.owner.is_here().then(|| self.inner.lock())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.owner.is_here() {
            self.shut_down();
            #[cfg(feature = "sandbox")]
            self.print_suggestion();
        } else {
            let copied = PoolInner { shared: None, supervisor: None };
            std::mem::forget(std::mem::replace(self.inner.get_mut(), copied));
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

impl Poller for PoolShared {
    fn poll_once(&self) {
        Self::poll_once(self);
    }
}

impl PoolShared {
    /// Whether it was made by this process, and not by one that this was forked from. Where it was not, nothing of it is locked, and
    /// nothing is sent.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.owner.is_here()
    }

    /// The same, as an error.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.is_here() { Ok(()) } else { Err(Error::new(Kind::Forked(POOL))) }
    }

    /// Ends the copy of the process that code of the program's has come back from, on a thread of the pool's: of the other threads
    /// there is none.
    pub(super) fn leave_copy(&self) {
        if !self.is_here() {
            sys::exit_fork();
        }
    }

    /// Waits until the system has made the processes, or has refused to.
    fn started(self: Arc<Self>) -> Result<Arc<Self>> {
        match self.wait(|state| state.first_round.clone()) {
            Ok(()) => Ok(self),
            Err(failure) => Err(Error::new(Kind::Start(failure))),
        }
    }

    /// Waits until `check` returns something. It moves no messages.
    pub(super) fn wait<T>(&self, mut check: impl FnMut(&mut PoolState) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            if let Some(value) = check(&mut state) {
                return value;
            }
            state = state.wait(None);
        }
    }
}

impl PoolState {
    fn are_all_ready(&self) -> bool {
        self.slots.iter().take(self.size).enumerate().all(|(slot, worker_slot)| {
            let is_ready = worker_slot.worker.as_ref().is_some_and(|worker| matches!(worker.life, Life::Ready));
            worker_slot.is_dormant || (is_ready && !self.scheduler.is_hooked(slot))
        })
    }
}

/// Returns the number of CPUs that this process may use: 1 or more.
///
/// The number honours the affinity mask and, on Linux, the quota of the cgroup, as [`std::thread::available_parallelism`] does.
pub fn cpu_count() -> usize {
    sys::cpu_count()
}
