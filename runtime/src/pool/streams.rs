//! Calls whose caller does not block: a stream that is polled takes what is there, and is woken when there is more. The pool's
//! thread of this module waits in its place.
//!
//! 1. A poll that finds nothing notes, under the lock of the pool's state under which it has looked, what its stream waits for
//!    (`waiting_streams`). So nothing that comes later is missed.
//! 2. The thread wakes a stream when its call has results or has failed, when its next chunk is wanted, and at the moment that it has
//!    named. It takes the stream out of those that wait first: a task that was woken polls, and waits again.
//! 3. While streams wait, the thread drives, unless a call is open for which another thread waits: that drives, and wakes this
//!    thread for what is the streams'. It may be busy otherwise (an input that blocks, a callback), so this thread looks every
//!    [`LOOK_INTERVAL`] all the same, and drives if nobody does. Whoever opens such a call, or waits for one, wakes the thread, which
//!    leaves the turn.
//! 4. A guard of the pool's state that wakes waiting callers wakes this thread if it is parked, and a stream is ready or there is
//!    nobody else to drive (`PoolState::concerns_streams`).
//! 5. A call whose stream nobody polls is no affair of the thread's. Its results stay where they are, as many as its window
//!    allows; whoever drives for another call takes them in, so they are in nobody's way.
//! 6. In process a poll runs the next task, and this thread drives nothing: it sleeps until the next moment of a stream, or until a
//!    stream is ready.
//! 7. Wakers are the program's code. They run on this thread alone, under no lock. One that blocks delays the other streams, and
//!    nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::driver::{SPREAD_AFTER, Step};
use super::locked::Guard;
use super::pending::LOOK_INTERVAL;
use super::scheduler::{CallFailure, CallId};
use super::shutdown::end_of;
use super::state::{PoolShared, PoolState};
use super::turn::Wakes;
use super::waiting_streams::{Attention, StreamWaker, WaitingStream};
use crate::error::StartFailure;
use crate::sys;

/// A pool that is shut down waits this long for a waker that is running.
const WAKER_TIME_MAX: Duration = Duration::from_secs(5);

impl PoolShared {
    /// Returns what a call can do now: results that have arrived are taken in first. If that is nothing, its stream is woken when there
    /// is something, or at a moment. `reads` says that it would read a task, of so many that are still to be read, if that is known.
    pub(crate) fn poll_step(
        self: &Arc<Self>,
        call: CallId,
        reads: Option<Option<usize>>,
        until: Option<Instant>,
        waker: &Arc<StreamWaker>,
    ) -> Result<Poll<Step>, CallFailure> {
        let step = self.try_step(call, reads.is_some(), reads.flatten())?;
        if !step.is_empty() {
            return Ok(Poll::Ready(step));
        }
        if self.is_in_process() && self.lock().scheduler.has_waiting(call) {
            // Nobody else runs the task.
            return self.step_in_process(call, (reads.is_some(), reads.flatten()), until).map(Poll::Ready);
        }
        self.start_streams_thread()?;
        let mut state = self.lock();
        let step = state.step(call, reads.is_some(), reads.flatten())?;
        let now = Instant::now();
        if !step.is_empty() || until.is_some_and(|until| until <= now) {
            return Ok(Poll::Ready(step));
        }
        if state.streams.is_ending {
            return Err(CallFailure::PoolClosed);
        }
        state.rebalance(call);
        state.wait_for_stream(call, WaitingStream { waker: Arc::clone(waker), reads, until, since: now });
        Ok(Poll::Pending)
    }

    /// Starts the thread, unless it is.
    fn start_streams_thread(self: &Arc<Self>) -> Result<(), CallFailure> {
        let streams = &self.streams_thread;
        if streams.is_started.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut handle = streams.handle.lock();
        if handle.is_ended {
            return Err(CallFailure::PoolClosed);
        }
        if handle.thread.is_none() {
            let shared = Arc::clone(self);
            let thread = std::thread::Builder::new().name("poolmap-stream".to_owned());
            let spawned = thread.spawn(move || shared.attend_streams()).map_err(|error| {
                let message = sys::start_error("the thread for streams", &error);
                CallFailure::Start(StartFailure { message })
            })?;
            handle.thread = Some(spawned);
            streams.is_started.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Ends the thread, once the supervisor has ended: streams that wait are woken, and find that their calls have failed.
    pub(super) fn end_streams(&self) {
        let thread = {
            let mut handle = self.streams_thread.handle.lock();
            handle.is_ended = true;
            handle.thread.take()
        };
        let mut state = self.lock();
        state.streams.is_ending = true;
        state.turn.concerns(Wakes::STREAMS);
        state.turn.concerns(Wakes::CALLERS);
        drop(state);
        // A waker may be what ends the pool.
        let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) else {
            return;
        };
        let until = Instant::now() + WAKER_TIME_MAX;
        let mut state = self.lock();
        while !state.streams.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = state.wait(Some(left));
        }
        drop(state);
        end_of(thread);
    }

