//! The option of the builder that gives each task a process of its own; and how the processes of workers are made where the program does
//! not say it.

use super::builder::{Builder, check_retirement, greater_than_zero};
use super::builder_environment::start_method_from_environment;
use super::recycling::Retirement;
use super::rules::{Preload, StartMethod};
use crate::error::{Error, Result};
use crate::sys;

impl Builder {
    /// Runs each task in a process of its own. Default: a worker runs one task after another.
    ///
    /// Use it where a task must not find what another has left: tasks that read input of strangers, and libraries with state that cannot be
    /// reset.
    ///
    /// - A worker runs one task, and another process replaces it. No other task runs in the process, before, beside or behind it. A retry is
    ///   a task of its own here, and so is each call of [`submit`](crate::Pool::submit), of a stream and of `pool_broadcast!`.
    /// - The workers are made by a fork server ([`StartMethod::ForkServer`]) unless [`start_method`](Self::start_method) or
    ///   `POOLMAP_START_METHOD` says otherwise, or the platform has none; then each is the program, executed anew. A copy of the fork server
    ///   has what [`preload`](Self::preload) has loaded, and nothing of a task: the server runs none.
    /// - Each worker has memory of its own for its arguments and results, which no other process maps but this one. It is new for each
    ///   worker. Captured output is in files that one worker has. Values that you share ([`shared`](crate::shared),
    ///   [`SharedSlice`](crate::SharedSlice), channels, locks) are shared as ever.
    /// - The arguments of a task are copied once more, into that memory, unless they take more than 32 MiB.
    /// - The [`initializer`](Self::initializer) runs before each task, and the [`finalizer`](Self::finalizer) behind it. Put into
    ///   `preload` what all tasks can use.
    ///
    /// A task takes some 1.3 ms of processor time more, for the start and the end of its process; with `StartMethod::Spawn`, 2.5 times that.
    /// Tasks of one map still run on all workers at a time. [`max_tasks_per_worker`](Self::max_tasks_per_worker) is 1 or left out.
    ///
    /// It is no sandbox: a task can still do what its user can (open files, send signals). Two processes of one user can read each
    /// other's memory where the system lets them (`ptrace`, `/proc/pid/mem`).
    ///
    /// # Worker death
    ///
    /// As with other pools: the task fails with its error, and the pool starts another worker.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if `max_tasks_per_worker` is above 1, and for a pool
    /// [in process](Self::in_process).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use poolmap::{Pool, pool_map, worker};
    ///
    /// static CALLS: AtomicU32 = AtomicU32::new(0);
    ///
    /// #[worker]
    /// fn calls_before(_task: u32) -> u32 {
    ///     CALLS.fetch_add(1, Ordering::Relaxed)
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).fresh_process().build()?;
    /// assert_eq!(pool_map!(in &pool, calls_before, 0..10)?, [0; 10]);
    ///
    /// let error = Pool::builder().fresh_process().max_tasks_per_worker(2).build().unwrap_err();
    /// assert!(error.is_invalid_option());
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn fresh_process(mut self) -> Self {
        self.fresh_process = true;
        self
    }

    /// Has no worker read the arguments of another, as `fresh_process` has, for workers that run one task after another: for the suite.
    #[cfg(feature = "__failpoints")]
    #[doc(hidden)]
    pub fn private_memory(mut self) -> Self {
        self.private_memory = true;
        self
    }

    /// How long workers serve, checked.
    pub(super) fn settled_retirement(&self) -> Result<Retirement> {
        let retirement = self.retirement;
        check_retirement(&retirement)?;
        match (self.fresh_process, retirement.tasks_max) {
            (true, Some(tasks)) if tasks > 1 => Err(Error::invalid_option(format!(
                "`max_tasks_per_worker` must be 1 or left out with `fresh_process`, got {tasks}"
            ))),
            (true, None) => Ok(Retirement { tasks_max: Some(1), ..retirement }),
            _ => Ok(retirement),
        }
    }

    /// Whether no worker can read the arguments of another.
    pub(super) fn has_private_memory(&self) -> bool {
        #[cfg(feature = "sandbox")]
        if self.sandbox.is_some() {
            return true;
        }
        self.private_memory || self.fresh_process
    }

    /// How the processes of workers are made, checked.
    pub(super) fn settled_start_method(&self) -> Result<StartMethod> {
        let by_default = match self.fresh_process {
            true if sys::CAN_COPY_BESIDE => StartMethod::ForkServer,
            _ => StartMethod::Spawn,
        };
        let method = self.start_method.map_or_else(start_method_from_environment, |method| Ok(Some(method)))?;
        let method = method.unwrap_or(by_default);
        check_start_method(method, &self.preload)?;
        Ok(method)
    }
}

fn check_start_method(method: StartMethod, preload: &Preload) -> Result<()> {
    greater_than_zero("preload_timeout", Some(preload.timeout))?;
    match method {
        StartMethod::ForkServer if !sys::CAN_COPY_BESIDE => Err(Error::invalid_option(
            "`start_method` must be `StartMethod::Spawn` on this platform: a fork server needs Linux with glibc on a 64-bit processor",
        )),
        StartMethod::Spawn if preload.call.is_some() => Err(Error::invalid_option(
            "`preload` needs `start_method(StartMethod::ForkServer)`: without a fork server, use `initializer`",
        )),
        StartMethod::Spawn | StartMethod::ForkServer => Ok(()),
    }
}
