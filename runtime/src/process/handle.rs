//! A started process, as its owner holds it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::child::{Child, Ended};
use super::keeper;
use crate::error::{Error, Kind, Result, StartFailure, TaskError, TaskErrorKind};
use crate::registry::NoOutput;
use crate::sys::ForkMark;
use crate::wire::Records;

/// A started [`Process`](crate::Process), whose call gives a `T`.
///
/// Dropping the handle lets the process go on by itself, or to its end: its output is dropped, and it is reaped when it ends,
/// so that no zombie stays. ([`kill`](Self::kill) it first where it should not go on.)
///
/// It belongs to the process that started it: in a fork of that a join is an error ([`Error::is_forked`]), and neither a signal nor a
/// drop does anything.
///
/// It can be waited for together with other things: it is a descriptor ([`AsFd`]) that becomes readable when the process has
/// ended, for `poll`, `epoll` and the reactors of async runtimes. Nothing is to be read from it.
///
/// # Examples
///
/// A time limit, after which the process is ended:
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
    child: Arc<Child>,
    function: &'static str,
    decode: fn(&mut Records) -> std::result::Result<T, NoOutput>,
    is_joined: bool,
    /// The process that started it.
    owner: ForkMark,
}

impl<T> ProcessHandle<T> {
    pub(super) fn new(
        child: Arc<Child>,
        function: &'static str,
        decode: fn(&mut Records) -> std::result::Result<T, NoOutput>,
    ) -> Self {
        Self { child, function, decode, is_joined: false, owner: ForkMark::here() }
    }

    /// Its process id. Once it has ended, the system may give the number to another process.
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.child.name
    }

    /// Whether it has not ended. One that is stopped (SIGSTOP) is alive.
    pub fn is_alive(&self) -> bool {
        !self.child.has_ended()
    }

    /// Waits until it has ended, and gives the output of its call. The output is taken in as it comes, also while nobody
    /// joins, so that a large one never keeps the process from its end.
    ///
    /// # Errors
    ///
    /// The call's own error ([`Error::task`]; its index is 0, and [`process_name`](TaskError::process_name) this one's);
    /// the process ended before it came to [`init`](crate::init), or was not there within 60 seconds
    /// ([`Error::is_start_failure`]); it was joined before ([`Error::is_taken`]).
    ///
    /// # Worker death
    ///
    /// If the process dies, or is killed, before it has given its output, the error is
    /// [`Crashed`](TaskErrorKind::Crashed). An output that has arrived is kept.
    pub fn join(&mut self) -> Result<T> {
        self.check()?;
        self.child.wait(None);
        self.take()
    }

    /// Waits for at most this long until it has ended, and gives the output of its call; `None` if it is still running, and
    /// then the handle is as it was.
    ///
    /// # Errors
    ///
    /// Those of [`join`](Self::join).
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<Option<T>> {
        self.check()?;
        // A time that no clock reaches is no limit.
        if !self.child.wait(Instant::now().checked_add(timeout)) {
            return Ok(None);
        }
        self.take().map(Some)
    }

    /// Asks it to end, by a SIGTERM: it ends at once, unless the program does something else about that signal. Nothing
    /// happens if it has ended. What it has started itself goes on, unless it is a daemon.
    pub fn terminate(&self) {
        if self.owner.is_here() {
            self.child.terminate();
        }
    }

    /// Ends it, by a SIGKILL: at once, whatever it does, also if it is stopped. Nothing happens if it has ended. What it has
    /// started itself goes on, unless it is a daemon.
    ///
    /// Where the system refuses every signal to it (a filter of system calls does), a daemon is asked to end by way of its
    /// channel; a process that is alive 2 seconds later is given up: [`join`](Self::join) returns an error that says why.
    pub fn kill(&self) {
        if self.owner.is_here() {
            self.child.kill();
            keeper::look();
        }
    }

    /// How it ended, as the system says it: `None` while it runs, and also afterwards in a program that ignores SIGCHLD or
    /// reaps children that are not its own. It stays the same after a join.
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

    /// What became of the call, which has ended.
    fn take(&mut self) -> Result<T> {
        self.is_joined = true;
        let (kind, has_begun) = match self.child.take() {
            Some(Ended::Result(result)) => match (self.decode)(&mut Records::new(result)) {
                Ok(output) => return Ok(output),
                Err(NoOutput::Task(kind)) => (kind, true),
                Err(NoOutput::Violation(violation)) => {
                    let note = Some(format!("it broke the protocol: {}", violation.0));
                    (TaskErrorKind::Crashed { signal: None, exit_code: None, note }, true)
                }
            },
            Some(Ended::Died(kind, has_begun)) => (kind, has_begun),
            Some(Ended::NotStarted(message)) => return Err(Error::new(Kind::Start(StartFailure { message }))),
            Some(Ended::Taken) | None => return Err(Error::new(Kind::Joined(self.child.name.clone()))),
        };
        let attempts = u32::from(has_begun);
        Err(TaskError::new(0, self.function, attempts, Some(self.child.pid), kind).of_process(&self.child.name).into())
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
        } else {
            // What is counted once more is never let go of.
            std::mem::forget(Arc::clone(&self.child));
        }
    }
}

impl<T> fmt::Debug for ProcessHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHandle").field("name", &self.name()).field("pid", &self.pid()).finish_non_exhaustive()
    }
}
