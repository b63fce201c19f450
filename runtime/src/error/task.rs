//! The error of one task: which task, which function, after how many attempts, and why.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::FailedArguments;
use super::saved::SavedNote;
use super::signal::Signal;
use super::{CodecError, NativeBacktrace, RemoteError, chain};

/// Reports the failure of one task.
///
/// `{error}` is one line that names the task, its arguments and the kind of its failure: ``task 17 of `jobs::resize` (path:
/// "in/050.jpg", width: 64) timed out after 2s``. An argument is shown if it is [`Debug`], up to 80 characters; its `Deserialize` and
/// `Debug` run here, and an argument whose `Debug` panics is left out (under `panic = "abort"` the panic ends the program). An argument
/// that is [`shared`](crate::shared()) is `<shared>`, one that is redacted ([`worker`](macro@crate::worker)) is `<redacted>`, and `…`
/// stands for a handle and what is behind it. [`call`](Self::call) returns the arguments themselves. The error that the worker function returned, or the cause
/// why a value could not be encoded or decoded, is the [`source`](std::error::Error::source). `{error:#}` adds the chain of sources to
/// the line.
///
/// # Worker death
///
/// A worker's death is the error of the task that the worker was running ([`TaskErrorKind::Crashed`]). Finished tasks keep their
/// results, and tasks that had not begun run on another worker.
#[derive(Clone, Debug)]
pub struct TaskError {
    /// Results are moved often, and errors are few: their contents are behind a pointer.
    inner: Box<TaskErrorInner>,
}

#[derive(Clone, Debug)]
struct TaskErrorInner {
    index: usize,
    function: &'static str,
    attempts: u32,
    worker_pid: Option<u32>,
    kind: TaskErrorKind,
    /// The errors of the executions before the last one.
    earlier: Vec<TaskErrorKind>,
    /// The name of the [`Process`](crate::Process) that ran it, if one did.
    process: Option<String>,
    printed: Option<Box<Printed>>,
    native: Option<NativeBacktrace>,
    /// Whether the deadline of its call ended it.
    is_late: bool,
    arguments: Option<FailedArguments>,
    /// What became of them where they were to be saved.
    saved: Option<Box<SavedNote>>,
}

/// The output that a task has printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Lists the kinds of failure of a task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TaskErrorKind {
    /// The worker function returned an `Err`.
    Failed(RemoteError),
    /// The worker function panicked. The worker survives, unless the program is built with `panic = "abort"`.
    #[non_exhaustive]
    Panicked {
        /// The panic's message.
        message: String,
        /// The place of the panic, as `file:line:column`.
        location: Option<String>,
        /// The backtrace, when the parent ran with `RUST_BACKTRACE` set to anything but `0`, and the worker had no memory limit
        /// ([`Builder::memory_limit`](crate::Builder::memory_limit)).
        backtrace: Option<String>,
    },
    /// The worker died while it ran the task.
    #[non_exhaustive]
    Crashed {
        /// The number of the signal that ended the worker.
        signal: Option<i32>,
        /// The exit code with which the worker ended, 0 included.
        exit_code: Option<i32>,
        /// Further known causes of the death, as a fragment: a stack overflow, the address of a fault, an allocation that failed,
        /// the kernel's out-of-memory killer, an exit in the task, the path of the core dump where the system wrote one to a file. If the pool tags or captures output
        /// ([`Output`](crate::Output)), the end of the task's standard error follows on lines of its own: up to 2 KiB.
        note: Option<String>,
    },
    /// The task was ended by a time limit, or by the deadline of its call ([`Error::is_deadline`](crate::Error::is_deadline)).
    #[non_exhaustive]
    TimedOut {
        /// The limit that it ran into.
        limit: Duration,
    },
    /// The task was ended by a limit of its processor time.
    #[non_exhaustive]
    CpuLimit {
        /// The limit that it ran into.
        limit: Duration,
    },
    /// An allocation failed in a worker that has a memory limit, and ended it
    /// ([`Builder::memory_limit`](crate::Builder::memory_limit)). With musl, a single allocation above the limit is reported as
    /// [`Crashed`](Self::Crashed) by `SIGABRT`.
    #[non_exhaustive]
    MemoryLimit {
        /// The limit that held for the worker, in bytes: the pool's, or a lower one that the program was started with.
        limit: u64,
    },
    /// The task made a system call that the sandbox of its pool does not allow ([`Builder::sandbox`](crate::Builder::sandbox)). The call
    /// did not happen, and the worker was ended.
    #[non_exhaustive]
    Denied {
        /// The name of the system call, as in its manual page: `openat` for most that open a file. `None` if the task kept the worker from
        /// recording it, or the call was of another processor's table.
        call: Option<String>,
        /// The path that the call was for, if it was for one: up to 1,024 bytes of it.
        path: Option<PathBuf>,
    },
    /// An argument could not be encoded in the parent, or the result in the worker.
    Encode(CodecError),
    /// An argument could not be decoded in the worker, or the result in the parent.
    Decode(CodecError),
    /// The task was cancelled: before a worker had begun it, or while it ran ([`TaskHandle::abort`](crate::TaskHandle::abort)).
    Cancelled,
    /// No worker could be started for the task any more, after others of its call had results
    /// ([`Error::is_start_failure`](crate::Error::is_start_failure)).
    #[non_exhaustive]
    NotStarted {
        /// Why the last worker could not be started, and what to do.
        message: String,
    },
}

