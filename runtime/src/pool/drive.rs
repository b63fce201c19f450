//! How a caller waits: it moves messages itself, as the driver, or waits for the thread that does.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::core::{Core, Shared};
use super::queue::{CallFailure, CallId, Slot};
use super::seat::State;
use crate::sys::{self, Watch};
use crate::task::Done;
use crate::wire::Chunk;

/// After a `poll` that failed, so long is waited.
const POLL_AGAIN: Duration = Duration::from_millis(1);

/// What a call can do next.
pub(crate) struct Step {
    /// Tasks that have their outcome.
    pub(crate) done: Vec<Done>,
    /// The size of the chunk that is wanted now, if one is.
    pub(crate) wanted: Option<usize>,
}

impl Shared {
    /// Waits until the call can do something. `left` is how many tasks are still to be read, if that is known, and `read`
    /// whether it would read one now.
    pub(crate) fn step(&self, call: CallId, read: bool, left: Option<usize>) -> Result<Step, CallFailure> {
        let mut core = self.lock();
        loop {
            let step = core.step(call, read, left);
            if !matches!(&step, Ok(step) if step.is_empty()) {
                self.hand_over(&core);
                return step;
            }
            core = if core.driving {
                core.waiting += 1;
                let mut core = self.changed.wait(core).unwrap_or_else(PoisonError::into_inner);
                core.waiting -= 1;
                core
            } else {
                self.poll(core, None)
            };
        }
    }

    /// What the call can do now, without waiting; what has arrived is taken in first.
    pub(crate) fn try_step(&self, call: CallId, read: bool, left: Option<usize>) -> Result<Step, CallFailure> {
        let mut core = self.lock();
        if !core.driving {
            core = self.poll(core, Some(Duration::ZERO));
        }
        let step = core.step(call, read, left);
        self.hand_over(&core);
        step
    }

    /// Adds a chunk to a call, and sends it if a worker takes it.
    pub(crate) fn push(&self, call: CallId, chunk: Chunk) {
        let mut core = self.lock();
        core.queue.push(call, chunk);
        core.dispatch();
        let unsent = core.driving && core.lives().any(|(_, live)| live.link.wants_write());
        let doomed = core.has_doomed();
        drop(core);
        if unsent {
            self.driver.wake();
        }
        if doomed {
            self.supervisor.wake();
        }
    }

    /// Lets a thread that waits take over as the driver.
    fn hand_over(&self, core: &Core) {
        if core.waiting > 0 && !core.driving {
            self.changed.notify_all();
        }
    }

    /// Waits, as the driver, for the workers or a wake-up, and takes in what has arrived.
    fn poll<'a>(&'a self, mut core: MutexGuard<'a, Core>, timeout: Option<Duration>) -> MutexGuard<'a, Core> {
        core.driving = true;
        let links = core.links();
        drop(core);
        let ready = self.wait_for(&links, timeout);
        let mut core = self.lock();
        core.driving = false;
        for slot in ready {
            core.exchange(slot);
        }
        core.dispatch();
        if core.has_doomed() {
            self.supervisor.wake();
        }
        if core.waiting > 0 {
            self.changed.notify_all();
        }
        core
    }

    fn wait_for(&self, links: &[Watched], timeout: Option<Duration>) -> Vec<Slot> {
        let mut watches: Vec<Watch<'_>> =
            links.iter().map(|link| Watch { write: link.write, ..Watch::read(link.stream.as_fd()) }).collect();
        watches.push(Watch::read(self.driver.as_fd()));
        if sys::poll(&mut watches, timeout).is_err() {
            // The kernel is out of memory: the sockets are tried one by one, a little later.
            std::thread::sleep(POLL_AGAIN);
            return links.iter().map(|link| link.slot).collect();
        }
        if watches.last().is_some_and(|waker| waker.ready) {
            self.driver.clear();
        }
        links.iter().zip(&watches).filter(|(_, watch)| watch.ready).map(|(link, _)| link.slot).collect()
    }
}

/// A channel that the driver waits for. It holds the socket, so that its descriptor stays what it is meanwhile.
struct Watched {
    slot: Slot,
    stream: Arc<UnixStream>,
    write: bool,
}

impl Step {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.wanted.is_none()
    }
}

impl Core {
    fn step(&mut self, call: CallId, read: bool, left: Option<usize>) -> Result<Step, CallFailure> {
        let done = self.queue.take_done(call);
        if done.is_empty()
            && let Some(failure) = self.queue.failure(call)
        {
            return Err(failure);
        }
        let wanted = if read { self.queue.wanted(call, left) } else { None };
        Ok(Step { done, wanted })
    }

    /// The channels of the workers that are ready.
    fn links(&self) -> Vec<Watched> {
        self.lives()
            .filter(|(_, live)| matches!(live.state, State::Ready))
            .map(|(slot, live)| Watched {
                slot,
                stream: Arc::clone(live.link.stream()),
                write: live.link.wants_write(),
            })
            .collect()
    }
}
