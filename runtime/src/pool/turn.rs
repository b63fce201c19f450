//! Whose turn it is to read the channels, and whom a change concerns. Pure bookkeeping, which is changed under the pool's lock.
//!
//! 1. At most one thread has the turn: the driver. It gives the lock away while it sleeps, and so may be woken by others.
//! 2. A thread that waits for something of a call, and finds the turn taken, waits for the condition. The driver wakes all of these
//!    when its turn ends: what it has taken in may be theirs, and one of them may have to take the turn over.
//! 3. So while nobody has the turn, nobody waits who has not been woken, and a thread that leaves without a turn wakes nobody.

/// Whom a change concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wakes(u8);

impl Wakes {
    /// The driver: the workers that it waits for are others now.
    pub(super) const DRIVER: Self = Self(1);
    /// The threads that wait for the condition.
    pub(super) const WAITERS: Self = Self(1 << 1);
    /// The pool's own thread.
    pub(super) const SUPERVISOR: Self = Self(1 << 2);
    /// Every thread that waits for something of a call.
    pub(super) const CALLERS: Self = Self(Self::DRIVER.0 | Self::WAITERS.0);

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// The turn, and who is to be woken once the lock is free.
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

    /// Notes whom a change concerns.
    pub(super) fn concerns(&mut self, whom: Wakes) {
        self.wakes.0 |= whom.0;
    }

    /// Notes that they have seen what has changed until now.
    pub(super) fn is_known_to(&mut self, whom: Wakes) {
        self.wakes.remove(whom);
    }

    /// This thread drives from now on. It sees what was given to workers until now.
    pub(super) fn begin(&mut self) {
        self.is_taken = true;
        self.is_known_to(Wakes::DRIVER);
    }

    /// This thread takes in what it was woken for. It may drive on, or let another do it.
    pub(super) fn end(&mut self) {
        self.is_taken = false;
        self.concerns(Wakes::WAITERS);
    }

    pub(super) fn count_waiting(&mut self, change: isize) {
        self.waiting = self.waiting.wrapping_add_signed(change);
    }

    /// Takes out who is to be woken. Who takes over as the driver sees the state as it is by then, and needs no wake-up.
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