impl TaskError {
    pub(crate) fn new(
        index: usize,
        function: &'static str,
        attempts: u32,
        worker_pid: Option<u32>,
        kind: TaskErrorKind,
    ) -> Self {
        Self {
            inner: Box::new(TaskErrorInner {
                index,
                function,
                attempts,
                worker_pid,
                kind,
                earlier: Vec::new(),
                process: None,
                printed: None,
                native: None,
                is_late: false,
                arguments: None,
                saved: None,
            }),
        }
    }

    /// The same, after executions that died of this.
    pub(crate) fn after(mut self, earlier: Vec<TaskErrorKind>) -> Self {
        self.inner.earlier = earlier;
        self
    }

    /// The same, of the one call of a process.
    pub(crate) fn of_process(mut self, name: &str) -> Self {
        self.inner.process = Some(name.to_owned());
        self
    }

    /// Returns the name of the [`Process`](crate::Process) that ran the call. `None` for a task of a pool.
    pub fn process_name(&self) -> Option<&str> {
        self.inner.process.as_deref()
    }

    /// The same, of a task that has printed this.
    pub(crate) fn printed(mut self, printed: Option<Box<Printed>>) -> Self {
        self.inner.printed = printed;
        self
    }

    /// The same, of a worker that ended at these calls.
    pub(crate) fn at(mut self, native: Option<NativeBacktrace>) -> Self {
        self.inner.native = native;
        self
    }

    /// The same, of a task that the deadline of its call ended, if this says so.
    pub(crate) fn late(mut self, is_late: bool) -> Self {
        self.inner.is_late = is_late;
        self
    }

    /// Whether the deadline of its call ended it.
    pub(super) fn is_late(&self) -> bool {
        self.inner.is_late
    }

    /// The same, with the arguments of the task.
    pub(crate) fn with_arguments(mut self, arguments: Option<FailedArguments>) -> Self {
        self.inner.arguments = arguments;
        self
    }

    /// The same, of a task that was to be saved.
    pub(crate) fn saved(mut self, saved: Option<SavedNote>) -> Self {
        self.inner.saved = saved.map(Box::new);
        self
    }

    /// Returns the file that the task is saved in, to be replayed. `None` without [`save_failed`](crate::Map::save_failed), and where the
    /// task could not be saved.
    pub fn saved_as(&self) -> Option<&Path> {
        match self.inner.saved.as_deref()? {
            SavedNote::Saved(path) => Some(path),
            SavedNote::NotSaved(_) => None,
        }
    }

    /// The arguments of the task, if they are there.
    pub(crate) fn arguments(&self) -> Option<&FailedArguments> {
        self.inner.arguments.as_ref()
    }

    /// Returns the standard output of the task's last execution: the last 64 KiB.
    ///
    /// It is `None` if the pool does not capture output ([`Output::Captured`](crate::Output)), or the task never began. Bytes that are
    /// not UTF-8 are replaced by `U+FFFD`. If the worker died, output still in the buffers of the process is missing.
    pub fn stdout(&self) -> Option<&str> {
        self.inner.printed.as_ref().map(|printed| &*printed.stdout)
    }

