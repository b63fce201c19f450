//! The builder of a pool: its options, and the checks of their values.

use std::path::PathBuf;
use std::time::Duration;

use super::builder_environment::transport_from_environment;
use super::handle::{Pool, cpu_count};
use super::recycling::Retirement;
use super::rules::{LifecycleCall, Preload, Settings, StartMethod};
#[cfg(feature = "sandbox")]
use super::settled_sandbox::settled_sandbox;
use super::surroundings::SurroundingsOptions;
use crate::child::{self, Start};
use crate::error::{Error, Result};
use crate::in_process::InProcess;
#[cfg(feature = "sandbox")]
use crate::sandbox::Sandbox;
use crate::sys;
use crate::task::{Output, Role};
use crate::wire;

/// More workers than this are refused: each takes a process.
pub(super) const WORKERS_MAX: usize = 4096;
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than anyone waits for a program to start.
const STARTUP_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// A backtrace of a panic needs about so much.
const STACK_BYTES_MIN: usize = 64 << 10;
/// 1 TiB; where addresses have 32 bits, 1 GiB.
const STACK_BYTES_MAX: usize = match 1_usize.checked_shl(40) {
    Some(bytes) => bytes,
    None => 1 << 30,
};

/// Builds a [`Pool`] with options. [`Pool::builder()`] returns one.
///
/// # Examples
///
/// ```
/// use poolmap::{Pool, pool_map, worker};
///
/// #[worker]
/// fn negate(x: i32) -> i32 {
///     -x
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// assert_eq!(pool_map!(in &pool, negate, [1, 2, 3])?, [-1, -2, -3]);
///
/// let error = Pool::builder().workers(0).build().unwrap_err();
/// assert!(error.is_invalid_option());
/// # Ok::<(), poolmap::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder makes no pool before `build()`"]
pub struct Builder {
    pub(super) workers: Option<usize>,
    pub(super) startup_timeout: Duration,
    pub(super) frame_bytes_max: usize,
    pub(super) stack_bytes: usize,
    pub(super) retirement: Retirement,
    pub(super) memory_limit: Option<u64>,
    pub(crate) initializer: LifecycleCall,
    pub(crate) finalizer: LifecycleCall,
    pub(super) start_method: Option<StartMethod>,
    pub(crate) preload: Preload,
    /// The first mistake that a method could not report.
    pub(crate) mistake: Option<String>,
    pub(super) output: Output,
    /// How many submitted calls may wait.
    pub(super) waiting_max: Option<usize>,
    pub(super) surroundings: SurroundingsOptions,
    /// The program of the workers, if it is not this one.
    pub(super) program: Option<PathBuf>,
    pub(super) in_process: bool,
    pub(super) fresh_process: bool,
    /// Whether no worker can read the arguments of another.
    pub(super) private_memory: bool,
    /// Its outputs travel on to another machine.
    pub(super) is_of_node: bool,
    /// The sandbox of its workers, if they are not trusted.
    #[cfg(feature = "sandbox")]
    pub(super) sandbox: Option<Sandbox>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: None,
            startup_timeout: STARTUP_TIMEOUT,
            frame_bytes_max: wire::FRAME_BYTES_MAX,
            stack_bytes: child::STACK_BYTES,
            retirement: Retirement::default(),
            memory_limit: None,
            initializer: LifecycleCall::default(),
            finalizer: LifecycleCall::default(),
            start_method: None,
            preload: Preload::default(),
            mistake: None,
            output: Output::Inherited,
            waiting_max: None,
            surroundings: SurroundingsOptions::default(),
            program: None,
            in_process: false,
            fresh_process: false,
            private_memory: false,
            is_of_node: false,
            #[cfg(feature = "sandbox")]
            sandbox: None,
        }
    }

    /// Sets the number of workers: 1 to 4,096.
    ///
    /// Default: one for each CPU that this process may use ([`cpu_count()`]), and one in a pool inside a task.
    ///
    /// Each worker takes the memory of its own process. In this process it takes two descriptors (five with tagged or captured output),
    /// 8.3 MiB of address space and at most 16 KiB of memory. Its results come through a ring of up to 4 MiB, which occupies memory
    /// only up to the point to which it was filled. Over a socket, a worker takes at most 80 KiB instead, plus the values in transit.
    ///
    /// A start takes 2 to 4 ms of processor time, nearly all of it in the new process. On 2 processors 1,000 workers are ready after
    /// 2 to 4 s, and 2,000 after 5 to 12 s, depending on the load of the machine. The pool starts workers in batches of 100 ms, and
    /// serves the running ones between batches.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets the maximum time from a worker's start to its first message: more than zero, up to a day. Default: 10 seconds.
    ///
    /// A worker that takes longer is killed and started again. After 5 failed starts in a row, the calls that wait for workers fail
    /// ([`Error::is_start_failure`]), unless some worker is in service; the next call tries again. The pool waits between failed
    /// starts, from 10 ms up to 1 second. A call that has results keeps them, and each of its other tasks ends as
    /// [`NotStarted`](crate::TaskErrorKind::NotStarted). A kill from outside during the start does not count as a failure: the pool
    /// starts the worker again, up to 100 times in a row.
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.startup_timeout = timeout;
        self
    }

    /// Sets the maximum size of a task's arguments, and of its result: 4 KiB to 4 GiB − 1 byte. Default: 2 GiB.
    ///
    /// A larger value is an error of its task ([`TaskErrorKind::Encode`](crate::TaskErrorKind::Encode)).
    ///
    /// Other limits are fixed, and a value beyond them is an error of its task too:
    ///
    /// - Depth: 2,048 levels (a sequence, map, tuple, struct, enum, newtype or `Some` is a level), and fewer if the thread that encodes
    ///   or decodes the value runs out of stack. A worker's stack is [`stack_bytes`](Self::stack_bytes).
    /// - Elements that take no bytes, such as `()`: 2²⁶, each counted by its size in memory where it is decoded.
    /// - Elements of more than 64 bytes in memory (a large struct, array or `Option`): decoded, 2 GiB in all plus 64 bytes for each
    ///   byte of the value.
    ///
    /// So decoding ends soon. A time limit covers the decoding of arguments in the worker, not that of results in this process.
    pub fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.frame_bytes_max = bytes;
        self
    }

    /// Sets the stack size of the thread that runs the tasks, in bytes.
    ///
    /// Range: 64 KiB to 1 TiB (1 GiB on 32-bit systems). Default: 8 MiB.
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// Sets how the processes of workers are made. Default: [`StartMethod::Spawn`].
    ///
    /// With [`StartMethod::ForkServer`] the pool has one more process, the fork server: this program, executed up to
    /// [`init`](crate::init). It runs the call of [`preload`](Self::preload) and makes each worker as a copy of itself, so a worker is
    /// ready in a fraction of the time. Use it for workers that end after few tasks
    /// ([`max_tasks_per_worker`](Self::max_tasks_per_worker)), for large models that all workers read, and for many workers.
    ///
    /// The environment variable `POOLMAP_START_METHOD` (`spawn` or `fork_server`) selects the method of pools that set none.
    ///
    /// - The server has one thread, which runs the preload. A program that starts threads before `init` cannot use it: the calls that wait for workers fail, and
    ///   the error names the threads.
    /// - A worker has the server's statics, environment, current folder and open files; the files' positions and connections are common to
    ///   all. Thread-locals and states of tasks are new, as are the keys of `HashMap`s. Other generators of random numbers in statics
    ///   continue alike in all workers: seed them in the [`initializer`](Self::initializer), and set GPUs and timers up there.
    /// - Handlers of `atexit` run in each worker that ends in order, and handlers of `pthread_atfork` do not run.
    /// - The parent of a worker is this process, as with `Spawn`: it reaps the workers, and they end with it.
    /// - [`memory_limit`](Self::memory_limit) and [`max_memory_per_worker`](Self::max_memory_per_worker) do not count what the server
    ///   holds.
    /// - A [`Mutex`](crate::Mutex), a channel or another handle of that kind that the server keeps is an error in its workers.
    ///
    /// # Worker death
    ///
    /// A worker that dies costs what it costs with `Spawn`. If the server dies, its workers run on, and the next worker waits for another
    /// server, which preloads again.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if the platform is not Linux with glibc on a 64-bit processor.
    ///
    /// # Examples
    ///
    /// A process for each task:
    ///
    /// ```
    /// use poolmap::{Pool, StartMethod, pool_map, worker};
    ///
    /// #[worker]
    /// fn pid(_task: u32) -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// poolmap::init();
    /// # if cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) && option_env!("POOLMAP_PORTABLE").is_none() {
    /// let pool = Pool::builder().workers(2).start_method(StartMethod::ForkServer).max_tasks_per_worker(1).build()?;
    /// let mut pids = pool_map!(in &pool, pid, 0..20)?;
    /// pids.sort();
    /// pids.dedup();
    /// assert_eq!(pids.len(), 20);
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.start_method = Some(method);
        self
    }

    /// Sets the maximum number of tasks that a worker runs: 1 or more. Default: no limit.
    ///
    /// After that number the worker ends (it is killed if it has not ended within 500 ms), and another replaces it. Use it for tasks
    /// that leak. The number is exact, also with tasks that travel in chunks.
    pub fn max_tasks_per_worker(mut self, tasks: usize) -> Self {
        self.retirement.tasks_max = Some(tasks);
        self
    }

    /// Replaces a worker whose resident memory exceeds this number of bytes: 1 or more. Default: no limit.
    ///
    /// The pool checks every 100 ms. The worker ends after the task that it runs. Memory that processes share does not count. Memory
    /// that a worker has freed but keeps for later tasks (a few hundred MiB at most) does.
    ///
    /// Use it for tasks that leak. To limit a task that takes too much at once, use [`memory_limit`](Self::memory_limit).
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error where the system does not report the memory of another process (macOS).
    pub fn max_memory_per_worker(mut self, bytes: u64) -> Self {
        self.retirement.memory_max = Some(bytes);
        self
    }

    /// Ends workers that were idle for this time, while no call was open: more than zero. Default: workers stay.
    ///
    /// A lazy map is open until it is dropped or has ended, and a submitted call until it is done. The next call starts other workers.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.retirement.idle_timeout = Some(timeout);
        self
    }

    /// Replaces a worker that has served for this time: more than zero. Default: no limit.
    ///
    /// The time begins when the worker is started. The worker ends after the task that it runs (it is killed if it has not ended within
    /// 500 ms after that). Use it for tasks that leak slowly, and for connections and models that are to be loaded anew.
    pub fn max_age_per_worker(mut self, time: Duration) -> Self {
        self.retirement.age_max = Some(time);
        self
    }

    /// Sets the maximum number of bytes that each worker may allocate. Default: no limit.
    ///
    /// Each worker has the limit for itself (`RLIMIT_DATA`, Linux 4.7 or newer). The parent has none.
    ///
    /// The limit counts every byte that the program, its allocator and its C libraries request from the system after the worker starts,
    /// used or not, including thread stacks. The program itself does not count, nor does memory that processes share: arguments
    /// and results on their way, a [`SharedSlice`](crate::SharedSlice). A worker may keep freed memory (a few hundred MiB at most),
    /// and uses it again. Each process that a task starts has the same limit for itself.
    ///
    /// In a sandbox (`Builder::sandbox`) a worker's addresses are limited too: to those that it has when it enters, as many bytes as this limit,
    /// twice the system's memory and swap, and 64 GiB. Where its output is captured and nothing is opened by `write`, each file that it
    /// writes has at most as many bytes as this limit.
    ///
    /// Minimum: the stack of the tasks (`stack_bytes`, 8 MiB by default) and 8 MiB more. If the program takes more than the limit before
    /// [`init`](crate::init), its workers cannot start; they report that on their standard error.
    ///
    /// Workers with a limit have `RUST_BACKTRACE=0` in their environment, and their panics have no backtrace: std needs many megabytes
    /// for a backtrace, and hangs if it does not get them.
    ///
    /// # Worker death
    ///
    /// A failed allocation in Rust ends the process. The task fails with [`MemoryLimit`](crate::TaskErrorKind::MemoryLimit), and the
    /// pool replaces the worker. If C code ends the process after a refused allocation, the error is the same, provided that the limit
    /// is nearly reached. Otherwise, and if the program sets its own handler for SIGABRT, the error is
    /// [`Crashed`](crate::TaskErrorKind::Crashed). Code that handles a refused allocation (`Vec::try_reserve`) runs on.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) returns an error if the system has no such limit (macOS), or if the limit is too low.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, TaskErrorKind, pool_try_map, worker};
    ///
    /// #[worker]
    /// fn zeros(length: usize) -> usize {
    ///     vec![0u8; length].len()
    /// }
    ///
    /// poolmap::init();
    /// # if cfg!(target_os = "linux") && option_env!("POOLMAP_PORTABLE").is_none() {
    /// let pool = Pool::builder().workers(2).memory_limit(64 << 20).build()?;
    /// let outcomes = pool_try_map!(in &pool, zeros, [1000, 1 << 30])?;
    /// assert_eq!(outcomes[0].as_ref().unwrap(), &1000);
    /// let error = outcomes[1].as_ref().unwrap_err();
    /// assert!(matches!(error.kind(), TaskErrorKind::MemoryLimit { limit: 67_108_864, .. }));
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets where the printed output of workers goes. Default: [`Output::Inherited`], to the streams of this program.
    ///
    /// Tagged and captured output costs some system calls for each task (10 to 25 µs), and three descriptors in the parent for
    /// each worker. The output of a task stays in memory until the pool writes or returns it. A worker flushes Rust's and C's standard
    /// output at the end of each task.
    ///
    /// # Worker death
    ///
    /// Output that the worker had written is still tagged or captured. The end of its standard error (2 KiB) is in the note of
    /// [`Crashed`](crate::TaskErrorKind::Crashed). Output in a buffer of the process is lost: C's standard output has a buffer of some
    /// kilobytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Output, Pool, pool_try_map, worker};
    ///
    /// #[worker]
    /// fn check(x: u64) -> Result<u64, String> {
    ///     println!("looking at {x}");
    ///     if x == 2 { Err("two".to_owned()) } else { Ok(x) }
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).output(Output::Captured).build()?;
    /// let outcomes = pool_try_map!(in &pool, check, 1..4)?;
    /// assert_eq!(outcomes[1].as_ref().unwrap_err().stdout(), Some("looking at 2\n"));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Builds the pool. Starts the workers and returns before they are ready; [`Pool::ready`] waits for them.
    ///
    /// All workers, including workers that start later, have the present environment, current folder and (on Linux) umask of this
    /// process, with the changes of [`env`](Self::env), [`current_dir`](Self::current_dir) and the methods behind these. The pool holds
    /// 6 descriptors, and 2 for each worker; 3 more where a sandbox has namespaces.
    ///
    /// # Errors
    ///
    /// - An option is out of its range.
    /// - This process never called [`init`](crate::init), and workers have no [`program`](Self::program) of their own.
    /// - Pools inside the tasks of pools are more than 4 deep.
    /// - The system does not start a worker (workers started before are ended).
    /// - The program has more rights than its user (set-user-ID, file capabilities).
    /// - This crate is a library that a foreign program has loaded, and workers have no [`program`](Self::program) of their own.
    pub fn build(self) -> Result<Pool> {
        let pool = Pool::unstarted(self.settings()?)?;
        pool.start_built()?;
        Ok(pool)
    }

    pub(super) fn settings(self) -> Result<Settings> {
        let in_process = InProcess::of_pool(self.in_process)?;
        let entry = match in_process {
            Some(reason) => self.enter_process(reason)?,
            None => child::entry(self.program.as_deref())?,
        };
        if let Some(mistake) = self.mistake {
            return Err(Error::invalid_option(mistake));
        }
        let workers = self.workers.unwrap_or_else(|| match child::depth() {
            0 => cpu_count(),
            _ => 1,
        });
        check_workers(workers)?;
        let allowed = "4096 bytes to 4 GiB - 1 byte";
        let (frame_bytes_max, most) = (self.frame_bytes_max, u32::MAX as usize);
        in_range("frame_bytes_max", frame_bytes_max, wire::FRAME_BYTES_MIN, most, allowed)?;
        let allowed = format!("64 KiB to {} GiB", STACK_BYTES_MAX >> 30);
        in_range("stack_bytes", self.stack_bytes, STACK_BYTES_MIN, STACK_BYTES_MAX, &allowed)?;
        if self.startup_timeout.is_zero() || self.startup_timeout > STARTUP_TIMEOUT_MAX {
            return Err(Error::invalid_option(format!(
                "`startup_timeout` must be greater than zero and at most a day, got {:?}",
                self.startup_timeout,
            )));
        }
        let (retirement, private_memory) = (self.settled_retirement()?, self.has_private_memory());
        if self.waiting_max == Some(0) {
            return Err(Error::zero_option("max_waiting"));
        }
        for (option, call) in [("initializer_timeout", &self.initializer), ("finalizer_timeout", &self.finalizer)] {
            greater_than_zero(option, call.timeout)?;
        }
        let start_method = self.settled_start_method()?;
        if let Some(bytes) = self.memory_limit {
            child::check_memory_limit(bytes, self.stack_bytes)?;
        }
        let (surroundings, per_worker, nice) = match in_process {
            Some(_) => Default::default(),
            None => self.surroundings.settle(workers)?,
        };
        let start = Start {
            role: Role::Worker,
            frame_bytes_max,
            stack_bytes: self.stack_bytes,
            memory_limit: self.memory_limit,
            output: self.output,
            copies_outputs: self.is_of_node,
            nice,
        };
        Ok(Settings {
            #[cfg(feature = "sandbox")]
            sandbox: settled_sandbox(self.sandbox.as_ref(), &entry)?,
            in_process,
            // The thread that calls is the one worker.
            workers: if in_process.is_some() { 1 } else { workers },
            transport: transport_from_environment()?,
            startup_timeout: self.startup_timeout,
            retirement,
            private_memory,
            waiting_max: self.waiting_max,
            start,
            surroundings,
            per_worker,
            entry,
            initializer: self.initializer,
            finalizer: self.finalizer,
            start_method,
            preload: self.preload,
        })
    }
}

