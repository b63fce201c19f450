//! The pool's own thread: it starts the workers, watches them, ends and reaps them.
//! It is not on the way of tasks and results.
//!
//! The kernel ends a worker when the thread that started it ends, so this thread lives as long as the pool.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::RetiredFor;
use super::launcher::Launcher;
use super::scheduler::{CallFailure, Slot};
use super::state::{Phase, PoolShared, PoolState};
use super::turn::Wakes;
use super::worker_slot::{Cause, Life, Standby, WorkerProcess, WorkerSlot};
use crate::error::StartFailure;
use crate::failpoints::{self, Point};
use crate::output::PendingOutput;
use crate::sys::{self, ChildProcess, Surroundings, Watch};
use crate::trace::{self, TraceEvent};
use crate::transport::ParentChannel;

/// A shutdown takes no longer than this, even if the kernel cannot end a process (in uninterruptible sleep).
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// A process that was killed and has not ended is looked at again after this.
const KILL_AGAIN: Duration = Duration::from_secs(1);
/// Where a process's end cannot be waited for by a descriptor, it is looked for this often.
const REAP_INTERVAL: Duration = Duration::from_millis(10);
/// Workers are started for this long at a time, or for as long as limits of tasks may wait. In between, those that are there are
/// looked after: they say hello, keep to limits, end.
const START_TIME_MAX: Duration = Duration::from_millis(100);
/// While no caller takes a worker's results, the supervisor looks for them this often.
const ATTEND_INTERVAL: Duration = Duration::from_millis(2);

/// Runs until the pool is closed and no process is left. All workers are started in the same surroundings.
pub(super) fn run(shared: &PoolShared, surroundings: &Surroundings) {
    // However this thread ends, no thread waits for it after that.
    let _closed = OnEnd(|| {
        let mut state = shared.lock();
        state.phase = Phase::Closed;
        state.scheduler.fail_calls(&CallFailure::PoolClosed);
        state.first_round.get_or_insert_with(|| {
            let message = "the pool's thread ended before it had started the workers".to_owned();
            Err(StartFailure { message })
        });
        state.end_all();
        state.turn.concerns(Wakes::CALLERS);
        drop(state);
        trace::pool_ended();
    });
    trace::pool_started(shared.workers());
    shared.leave_copy();
    let mut closing_since = None;
    let mut launcher = Launcher::new(shared.settings.start_method);
    loop {
        launcher.attend(shared);
        start_vacant(shared, surroundings, &mut launcher);
        let next_time = shared.attend_times(Instant::now());
        let (watched, timeout) = {
            let state = shared.lock();
            let closing = state.phase == Phase::Closing;
            let is_ending = closing || state.phase == Phase::Finishing;
            if is_ending && state.processes().next().is_none() && state.standbys() == 0 && launcher.is_gone() {
                return;
            }
            let mut next_time = next_time;
            if closing {
                let until = *closing_since.get_or_insert_with(Instant::now) + CLOSE_TIME_MAX;
                if until < Instant::now() {
                    return;
                }
                next_time = next_time.into_iter().chain([until]).min();
            }
            state.watched(next_time)
        };
        let seen = wait_for(shared, &watched, &launcher, timeout);
        failpoints::reached(Point::ParentAttending);
        let mut state = shared.lock();
        state.supervise_once(&seen, shared.settings.startup_timeout);
        state.dispatch();
        let (unwritten, log) = (std::mem::take(&mut state.unwritten), std::mem::take(&mut state.log));
        drop(state);
        log.tell();
        shared.leave_copy();
        unwritten.into_iter().for_each(PendingOutput::write_patiently);
    }
}

