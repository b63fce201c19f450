//! How a caller waits: it moves messages itself, as the driver, or waits for the thread that does.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Core, Shared};
use super::queue::{CallFailure, CallId, Queue, Slot};
use super::seat::State;
use crate::fault_points::{self, Point};
use crate::locks::Locked;
use crate::sys::{self, Watch};
use crate::task::Done;
use crate::transport::{Chunk, LOOK_AFTER};

/// After a `poll` that failed, so long is waited.
const POLL_AGAIN: Duration = Duration::from_millis(1);

/// Before the driver sleeps, it looks so often whether something has come, and lets others run in between: about 5 µs. While
/// the workers have more to do it sleeps at once: who lets others run on a busy machine waits for its turn, who is woken runs.
const SPINS: u32 = 10;

/// A call whose first tasks take longer is given all workers: the shortest time that `poll` takes.
const SPREAD_AFTER: Duration = Duration::from_millis(1);

/// What a call can do next.
pub(crate) struct Step {
    /// Tasks that have their outcome.
    pub(crate) done: Vec<Done>,
    /// The size of the chunk that is wanted now, if one is.
    pub(crate) wanted: Option<usize>,
}

impl Shared {
    /// Waits until the call can do something, or until a moment. `left` is how many tasks are still to be read, if that is
    /// known, and `read` whether it would read one now.
    pub(crate) fn step(
        &self,
        call: CallId,
        read: bool,
        left: Option<usize>,
        until: Option<Instant>,
    ) -> Result<Step, CallFailure> {
        self.step_until(call, (read, left), until, |_| false)
    }

    /// The same, also until `is_enough` says so. It is asked before each sleep; whoever changes what it looks at wakes the driver.
    pub(super) fn step_until(
        &self,
        call: CallId,
        (read, left): (bool, Option<usize>),
        until: Option<Instant>,
        is_enough: impl Fn(&Queue) -> bool,
    ) -> Result<Step, CallFailure> {
        if !self.is_here() {
            return Err(CallFailure::Forked);
        }
        let mut core = self.lock();
        let mut spun = 0;
        loop {
            // While there is a driver, it is the one that takes results: it would not see those that another took for it.
            if !core.driving {
                self.take_results(&mut core);
            }
            let step = core.step(call, read, left);
            if !matches!(&step, Ok(step) if step.is_empty()) || is_enough(&core.queue) {
                self.hand_over(&core);
                return step;
            }
            if core.rebalance(call) && core.driving {
                // The driver waits for the workers that had chunks when it began to.
                self.driver.wake();
            }
            let is_held_back = core.queue.is_held_back(call);
            let time_left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if time_left == Some(Duration::ZERO) {
                self.hand_over(&core);
                return step;
            }
            let time_left = time_left.into_iter().chain(is_held_back.then_some(SPREAD_AFTER)).min();
            core = if core.driving {
                core.waiting += 1;
                let mut core = match time_left {
                    None => self.changed.wait(core),
                    Some(left) => self.changed.wait_timeout(core, left),
                };
                core.waiting -= 1;
                core
            } else if spun < SPINS && core.queue.is_soon_done(call) {
                spun += 1;
                drop(core);
                std::thread::yield_now();
                self.lock()
            } else {
                self.poll(core, time_left)
            };
            if is_held_back {
                core.queue.spread(call);
                if core.dispatch() && core.driving {
                    self.driver.wake();
                }
            }
        }
    }

    /// What the call can do now, without waiting; what has arrived is taken in first.
    pub(crate) fn try_step(&self, call: CallId, read: bool, left: Option<usize>) -> Result<Step, CallFailure> {
        if !self.is_here() {
            return Err(CallFailure::Forked);
        }
        let mut core = self.lock();
        if !core.driving {
            core = self.poll(core, Some(Duration::ZERO));
        }
        let step = core.step(call, read, left);
        self.hand_over(&core);
        step
    }

