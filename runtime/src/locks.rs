//! The locks of the parent's threads. They go on after a panic of their holder. In debug builds they know that code of the
//! program's must not run while one is held, and that they are taken in one order.
//!
//! The contents of a chunk are dropped under the lock of the pool's state: that makes system calls, takes the arena's locks, and runs
//! none of the program's code.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::foreign::NoForeignCode;

/// The order: a thread that holds a lock takes only locks of a later rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Rank {
    /// The reaper of the program's `Process`es.
    Reaper,
    GlobalPool,
    /// The thread of a cluster's session, and what is known of its nodes.
    ClusterThread,
    ClusterNodes,
    /// What an agent is to send.
    NodeOutbox,
    /// The work that a node has of a call.
    NodeWork,
    /// A pool's handle: what its end takes out.
    PoolHandle,
    Submissions,
    StreamsThread,
    /// A pool's scheduler, workers and phase.
    PoolState,
    /// What the program said of each worker's variables.
    Environments,
    /// One `Process`.
    Child,
    /// One submitted task.
    Submitted,
    /// The waker of one stream.
    StreamWakers,
    FinalizerOutputs,
    /// Taken while a piece is made, with the free parts unlocked.
    ArenaSize,
    ArenaParts,
    Buffers,
    Pollers,
    /// The descriptors of outputs that a worker has sent.
    Outputs,
    Names,
    /// The memory that tasks of this process have.
    OwnMemory,
    /// What records a submitted call.
    CallRecorder,
    /// What happens to the workers of a call that records it.
    CallEvents,
    /// The journals that are open in this process.
    Journals,
    /// What this process knows of one.
    JournalMemory,
    /// The file of one, while it is written.
    JournalFile,
    /// The records that wait to be written there.
    JournalQueue,
    /// The files whose names were read.
    #[cfg(feature = "backtrace")]
    NativeNames,
    /// The workers that are listened to.
    #[cfg(feature = "tracing")]
    LogReader,
    /// The call sites of workers.
    #[cfg(feature = "tracing")]
    LogSites,
    /// A call that is listened to.
    #[cfg(feature = "tracing")]
    LogCall,
    /// What such calls held.
    #[cfg(feature = "tracing")]
    LogGraves,
}

/// A value behind a lock of a rank.
pub(crate) trait Ranked {
    const RANK: Rank;
}

thread_local! {
    /// The ranks of the locks that this thread holds, as bits, in debug builds. It has no destructor, so it is there to the thread's
    /// end.
    static RANKS_HELD: Cell<u64> = const { Cell::new(0) };
}

/// Says that this thread holds a lock of a rank.
#[derive(Debug)]
#[must_use = "it is held as long as the lock"]
struct HeldRank(Rank);

impl HeldRank {
    /// Begins before the lock is taken: a wrong order shows whether another thread has it or not.
    fn begin(rank: Rank) -> Self {
        if cfg!(debug_assertions) {
            let held = RANKS_HELD.get();
            debug_assert!(
                held >> rank as u32 == 0 || std::thread::panicking(),
                "{rank:?} is locked behind a lock of its rank or a later one (held: {held:#b})"
            );
            RANKS_HELD.set(held | 1 << rank as u32);
        }
        Self(rank)
    }
}

impl Drop for HeldRank {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            RANKS_HELD.set(RANKS_HELD.get() & !(1 << self.0 as u32));
        }
    }
}

/// A value that one thread at a time has.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T: Ranked> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The value, which nobody else can have.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread has it. A panic of another with the lock held is its own affair: what it changed stays.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let rank = HeldRank::begin(T::RANK);
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { value, _rank: rank, _held: NoForeignCode::begin() }
    }
}

/// A value that this thread has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Locked<'a, T> {
    value: MutexGuard<'a, T>,
    /// Dropped behind the lock.
    _rank: HeldRank,
    _held: NoForeignCode,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Threads that wait for a change of a value, and let others have it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Condition(Condvar);

impl Condition {
    pub(crate) const fn new() -> Self {
        Self(Condvar::new())
    }

    /// Waits for a notification. It may return for no reason.
    pub(crate) fn wait<'a, T>(&self, locked: Locked<'a, T>) -> Locked<'a, T> {
        let Locked { value, _rank, _held } = locked;
        Locked { value: self.0.wait(value).unwrap_or_else(PoisonError::into_inner), _rank, _held }
    }

    /// The same, for this time at most.
    pub(crate) fn wait_timeout<'a, T>(&self, locked: Locked<'a, T>, time: Duration) -> Locked<'a, T> {
        let Locked { value, _rank, _held } = locked;
        Locked { value: self.0.wait_timeout(value, time).unwrap_or_else(PoisonError::into_inner).0, _rank, _held }
    }

    /// Wakes every thread that waits.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct First;
    struct Last;

    impl Ranked for First {
        const RANK: Rank = Rank::Reaper;
    }

    impl Ranked for Last {
        const RANK: Rank = Rank::Names;
    }

    #[test]
    fn locks_are_taken_in_their_order_and_in_no_other() {
        let (first, last) = (Lock::new(First), Lock::new(Last));
        drop((first.lock(), last.lock()));
        // Released in any order.
        let (held, other) = (first.lock(), last.lock());
        drop(held);
        drop(other);
        drop((first.lock(), last.lock()));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_wrong_order_is_found_where_no_other_thread_is_in_the_way() {
        for takes_twice in [false, true] {
            let taken = std::thread::spawn(move || {
                let (first, last, another) = (Lock::new(First), Lock::new(Last), Lock::new(Last));
                let _held = last.lock();
                if takes_twice { drop(another.lock()) } else { drop(first.lock()) }
            });
            assert!(taken.join().is_err(), "twice: {takes_twice}");
        }
    }
}
