//! The one opaque error of the crate, and every way in which a call as a whole can fail.

use std::fmt;
use std::time::Duration;

use super::{SyncError, TaskError, TaskErrorKind};

/// Reports why a call failed.
///
/// Predicates distinguish the causes. If a task failed, [`task`](Error::task) returns the task's own error. `{error}` is one line that
/// names the failure, its place and a remedy. The error that the worker function returned is the
/// [`source`](std::error::Error::source). `{error:#}` adds the chain of sources to the line, as anyhow does. The `Debug` text has each
/// source on a line of its own, because a `main` that returns the error prints that text.
///
/// # Errors of a call as a whole
///
/// Beside the failures of its tasks, a map returns an error if:
/// - its iterators have different lengths ([`is_length_mismatch`](Self::is_length_mismatch)), or a map that collects its results has
///   endless ones only ([`is_endless`](Self::is_endless));
/// - an option has a value that is not allowed, such as `chunk_size = 0` ([`is_invalid_option`](Self::is_invalid_option));
/// - its `deadline` passed before all input was read ([`is_deadline`](Self::is_deadline));
/// - as many submitted calls wait as its pool allows ([`is_full`](Self::is_full));
/// - no worker could be started ([`is_start_failure`](Self::is_start_failure)) before it had a result. Later the tasks that are left
///   fail with [`NotStarted`](TaskErrorKind::NotStarted);
/// - its pool was closed or shut down ([`is_closed`](Self::is_closed)), or belongs to another process, of which this one is a fork
///   ([`is_forked`](Self::is_forked));
/// - the program did not run [`init`](crate::init) ([`is_not_initialized`](Self::is_not_initialized)), or the map is in a task of a
///   pool that is itself in a task, 4 levels deep ([`is_nested_too_deep`](Self::is_nested_too_deep)).
///
/// # Examples
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn add(x: i64, y: i64) -> i64 {
///     x + y
/// }
///
/// poolmap::init();
/// let error = pool_map!(add, [1, 2, 3], [1, 2]).unwrap_err();
/// assert!(error.is_length_mismatch());
/// ```
///
/// The failure of a task, and its cause:
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// poolmap::init();
/// let error = pool_map!(parse, ["1", "two"]).unwrap_err();
/// assert!(error.to_string().ends_with("parse` (text: \"two\") failed"));
/// assert!(format!("{error:#}").ends_with("failed: invalid digit found in string"));
/// ```
pub struct Error {
    kind: Box<Kind>,
}

pub(crate) enum Kind {
    NotInitialized,
    NestedTooDeep {
        depth: u32,
        depth_max: u32,
    },
    InvalidOption(String),
    LengthMismatch(LengthMismatch),
    Endless,
    Deadline(Duration),
    /// Nodes did not come in time: how many, and why others may not.
    TooFewNodes(String),
    Task(TaskError),
    Start(StartFailure),
    Closed,
    /// So many submitted calls wait, which is the most.
    Full(usize),
    Taken,
    /// The process of this name was joined before.
    Joined(String),
    /// The named object was made by another process, of which this one was forked.
    Forked(&'static str),
    /// The process of this name was started by another process, of which this one was forked.
    NotParent(String),
    Sync(SyncError),
}

/// Which iterators of a call differ in length.
pub(crate) struct LengthMismatch {
    pub(crate) function: &'static str,
    /// The parameter (its place and its name) whose iterator ended first, and after how many items.
    pub(crate) ended: Place,
    pub(crate) ended_after: usize,
    /// The parameter whose iterator went on, and how many items it has, where that is known.
    pub(crate) longer: Place,
    pub(crate) longer_length: Option<usize>,
}

/// A parameter of a worker function, by its place from 0 and its name.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: usize,
    pub(crate) name: &'static str,
}

/// Why no worker could be started.
#[derive(Clone)]
pub(crate) struct StartFailure {
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind: Box::new(kind) }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(crate) fn invalid_option(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidOption(message.into()))
    }

    /// The error of an option that must be greater than zero, and is not.
    pub(crate) fn zero_option(option: &str) -> Self {
        Self::invalid_option(format!("`{option}` must be greater than zero, got 0"))
    }

    pub(crate) fn start(message: impl Into<String>) -> Self {
        Self::new(Kind::Start(StartFailure { message: message.into() }))
    }

    pub(crate) fn forked(what: &'static str) -> Self {
        Self::new(Kind::Forked(what))
    }

    /// Returns the error of the failed task, if the call ended because a task failed.
    pub fn task(&self) -> Option<&TaskError> {
        match &*self.kind {
            Kind::Task(task) => Some(task),
            _ => None,
        }
    }

    /// Returns whether this process never ran [`init`](crate::init), `#[poolmap::main]` or `#[poolmap::test]`.
    pub fn is_not_initialized(&self) -> bool {
        matches!(&*self.kind, Kind::NotInitialized)
    }

    /// Returns whether pools or Processes inside the tasks of others are more than 4 levels deep.
    pub fn is_nested_too_deep(&self) -> bool {
        matches!(&*self.kind, Kind::NestedTooDeep { .. })
    }

    /// Returns whether an option has a value that is not allowed, such as zero workers.
    pub fn is_invalid_option(&self) -> bool {
        matches!(&*self.kind, Kind::InvalidOption(_))
    }

    /// Returns whether the iterators of the call did not end together.
    pub fn is_length_mismatch(&self) -> bool {
        matches!(&*self.kind, Kind::LengthMismatch(_))
    }

    /// Returns whether a map that collects its results had endless iterators only.
    pub fn is_endless(&self) -> bool {
        matches!(&*self.kind, Kind::Endless)
    }

    /// Returns whether the deadline of the call came first: before all its input was read, or before this task had ended.
    ///
    /// In the second case [`task`](Self::task) returns the task's error, [`TimedOut`](TaskErrorKind::TimedOut). It is also true of the
    /// error of [`wait_for_nodes`](crate::wait_for_nodes).
    pub fn is_deadline(&self) -> bool {
        match &*self.kind {
            Kind::Deadline(_) | Kind::TooFewNodes(_) => true,
            Kind::Task(task) => task.is_late(),
            _ => false,
        }
    }

    /// Returns whether no worker could be started, for the call or for its task ([`TaskErrorKind::NotStarted`]).
    pub fn is_start_failure(&self) -> bool {
        match &*self.kind {
            Kind::Start(_) => true,
            Kind::Task(task) => matches!(task.kind(), TaskErrorKind::NotStarted { .. }),
            _ => false,
        }
    }

    /// Returns whether the output was already taken.
    pub fn is_taken(&self) -> bool {
        matches!(&*self.kind, Kind::Taken | Kind::Joined(_))
    }

    /// Returns whether this process is a fork of the process that made the pool, the handle or the iterator.
    ///
    /// A fork (a copy made by `fork`) must make its own; it cannot affect those of its parent.
    pub fn is_forked(&self) -> bool {
        matches!(&*self.kind, Kind::Forked(_) | Kind::NotParent(_))
    }

    /// Returns whether as many submitted calls wait as the pool allows ([`Builder::max_waiting`](crate::Builder::max_waiting)).
    pub fn is_full(&self) -> bool {
        matches!(&*self.kind, Kind::Full(_))
    }

    /// Returns whether the pool was closed or shut down.
    pub fn is_closed(&self) -> bool {
        matches!(&*self.kind, Kind::Closed)
    }
}

