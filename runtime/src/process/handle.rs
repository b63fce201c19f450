//! A started process, as its owner holds it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::end::{ProcessDeath, ProcessEnd};
use super::reaper;
use super::started::StartedProcess;
use crate::error::{Error, FailedArguments, Kind, Printed, Result, StartFailure, TaskError, TaskErrorKind};
use crate::functions::NoOutput;
use crate::sys::ForkMark;
use crate::task::{Captured, Output};
use crate::wire::Records;

/// Reads the result of the call, and what it has printed where that is captured.
type Decode<T> = fn(&mut Records, Output) -> (std::result::Result<T, NoOutput>, Option<Box<Printed>>);

/// Refers to a started [`Process`](crate::Process), whose call returns a `T`.
///
/// Dropping the handle detaches the process: it continues to its end, its output is dropped, and it is reaped when it ends, so that no
/// zombie stays. To end it, call [`kill`](Self::kill) first.
///
/// The handle belongs to the process that called `start`. In a fork of that process a join is an error ([`Error::is_forked`]), and a
/// signal or a drop does nothing.
///
/// The handle is a descriptor ([`AsFd`]) that becomes readable when the process has ended, for `poll`, `epoll` and the reactors of
/// async runtimes. Do not read from it.
///
/// # Examples
///
/// A time limit, after which the program ends the process:
///
/// ```
/// use poolmap::{Process, TaskErrorKind, worker};
/// use std::time::Duration;
///
/// #[worker]
/// fn sleep(seconds: u64) {
///     std::thread::sleep(Duration::from_secs(seconds));
/// }
///
/// poolmap::init();
/// let mut sleeper = Process::new(sleep { seconds: 600 }).start()?;
/// assert!(sleeper.join_timeout(Duration::from_millis(50))?.is_none());
/// assert!(sleeper.is_alive());
/// sleeper.terminate();
/// let error = sleeper.join().unwrap_err();
/// assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Crashed { signal: Some(15), .. }));
/// assert!(!sleeper.is_alive());
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct ProcessHandle<T> {
    child: Arc<StartedProcess>,
    function: &'static str,
    decode: Decode<T>,
    /// Those of the call, for its error.
    arguments: Option<FailedArguments>,
    is_joined: bool,
    /// The process that started it.
    owner: ForkMark,
}

impl<T> ProcessHandle<T> {
    pub(super) fn new(
        child: Arc<StartedProcess>,
        function: &'static str,
        arguments: Option<FailedArguments>,
        decode: Decode<T>,
    ) -> Self {
        Self { child, function, arguments, decode, is_joined: false, owner: ForkMark::here() }
    }

    /// Returns the process id. After the end of the process, the system may assign the number to another process.
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// Returns the name of the process.
    pub fn name(&self) -> &str {
        &self.child.name
    }

    /// Returns whether the process is alive. A stopped process (SIGSTOP) is alive.
    pub fn is_alive(&self) -> bool {
        !self.child.has_ended()
    }

    /// Waits for the end of the process, and returns the output of its call.
    ///
    /// This process receives the output as it arrives, also before a join, so that a large output never delays the end.
    ///
    /// # Errors
    ///
    /// The call failed ([`Error::task`]; its index is 0, and [`process_name`](TaskError::process_name) the name of the process);
    /// the process ended before it called [`init`](crate::init), or did not call it within 60 seconds
    /// ([`Error::is_start_failure`]); the process was joined before ([`Error::is_taken`]).
    ///
    /// # Worker death
    ///
    /// If the process dies, or is killed, before it has sent its output, the error is [`Crashed`](TaskErrorKind::Crashed). An output
    /// that has arrived is kept.
    pub fn join(&mut self) -> Result<T> {
        self.check()?;
        self.child.wait(None);
        self.take()?.into_output()
    }

    /// Waits for the end of the process, and returns the outcome of its call with its printed output.
    ///
    /// The process must capture output ([`Process::output`](crate::Process::output) with [`Output::Captured`]). Output after the end of
    /// the call is dropped.
    ///
    /// # Errors
    ///
    /// The process captures nothing ([`Error::is_invalid_option`]; the handle stays valid); the errors of [`join`](Self::join), except a
    /// failure of the call, which is the `Err` in [`Captured::outcome`].
    pub fn join_captured(&mut self) -> Result<Captured<T>> {
        self.check()?;
        if self.child.output != Output::Captured {
            return Err(Error::invalid_option(
                "this process captures nothing: start it with Process::new(…).output(Output::Captured), or wait with join()",
            ));
        }
        self.child.wait(None);
        self.take()
    }