    /// Wakes streams until the pool is shut down, on a thread of its own.
    fn attend_streams(&self) {
        // Before the first look at the state: who notes something later wakes this thread.
        self.wakers().serve_streams(std::thread::current());
        let mut state = self.lock();
        // It has left the turn to others for a while.
        let mut has_waited = false;
        loop {
            let ready = state.take_ready_streams(Instant::now());
            if !ready.is_empty() {
                drop(state);
                // The last holder of a waker drops it, with no lock held.
                ready.into_iter().for_each(|waker| waker.wake_poller());
                self.leave_copy();
                has_waited = false;
                state = self.lock();
                continue;
            }
            if state.streams.is_ending {
                state.streams.has_ended = true;
                state.turn.concerns(Wakes::WAITERS);
                return;
            }
            let time_left = state.next_of_streams().map(|next| next.saturating_duration_since(Instant::now()));
            let is_alone = has_waited && !state.turn.is_taken() && !state.streams.waiting.is_empty();
            has_waited = false;
            state = if self.is_in_process() || state.streams.waiting.is_empty() {
                // There is nobody to drive for (rule 6).
                self.park(state, time_left)
            } else if is_alone || state.is_for_streams_thread() {
                self.drive_for_streams(state, time_left)
            } else {
                has_waited = true;
                self.park(state, Some(time_left.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL)))
            };
        }
    }

    fn drive_for_streams<'a>(
        &'a self,
        mut state: Guard<'a, PoolState>,
        time: Option<Duration>,
    ) -> Guard<'a, PoolState> {
        state.streams.attention = Attention::Driving;
        let mut state = self.poll(state, time);
        state.streams.attention = Attention::Awake;
        state
    }

    /// Sleeps until this thread is woken. A wake-up that comes before is kept, and a waker that has used it up comes before the last
    /// look at the state.
    fn park<'a>(&'a self, mut state: Guard<'a, PoolState>, time: Option<Duration>) -> Guard<'a, PoolState> {
        state.streams.attention = Attention::Parked;
        drop(state);
        match time {
            None => std::thread::park(),
            Some(time) => std::thread::park_timeout(time),
        }
        let mut state = self.lock();
        state.streams.attention = Attention::Awake;
        state
    }
}

impl PoolState {
    fn wait_for_stream(&mut self, call: CallId, stream: WaitingStream) {
        let is_first = self.streams.waiting.is_empty();
        // The thread sleeps for as long as the others say.
        let is_earlier = stream.until.is_some() || self.scheduler.is_ramping(call);
        self.streams.waiting.insert(call, stream);
        match self.streams.attention {
            Attention::Parked if is_first || is_earlier => self.turn.concerns(Wakes::STREAMS),
            Attention::Driving if is_earlier => self.turn.concerns(Wakes::DRIVER),
            _ => {}
        }
    }

    /// Takes out the streams that are to be polled, and does what a caller that waits does for its call.
    fn take_ready_streams(&mut self, now: Instant) -> Vec<Arc<StreamWaker>> {
        if !self.turn.is_taken() && !self.streams.waiting.is_empty() {
            self.take_and_dispatch();
        }
        let calls: Vec<CallId> = self.streams.waiting.keys().copied().collect();
        let mut ready = Vec::new();
        for call in calls {
            self.rebalance(call);
            let spreads_at = self.spreads_at(call);
            if spreads_at.is_some_and(|at| at <= now) {
                self.scheduler.ramp_up(call);
                self.dispatch();
            }
            if self.is_stream_ready(call, now) {
                ready.extend(self.streams.waiting.remove(&call).map(|stream| stream.waker));
            }
        }
        ready
    }

    fn is_stream_ready(&self, call: CallId, now: Instant) -> bool {
        let Some(stream) = self.streams.waiting.get(&call) else {
            return false;
        };
        self.streams.is_ending
            || self.scheduler.has_news(call)
            || stream.reads.is_some_and(|left| self.scheduler.wanted(call, left).is_some())
            || stream.until.is_some_and(|until| until <= now)
    }

    /// When the call of a stream that waits may have all workers, if its first tasks are still at work.
    fn spreads_at(&self, call: CallId) -> Option<Instant> {
        let stream = self.streams.waiting.get(&call).filter(|_| self.scheduler.is_ramping(call))?;
        Some(stream.since + SPREAD_AFTER)
    }

    /// When the first of the streams that wait has something to do.
    fn next_of_streams(&self) -> Option<Instant> {
        let waiting = self.streams.waiting.iter();
        waiting.flat_map(|(&call, stream)| stream.until.into_iter().chain(self.spreads_at(call))).min()
    }

    /// Whether the thread is to drive (rules 3 and 6).
    fn is_for_streams_thread(&self) -> bool {
        !self.is_in_process
            && !self.streams.waiting.is_empty()
            && !self.turn.is_taken()
            && !self.scheduler.has_waited_call()
    }

    /// Lets the thread leave the turn to a caller that waits for all of its call (rule 3).
    pub(super) fn claim_turn_of_streams(&mut self) {
        if self.streams.attention == Attention::Driving && self.scheduler.has_waited_call() {
            self.turn.concerns(Wakes::DRIVER);
        }
    }

    /// Whether a change that concerns the waiting callers concerns the thread of the streams (rule 4).
    pub(super) fn concerns_streams(&self) -> bool {
        self.streams.attention == Attention::Parked
            && (self.is_for_streams_thread()
                || self.streams.waiting.iter().any(|(&call, stream)| {
                    let is_wanted = |left| self.scheduler.wanted(call, left).is_some();
                    self.scheduler.has_news(call) || stream.reads.is_some_and(is_wanted)
                }))
    }
}
