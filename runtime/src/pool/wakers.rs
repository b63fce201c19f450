//! What the driver and the supervisor are woken by, each of which sleeps in `poll`.

use std::os::fd::AsFd;

use super::turn::Wakes;
use crate::locks::Condition;
use crate::sys::{Waker, Watch};

/// The wakers of a pool.
pub(super) struct PoolWakers {
    driver: Waker,
    supervisor: Waker,
}

impl PoolWakers {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { driver: Waker::new()?, supervisor: Waker::new()? })
    }

    /// Wakes these, and of those that wait for the condition all.
    pub(super) fn wake(&self, wakes: Wakes, condition: &Condition) {
        if wakes.contains(Wakes::DRIVER) {
            self.driver.wake();
        }
        if wakes.contains(Wakes::WAITERS) {
            condition.notify_all();
        }
        if wakes.contains(Wakes::SUPERVISOR) {
            self.supervisor.wake();
        }
    }

    /// To be waited for by the driver.
    pub(super) fn for_driver(&self) -> WakeUp<'_> {
        WakeUp(&self.driver)
    }

    /// To be waited for by the supervisor.
    pub(super) fn for_supervisor(&self) -> WakeUp<'_> {
        WakeUp(&self.supervisor)
    }
}

/// The wake-ups of one thread, as that thread sees them.
#[derive(Clone, Copy)]
pub(super) struct WakeUp<'a>(&'a Waker);

impl<'a> WakeUp<'a> {
    pub(super) fn watch(self) -> Watch<'a> {
        Watch::read(self.0.as_fd())
    }

    /// Takes in that it was woken.
    pub(super) fn clear(self) {
        self.0.clear();
    }
}