    /// Takes in what has arrived, without waiting, for a thread that waits for the end of tasks outside of any call.
    pub(super) fn look(&self) {
        if !self.is_here() {
            return;
        }
        let mut core = self.lock();
        if !core.driving {
            core = self.poll(core, Some(Duration::ZERO));
        }
        self.hand_over(&core);
    }

    /// Adds a chunk to a call, and sends it if a worker takes it.
    pub(crate) fn push(&self, call: CallId, chunk: Chunk) {
        if !self.is_here() {
            // An iterator has forked: its copy comes back with what was read before.
            std::mem::forget(chunk);
            return;
        }
        let mut core = self.lock();
        core.queue.push(call, chunk);
        let assigned = core.dispatch();
        // The driver waits for the workers that had chunks when it began to.
        let unseen = core.driving && assigned;
        let doomed = core.has_doomed();
        drop(core);
        if unseen {
            self.driver.wake();
        }
        if doomed {
            self.supervisor.wake();
        }
    }

    /// Lets a thread that waits take over as the driver.
    pub(super) fn hand_over(&self, core: &Core) {
        if core.waiting > 0 && !core.driving {
            self.changed.notify_all();
        }
    }

    /// Waits, as the driver, for the workers or a wake-up, and takes in what has arrived.
    fn poll<'a>(&'a self, mut core: Locked<'a, Core>, timeout: Option<Duration>) -> Locked<'a, Core> {
        let timeout = match timeout {
            Some(Duration::ZERO) => timeout,
            _ => core.look_after().into_iter().chain(timeout).min(),
        };
        if timeout != Some(Duration::ZERO) {
            // Rule 1 of `transport::parking`: first say so, then look once more.
            self.arena.park();
            fault_points::reached(Point::ParentParked);
            if self.take_results(&mut core) {
                self.arena.unpark();
                return core;
            }
        }
        core.driving = true;
        let links = core.links();
        drop(core);
        fault_points::reached(Point::ParentSleeping);
        let ready = self.wait_for(&links, timeout);
        fault_points::reached(Point::ParentWoken);
        let mut core = self.lock();
        self.arena.unpark();
        core.driving = false;
        for slot in ready {
            core.exchange(slot);
        }
        core.dispatch();
        self.take_results(&mut core);
        if core.has_doomed() {
            self.supervisor.wake();
        }
        if core.waiting > 0 {
            self.changed.notify_all();
        }
        core
    }

    /// Takes the results that stand in shared memory, and gives the workers more; tells whether there were some.
    fn take_results(&self, core: &mut Core) -> bool {
        if !core.take_results() {
            return false;
        }
        // They may be those of a thread that waits: nothing else might wake it.
        if core.waiting > 0 {
            self.changed.notify_all();
        }
        core.dispatch();
        if core.has_doomed() {
            self.supervisor.wake();
        }
        true
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

    /// How long the driver may sleep, and asks the workers to tell in time (rule 6 of `transport::parking`).
    fn look_after(&mut self) -> Option<Duration> {
        if self.look_for_stalled() {
            self.dispatch();
        }
        let mut several = false;
        for slot in self.queue.busy().filter(|&slot| self.queue.has_several(slot)).collect::<Vec<_>>() {
            several = true;
            self.with_link(slot, |live, _| live.link.tell_at_half());
        }
        several.then_some(LOOK_AFTER)
    }

    /// The channels of the workers that have something to say: the ends of the others are the supervisor's to see.
    fn links(&self) -> Vec<Watched> {
        self.queue
            .busy()
            .filter_map(|slot| Some((slot, self.seats[slot].worker.as_ref()?)))
            .filter(|(_, live)| matches!(live.state, State::Ready))
            .map(|(slot, live)| Watched {
                slot,
                stream: Arc::clone(live.link.stream()),
                write: live.link.wants_write(),
            })
            .collect()
    }
}
