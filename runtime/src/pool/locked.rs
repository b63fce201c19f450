//! State that threads share and wait for changes of. Who changes it notes whom that concerns, while it is locked; the guard wakes them
//! when it unlocks. So a change cannot be made without its wake-up, and nothing else in `pool` wakes a thread.
//!
//! There are two such states: that of the pool (`core`), and that of its submitted tasks (`pending`). The order of the locks stands in
//! `locks::Rank`.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::locks::{Condition, Lock, Locked, Ranked};

/// State whose changes concern threads that wait.
pub(super) trait Awaited: Ranked {
    /// What threads are woken by that do not wait for the condition.
    type Wakers;
    /// Whom the changes concern.
    type Whom: Copy;

    /// Takes out whom the changes since the last time concern.
    fn take_whom(&mut self) -> Self::Whom;

    /// Wakes them.
    fn wake(whom: Self::Whom, wakers: &Self::Wakers, condition: &Condition);

    /// Counts the threads that wait for the condition, if anybody asks for that.
    fn count_waiting(&mut self, _change: isize) {}
}

/// The state, its lock, and what its threads wait for.
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

/// The state, which this thread has until it is dropped.
pub(super) struct Guard<'a, T: Awaited> {
    /// There until the drop, but within `wait`.
    state: Option<Locked<'a, T>>,
    of: &'a AwaitedLock<T>,
}

/// The state is always there for who has the guard.
const IS_HELD: &str = "the state is held until the guard is dropped";

impl<'a, T: Awaited> Guard<'a, T> {
    /// Wakes whom the changes so far concern, then lets others have the state until one wakes this thread, or for this time at most.
    /// It may return for no reason.
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
        // Who is woken finds it unlocked.
        drop(state);
        T::wake(whom, &self.of.wakers, &self.of.condition);
    }
}