    /// Waits up to `timeout` for the end of the process, and returns the output of its call.
    ///
    /// Returns `None` if the process is still running; the handle stays valid.
    ///
    /// # Errors
    ///
    /// The errors of [`join`](Self::join).
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<Option<T>> {
        self.check()?;
        // A time that no clock reaches is no limit.
        if !self.child.wait(Instant::now().checked_add(timeout)) {
            return Ok(None);
        }
        self.take()?.into_output().map(Some)
    }

    /// Sends SIGTERM, which ends the process at once unless the program handles that signal.
    ///
    /// It does nothing if the process has ended. Processes that it has started survive, unless it is a daemon.
    pub fn terminate(&self) {
        if self.owner.is_here() {
            self.child.terminate();
        }
    }

    /// Sends SIGKILL, which ends the process at once, whatever it does, also if it is stopped.
    ///
    /// It does nothing if the process has ended. Processes that it has started survive, unless it is a daemon.
    ///
    /// If the system refuses every signal to the process (as a filter of system calls does), a daemon is asked to end through its
    /// channel. If the process is alive 2 seconds later, [`join`](Self::join) returns an error with the cause.
    pub fn kill(&self) {
        if self.owner.is_here() {
            self.child.kill();
            reaper::wake();
        }
    }

    /// Returns the system's exit status, also after a join.
    ///
    /// It is `None` while the process runs, and also afterwards in a program that ignores SIGCHLD or reaps children that are not its
    /// own.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        if !self.owner.is_here() {
            return None;
        }
        if !self.is_alive() {
            // The system tells once it is reaped, which is about to be done.
            self.child.wait(None);
        }
        self.child.status()
    }

    fn check(&self) -> Result<()> {
        if !self.owner.is_here() {
            return Err(Error::new(Kind::NotParent(self.child.name.clone())));
        }
        if self.is_joined {
            return Err(Error::new(Kind::Joined(self.child.name.clone())));
        }
        Ok(())
    }

    /// Takes the outcome of the call, which has ended.
    fn take(&mut self) -> Result<Captured<T>> {
        self.is_joined = true;
        self.child.end_log();
        let ProcessDeath { kind, has_begun, printed, native } = match self.child.take() {
            Some(ProcessEnd::Result(mut result)) => match (self.decode)(&mut result, self.child.output) {
                (Ok(output), printed) => return Ok(Captured::new(Ok(output), printed)),
                (Err(NoOutput::Task(kind)), printed) => ProcessDeath { kind, has_begun: true, printed, native: None },
                (Err(NoOutput::Violation(violation)), printed) => {
                    let note = Some(format!("it broke the protocol: {}", violation.0));
                    let kind = TaskErrorKind::Crashed { signal: None, exit_code: None, note };
                    ProcessDeath { kind, has_begun: true, printed, native: None }
                }
            },
            Some(ProcessEnd::Died(death)) => death,
            Some(ProcessEnd::NotStarted(message)) => return Err(Error::new(Kind::Start(StartFailure { message }))),
            Some(ProcessEnd::Taken) | None => return Err(Error::new(Kind::Joined(self.child.name.clone()))),
        };
        let error = TaskError::new(0, self.function, u32::from(has_begun), Some(self.child.pid), kind);
        let error = error
            .of_process(&self.child.name)
            .printed(printed.clone())
            .at(native)
            .with_arguments(self.arguments.take());
        Ok(Captured::new(Err(error), printed))
    }
}

impl<T> AsFd for ProcessHandle<T> {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.descriptor()
    }
}

impl<T> Drop for ProcessHandle<T> {
    fn drop(&mut self) {
        if self.owner.is_here() {
            self.child.detach();
            if self.child.has_ended() {
                self.child.end_log();
            }
        } else {
            // One more reference that is never dropped keeps the parent's process from being released here.
            std::mem::forget(Arc::clone(&self.child));
        }
    }
}

impl<T> fmt::Debug for ProcessHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHandle").field("name", &self.name()).field("pid", &self.pid()).finish_non_exhaustive()
    }
}