/// Starts a process for each empty slot whose time has come, as far as it gets in its time: a start takes the system about a
/// millisecond, and there may be thousands. The first failure of the pool's first round ends the round.
fn start_vacant(shared: &PoolShared, surroundings: &Surroundings, launcher: &mut Launcher) {
    let mut first_failure = None;
    let began = Instant::now();
    loop {
        let mut state = shared.lock();
        let now = Instant::now();
        let vacant = state.vacant(now).filter(|_| first_failure.is_none());
        if let Some(slot) = vacant
            && state.take_up_standby(slot, shared.settings.startup_timeout)
        {
            continue;
        }
        let Some(slot) = vacant.or_else(|| state.wants_standby(launcher.standbys_max())) else {
            if state.first_round.is_none() {
                state.first_round = Some(first_failure.map_or(Ok(()), Err));
                state.turn.concerns(Wakes::WAITERS);
            }
            return;
        };
        // No failure is left out: after one, no slot counts as vacant.
        if now - began > state.look_interval().map_or(START_TIME_MAX, |interval| interval.min(START_TIME_MAX)) {
            return;
        }
        drop(state);
        let launched = launcher.start(shared, surroundings, slot);
        let mut state = shared.lock();
        match launched {
            Ok(Some((process, channel))) => {
                if vacant.is_none() {
                    state.slots[slot].standby = Standby::Made(Box::new((process, channel)));
                    continue;
                }
                state.occupy(slot, process, channel, shared.settings.startup_timeout);
                // The pool was made smaller meanwhile.
                if slot >= state.size {
                    state.retire_for(slot, RetiredFor::Size);
                    state.begin_ending(slot, Cause::Retired);
                }
            }
            Ok(None) => {
                state.waits_for_server = true;
                // The system has made the process that makes the others.
                if state.first_round.is_none() {
                    state.first_round = Some(Ok(()));
                    state.turn.concerns(Wakes::WAITERS);
                }
                return;
            }
            Err(_) if vacant.is_none() => state.slots[slot].standby = Standby::Refused,
            Err(error) => {
                state.counters.starts_refused += 1;
                let message = format!("worker {slot} of {} could not be started: {error}", shared.workers());
                if state.first_round.is_none() {
                    first_failure = Some(StartFailure { message: message.clone() });
                }
                state.start_failed(slot, message);
            }
        }
    }
}

/// An event that the supervisor waits for, and its slot. It holds the descriptor, so that the number stays in use meanwhile.
enum WatchedWorker {
    /// The end of a process.
    Process(Slot, Arc<OwnedFd>),
    /// A hello.
    Message(Slot, Arc<UnixStream>),
    /// The end of a channel.
    HangUp(Slot, Arc<UnixStream>),
}

impl WatchedWorker {
    fn slot(&self) -> Slot {
        let (Self::Process(slot, _) | Self::Message(slot, _) | Self::HangUp(slot, _)) = self;
        *slot
    }

    /// Returns what it means that this has happened.
    fn seen(&self) -> Seen {
        match self {
            Self::Message(..) => Seen::Message,
            Self::Process(..) | Self::HangUp(..) => Seen::End,
        }
    }

    fn watch(&self) -> Watch<'_> {
        match self {
            Self::Process(_, pidfd) => Watch::read(pidfd.as_fd()),
            Self::Message(_, stream) => Watch::read(stream.as_fd()),
            Self::HangUp(_, stream) => Watch::hang_up(stream.as_fd()),
        }
    }
}

/// An event of a worker; an end outranks a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// It has said hello. The driver, woken by the end of the worker that had the slot before, may have taken that in since.
    Message,
    /// The process has ended, or its channel.
    End,
}

/// Waits, and returns what has happened, and for whom.
fn wait_for(
    shared: &PoolShared,
    watched: &[WatchedWorker],
    launcher: &Launcher,
    timeout: Option<Duration>,
) -> Vec<(Slot, Seen)> {
    let now = Instant::now();
    let until_look = launcher.next_look(shared, now).map(|until| until.saturating_duration_since(now));
    let timeout = timeout.into_iter().chain(until_look).min();
    let mut watches: Vec<Watch<'_>> = watched.iter().map(WatchedWorker::watch).chain(launcher.watches()).collect();
    let wake_up = shared.wakers().for_supervisor();
    watches.push(wake_up.watch());
    if sys::poll(&mut watches, timeout).is_err() {
        // The kernel is out of memory: nothing is known, and it is tried again a little later.
        std::thread::sleep(REAP_INTERVAL);
        return Vec::new();
    }
    if watches.last().is_some_and(|waker| waker.ready) {
        wake_up.clear();
    }
    let ready = watched.iter().zip(&watches).filter(|(_, watch)| watch.ready);
    ready.map(|(watched, _)| (watched.slot(), watched.seen())).collect()
}