impl From<TaskError> for Error {
    fn from(task: TaskError) -> Self {
        Self::new(Kind::Task(task))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            Kind::NotInitialized => f.write_str(
                "poolmap was not initialized in this process: put #[poolmap::main] above `fn main`, or call \
                 poolmap::init() as its first statement (in a test: #[poolmap::test] in place of #[test]; where `main` is not yours, as in \
                 a library that Python loads: Pool::builder().program(path))",
            ),
            Kind::NestedTooDeep { depth, depth_max } => write!(
                f,
                "a pool or a Process inside the task of another, {depth} levels deep, is more than the {depth_max} allowed: \
                 check for a worker function that recurses through a pool",
            ),
            Kind::InvalidOption(message) | Kind::TooFewNodes(message) => f.write_str(message),
            Kind::LengthMismatch(mismatch) => mismatch.fmt(f),
            Kind::Endless => f.write_str(
                "every iterator of this map is endless, so its results can never be collected: use pool_iter!, or end \
                 one of them with `.take(n)`",
            ),
            Kind::Deadline(limit) => write!(
                f,
                "the deadline of the call came {limit:?} after its start, before all its input was read: raise the \
                 deadline, or pass less input",
            ),
            Kind::Task(task) => task.fmt(f),
            Kind::Start(failure) => f.write_str(&failure.message),
            Kind::Sync(failure) => f.write_str(&failure.message),
            Kind::Closed => {
                f.write_str("the pool was shut down: make another one, or shut it down after the last call")
            }
            Kind::Full(most) => write!(
                f,
                "{most} calls wait for a worker, the most that `max_waiting` allows: submit it later, wait with apply(), or raise \
                 `max_waiting`",
            ),
            Kind::Taken => f.write_str("the output of this call was already taken: join it once"),
            Kind::Joined(name) => {
                write!(f, "process `{name}` was joined before: keep the output of the first join")
            }
            Kind::Forked(what) => {
                write!(
                    f,
                    "{what} belongs to the process that this one was forked from: make one of its own in this process"
                )
            }
            Kind::NotParent(name) => write!(
                f,
                "process `{name}` was started before this process was forked off: the one that started it can join it",
            ),
        }
    }
}

impl fmt::Display for LengthMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the iterators of the call of `{}` do not end together: {} ends after {} item{}, while {} ",
            self.function,
            self.ended,
            self.ended_after,
            if self.ended_after == 1 { "" } else { "s" },
            self.longer,
        )?;
        match self.longer_length {
            Some(length) => write!(f, "has {length}")?,
            None => f.write_str("goes on")?,
        }
        f.write_str("; give them one length, or add `; shortest` to stop with the first that ends")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iterator {} (`{}`)", self.position + 1, self.name)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.task().and_then(std::error::Error::source)
    }
}
