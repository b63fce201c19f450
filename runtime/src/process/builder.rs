//! A process before it is started: its call, its name, and whether it ends with its parent.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::handle::ProcessHandle;
use super::reaper;
use super::started::ProcessOptions;
use crate::child::{self, STACK_BYTES, Start};
use crate::error::{CodecError, Error, Result, TaskError, TaskErrorKind};
use crate::functions::{EncodedCall, Itself, WorkerFn, kept_arguments, take_printed};
use crate::in_process;
use crate::sys::SurroundingsChanges;
use crate::task::{Limits, Output, Role};
use crate::trace::CallLog;
use crate::transport::{Block, Chunk, ChunkHead, Sharing};
use crate::wire::{FRAME_BYTES_MAX, OVERHEAD_BYTES};

/// Runs one call of a worker function in a process of its own: Python's `multiprocessing.Process`, typed.
///
/// The process is this program, re-executed, as a worker is ([`init`](crate::init)). It has none of this process's memory, threads
/// and descriptors. Its standard input is `/dev/null`; its standard output and error are those of this process,
/// unless [`output`](Process::output) captures them. The call runs on a
/// thread with 8 MiB of stack. The process ends when the call has returned and the parent has received its output. Inside the call,
/// [`current_worker`](crate::current_worker) is `Some`, with index 0 and attempt 1.
///
/// Arguments and output may take 2 GiB each, encoded.
///
/// # The end
///
/// | the call | exit code |
/// |---|---|
/// | returned an output | 0 |
/// | returned an `Err`; its arguments or its output could not be encoded or decoded | 1 |
/// | panicked | 101 |
///
/// A panic is also printed on standard error, as a thread's panic is, because the parent may never join the process.
///
/// Before it ends, a process waits for the non-daemon Processes that it has started itself, and ends its daemons.
///
/// # The parent's end
///
/// A *daemon* (`daemon(true)`) ends with the process that started it, also by SIGKILL. Any other process survives its parent.
///
/// Under [`#[poolmap::main]`](crate::main) the program waits at its end for processes that are not daemons: when `main` returns, also
/// with an `Err`, and when it panics (but not under `panic = "abort"`). After that it ends the daemons. `std::process::exit`, a program
/// that calls [`init`](crate::init) by hand, and [`#[poolmap::test]`](crate::test) do not wait: join the processes there. The output
/// of a process that survives its parent is lost, which is not an error of the process.
///
/// # Signals
///
/// A daemon is in a process group of its own, as workers are: a Ctrl-C reaches the program alone, and the daemon ends with it.
/// Any other process is in the group of its parent: a Ctrl-C, or a Ctrl-Z, in the terminal reaches both.
///
/// When a daemon or a worker ends, every process that it started and that is in its group ends too, even a Process that is not a
/// daemon.
/// (Except if the program itself is killed by SIGKILL, because no process is left to end the group.)
///
/// # Worker death
///
/// If the process dies in the call, [`join`](ProcessHandle::join) returns an error with the known causes
/// ([`Crashed`](TaskErrorKind::Crashed)), and [`exit_status`](ProcessHandle::exit_status) returns the system's status.
///
/// # Examples
///
/// ```
/// use poolmap::{Process, worker};
///
/// #[worker]
/// fn eat(times: u32, name: &str) -> String {
///     format!("{name} ate {times} times")
/// }
///
/// poolmap::init();
/// let mut eater = Process::new(eat { times: 3, name: "giao".into() }).name("eater").daemon(true).start()?;
/// assert_eq!(eater.name(), "eater");
/// assert_eq!(eater.join()?, "giao ate 3 times");
/// assert!(eater.exit_status().unwrap().success());
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// A call that fails:
///
/// ```
/// use poolmap::{Process, TaskErrorKind, worker};
///
/// #[worker]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// poolmap::init();
/// let mut parser = Process::new(parse { text: "seven".into() }).name("parser").start()?;
/// let error = parser.join().unwrap_err();
/// let task = error.task().unwrap();
/// assert!(matches!(task.kind(), TaskErrorKind::Failed(_)));
/// assert_eq!(task.process_name(), Some("parser"));
/// assert_eq!(parser.exit_status().unwrap().code(), Some(1));
/// # Ok::<(), poolmap::Error>(())
/// ```
#[must_use = "a process does nothing before it is started"]
pub struct Process<F> {
    call: F,
    name: Option<String>,
    role: Role,
    timeout: Option<Duration>,
    memory_limit: Option<u64>,
    output: Output,
    surroundings: SurroundingsChanges,
    program: Option<PathBuf>,
}