    /// Returns the standard error of the task's last execution, as [`stdout`](Self::stdout) does.
    pub fn stderr(&self) -> Option<&str> {
        self.inner.printed.as_ref().map(|printed| &*printed.stderr)
    }

    /// Returns the calls that the worker was in when it ended, the innermost first, through Rust, C and C++.
    ///
    /// There is a backtrace of `SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL` and `SIGABRT`, which are also the ends of a stack overflow, of
    /// `std::process::abort`, of C++'s `std::terminate` and of the heap checks of the C library. It is that of the thread that the
    /// signal met with. The function of the fault is the first line, and the worker function the last: what runs it is left out where
    /// the names are known.
    ///
    /// A task that `timeout` or `cpu_limit` ended has the backtrace of the thread that ran it. The worker records it when the parent ends
    /// it, by a `SIGSTKFLT`, and has 50 ms for that; then it is killed, with a
    /// backtrace or, on a machine that is short of processors, without. A deadline of a call ends its tasks at once, without one.
    ///
    /// With the feature `backtrace` the lines are `   0: function`, each with its `file:line:column` below; inlined functions are
    /// lines of their own. Without the feature, and where a file has no names, a line is the file and an offset in it, as
    /// `addr2line -e file offset` takes it. At most 128 calls are recorded, and the text has at most 16 KiB.
    ///
    /// The first call of this method looks the names up, in the files that the worker had loaded; later calls return the same text. It
    /// takes milliseconds, and seconds for the first error of a program with gigabytes of debug information. A file that has changed
    /// since, that is larger than 4 GiB, or that everybody or a user other than root, this one and the owner of the program may
    /// write to, gives no names. On a cluster the node looks them up.
    ///
    /// `None` if the worker ended otherwise, if the task has set a handler of its own for that signal or has blocked it, on systems other than Linux,
    /// and in process. Over the socket alone (`POOLMAP_TRANSPORT=socket`) it is also `None` if
    /// [`frame_bytes_max`](crate::Builder::frame_bytes_max) is below 8 KiB. With musl there is the function of the fault alone.
    /// `{:?}` of an error does not look the names up; `{:#?}` does, and shows the text.
    ///
    /// # Worker death
    ///
    /// The worker records the calls before it dies. A fault that a broken stack makes while it records ends the worker by the first
    /// signal, with the calls recorded up to there.
    pub fn native_backtrace(&self) -> Option<&str> {
        self.inner.native.as_ref().map(NativeBacktrace::text)
    }

    /// Returns the task's index in the map, from 0.
    pub fn index(&self) -> usize {
        self.inner.index
    }

    /// Returns the worker function, as `module::name`.
    pub fn function(&self) -> &str {
        self.inner.function
    }

    /// Returns the number of executions of the task, including executions that did not end. 0 if it never began.
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// Returns the process id of the task's last worker, if a worker began it. The process may have ended.
    pub fn worker_pid(&self) -> Option<u32> {
        self.inner.worker_pid
    }

    /// Returns the cause of each failed execution, in order. The last is [`kind`](Self::kind).
    ///
    /// There is more than one only with `attempts` or `retry_errors`, which execute a task again.
    pub fn causes(&self) -> impl Iterator<Item = &TaskErrorKind> {
        self.inner.earlier.iter().chain([&self.inner.kind])
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> &TaskErrorKind {
        &self.inner.kind
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.inner.function;
        let arguments = self.inner.arguments.as_ref().map(FailedArguments::text).filter(|text| !text.is_empty());
        match (&self.inner.process, arguments) {
            (Some(name), Some(arguments)) => write!(f, "process `{name}` (`{function}`, {arguments}) ")?,
            (Some(name), None) => write!(f, "process `{name}` (`{function}`) ")?,
            (None, Some(arguments)) => write!(f, "task {} of `{function}` ({arguments}) ", self.inner.index)?,
            (None, None) => write!(f, "task {} of `{function}` ", self.inner.index)?,
        }
        self.write_kind(f)?;
        if self.inner.attempts > 1 {
            write!(f, " (it was executed {} times)", self.inner.attempts)?;
        }
        if let Some(saved) = &self.inner.saved {
            write!(f, " ({saved})")?;
        }
        if f.alternate() { chain::write_sources(self, f) } else { Ok(()) }
    }
}

struct WithoutIndex<'a>(&'a TaskError);

