//! What a pool is built with, and what is refused.

use std::time::Duration;

use super::core::{Settings, Transport};
use super::handle::{Pool, cpu_count};
use super::retirement::Retirement;
use crate::error::{Error, Result};
use crate::launch::{self, Start};
use crate::registry::EncodedCall;
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
/// What a worker of a small program takes beside the stack of its tasks, and twice as much to work with.
const MEMORY_BYTES_MIN: u64 = 8 << 20;

/// Builds a [`Pool`]: [`Pool::builder()`].
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
    workers: Option<usize>,
    startup_timeout: Duration,
    frame_bytes_max: usize,
    stack_bytes: usize,
    retirement: Retirement,
    memory_limit: Option<u64>,
    pub(crate) initializer: Option<EncodedCall>,
    pub(crate) finalizer: Option<EncodedCall>,
    /// The first mistake that a method could not report.
    pub(crate) mistake: Option<String>,
    output: Output,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: None,
            startup_timeout: STARTUP_TIMEOUT,
            frame_bytes_max: wire::FRAME_BYTES_MAX,
            stack_bytes: launch::STACK_BYTES,
            retirement: Retirement::default(),
            memory_limit: None,
            initializer: None,
            finalizer: None,
            mistake: None,
            output: Output::Inherited,
        }
    }

    /// The number of workers: 1 to 4,096. By default one for each CPU that this process may use ([`cpu_count()`]), and one
    /// in a pool inside a task.
    ///
    /// Beside the memory of its own process, each worker takes two descriptors of this one (three more where output is tagged or
    /// captured), 8.3 MiB of its addresses and at most 16 KiB of its memory. The results of its tasks come through a ring, which takes
    /// memory as far as it was filled, up to 4 MiB. Where tasks travel over a socket, a worker takes at most 80 KiB instead, and
    /// what is on its way.
    ///
    /// A start takes 2 to 4 ms of processor time, nearly all of it in the new process: on 2 processors 1,000 workers are ready after
    /// 2 to 4 s, and 2,000 after 5 to 12 s, as busy as the machine is. They are started in batches of 100 ms, between which those
    /// that are there are looked after.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How long a worker may take from its start to its hello: more than zero and up to a day, 10 seconds by default. One
    /// that takes longer is killed and started again; when 5 in a row fail, the calls that wait for them do
    /// ([`Error::is_start_failure`]). Results that are there are kept: of a call that has some, each task without one ends as
    /// [`NotStarted`](crate::TaskErrorKind::NotStarted). A worker that is killed from outside while it starts is no failure: it is
    /// started again, up to 100 times in a row.
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.startup_timeout = timeout;
        self
    }

    /// The most bytes that the arguments of a task, or its result, may take: 4 KiB to 4 GiB − 1 byte, 2 GiB by default. A
    /// larger one is that task's error ([`TaskErrorKind::Encode`](crate::TaskErrorKind::Encode)).
    ///
    /// Other limits of a value cannot be changed; beyond them it is an error of its task, too. It is nested at most 2,048 levels
    /// deep (a sequence, map, tuple, struct, enum, newtype or `Some` is a level), and less deep where the stack of the thread that
    /// encodes or decodes it has no room: a worker's is [`stack_bytes`](Self::stack_bytes). Elements that take no bytes, such as
    /// `()`, are at most 2²⁶, each counted by its size in memory where it is decoded. Decoded, what takes more than 64 bytes in
    /// memory by itself (a large struct, array or `Option`) takes at most 2 GiB in all, and 64 bytes for each byte of the value.
    /// So decoding ends soon, and no time limit covers it.
    pub fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.frame_bytes_max = bytes;
        self
    }

    /// The stack of the thread that runs the tasks: 64 KiB to 1 TiB (1 GiB on 32-bit systems), 8 MiB by default.
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// How many tasks a worker runs at most: 1 or more, no limit by default. Then it ends by itself (within 500 ms, or it is
    /// killed), and another takes its place: for tasks that leak. It is exact, also where tasks travel in chunks.
    pub fn max_tasks_per_worker(mut self, tasks: usize) -> Self {
        self.retirement.tasks_max = Some(tasks);
        self
    }

    /// A worker with more resident memory than this, in bytes, ends once it has finished the task that it runs, and another takes
    /// its place; more than zero, no limit by default. It is looked at every 100 ms. Memory that processes share does not count,
    /// and what a worker has freed but keeps for later tasks (a few hundred MiB at most) does.
    ///
    /// It is for tasks that leak, and no limit for one that takes too much at once.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) refuses it where the system does not tell (macOS).
    pub fn max_memory_per_worker(mut self, bytes: u64) -> Self {
        self.retirement.memory_max = Some(bytes);
        self
    }

    /// Workers that have had nothing to do for so long, while no call was open, end; the next call starts others. More than
    /// zero; without it they stay.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.retirement.idle_timeout = Some(timeout);
        self
    }

    /// The most bytes that each worker may allocate, without a limit by default. It is a limit for the worker as a whole
    /// (`RLIMIT_DATA`, Linux 4.7 or newer), each has its own, and the parent has none.
    ///
    /// What counts is what the worker's program, its allocator and the C libraries in it ask the system for, from its start on,
    /// whether it is used or not, the stacks of its threads too. What does not count is the program itself, and memory that
    /// processes share: the arguments and results on their way, a [`SharedSlice`](crate::SharedSlice). What a worker has
    /// freed it may keep (a few hundred MiB at most), and hands out again. Processes that a task starts have the same limit,
    /// each for itself.
    ///
    /// At least the stack of its tasks (`stack_bytes`, 8 MiB by default) and 8 MiB more are allowed. A program that takes more
    /// than the limit before [`init`](crate::init) has workers that cannot start; they say so on their standard error.
    ///
    /// Such workers have `RUST_BACKTRACE=0` in their environment, and their panics have no backtrace: std takes many megabytes for
    /// one, and hangs where it does not get them.
    ///
    /// # Worker death
    ///
    /// An allocation of Rust's that fails ends the process, so the task fails with
    /// [`MemoryLimit`](crate::TaskErrorKind::MemoryLimit), and the worker is replaced. An allocation that C code is refused, and
    /// that ends the process then, is told as that too, if the limit is nearly reached; otherwise, and where the program sets
    /// a handler for SIGABRT of its own, it is a [`Crashed`](crate::TaskErrorKind::Crashed). Code that copes with a refused
    /// allocation (`Vec::try_reserve`) goes on.
    ///
    /// # Errors
    ///
    /// [`build`](Self::build) refuses a limit where the system has none (macOS), and one that is too low.
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

    /// What becomes of what the workers print: [`Output::Inherited`] by default, which leaves it as it comes.
    ///
    /// Tagged and captured output costs some system calls for each task (10 to 25 µs), and three descriptors in the parent for
    /// each worker. What a task prints stands in memory until it is dealt with. The buffers of Rust's and of C's standard output are
    /// written out at the end of each task.
    ///
    /// # Worker death
    ///
    /// What the worker had written is written or captured all the same, and the end of its standard error (2 KiB) stands in the note
    /// of [`Crashed`](crate::TaskErrorKind::Crashed). What stood in a buffer of the process is lost: C's standard output has one of
    /// some kilobytes.
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

    /// Builds the pool. It starts the workers and does not wait until they are ready; [`Pool::ready`] does.
    ///
    /// All workers of the pool, those that are started later too, have the environment, the current folder and (on Linux) the umask
    /// that this process has now. The pool holds 6 descriptors, and 2 for each worker.
    ///
    /// # Errors
    ///
    /// An option that is out of its range; a process that never called [`init`](crate::init); pools inside the tasks of
    /// pools more than 4 deep; a worker that the system does not start (those started before are ended); a program with more
    /// rights than its user has (set-user-ID, file capabilities), or in which this crate is a library that a foreign program has
    /// loaded.
    pub fn build(self) -> Result<Pool> {
        let pool = Pool::unstarted(self.settings()?)?;
        pool.start()?;
        Ok(pool)
    }

    pub(super) fn settings(self) -> Result<Settings> {
        let entry = launch::entry()?;
        if let Some(mistake) = self.mistake {
            return Err(Error::invalid_option(mistake));
        }
        let workers = self.workers.unwrap_or_else(|| match launch::depth() {
            0 => cpu_count(),
            _ => 1,
        });
        check_workers(workers)?;
        let remedy = "4096 bytes to 4 GiB - 1 byte are allowed";
        let frame_bytes_max = self.frame_bytes_max;
        let most = u32::MAX as usize;
        in_range("frame_bytes_max", frame_bytes_max, wire::FRAME_BYTES_MIN, most, remedy)?;
        let remedy = format!("64 KiB to {} GiB are allowed", STACK_BYTES_MAX >> 30);
        in_range("stack_bytes", self.stack_bytes, STACK_BYTES_MIN, STACK_BYTES_MAX, &remedy)?;
        if self.startup_timeout.is_zero() || self.startup_timeout > STARTUP_TIMEOUT_MAX {
            return Err(Error::invalid_option(format!(
                "startup_timeout = {:?} is out of range: more than zero and up to a day are allowed, and 10 s are the \
                 default",
                self.startup_timeout,
            )));
        }
        check_retirement(&self.retirement)?;
        if let Some(bytes) = self.memory_limit {
            check_memory_limit(bytes, self.stack_bytes)?;
        }
        Ok(Settings {
            workers,
            transport: transport_from_environment()?,
            startup_timeout: self.startup_timeout,
            retirement: self.retirement,
            start: Start {
                role: Role::Worker,
                frame_bytes_max,
                stack_bytes: self.stack_bytes,
                memory_limit: self.memory_limit,
                output: self.output,
            },
            entry: entry.clone(),
            initializer: self.initializer,
            finalizer: self.finalizer,
        })
    }
}

