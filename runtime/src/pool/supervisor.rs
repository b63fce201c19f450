//! The pool's own thread: it starts the workers, watches them, ends and reaps them, and applies the verdict of `child` on each end.
//! It is not on the way of tasks and results.
//!
//! The kernel ends a worker when the thread that started it ends, so this thread lives as long as the pool.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Core, Phase, PoolShared};
use super::hooks::initializer_failure;
use super::queue::{CallFailure, Slot};
use super::seat::{Answers, Cause, Life, Live};
use super::starts::KILLED_INITIALIZER;
use super::turn::Wakes;
use crate::child::{self, StartOutcome, Verdict};
use crate::error::StartFailure;
use crate::fault_points::{self, Point};
use crate::output::Rest;
use crate::sys::{self, End, Surroundings, Watch};
use crate::trace::{self, TraceEvent};

/// A shutdown takes no longer than this, even if the kernel cannot end a process (in uninterruptible sleep).
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// A process that was killed and has not ended is looked at again after this.
const KILL_AGAIN: Duration = Duration::from_secs(1);
/// Where a process's end cannot be waited for by a descriptor, it is looked for this often.
const REAP_INTERVAL: Duration = Duration::from_millis(10);
/// Workers are started for so long at a time, or for as long as limits of tasks may wait. In between, those that are there are
/// looked after: they say hello, keep to limits, end.
const START_TIME_MAX: Duration = Duration::from_millis(100);
/// While no caller takes a worker's results, the supervisor looks for them this often.
const ATTEND_INTERVAL: Duration = Duration::from_millis(2);

/// Runs until the pool is closed and no process is left. All workers are started in the same surroundings.
pub(super) fn run(shared: &PoolShared, surroundings: &Surroundings) {
    // However this thread ends, no thread waits for it after that.
    let _closed = OnEnd(|| {
        let mut core = shared.lock();
        core.phase = Phase::Closed;
        core.queue.fail_calls(&CallFailure::PoolClosed);
        core.first_round.get_or_insert_with(|| {
            let message = "the pool's thread ended before it had started the workers".to_owned();
            Err(StartFailure { message })
        });
        core.end_all();
        core.turn.concerns(Wakes::CALLERS);
        drop(core);
        trace::pool_ended();
    });
    trace::pool_started(shared.workers());
    shared.leave_copy();
    let mut closing_since = None;
    loop {
        start_vacant(shared, surroundings);
        let (watched, timeout) = {
            let core = shared.lock();
            let closing = core.phase == Phase::Closing;
            if (closing || core.phase == Phase::Finishing) && core.lives().next().is_none() {
                return;
            }
            if closing {
                let since = *closing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > CLOSE_TIME_MAX {
                    return;
                }
            }
            core.watched()
        };
        let seen = wait_for(shared, &watched, timeout);
        fault_points::reached(Point::ParentAttending);
        let mut core = shared.lock();
        core.attend(&seen, shared.settings.startup_timeout);
        core.dispatch();
        let (unwritten, log) = (std::mem::take(&mut core.unwritten), std::mem::take(&mut core.log));
        drop(core);
        log.tell();
        shared.leave_copy();
        unwritten.into_iter().for_each(Rest::write_patiently);
    }
}