impl<F: WorkerFn> Process<F> {
    /// Describes a process for this call, with its arguments by name: `f { x: 1, y: 2 }`.
    pub fn new<C: Itself<Type = F>>(call: C) -> Self {
        Self {
            call: call.itself(),
            name: None,
            role: Role::Plain,
            timeout: None,
            memory_limit: None,
            output: Output::Inherited,
            surroundings: SurroundingsChanges::default(),
            program: None,
        }
    }

    /// Sets the name in errors and in [`active_children`](crate::active_children). Default: `Process-1`, `Process-2`, …
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets whether the process ends with its parent. Default: `false`, it survives.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.role = if daemon { Role::Daemon } else { Role::Plain };
        self
    }

    /// Sets how long the call may run, from its begin in the process: more than zero. Default: no limit.
    ///
    /// A process that takes longer is killed, whatever it does, and [`join`](ProcessHandle::join) returns an error with
    /// [`TimedOut`](TaskErrorKind::TimedOut). The end comes up to an eighth of the limit late: at most 20 ms under a limit of up to 2 s, and
    /// at most 100 ms under any. On a machine that is short of processors it comes later. Time in which this process is stopped (Ctrl-Z)
    /// does not count.
    ///
    /// A process that has sent its output, and does not end within the limit or within 1.5 s, whichever is longer, is killed too. Its
    /// output is kept. The limit ends with this process, also for a process that survives it.
    ///
    /// # Errors
    ///
    /// [`start`](Self::start) returns an error if the limit is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use poolmap::{Process, TaskErrorKind, worker};
    ///
    /// #[worker]
    /// fn hang() {
    ///     loop {
    ///         std::hint::spin_loop();
    ///     }
    /// }
    ///
    /// poolmap::init();
    /// let error = Process::new(hang {}).timeout(Duration::from_millis(50)).start()?.join().unwrap_err();
    /// assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::TimedOut { .. }));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Limits the memory that the process may take, in bytes: 16 MiB or more. Default: no limit.
    ///
    /// The limit is that of [`Builder::memory_limit`](crate::Builder::memory_limit), for one process. If an allocation fails, the error of
    /// the call is [`MemoryLimit`](TaskErrorKind::MemoryLimit).
    ///
    /// # Errors
    ///
    /// [`start`](Self::start) returns an error if the limit is too low, or where the system has no such limit (macOS).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Process, TaskErrorKind, worker};
    ///
    /// #[worker]
    /// fn zeros(length: usize) -> usize {
    ///     vec![0u8; length].len()
    /// }
    ///
    /// poolmap::init();
    /// # if cfg!(target_os = "linux") && option_env!("POOLMAP_PORTABLE").is_none() {
    /// let mut process = Process::new(zeros { length: 1 << 30 }).memory_limit(64 << 20).start()?;
    /// let error = process.join().unwrap_err();
    /// assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::MemoryLimit { limit: 67_108_864, .. }));
    /// # }
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets where the printed output of the process goes. Default: [`Output::Inherited`], to the streams of this program.
    ///
    /// [`ProcessHandle::join_captured`] returns captured output. A failed call has it in its error too
    /// ([`TaskError::stdout`](crate::TaskError::stdout)). Tagged and captured output takes three descriptors more while the process runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Output, Process, worker};
    ///
    /// #[worker]
    /// fn greet(name: &str) -> usize {
    ///     println!("hello, {name}");
    ///     name.len()
    /// }
    ///
    /// poolmap::init();
    /// let mut process = Process::new(greet { name: "you".into() }).output(Output::Captured).start()?;
    /// let greeted = process.join_captured()?;
    /// assert_eq!((greeted.outcome?, &*greeted.stdout), (3, "hello, you\n"));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets a variable in the environment of the process.
    ///
    /// Default: the environment that this process has when the other is started. Of two values for one name the later holds.
    ///
    /// # Errors
    ///
    /// [`start`](Self::start) returns an error if the name is empty, contains `=` or a zero byte, or if the value contains a zero byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Process, worker};
    ///
    /// #[worker]
    /// fn place() -> (Option<String>, std::path::PathBuf) {
    ///     (std::env::var("PLACE").ok(), std::env::current_dir().unwrap())
    /// }
    ///
    /// poolmap::init();
    /// let mut process = Process::new(place {}).env("PLACE", "root").current_dir("/").start()?;
    /// assert_eq!(process.join()?, (Some("root".to_owned()), "/".into()));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.surroundings.set(name.into(), value.into());
        self
    }

    /// Removes a variable from the environment of the process.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.surroundings.remove(name.into());
        self
    }

    /// Removes all variables from the environment of the process, including those that [`env`](Self::env) has set before.
    ///
    /// A program that finds in its environment what it is to run, as a doctest does, does not start as a worker then.
    pub fn env_clear(mut self) -> Self {
        self.surroundings.clear();
        self
    }

    /// Sets the current folder of the process. Default: that of this process when the other is started.
    ///
    /// # Errors
    ///
    /// [`start`](Self::start) returns an error if there is no such folder.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.surroundings.set_folder(folder.into());
        self
    }

    /// Sets the program of the process, where `main` is not yours. Default: this program.
    ///
    /// [`Builder::program`](crate::Builder::program) says what it must be.
    ///
    /// # Errors
    ///
    /// [`start`](Self::start) returns an error if there is no such file, or if this user cannot execute it.
    /// [`join`](ProcessHandle::join) returns one if it does not become a worker, or has other worker functions.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Process, worker};
    ///
    /// #[worker]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// let error = Process::new(square { x: 3 }).program("/no/such/worker").start().unwrap_err();
    /// assert!(error.is_start_failure());
    /// ```
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Starts the process, and returns once the arguments are handed over.
    ///
    /// That is immediate if they are below about 100 KiB, which a socket holds. `start` does not wait for the call to begin.
    ///
    /// The process has the present environment, current folder and umask of this process, with the changes of [`env`](Self::env) and
    /// [`current_dir`](Self::current_dir).
    ///
    /// A running process takes 2 descriptors here (3 where the system has no pidfd). After its end the handle holds 1.
    ///
    /// # Errors
    ///
    /// An argument does not encode ([`Error::task`]); the system starts no process; this process never called
    /// [`init`](crate::init), and the other has no [`program`](Self::program) of its own; Processes or pools inside the tasks of others are
    /// more than 4 deep; `POOLMAP_IN_PROCESS=1` allows no processes ([`Error::is_invalid_option`]).
    ///
    /// [`join`](ProcessHandle::join) reports every later failure.
    pub fn start(self) -> Result<ProcessHandle<F::Output>> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);

        in_process::check_process("a Process")?;
        let entry = child::entry(self.program.as_deref())?;
        if let Some(mistake) = self.surroundings.mistake() {
            return Err(Error::invalid_option(mistake));
        }
        let options = self.options()?;
        let function = F::__registration();
        let number = STARTED.fetch_add(1, Ordering::Relaxed) + 1;
        let name = self.name.unwrap_or_else(|| format!("Process-{number}"));
        let chunk = encode(&self.call).map_err(|error| {
            let kind = TaskErrorKind::Encode(error);
            Error::from(TaskError::new(0, function.path(), 0, None, kind).of_process(&name))
        })?;
        let arguments =
            chunk.arguments().of_task(0).and_then(|bytes| kept_arguments(function, bytes, chunk.shared_parameters()));
        let child = reaper::start(&entry, options, &self.surroundings, name, chunk)?;
        child.wait_until_sent();
        Ok(ProcessHandle::new(child, function.path(), arguments, take_printed::<F>))
    }

    /// Checks the options, and returns those that are not its surroundings.
    fn options(&self) -> Result<ProcessOptions> {
        if self.timeout == Some(Duration::ZERO) {
            return Err(Error::zero_option("timeout"));
        }
        if let Some(bytes) = self.memory_limit {
            child::check_memory_limit(bytes, STACK_BYTES)?;
        }
        let start = Start {
            role: self.role,
            frame_bytes_max: FRAME_BYTES_MAX,
            stack_bytes: STACK_BYTES,
            memory_limit: self.memory_limit,
            output: self.output,
            copies_outputs: false,
            nice: 0,
        };
        Ok(ProcessOptions { start, limits: Limits { timeout: self.timeout, cpu_limit: None } })
    }
}

impl<F> fmt::Debug for Process<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let daemon = self.role == Role::Daemon;
        f.debug_struct("Process")
            .field("name", &self.name)
            .field("daemon", &daemon)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The chunk of the one task.
fn encode<F: WorkerFn>(call: &F) -> std::result::Result<Chunk, CodecError> {
    let EncodedCall { function, task, collected } = EncodedCall::new(call, FRAME_BYTES_MAX - OVERHEAD_BYTES)?;
    let bytes = task.len();
    let block = Block::private(task).map_err(|error| CodecError::no_memory(bytes, &error))?;
    let head = ChunkHead { function: function.index(), attempt: 1, first_index: 0 };
    let log = CallLog::of_single(function.path());
    Ok(Chunk::new(head, 1, block, bytes).sharing(Sharing::over_socket(collected)).logged(log))
}
