//! How a caller waits: it moves messages itself, as the driver, or waits for the thread that does.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::locked::Guard;
use super::scheduler::{CallFailure, CallId, Scheduler, Slot, travels};
use super::state::{PoolShared, PoolState};
use super::turn::Wakes;
use super::worker_slot::Life;
use crate::error::{CodecError, TaskErrorKind};
use crate::failpoints::{self, Point};
use crate::sys::{self, Watch};
use crate::transport::CompletedTasks;
use crate::transport::{Chunk, LOOK_AFTER};

/// After a `poll` that failed, so long is waited.
const POLL_AGAIN: Duration = Duration::from_millis(1);

/// Before the driver sleeps, it looks so often whether something has come, and lets others run in between: about 5 µs. While
/// the workers have more to do it sleeps at once: who lets others run on a busy machine waits for its turn, who is woken runs.
const SPINS: u32 = 10;

/// A call whose first tasks take longer is given all workers: the shortest time that `poll` takes.
pub(super) const SPREAD_AFTER: Duration = Duration::from_millis(1);

/// The results that a call has got, and how it can go on.
pub(crate) struct Step {
    /// Tasks that have their outcome.
    pub(crate) done: Vec<CompletedTasks>,
    /// The size of the chunk that is wanted now, if one is.
    pub(crate) wanted: Option<usize>,
}

impl PoolShared {
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
        is_enough: impl Fn(&Scheduler) -> bool,
    ) -> Result<Step, CallFailure> {
        if !self.is_here() {
            return Err(CallFailure::Forked);
        }
        if self.is_in_process() {
            return self.step_in_process(call, (read, left), until);
        }
        let mut state = self.lock();
        let mut spun = 0;
        loop {
            // While there is a driver, it is the one that takes results: it would not see those that another took for it.
            if !state.turn.is_taken() {
                state.take_and_dispatch();
            }
            let step = state.step(call, read, left);
            if !matches!(&step, Ok(step) if step.is_empty()) || is_enough(&state.scheduler) {
                return step;
            }
            state.rebalance(call);
            let is_ramping = state.scheduler.is_ramping(call);
            let time_left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if time_left == Some(Duration::ZERO) {
                return step;
            }
            let time_left = time_left.into_iter().chain(is_ramping.then_some(SPREAD_AFTER)).min();
            state = if state.turn.is_taken() {
                state.claim_turn_of_streams();
                state.wait(time_left)
            } else if spun < SPINS && state.scheduler.should_spin(call) {
                spun += 1;
                drop(state);
                std::thread::yield_now();
                self.lock()
            } else {
                self.poll(state, time_left)
            };
            if is_ramping {
                state.scheduler.ramp_up(call);
                state.dispatch();
            }
        }
    }

    /// Returns what the call can do now, without waiting. Results that have arrived are taken in first.
    pub(crate) fn try_step(&self, call: CallId, read: bool, left: Option<usize>) -> Result<Step, CallFailure> {
        if !self.is_here() {
            return Err(CallFailure::Forked);
        }
        let mut state = self.lock();
        if !self.is_in_process() && !state.turn.is_taken() {
            state = self.poll(state, Some(Duration::ZERO));
        }
        state.step(call, read, left)
    }

    /// Handles what has arrived, without waiting, for a thread that waits for the end of tasks outside of any call.
    pub(super) fn poll_once(&self) {
        if !self.is_here() || self.is_in_process() {
            return;
        }
        let state = self.lock();
        if !state.turn.is_taken() {
            drop(self.poll(state, Some(Duration::ZERO)));
        }
    }

    /// Adds a chunk to a call, and sends it if a worker takes it.
    pub(crate) fn push(&self, call: CallId, chunk: Chunk) {
        if !self.is_here() {
            // An iterator has forked: its copy comes back with what was read before.
            std::mem::forget(chunk);
            return;
        }
        let handed_nanos = sys::monotonic_nanos();
        let mut state = self.lock();
        if self.wakers().has_remote() && !travels(&chunk) {
            state.scheduler.ended(call, chunk.not_begun(stays_here()));
            state.turn.concerns(Wakes::CALLERS);
            return;
        }
        state.scheduler.push(call, chunk.handed(handed_nanos));
        state.dispatch();
        if state.scheduler.has_remote_room() {
            state.turn.concerns(Wakes::REMOTE);
        }
    }

    /// Waits, as the driver, for the workers or a wake-up, and takes in what has arrived.
    pub(super) fn poll<'a>(
        &'a self,
        mut state: Guard<'a, PoolState>,
        timeout: Option<Duration>,
    ) -> Guard<'a, PoolState> {
        let timeout = match timeout {
            Some(Duration::ZERO) => timeout,
            _ => state.time_until_poll().into_iter().chain(timeout).min(),
        };
        if timeout != Some(Duration::ZERO) {
            // Rule 1 of `transport::parking`: first say so, then look once more.
            self.arena.park();
            failpoints::reached(Point::ParentParked);
            if state.take_and_dispatch() {
                self.arena.unpark();
                return state;
            }
        }
        let links = state.begin_to_drive();
        drop(state);
        failpoints::reached(Point::ParentSleeping);
        let ready = self.wait_for(&links, timeout);
        failpoints::reached(Point::ParentWoken);
        let mut state = self.lock();
        self.arena.unpark();
        state.stop_driving(ready);
        state
    }

    fn wait_for(&self, links: &[WatchedChannel], timeout: Option<Duration>) -> Vec<Slot> {
        let mut watches: Vec<Watch<'_>> =
            links.iter().map(|channel| Watch { write: channel.write, ..Watch::read(channel.stream.as_fd()) }).collect();
        let wake_up = self.wakers().for_driver();
        watches.push(wake_up.watch());
        if sys::poll(&mut watches, timeout).is_err() {
            // The kernel is out of memory: the sockets are tried one by one, a little later.
            std::thread::sleep(POLL_AGAIN);
            return links.iter().map(|channel| channel.slot).collect();
        }
        if watches.last().is_some_and(|waker| waker.ready) {
            wake_up.clear();
        }
        links.iter().zip(&watches).filter(|(_, watch)| watch.ready).map(|(channel, _)| channel.slot).collect()
    }
}