/// Starts a process for each empty seat whose time has come, as far as it gets in its time: a start takes the system about a
/// millisecond, and there may be thousands. The first failure of the pool's first round ends the round.
fn start_vacant(shared: &PoolShared, surroundings: &Surroundings) {
    let mut first_failure = None;
    let began = Instant::now();
    loop {
        let mut core = shared.lock();
        let now = Instant::now();
        let vacant = core.vacant(now).filter(|_| first_failure.is_none());
        let Some(slot) = vacant else {
            if core.first_round.is_none() {
                core.first_round = Some(first_failure.map_or(Ok(()), Err));
                core.turn.concerns(Wakes::WAITERS);
            }
            return;
        };
        // No failure is left out: after one, no seat counts as vacant.
        if now - began > core.look_interval().map_or(START_TIME_MAX, |interval| interval.min(START_TIME_MAX)) {
            return;
        }
        drop(core);
        let settings = &shared.settings;
        let started = child::start(&settings.entry, &settings.start, surroundings, Some(&shared.arena), slot);
        let mut core = shared.lock();
        match started {
            Ok((process, link)) => {
                core.started += 1;
                let pid = process.pid();
                let replaces = core.seats[slot].pid_before.replace(pid);
                core.log.note(TraceEvent::Started { worker: slot, pid, replaces });
                core.seats[slot].worker = Some(Live {
                    process,
                    link,
                    state: Life::Starting { deadline: Instant::now() + settings.startup_timeout },
                    answers: Answers { any: false, last: Instant::now() },
                    given: Instant::now(),
                    timer: None,
                });
                // The pool was made smaller meanwhile.
                if slot >= core.size {
                    core.doom(slot, Cause::Retired);
                }
            }
            Err(error) => {
                let message = format!("worker {slot} of {} could not be started: {error}", shared.workers());
                if core.first_round.is_none() {
                    first_failure = Some(StartFailure { message: message.clone() });
                }
                core.start_failed(slot, message);
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

/// Waits, and gives what has happened, and for whom.
fn wait_for(shared: &PoolShared, watched: &[WatchedWorker], timeout: Option<Duration>) -> Vec<(Slot, Seen)> {
    let mut watches: Vec<Watch<'_>> = watched.iter().map(WatchedWorker::watch).collect();
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

impl Core {
    /// An empty seat whose process may be started now.
    fn vacant(&self, now: Instant) -> Option<Slot> {
        if !self.starts.may_start() || self.phase != Phase::Running {
            return None;
        }
        let seats = self.seats.iter().take(self.size);
        seats.into_iter().position(|seat| seat.is_vacant() && !seat.is_dormant && seat.not_before <= now)
    }

    /// Returns the events to wait for, and the longest time to wait.
    fn watched(&self) -> (Vec<WatchedWorker>, Option<Duration>) {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut until = |time: Instant| next = Some(next.map_or(time, |next| next.min(time)));
        let mut watched = Vec::new();
        self.look_interval().into_iter().for_each(|interval| until(now + interval));
        self.next_retirement(now).into_iter().for_each(&mut until);
        for (slot, seat) in self.seats.iter().enumerate() {
            if let Some(unended) = &seat.unended {
                match unended.process.descriptor() {
                    Some(pidfd) => watched.push(WatchedWorker::Process(slot, pidfd)),
                    None => until(now + REAP_INTERVAL),
                }
                continue;
            }
            let Some(live) = &seat.worker else {
                if slot < self.size && self.starts.may_start() && !seat.is_dormant && self.phase == Phase::Running {
                    until(seat.not_before);
                }
                continue;
            };
            match live.process.descriptor() {
                Some(pidfd) => watched.push(WatchedWorker::Process(slot, pidfd)),
                None => until(now + REAP_INTERVAL),
            }
            let stream = Arc::clone(live.link.stream());
            match live.state {
                Life::Starting { deadline } => {
                    until(deadline);
                    watched.push(WatchedWorker::Message(slot, stream));
                }
                Life::Ready if self.is_attended(slot) => {
                    until(now + ATTEND_INTERVAL);
                    watched.push(WatchedWorker::Message(slot, stream));
                }
                Life::Ready => watched.push(WatchedWorker::HangUp(slot, stream)),
                // Its channel is hung up as a rule: only the end of the process is still waited for.
                Life::Doomed { kill_at, .. } => until(kill_at),
            }
        }
        let timeout = next.map(|next| next.saturating_duration_since(now));
        (watched, timeout)
    }

    /// Looks after every worker: those for which something has happened, and those whose time is over.
    fn attend(&mut self, seen: &[(Slot, Seen)], startup_timeout: Duration) {
        match self.phase {
            Phase::Closing => self.close_workers(),
            Phase::Finishing => self.finish_workers(),
            _ => {}
        }
        let now = Instant::now();
        self.retire_others(now);
        let mut seen_of = vec![None; self.seats.len()];
        for &(slot, seen) in seen {
            let of_slot: &mut Option<Seen> = &mut seen_of[slot];
            *of_slot = (*of_slot).max(Some(seen));
        }
        for (slot, of_slot) in seen_of.into_iter().enumerate() {
            self.notice(slot, of_slot, now);
            self.keep_to_limit(slot, now);
            self.end(slot, now, startup_timeout);
            self.reap_unended(slot);
        }
        // It has looked after those that were doomed until now. Others it is woken for, and the ends of these it waits for.
        self.turn.is_known_to(Wakes::SUPERVISOR);
        self.turn.concerns(Wakes::CALLERS);
    }

    /// Takes in what has happened to a worker.
    fn notice(&mut self, slot: Slot, seen: Option<Seen>, now: Instant) {
        let is_attended = self.is_attended(slot);
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        let starting = match live.state {
            Life::Starting { deadline } => Some(deadline),
            Life::Ready => None,
            Life::Doomed { .. } => return,
        };
        match starting {
            None if seen == Some(Seen::End) => self.doom(slot, Cause::Closed),
            None if is_attended => self.exchange(slot),
            // Without a descriptor for its end, it is asked: what it started may hold its channel open.
            None if live.process.descriptor().is_none() && live.process.try_reap().is_some() => {
                self.doom(slot, Cause::Closed);
            }
            None => {}
            Some(_) if live.process.try_reap().is_some() => self.doom(slot, Cause::Closed),
            Some(_) if seen.is_some() => self.exchange(slot),
            Some(deadline) if deadline <= now => self.doom(slot, Cause::Late),
            Some(_) => {}
        }
    }

    /// Brings a doomed worker to its end: reaps it, or kills it when its time is over.
    fn end(&mut self, slot: Slot, now: Instant, startup_timeout: Duration) {
        let Some(live) = &mut self.seats[slot].worker else {
            return;
        };
        let Life::Doomed { cause, kill_at } = &mut live.state else {
            return;
        };
        fault_points::reached(Point::ParentReaping);
        match live.process.try_reap() {
            Some(end) => drop(self.bury(slot, end, startup_timeout)),
            None if *kill_at <= now => {
                *kill_at = now + KILL_AGAIN;
                if *cause == Cause::Closed {
                    *cause = Cause::ClosedAlive;
                }
                live.kill();
                self.give_up(slot, startup_timeout);
            }
            None => {}
        }
    }

    /// Applies the verdict on a worker's end, now that it is reaped, or given up; gives what is left of it.
    pub(super) fn bury(&mut self, slot: Slot, end: End, startup_timeout: Duration) -> Option<Live> {
        let mut live = self.seats[slot].worker.take()?;
        let Life::Doomed { cause, .. } = std::mem::replace(&mut live.state, Life::Ready) else {
            return None;
        };
        // The results that it had sent before are kept.
        if cause.may_have_sent_more() {
            live.drain(slot, &mut self.queue);
        }
        let pid = live.process.pid();
        let said_hello = live.link.said_hello();
        // A worker that has given no result has had a proper start if it ended in a task, and not in its initializer.
        let begun = live.link.begun();
        let is_initializing = begun > 0 && self.queue.is_initializing(slot);
        let has_started = live.answers.any || (begun > 0 && !is_initializing);
        let mut verdict = Verdict::new(cause, end, pid, &live.link, begun, has_started);
        self.log.note(TraceEvent::ended((slot, pid), verdict.is_in_order, &verdict.cause, &end));
        self.seats[slot].not_before = Instant::now();
        self.lost += u64::from(!verdict.is_in_order);
        // Before the caller is told of the death; what nobody reads at the moment waits.
        self.unwritten.extend(verdict.unwritten.take().and_then(Rest::write_now));
        self.queue.printed(slot, verdict.printed.take());
        let death = verdict.error.clone().map(|error| (error, verdict.origin));
        self.queue.lost(slot, verdict.begun, death);
        self.attend_hooks();
        let start = verdict.start;
        if start == StartOutcome::Succeeded {
            self.seats[slot].killed = 0;
            return Some(live);
        }
        let message = self.start_failure(slot, pid, verdict, is_initializing, startup_timeout);
        if start == StartOutcome::Killed {
            let weight = if is_initializing { KILLED_INITIALIZER } else { u32::from(!said_hello) };
            self.start_killed(slot, &message, weight);
        } else {
            self.start_failed(slot, message);
        }
        Some(live)
    }

    /// Returns why a worker never became ready.
    fn start_failure(
        &self,
        slot: Slot,
        pid: u32,
        verdict: Verdict,
        is_initializing: bool,
        startup_timeout: Duration,
    ) -> String {
        let longer = ", or give it more time with Pool::builder().startup_timeout(…)";
        let by_itself = verdict.start_failure(&format!("worker {slot}"), startup_timeout, longer);
        let in_initializer = verdict.error.filter(|_| is_initializing);
        in_initializer.map_or(by_itself, |kind| initializer_failure(slot, pid, self.initializer, kind))
    }

    /// Ends every worker: the idle ones by the end of their channel, the others at once.
    fn close_workers(&mut self) {
        self.queue.fail_calls(&CallFailure::PoolClosed);
        for slot in 0..self.seats.len() {
            let busy = self.queue.is_busy(slot);
            let Some(live) = &self.seats[slot].worker else {
                continue;
            };
            if !busy && matches!(live.state, Life::Ready) {
                self.dismiss(slot, Cause::PoolClosed);
            } else {
                self.doom(slot, Cause::PoolClosed);
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