pub(super) fn check_workers(workers: usize) -> Result<()> {
    in_range("workers", workers, 1, WORKERS_MAX, "1 to 4096")
}

pub(super) fn check_retirement(retirement: &Retirement) -> Result<()> {
    let Retirement { tasks_max, memory_max, idle_timeout, age_max } = retirement;
    if *tasks_max == Some(0) {
        return Err(Error::zero_option("max_tasks_per_worker"));
    }
    if *memory_max == Some(0) {
        return Err(Error::zero_option("max_memory_per_worker"));
    }
    if memory_max.is_some() && sys::resident_bytes(std::process::id()).is_none() {
        return Err(Error::invalid_option(
            "`max_memory_per_worker` is not supported on this platform: it does not report the memory of another process",
        ));
    }
    greater_than_zero("idle_timeout", *idle_timeout)?;
    greater_than_zero("max_age_per_worker", *age_max)
}

pub(super) fn greater_than_zero(option: &str, time: Option<Duration>) -> Result<()> {
    match time {
        Some(Duration::ZERO) => Err(Error::zero_option(option)),
        _ => Ok(()),
    }
}

fn in_range(option: &str, value: usize, least: usize, most: usize, allowed: &str) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid_option(format!("`{option}` must be {allowed}, got {value}")))
}
