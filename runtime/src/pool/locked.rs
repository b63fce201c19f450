//! State that threads share, and the guard of its lock. A method that changes the state notes which threads must be woken; the guard
//! wakes them when it unlocks. So a change cannot be made without its wake-up, and nothing else in `pool` wakes a thread.
//!
//! There are two such states: that of the pool (`state`), and that of its submitted tasks (`pending`). The order of the locks is in
//! `locks::Rank`.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::locks::{Condition, Lock, Locked, Ranked};

/// State whose changes concern threads that wait.
pub(super) trait Awaited: Ranked {
    /// The wakers of threads that do not wait for the condition.
    type Wakers;
    /// The threads that must be woken.
    type Whom: Copy;

    /// Takes out the threads that must be woken for the changes since the last time.
    fn take_whom(&mut self) -> Self::Whom;

    /// Wakes them.
    fn wake(whom: Self::Whom, wakers: &Self::Wakers, condition: &Condition);

    /// Counts the threads that wait for the condition. By default, nothing counts them.
    fn count_waiting(&mut self, _change: isize) {}
}

/// The state, its lock, and the means to wake its threads.
pub(super) struct AwaitedLock<T: Awaited> {
    state: Lock<T>,
    condition: Condition,
    pub(super) wakers: T::Wakers,
}

impl<T: Awaited> AwaitedLock<T> {
    pub(super) fn new(state: T, wakers: T::Wakers) -> Self {
        Self { state: Lock::new(state), condition: Condition::new(), wakers }
    }

    /// Waits until no other thread has it.
    pub(super) fn lock(&self) -> Guard<'_, T> {
        Guard { state: Some(self.state.lock()), of: self }
    }
}

/// Gives this thread the state until it is dropped.
pub(super) struct Guard<'a, T: Awaited> {
    /// There until the drop, but within `wait`.
    state: Option<Locked<'a, T>>,
    of: &'a AwaitedLock<T>,
}

/// A guard always has the state.
const IS_HELD: &str = "the state is held until the guard is dropped";

impl<'a, T: Awaited> Guard<'a, T> {
    /// Wakes the threads that the changes so far concern, unlocks, and blocks until this thread is woken or the timeout is over. It
    /// may return for no reason.
    pub(super) fn wait(mut self, timeout: Option<Duration>) -> Self {
        let mut state = self.state.take().expect(IS_HELD);
        T::wake(state.take_whom(), &self.of.wakers, &self.of.condition);
        state.count_waiting(1);
        let mut state = match timeout {
            None => self.of.condition.wait(state),
            Some(timeout) => self.of.condition.wait_timeout(state, timeout),
        };
        state.count_waiting(-1);
        self.state = Some(state);
        self
    }
}

impl<T: Awaited> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.state.as_ref().expect(IS_HELD)
    }
}

impl<T: Awaited> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.state.as_mut().expect(IS_HELD)
    }
}

impl<T: Awaited> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else {
            return;
        };
        let whom = state.take_whom();
        // A thread that is woken finds the state unlocked.
        drop(state);
        T::wake(whom, &self.of.wakers, &self.of.condition);
    }
}