impl PoolState {
    /// Gives an empty slot to a process, whose time to say hello begins now.
    pub(super) fn occupy(
        &mut self,
        slot: Slot,
        process: ChildProcess,
        mut channel: ParentChannel,
        startup_timeout: Duration,
    ) {
        self.counters.started += 1;
        let pid = process.pid();
        channel.set_worker(slot, pid);
        let worker_slot = &mut self.slots[slot];
        let replaces = worker_slot.pid_before.replace(pid);
        worker_slot.worker = Some(WorkerProcess::new(process, channel, startup_timeout));
        worker_slot.standby = Standby::None;
        self.log.note(TraceEvent::Started { worker: slot, pid, replaces });
    }

    /// Whether processes may be started.
    pub(super) fn may_start(&self) -> bool {
        self.starts.may_start() && self.phase == Phase::Running
    }

    /// When a process for a slot may be started, if the slot waits for one that can be had.
    fn vacant_from(&self, slot: Slot) -> Option<Instant> {
        let worker_slot = &self.slots[slot];
        let is_wanted = slot < self.size && worker_slot.is_vacant() && !worker_slot.is_dormant;
        let can_be_had = !self.waits_for_server || worker_slot.standby.process().is_some();
        (self.may_start() && is_wanted && can_be_had).then_some(worker_slot.not_before)
    }

    /// An empty slot whose process may be started now.
    fn vacant(&self, now: Instant) -> Option<Slot> {
        (0..self.slots.len()).find(|&slot| self.vacant_from(slot).is_some_and(|not_before| not_before <= now))
    }

    /// Returns the events to wait for, and the longest time to wait, which is that until `next` if there is one.
    fn watched(&self, mut next: Option<Instant>) -> (Vec<WatchedWorker>, Option<Duration>) {
        let now = Instant::now();
        let mut until = |time: Instant| next = Some(next.map_or(time, |next| next.min(time)));
        let mut watched = Vec::new();
        self.look_interval().into_iter().for_each(|interval| until(now + interval));
        self.next_retirement(now).into_iter().for_each(&mut until);
        for (slot, worker_slot) in self.slots.iter().enumerate() {
            if let Some(unkillable) = &worker_slot.unkillable {
                match unkillable.process.descriptor() {
                    Some(pidfd) => watched.push(WatchedWorker::Process(slot, pidfd)),
                    None => until(now + REAP_INTERVAL),
                }
                continue;
            }
            let Some(worker) = &worker_slot.worker else {
                self.vacant_from(slot).into_iter().for_each(&mut until);
                continue;
            };
            match worker.process.descriptor() {
                Some(pidfd) => watched.push(WatchedWorker::Process(slot, pidfd)),
                None => until(now + REAP_INTERVAL),
            }
            let stream = Arc::clone(worker.channel.stream());
            match worker.life {
                Life::Starting { deadline } => {
                    until(deadline);
                    watched.push(WatchedWorker::Message(slot, stream));
                }
                Life::Ready if self.is_polled_by_supervisor(slot) => {
                    until(now + ATTEND_INTERVAL);
                    watched.push(WatchedWorker::Message(slot, stream));
                }
                Life::Ready => {
                    self.over_at(slot).into_iter().for_each(&mut until);
                    watched.push(WatchedWorker::HangUp(slot, stream));
                }
                // Its channel is hung up as a rule: only the end of the process is still waited for.
                Life::Doomed { kill_at, .. } => until(kill_at),
            }
        }
        let timeout = next.map(|next| next.saturating_duration_since(now));
        (watched, timeout)
    }

