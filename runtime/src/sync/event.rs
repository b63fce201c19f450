//! Something that has happened, or has not yet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle_serde::travels;
use super::segment::{HEAD, SyncKind, SyncSegment, WaitLimit};
use crate::error::Result;

/// Lets processes wait until one of them sets a flag: Python's `Event`.
///
/// Pass it as an argument of worker functions, by itself or inside of another value. Its clones, here and in the workers, are the same
/// event. It is not set at first.
///
/// # Limits
///
/// An event takes one descriptor and a few pages of memory here and in each worker that has received it, and at most 4,096 processes
/// can share it. It does not travel in a task's result, through a channel or a mutex.
///
/// A fork of the process shares the event with it.
///
/// # Worker death
///
/// An event has no owner, so a death is not reported: waiting for an event that a dead worker should have set blocks forever. Where
/// that can happen, wait with a time limit, or also wait for the call's result, whose error reports the death.
///
/// # Examples
///
/// Workers that begin together:
///
/// ```
/// use std::time::Duration;
///
/// use poolmap::{Event, pool_map, worker};
///
/// #[worker]
/// fn wait_for(start: &Event) -> bool {
///     start.wait_timeout(Duration::from_secs(60))
/// }
///
/// poolmap::init();
/// let start = Event::new()?;
/// assert!(!start.wait_timeout(Duration::from_millis(1)));
/// let begun = std::thread::scope(|scope| {
///     let workers = scope.spawn(|| pool_map!(wait_for, [&start, &start]));
///     start.set();
///     workers.join().expect("no panic")
/// })?;
/// assert_eq!(begun, [true, true]);
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct Event {
    pub(super) segment: Arc<SyncSegment>,
}

/// Not 0 once it has happened.
const HAPPENED: usize = HEAD;

travels!(Event, SyncKind::Event, |segment| Event { segment });

impl Event {
    /// Creates an event that is not set.
    ///
    /// # Errors
    ///
    /// The system has no memory to share, or no descriptor is left.
    pub fn new() -> Result<Self> {
        Ok(Self { segment: SyncSegment::new(SyncKind::Event, 0, |_| ())? })
    }

    /// Sets the event, and wakes every thread that waits for it, in every process.
    pub fn set(&self) {
        self.segment.word(HAPPENED).store(1, Ordering::SeqCst);
        self.segment.wake_all();
    }

    /// Clears the event. A later wait blocks until the next [`set`](Self::set).
    pub fn clear(&self) {
        self.segment.word(HAPPENED).store(0, Ordering::SeqCst);
    }

    /// Returns whether the event is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.segment.word(HAPPENED).load(Ordering::SeqCst) != 0
    }

    /// Waits until the event is set. A thread that wakes late may miss an event that is set and cleared at once.
    pub fn wait(&self) {
        self.wait_for(WaitLimit::Endless);
    }

    /// Waits up to `timeout` until the event is set. Returns whether it is set.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_for(WaitLimit::of(timeout))
    }

    fn wait_for(&self, patience: WaitLimit) -> bool {
        self.segment.wait(patience, |_| self.is_set().then_some(())).is_some()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish()
    }
}
