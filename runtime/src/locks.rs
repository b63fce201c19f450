//! The locks of the parent's threads. They go on after a panic of their holder, and know (in debug builds) that code of the
//! program's must not run while one is held.
//!
//! # The order
//!
//! A thread that holds a lock takes only locks that stand below it:
//!
//! 1. `process::keeper`'s, `pool::global`'s
//! 2. `pool::handle`'s (`Inner`)
//! 3. `pool::submissions`' (`State`)
//! 4. `pool::core`'s (`Core`)
//! 5. a submitted task's (`Progress`), a child's of `process`, the finalizers' outputs
//! 6. `transport::arena`'s free parts and buffers, the list of `shared::waiting`
//!
//! What a chunk holds is dropped under the fourth: that makes system calls, and takes the sixth, and runs none of the program's
//! code.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::foreign::NoForeignCode;

/// A value that one thread at a time has.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The value, which nobody else can have.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread has it. A panic of another with the lock held is its own affair: what it changed stays.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { value, _held: NoForeignCode::begin() }
    }
}

/// A value that this thread has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Locked<'a, T> {
    value: MutexGuard<'a, T>,
    /// Dropped behind the lock.
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
        let Locked { value, _held } = locked;
        Locked { value: self.0.wait(value).unwrap_or_else(PoisonError::into_inner), _held }
    }

    /// The same, for this time at most.
    pub(crate) fn wait_timeout<'a, T>(&self, locked: Locked<'a, T>, time: Duration) -> Locked<'a, T> {
        let Locked { value, _held } = locked;
        Locked { value: self.0.wait_timeout(value, time).unwrap_or_else(PoisonError::into_inner).0, _held }
    }

    /// Wakes every thread that waits.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