    /// Looks after every worker: those for which something has happened, and those whose time is over.
    fn supervise_once(&mut self, seen: &[(Slot, Seen)], startup_timeout: Duration) {
        match self.phase {
            Phase::Closing => self.close_workers(),
            Phase::Finishing => self.finish_workers(),
            _ => {}
        }
        let was_settled = seen.is_empty() && self.is_settled();
        let now = Instant::now();
        self.retire_others(now);
        let mut seen_of = vec![None; self.slots.len()];
        for &(slot, seen) in seen {
            let of_slot: &mut Option<Seen> = &mut seen_of[slot];
            *of_slot = (*of_slot).max(Some(seen));
        }
        for (slot, of_slot) in seen_of.into_iter().enumerate() {
            self.observe(slot, of_slot, now);
            self.enforce_time_limit(slot, now);
            self.end(slot, now, startup_timeout);
            self.reap_unended(slot);
        }
        if self.phase == Phase::Finishing {
            // A worker whose initializer has just ended is idle now: if it were not asked here, nothing would wake this thread for it.
            self.finish_workers();
        }
        // It has looked after those that were ending until now. Others it is woken for, and the ends of these it waits for.
        self.turn.is_known_to(Wakes::SUPERVISOR);
        if !(was_settled && self.is_settled()) {
            self.turn.concerns(Wakes::CALLERS);
        }
    }

    /// Whether all workers do what they are to do, and the callers wait for nothing but results: such a state stays as it is when the
    /// supervisor looks at it, but for a limit that is over.
    fn is_settled(&self) -> bool {
        let is_settled = |(slot, worker_slot): (Slot, &WorkerSlot)| match &worker_slot.worker {
            None => false,
            Some(worker) => {
                matches!(worker.life, Life::Ready)
                    && worker_slot.unkillable.is_none()
                    && !self.is_polled_by_supervisor(slot)
            }
        };
        self.phase == Phase::Running && self.slots.iter().enumerate().all(is_settled)
    }

    /// Handles what has happened to a worker.
    fn observe(&mut self, slot: Slot, seen: Option<Seen>, now: Instant) {
        let is_polled_by_supervisor = self.is_polled_by_supervisor(slot);
        let Some(worker) = &mut self.slots[slot].worker else {
            return;
        };
        let starting = match worker.life {
            Life::Starting { deadline } => Some(deadline),
            Life::Ready => None,
            Life::Doomed { .. } => return,
        };
        match starting {
            None if seen == Some(Seen::End) => self.begin_ending(slot, Cause::Closed),
            None if is_polled_by_supervisor => self.exchange(slot),
            // Without a descriptor for its end, it is asked: what it started may hold its channel open.
            None if worker.process.descriptor().is_none() && worker.process.try_reap().is_some() => {
                self.begin_ending(slot, Cause::Closed);
            }
            None => {}
            Some(_) if worker.process.try_reap().is_some() => self.begin_ending(slot, Cause::Closed),
            Some(_) if seen.is_some() => self.exchange(slot),
            Some(deadline) if deadline <= now => self.begin_ending(slot, Cause::Late),
            Some(_) => {}
        }
    }

    /// Brings a ending worker to its end: reaps it, or kills it when its time is over.
    fn end(&mut self, slot: Slot, now: Instant, startup_timeout: Duration) {
        let Some(worker) = &mut self.slots[slot].worker else {
            return;
        };
        let Life::Doomed { cause, kill_at } = &mut worker.life else {
            return;
        };
        failpoints::reached(Point::ParentReaping);
        match worker.process.try_reap() {
            Some(end) => drop(self.on_exit(slot, end, startup_timeout)),
            None if *kill_at <= now => {
                *kill_at = now + KILL_AGAIN;
                if *cause == Cause::Closed {
                    *cause = Cause::ClosedAlive;
                }
                worker.kill();
                self.give_up(slot, startup_timeout);
            }
            None => {}
        }
    }

    /// Ends every worker: the idle ones by the end of their channel, the others at once.
    fn close_workers(&mut self) {
        self.scheduler.fail_calls(&CallFailure::PoolClosed);
        for slot in 0..self.slots.len() {
            let busy = self.scheduler.is_busy(slot);
            let Some(worker) = &self.slots[slot].worker else {
                continue;
            };
            if !busy && matches!(worker.life, Life::Ready) {
                self.ask_to_exit(slot, Cause::PoolClosed);
            } else {
                self.begin_ending(slot, Cause::PoolClosed);
            }
        }
    }
}

/// Runs a function when it is dropped.
struct OnEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
