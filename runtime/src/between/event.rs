//! Something that has happened, or has not yet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::object::{HEAD, Kind, Object, Patience};
use super::travel::travels;
use crate::error::Result;

/// Something that processes wait for until one of them says that it has happened: Python's `Event`.
///
/// It travels as an argument of worker functions, by itself or inside of another value; its clones, here and in the workers, are
/// the same event. It is not set at first.
///
/// # Limits
///
/// It takes one descriptor and a few pages of memory here and in each worker that has got it; 4096 processes have it at once at
/// most. It does not travel in a task's result, through a channel or a mutex.
///
/// A fork of the process shares the event with it.
///
/// # Worker death
///
/// Nobody owns an event, so nobody's death is told by it: a wait for what a dead worker was to set goes on. Where that can be,
/// wait with a time limit, or for the call's result too, whose error tells of the death.
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
    pub(super) object: Arc<Object>,
}

/// Not 0 once it has happened.
const HAPPENED: usize = HEAD;

travels!(Event, Kind::Event, |object| Event { object });

impl Event {
    /// A new event, which has not happened.
    ///
    /// # Errors
    ///
    /// There is no memory to share, or no descriptor is left.
    pub fn new() -> Result<Self> {
        Ok(Self { object: Object::new(Kind::Event, 0, |_| ())? })
    }

    /// Says that it has happened, and wakes all who wait for it.
    pub fn set(&self) {
        self.object.word(HAPPENED).store(1, Ordering::SeqCst);
        self.object.wake_all();
    }

    /// Says that it has not happened: whoever waits from now on waits for the next [`set`](Self::set).
    pub fn clear(&self) {
        self.object.word(HAPPENED).store(0, Ordering::SeqCst);
    }

    /// Whether it has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.object.word(HAPPENED).load(Ordering::SeqCst) != 0
    }

    /// Waits until it has happened. Who is late to wake may miss one that is set and cleared at once.
    pub fn wait(&self) {
        self.wait_for(Patience::Endless);
    }

    /// Waits until it has happened, at most for so long; tells whether it has.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_for(Patience::of(timeout))
    }

    fn wait_for(&self, patience: Patience) -> bool {
        self.object.wait(patience, |_| self.is_set().then_some(())).is_some()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish()
    }
}
