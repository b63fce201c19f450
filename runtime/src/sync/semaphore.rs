//! A number of permits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle_serde::travels;
use super::robust_word::{OwnedWord, take};
use super::segment::{BODY, Check, FREE, SyncKind, SyncSegment, WaitLimit};
use crate::error::{Error, Result, SyncErrorKind};

/// Limits how many tasks, in any processes, do something at once: Python's `BoundedSemaphore`.
///
/// Pass it as an argument of worker functions, by itself or inside of another value. Its clones, here and in the workers, are the same
/// semaphore. The process that holds a permit releases it by dropping it. To signal another process use [`Event`](crate::Event) or
/// [`channel`](crate::channel()) instead.
///
/// # Limits
///
/// A semaphore has at most 65,536 permits, of 8 bytes each; a wait checks all of them. It takes one descriptor here and in each worker
/// that has received it, and at most 4,096 processes can share it. It does not travel in a task's result, through a channel or a mutex.
///
/// # Worker death
///
/// If a process ends while it holds permits, they are released within 50 ms, and [`SemaphorePermit::is_owner_died`] reports that to
/// the next owner.
///
/// # Examples
///
/// No more than two downloads at once, however many workers there are:
///
/// ```
/// use poolmap::{Semaphore, pool_map, worker};
///
/// #[worker]
/// fn download(page: u32, lines: &Semaphore) -> poolmap::Result<u32> {
///     let _line = lines.acquire()?;
///     Ok(page)
/// }
///
/// poolmap::init();
/// let lines = Semaphore::new(2)?;
/// assert_eq!(pool_map!(download, 0..4, std::iter::repeat(&lines))?, [0, 1, 2, 3]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// No permit is left:
///
/// ```
/// # use poolmap::Semaphore;
/// let lines = Semaphore::new(1)?;
/// let line = lines.acquire()?;
/// assert!(lines.try_acquire()?.is_none());
/// # Ok::<(), poolmap::Error>(())
/// ```
pub struct Semaphore {
    pub(super) segment: Arc<SyncSegment>,
}

/// A wait looks at all permits: 65,536 take 50 µs.
const PERMITS_MAX: usize = 1 << 16;

travels!(Semaphore, SyncKind::Semaphore, |segment| Semaphore { segment });

impl Semaphore {
    /// Creates a semaphore with `permits` permits, 1 to 65,536, all free.
    ///
    /// # Errors
    ///
    /// The number is 0 or above 65,536 ([`is_invalid_option`](Error::is_invalid_option)); the system has no memory to share, or no
    /// descriptor is left.
    pub fn new(permits: usize) -> Result<Self> {
        if permits == 0 || permits > PERMITS_MAX {
            let what = format!("a Semaphore needs 1 to {PERMITS_MAX} permits, got {permits}");
            return Err(Error::invalid_option(what));
        }
        Ok(Self { segment: SyncSegment::new(SyncKind::Semaphore, 8 * permits, |_| ())? })
    }

    /// Waits for a permit, and takes it.
    ///
    /// # Errors
    ///
    /// This process is a fork of the process that had the semaphore ([`is_forked`](Error::is_forked)).
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>> {
        let permit = self.acquire_for(WaitLimit::Endless)?;
        permit.ok_or_else(|| Error::sync(SyncErrorKind::TimedOut, "a Semaphore had no permit at the end of time"))
    }

    /// Takes a permit without waiting, if one is free or its owner has died.
    ///
    /// # Errors
    ///
    /// The errors of [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<SemaphorePermit<'_>>> {
        self.acquire_for(WaitLimit::None)
    }

    /// Waits up to `timeout` for a permit. Returns `None` if the time is over first.
    ///
    /// # Errors
    ///
    /// The errors of [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<SemaphorePermit<'_>>> {
        self.acquire_for(WaitLimit::of(timeout))
    }

    fn acquire_for(&self, patience: WaitLimit) -> Result<Option<SemaphorePermit<'_>>> {
        self.segment.check_process(SyncKind::Semaphore)?;
        let held = self.segment.wait(patience, |look| self.take(look));
        Ok(held.map(|held| SemaphorePermit { held }))
    }

    fn take(&self, look: Check) -> Option<OwnedWord<'_>> {
        let permits = self.permits();
        // Each process begins at another, so that they meet seldom.
        let first = self.segment.slot() % permits.max(1);
        let mut places = (first..permits).chain(0..first).map(|permit| BODY + 8 * permit);
        if look == Check::Quick {
            return places.find_map(|offset| {
                let is_free = self.segment.word(offset).load(Ordering::SeqCst) == FREE;
                if is_free { take(&self.segment, offset, look) } else { None }
            });
        }
        let mut alive = BTreeMap::new();
        places.find_map(|offset| {
            let owner = self.segment.word(offset).load(Ordering::SeqCst);
            let may_be_free = owner == FREE || !*alive.entry(owner).or_insert_with(|| self.segment.is_alive(owner));
            if may_be_free { take(&self.segment, offset, look) } else { None }
        })
    }

    fn permits(&self) -> usize {
        self.segment.body_bytes() / 8
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("permits", &self.permits()).finish()
    }
}

/// Holds a permit of a [`Semaphore`], and releases it when dropped.
#[must_use = "the permit is given back as soon as this is dropped"]
pub struct SemaphorePermit<'a> {
    held: OwnedWord<'a>,
}

impl SemaphorePermit<'_> {
    /// Returns whether the previous owner's process died with the permit. Its work under the permit may be half done.
    #[must_use]
    pub fn is_owner_died(&self) -> bool {
        self.held.owner_died
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").field("is_owner_died", &self.is_owner_died()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_permit_is_given_once_and_comes_back() {
        let semaphore = Semaphore::new(3).unwrap();
        let mut permits: Vec<_> = (0..3).map(|_| semaphore.acquire().unwrap()).collect();
        assert!(semaphore.acquire_timeout(Duration::from_millis(5)).unwrap().is_none());
        permits.pop();
        permits.push(semaphore.try_acquire().unwrap().unwrap());
        assert!(permits.iter().all(|permit| !permit.is_owner_died()));
        assert!(semaphore.try_acquire().unwrap().is_none());
    }

    #[test]
    fn nonsense_in_a_word_is_a_permit_of_the_dead() {
        let semaphore = Semaphore::new(2).unwrap();
        for permit in 0..2 {
            semaphore.segment.word(BODY + 8 * permit).store(u64::MAX - permit as u64, Ordering::SeqCst);
        }
        let permits = [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()];
        assert!(permits.iter().all(SemaphorePermit::is_owner_died));
        assert!(semaphore.try_acquire().unwrap().is_none());
    }

    #[test]
    fn a_number_that_cannot_be_is_an_error() {
        for permits in [0, PERMITS_MAX + 1, usize::MAX] {
            assert!(Semaphore::new(permits).unwrap_err().is_invalid_option());
        }
    }
}
