//! A number that processes count together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle_serde::travels;
use super::segment::{HEAD, SyncKind, SyncSegment};
use crate::error::Result;

/// Shares a number that the parent and all workers read and change at once: an `AtomicI64` between processes.
///
/// Python's `Value` without a lock is its like. Pass it as an argument of worker functions, by itself or inside of another value. Its
/// clones, here and in the workers, are the same number. Every operation is one atomic, sequentially consistent instruction, and none
/// blocks.
///
/// # Limits
///
/// A counter takes one descriptor and a few pages of memory here and in each worker that has received it, and at most 4,096 processes
/// can share it. It does not travel in a task's result, through a channel or a mutex: serialising it anywhere but in a call is an error.
///
/// A fork of the process shares the number with it.
///
/// # Worker death
///
/// A dead worker's counts stay. A task that runs again (`attempts`) counts again.
///
/// # Examples
///
/// The progress of all workers:
///
/// ```
/// use poolmap::{Counter, pool_map, worker};
///
/// #[worker]
/// fn work(x: i64, done: &Counter) -> i64 {
///     done.add(1);
///     x * x
/// }
///
/// poolmap::init();
/// let done = Counter::new(0)?;
/// pool_map!(work, 0..100, std::iter::repeat(&done))?;
/// assert_eq!(done.get(), 100);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// An exchange that fails, because the number is another:
///
/// ```
/// # use poolmap::Counter;
/// let tickets = Counter::new(7)?;
/// assert_eq!(tickets.compare_exchange(0, 1), Err(7));
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct Counter {
    segment: Arc<SyncSegment>,
}

const NUMBER: usize = HEAD;

travels!(Counter, SyncKind::Counter, |segment| Counter { segment });

impl Counter {
    /// Creates a counter that starts at `number`.
    ///
    /// # Errors
    ///
    /// The system has no memory to share, or no descriptor is left.
    pub fn new(number: i64) -> Result<Self> {
        let fill = |memory: &crate::sys::CommonMemory| {
            memory.word(NUMBER).store(number.cast_unsigned(), Ordering::SeqCst);
        };
        Ok(Self { segment: SyncSegment::new(SyncKind::Counter, 0, fill)? })
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.segment.word(NUMBER).load(Ordering::SeqCst).cast_signed()
    }

    /// Sets the number.
    pub fn set(&self, number: i64) {
        self.segment.word(NUMBER).store(number.cast_unsigned(), Ordering::SeqCst);
    }

    /// Adds to the number, and returns the previous one. As `AtomicI64::fetch_add`, it wraps around at its limits.
    pub fn add(&self, number: i64) -> i64 {
        self.segment.word(NUMBER).fetch_add(number.cast_unsigned(), Ordering::SeqCst).cast_signed()
    }

    /// Sets the number to `new` if it is `current`, and returns the previous number.
    ///
    /// # Errors
    ///
    /// The number is not `current`; the error is the number.
    pub fn compare_exchange(&self, current: i64, new: i64) -> Result<i64, i64> {
        let word = self.segment.word(NUMBER);
        let exchanged =
            word.compare_exchange(current.cast_unsigned(), new.cast_unsigned(), Ordering::SeqCst, Ordering::SeqCst);
        exchanged.map(u64::cast_signed).map_err(u64::cast_signed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.get()).finish()
    }
}