/// Says how chunks and results travel.
const TRANSPORT_VARIABLE: &str = "POOLMAP_TRANSPORT";

fn transport_from_environment() -> Result<Transport> {
    match sys::variable(TRANSPORT_VARIABLE) {
        None => Ok(Transport::SharedMemory),
        Some(value) if value == "socket" => Ok(Transport::Socket),
        Some(value) if value == "memory" => Ok(Transport::SharedMemory),
        Some(value) => Err(Error::invalid_option(format!(
            "the environment variable {TRANSPORT_VARIABLE} is {value:?}: \"memory\" (the default: shared memory where the \
             system has it) and \"socket\" are allowed",
        ))),
    }
}

pub(super) fn check_workers(workers: usize) -> Result<()> {
    let remedy = "1 to 4096 are allowed; without workers(n), a pool has one for each CPU";
    in_range("workers", workers, 1, WORKERS_MAX, remedy)
}

fn check_retirement(retirement: &Retirement) -> Result<()> {
    let Retirement { tasks_max, memory_max, idle_timeout } = retirement;
    if *tasks_max == Some(0) {
        return Err(Error::invalid_option(
            "max_tasks_per_worker = 0 allows no task at all: give it 1 or more, or leave it out",
        ));
    }
    if *memory_max == Some(0) {
        return Err(Error::invalid_option(
            "max_memory_per_worker = 0 allows no worker at all: give it the bytes that a worker may have, or leave it out",
        ));
    }
    if memory_max.is_some() && sys::resident_bytes(std::process::id()).is_none() {
        return Err(Error::invalid_option(
            "max_memory_per_worker cannot be kept: this system does not tell how much memory a process has; leave it out",
        ));
    }
    if *idle_timeout == Some(Duration::ZERO) {
        return Err(Error::invalid_option(
            "idle_timeout = 0 lets no worker wait for a task: give it more than that, or leave it out",
        ));
    }
    Ok(())
}

fn check_memory_limit(bytes: u64, stack_bytes: usize) -> Result<()> {
    if !sys::CAN_LIMIT_MEMORY {
        return Err(Error::invalid_option(format!(
            "memory_limit = {bytes} cannot be kept: this system has no limit for the memory of a process; leave it out",
        )));
    }
    let least = stack_bytes as u64 + MEMORY_BYTES_MIN;
    if bytes < least {
        return Err(Error::invalid_option(format!(
            "memory_limit = {bytes} is out of range: at least {least} bytes are allowed, 8 MiB and the stack of the tasks \
             (stack_bytes); without memory_limit(bytes), a worker has no limit",
        )));
    }
    Ok(())
}

fn in_range(option: &str, value: usize, least: usize, most: usize, remedy: &str) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid_option(format!("{option} = {value} is out of range: {remedy}")))
}
