//! The wakers of the driver and the supervisor, each of which sleeps in `poll`, and the thread of `streams`, which parks.

use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::thread::Thread;

use super::turn::Wakes;
use crate::locks::Condition;
use crate::sys::{Waker, Watch};

/// The wakers of a pool.
pub(super) struct PoolWakers {
    driver: Waker,
    supervisor: Waker,
    streams: OnceLock<Thread>,
}

impl PoolWakers {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { driver: Waker::new()?, supervisor: Waker::new()?, streams: OnceLock::new() })
    }

    /// Wakes these threads, and every thread that waits for the condition if `wakes` names them.
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
        if wakes.contains(Wakes::STREAMS)
            && let Some(thread) = self.streams.get()
        {
            thread.unpark();
        }
    }

    /// Wakes this thread for streams from now on.
    pub(super) fn serve_streams(&self, thread: Thread) {
        // There is one such thread in the life of a pool.
        let _ = self.streams.set(thread);
    }

    /// Returns the driver's wake-ups, for the driver to poll.
    pub(super) fn for_driver(&self) -> WakeUp<'_> {
        WakeUp(&self.driver)
    }

    /// Returns the supervisor's wake-ups, for the supervisor to poll.
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

    /// Consumes the wake-ups so far.
    pub(super) fn clear(self) {
        self.0.clear();
    }
}
