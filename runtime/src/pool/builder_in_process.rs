//! The option of a pool that makes it one without processes, and the options that need some.

use super::builder::Builder;
use super::per_worker::PerWorker;
use super::recycling::Retirement;
use super::rules::StartMethod;
use super::surroundings::SurroundingsOptions;
use crate::child::{EntryPoint, STACK_BYTES};
use crate::error::Result;
use crate::in_process::{self, InProcess};
use crate::task::Output;

impl Builder {
    /// Builds a pool without processes: the thread that calls runs the tasks. Default: workers are processes.
    ///
    /// It is for debuggers, for coverage, and for interpreters such as Miri. The environment variable `POOLMAP_IN_PROCESS=1` makes every
    /// pool of the program such a pool, the global one included (`0`, or nothing: it does not). [`init`](crate::init) is not needed.
    ///
    /// The outcomes are those of a pool of processes where no process is needed for them: arguments and outputs are encoded and decoded,
    /// a panic and an `Err` are errors of their task, the order, the window and the seeds are the same, a shared value is decoded once
    /// for each call. A map runs a task each time that it needs a result, so a lazy map runs no more than what is pulled, and
    /// several threads that map at once run several tasks. A stream runs a task where it is polled. A submitted call runs before [`submit`](crate::Pool::submit) returns, and the
    /// callback of [`on_done`](crate::TaskHandle::on_done) before that returns. A pool that a task makes is in process too, and so
    /// is the task's global pool.
    ///
    /// What needs a process is missing:
    ///
    /// - A task that crashes, exits or overflows the stack ends the program, and one that hangs blocks its caller. So it is with a
    ///   panic under `panic = "abort"`.
    /// - [`deadline`](crate::Map::deadline) ends the call before the next task, and never one that runs. Nothing ends the running tasks
    ///   of other threads: [`Pool::terminate`](crate::Pool::terminate) and a drop do not wait for them.
    /// - A task shares statics, environment and current folder with the program and with all other tasks. The initializer runs once, on
    ///   the thread of the first call, and the finalizer once, in [`Pool::join`](crate::Pool::join); thread-locals and
    ///   the `#[state]` of functions are those of each calling thread.
    /// - A part of a [`SharedSliceMut`](crate::SharedSliceMut) that a task keeps ends nothing: the next borrow of the array waits for it.
    /// - A stream or an iterator that is leaked ([`std::mem::forget`]) keeps its tasks, which nobody else runs. So an array whose parts
    ///   they have ([`SharedSliceMut::chunks_mut`](crate::SharedSliceMut::chunks_mut)) stays lent, and its next borrow waits for ever.
    /// - A task that waits for another task of its map, by a channel or a barrier, waits for ever: the other has not begun.
    ///
    /// [`workers`](Self::workers) and [`Pool::resize`](crate::Pool::resize) change nothing: the pool has one worker, of index 0, whose process is this
    /// one. Options that replace workers (`max_tasks_per_worker`, `idle_timeout` and their kin), `startup_timeout` and `max_waiting` have
    /// nothing to do.
    ///
    /// The first such pool sets a panic hook, which hands on every panic that is no task's to the hook before it. A hook that the
    /// program sets later gets the panics of tasks too, and their errors have no location then.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error that names the option ([`Error::is_invalid_option`](crate::Error::is_invalid_option)) if
    /// one needs a process: `memory_limit`, `stack_bytes`, `output`, `fresh_process`, `start_method`, `preload`, `program`, `initializer_timeout`, `finalizer_timeout`, `nice`, `name`,
    /// `affinity`, `sandbox`, and the environment and the folder of workers. A call returns it for `timeout` and
    /// `cpu_limit`. With the variable, so does [`Process::start`](crate::Process::start).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, TaskErrorKind, pool_try_map, worker};
    ///
    /// #[worker]
    /// fn root(x: i64) -> (u32, i64) {
    ///     assert!(x >= 0, "{x} has no root");
    ///     (std::process::id(), x.isqrt())
    /// }
    ///
    /// let pool = Pool::builder().in_process().build()?;
    /// let roots = pool_try_map!(in &pool, root, [9, -1])?;
    /// assert_eq!(roots[0].as_ref().unwrap(), &(std::process::id(), 3));
    /// let error = roots[1].as_ref().unwrap_err();
    /// assert!(matches!(error.kind(), TaskErrorKind::Panicked { message, .. } if message == "-1 has no root"));
    ///
    /// let error = Pool::builder().in_process().memory_limit(1 << 30).build().unwrap_err();
    /// assert!(error.is_invalid_option() && error.to_string().contains("memory_limit"));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn in_process(mut self) -> Self {
        self.in_process = true;
        self
    }

    /// Refuses the options that need a process, and a place too deep in pools. The entry is nothing that anybody enters by.
    pub(super) fn enter_process(&self, reason: InProcess) -> Result<EntryPoint> {
        in_process::check_depth()?;
        match self.option_of_process() {
            Some(option) => Err(reason.refuse(option)),
            None => Ok(EntryPoint::Main),
        }
    }

    /// The first option that needs a process, if one is set. A new option must be named here, whether it does or not.
    fn option_of_process(&self) -> Option<&'static str> {
        let Self {
            workers: _,
            is_of_node: _,
            startup_timeout: _,
            frame_bytes_max: _,
            stack_bytes,
            // There is nobody to replace.
            retirement: Retirement { tasks_max: _, memory_max: _, idle_timeout: _, age_max: _ },
            memory_limit,
            initializer,
            finalizer,
            mistake: _,
            output,
            surroundings: SurroundingsOptions { changes, threads_per_worker, nice, per_worker },
            in_process: _,
            fresh_process,
            // There is no other worker.
            private_memory: _,
            start_method,
            preload,
            // A call that is submitted runs at once, and never waits.
            waiting_max: _,
            program,
            #[cfg(feature = "sandbox")]
            sandbox,
        } = self;
        let PerWorker { each, affinity, allowed_cpus: _, name } = per_worker;
        let options = [
            ("stack_bytes", *stack_bytes != STACK_BYTES),
            ("memory_limit", memory_limit.is_some()),
            ("initializer_timeout", initializer.timeout.is_some()),
            ("finalizer_timeout", finalizer.timeout.is_some()),
            ("fresh_process", *fresh_process),
            ("start_method", *start_method == Some(StartMethod::ForkServer)),
            ("preload", preload.call.is_some()),
            ("program", program.is_some()),
            ("output", *output != Output::Inherited),
            ("env", changes.has_variables()),
            ("current_dir", changes.has_folder()),
            ("env_for_each", each.is_some()),
            ("threads_per_worker", threads_per_worker.is_some()),
            ("affinity", affinity.is_some()),
            ("nice", *nice != 0),
            ("name", name.is_some()),
            #[cfg(feature = "sandbox")]
            ("sandbox", sandbox.is_some()),
        ];
        options.into_iter().find_map(|(option, is_set)| is_set.then_some(option))
    }
}
