//! The turn to read the channels, and the threads that a change concerns. Pure bookkeeping, which is changed under the pool's lock.
//!
//! 1. At most one thread has the turn: the driver. It unlocks the state while it sleeps, so other threads may change the state and
//!    wake it.
//! 2. A caller that finds the turn taken waits for the condition. The driver wakes all waiting callers when its turn ends: the
//!    results that it took may be theirs, and one of them may have to take the turn over.
//! 3. So while no thread has the turn, every waiting caller has been woken, and a caller that leaves without a turn wakes nobody.

/// The threads that a change concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wakes(u8);

impl Wakes {
    /// The driver: the workers that it waits for are others now.
    pub(super) const DRIVER: Self = Self(1);
    /// The threads that wait for the condition.
    pub(super) const WAITERS: Self = Self(1 << 1);
    /// The pool's own thread.
    pub(super) const SUPERVISOR: Self = Self(1 << 2);
    /// The thread of `streams`.
    pub(super) const STREAMS: Self = Self(1 << 3);
    /// The thread that serves other machines.
    pub(super) const REMOTE: Self = Self(1 << 4);
    /// The driver and the waiting callers.
    pub(super) const CALLERS: Self = Self(Self::DRIVER.0 | Self::WAITERS.0);

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// The turn, and the threads to wake once the state is unlocked.
#[derive(Debug, Default)]
pub(super) struct Turn {
    is_taken: bool,
    /// How many threads wait for the condition.
    waiting: usize,
    wakes: Wakes,
}

impl Turn {
    /// Whether there is a driver.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Notes the threads that a change concerns.
    pub(super) fn concerns(&mut self, whom: Wakes) {
        self.wakes.0 |= whom.0;
    }

    /// Whether a change concerns these threads that they have not seen yet.
    pub(super) fn is_to_wake(&self, whom: Wakes) -> bool {
        self.wakes.contains(whom)
    }

    /// Notes that these threads have seen the changes until now.
    pub(super) fn is_known_to(&mut self, whom: Wakes) {
        self.wakes.remove(whom);
    }

    /// Gives this thread the turn. It sees every chunk that was assigned until now.
    pub(super) fn begin(&mut self) {
        self.is_taken = true;
        self.is_known_to(Wakes::DRIVER);
    }

    /// Ends the turn of this thread. It may take the next one too.
    pub(super) fn end(&mut self) {
        self.is_taken = false;
        self.concerns(Wakes::WAITERS);
    }

    pub(super) fn count_waiting(&mut self, change: isize) {
        self.waiting = self.waiting.wrapping_add_signed(change);
    }

    /// Takes out the threads to wake. The next driver sees the state as it is by then, and needs no wake-up.
    pub(super) fn take_whom(&mut self) -> Wakes {
        let mut wakes = std::mem::take(&mut self.wakes);
        if !self.is_taken {
            wakes.remove(Wakes::DRIVER);
        }
        if self.waiting == 0 {
            wakes.remove(Wakes::WAITERS);
        }
        wakes
    }
}

#[cfg(test)]
mod tests;