/// The error of a task that names what other machines cannot have.
fn stays_here() -> TaskErrorKind {
    TaskErrorKind::Encode(CodecError::new(
        "the arguments name a channel, a lock, a descriptor or memory to write, which processes of one machine share, and the global pool \
         of a cluster has workers on other machines: run the map on a pool of this machine, `pool_map!(in &pool, ...)`",
    ))
}

/// A channel that the driver waits for. It holds the socket, so that its descriptor stays what it is meanwhile.
struct WatchedChannel {
    slot: Slot,
    stream: Arc<UnixStream>,
    write: bool,
}

impl Step {
    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.wanted.is_none()
    }
}

impl PoolState {
    pub(super) fn step(&mut self, call: CallId, read: bool, left: Option<usize>) -> Result<Step, CallFailure> {
        let done = self.scheduler.take_done(call);
        if done.is_empty()
            && let Some(failure) = self.scheduler.failure(call)
        {
            return Err(failure);
        }
        self.scheduler.set_left(call, left);
        let wanted = if read { self.scheduler.wanted(call, left) } else { None };
        Ok(Step { done, wanted })
    }

    /// Takes the results that are in shared memory, and gives the workers more; returns whether there were some.
    pub(super) fn take_and_dispatch(&mut self) -> bool {
        let any = self.take_results();
        if any {
            self.dispatch();
        }
        any
    }

    /// Notes that there is a driver from now on; returns the channels that it waits for.
    fn begin_to_drive(&mut self) -> Vec<WatchedChannel> {
        self.turn.begin();
        self.links()
    }

    /// Handles what the driver was woken for. It may drive on, or let another do it.
    fn stop_driving(&mut self, ready: Vec<Slot>) {
        self.turn.end();
        for slot in ready {
            self.exchange(slot);
        }
        self.dispatch();
        self.take_and_dispatch();
    }

    /// How long the driver may sleep, and asks the workers to tell in time (rule 6 of `transport::parking`).
    fn time_until_poll(&mut self) -> Option<Duration> {
        if self.look_for_stalled() {
            self.dispatch();
        }
        let mut several = false;
        for slot in self.scheduler.busy().filter(|&slot| self.scheduler.has_queued_tasks(slot)).collect::<Vec<_>>() {
            several = true;
            self.on_channel(slot, |worker, _| worker.channel.notify_at_half());
        }
        (several || self.could_move_task()).then_some(LOOK_AFTER)
    }

    /// Whether a worker is free while another has not claimed what it has: that may be stopped, and then nothing tells so.
    fn could_move_task(&mut self) -> bool {
        if !self.scheduler.has_idle() {
            return false;
        }
        let mut is_unclaimed = false;
        for slot in self.scheduler.busy().collect::<Vec<_>>() {
            self.on_channel(slot, |worker, _| {
                is_unclaimed = worker.channel.load()?.open > 0;
                Ok(())
            });
            if is_unclaimed {
                break;
            }
        }
        is_unclaimed
    }

    /// The channels of the workers that have something to say: the ends of the others are the supervisor's to see.
    fn links(&self) -> Vec<WatchedChannel> {
        self.scheduler
            .busy()
            .filter_map(|slot| Some((slot, self.slots[slot].worker.as_ref()?)))
            .filter(|(_, worker)| matches!(worker.life, Life::Ready))
            .map(|(slot, worker)| WatchedChannel {
                slot,
                stream: Arc::clone(worker.channel.stream()),
                write: worker.channel.wants_write(),
            })
            .collect()
    }
}
