//! The wakers of the driver and the supervisor, each of which sleeps in `poll`, of the thread of `streams`, which parks, and of what
//! serves other machines.

use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use super::turn::Wakes;
use crate::locks::Condition;
use crate::sys::{Waker, Watch};

/// Wakes the thread that serves the other machines. It runs under no lock.
pub(crate) trait WakeRemote: Send + Sync {
    fn wake(&self);
}

/// The wakers of a pool: none where it is in process, as nobody polls.
#[derive(Default)]
pub(super) struct PoolWakers {
    driver: Option<Waker>,
    supervisor: Option<Waker>,
    streams: OnceLock<Thread>,
    remote: OnceLock<Arc<dyn WakeRemote>>,
}

const HAS_WAKERS: &str = "a pool with a driver or a supervisor has processes";

impl PoolWakers {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { driver: Some(Waker::new()?), supervisor: Some(Waker::new()?), ..Self::default() })
    }

    /// Wakes these threads, and every thread that waits for the condition if `wakes` names them.
    pub(super) fn wake(&self, wakes: Wakes, condition: &Condition) {
        if let Some(driver) = self.driver.as_ref().filter(|_| wakes.contains(Wakes::DRIVER)) {
            driver.wake();
        }
        if wakes.contains(Wakes::WAITERS) {
            condition.notify_all();
        }
        if let Some(supervisor) = self.supervisor.as_ref().filter(|_| wakes.contains(Wakes::SUPERVISOR)) {
            supervisor.wake();
        }
        if wakes.contains(Wakes::STREAMS)
            && let Some(thread) = self.streams.get()
        {
            thread.unpark();
        }
        if wakes.contains(Wakes::REMOTE)
            && let Some(remote) = self.remote.get()
        {
            remote.wake();
        }
    }

    /// Whether other machines are served.
    pub(super) fn has_remote(&self) -> bool {
        self.remote.get().is_some()
    }

    /// Wakes this for other machines from now on.
    pub(super) fn serve_remote(&self, waker: Arc<dyn WakeRemote>) {
        // One engine is attached in the life of a pool.
        let _ = self.remote.set(waker);
    }

    /// Wakes this thread for streams from now on.
    pub(super) fn serve_streams(&self, thread: Thread) {
        // There is one such thread in the life of a pool.
        let _ = self.streams.set(thread);
    }

    /// Returns the driver's wake-ups, for the driver to poll.
    pub(super) fn for_driver(&self) -> WakeUp<'_> {
        WakeUp(self.driver.as_ref().expect(HAS_WAKERS))
    }

    /// Returns the supervisor's wake-ups, for the supervisor to poll.
    pub(super) fn for_supervisor(&self) -> WakeUp<'_> {
        WakeUp(self.supervisor.as_ref().expect(HAS_WAKERS))
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