impl fmt::Display for WithoutIndex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.0.inner.function)?;
        self.0.write_kind(f)?;
        chain::write_sources(self.0, f)
    }
}

struct KindAlone(TaskError);

impl fmt::Display for KindAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_kind(f)?;
        chain::write_sources(&self.0, f)
    }
}

/// The text of a kind of failure, with its sources, which names neither the task nor its function.
pub(crate) fn kind_text(kind: &TaskErrorKind) -> impl fmt::Display {
    KindAlone(TaskError::new(0, "", 1, None, kind.clone()))
}

impl TaskError {
    /// The text for a call that is no task of a map, with its sources.
    pub(crate) fn without_index(&self) -> impl fmt::Display {
        WithoutIndex(self)
    }

    fn write_kind(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.kind {
            TaskErrorKind::Failed(_) => f.write_str("failed"),
            TaskErrorKind::Panicked { message, location, .. } => {
                f.write_str("panicked")?;
                if let Some(location) = location {
                    write!(f, " at {location}")?;
                }
                write!(f, ": {message}")
            }
            TaskErrorKind::Crashed { signal, exit_code, note } => {
                f.write_str(if self.inner.process.is_some() { "crashed: it " } else { "crashed: its worker " })?;
                write_end(f, *signal, *exit_code)?;
                if let Some(pid) = self.inner.worker_pid {
                    write!(f, " (pid {pid})")?;
                }
                note.iter().try_for_each(|note| write!(f, "; {note}"))
            }
            TaskErrorKind::TimedOut { limit } => write!(f, "timed out after {limit:?}"),
            TaskErrorKind::CpuLimit { limit } => {
                write!(f, "was ended by its limit of {limit:?} of processor time")
            }
            TaskErrorKind::MemoryLimit { limit } => {
                let (who, builder) = match self.inner.process {
                    Some(_) => ("it", "Process::new(…)"),
                    None => ("its worker", "Pool::builder()"),
                };
                write!(f, "was ended by its memory limit of {limit} bytes: {who}")?;
                if let Some(pid) = self.inner.worker_pid {
                    write!(f, " (pid {pid})")?;
                }
                write!(
                    f,
                    " could not get more memory; raise the limit ({builder}.memory_limit(…)), or give a task less to do"
                )
            }
            TaskErrorKind::Denied { call, path } => write_denied(f, call.as_deref(), path.as_deref()),
            TaskErrorKind::Encode(_) => f.write_str("could not be encoded"),
            TaskErrorKind::Decode(_) => f.write_str("could not be decoded"),
            TaskErrorKind::Cancelled => f.write_str("was cancelled"),
            TaskErrorKind::NotStarted { message } => write!(f, "has no worker: {message}"),
        }
    }
}

/// The denial by the sandbox, as the end of a sentence.
fn write_denied(f: &mut fmt::Formatter<'_>, call: Option<&str>, path: Option<&Path>) -> fmt::Result {
    f.write_str("was ended by its sandbox: ")?;
    match (call, path) {
        (Some(call), Some(path)) => write!(f, "`{call}` of {path:?} is denied"),
        (Some(call), None) => write!(f, "`{call}` is denied"),
        (None, _) => f.write_str("a system call that it does not allow"),
    }
}

/// How a process ended, as the end of a sentence.
fn write_end(f: &mut fmt::Formatter<'_>, signal: Option<i32>, code: Option<i32>) -> fmt::Result {
    match (signal, code) {
        (Some(signal), _) => write!(f, "was killed by {}", Signal(signal)),
        (None, Some(code)) => write!(f, "exited with code {code}"),
        (None, None) => f.write_str("ended for an unknown reason"),
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.inner.kind {
            TaskErrorKind::Failed(error) => Some(error),
            TaskErrorKind::Encode(error) | TaskErrorKind::Decode(error) => Some(error),
            _ => None,
        }
    }
}
