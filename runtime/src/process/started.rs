//! One process that was started, as its handle and the reaper share it: what has come from it, and what its end means.
//!
//! 1. The reaper alone moves bytes and reaps, from [`attend`](StartedProcess::attend); others look, wait for `changed`, and send signals.
//! 2. The reaper receives data whether or not a thread waits for it, so the process never waits for a join.
//! 3. A process has ended when the system says so, and not when its channel is closed: what it started may hold the channel
//!    open, and it may close the channel and go on.
//! 4. The lock is not held while a thread waits, nor while what the call holds is dropped.
//! 5. The call's arguments are held until the process has decoded them, or has ended: if its parent's end of a channel went with the
//!    call, and no other were open, the channel would end before the process had its own. The memory that it maps is held until it
//!    has ended, as it may write there.
//! 6. A limit of time counts from the begin of the call, as the process has told it: a process that has its call and does not begin it,
//!    or has given its result and does not end, has no less than the longest time for a begin. The reaper looks in intervals, and counts
//!    no more than some of them at once, as this process may have been stopped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::end::ProcessEnd;
use crate::child::{
    self, Cause, EntryPoint, Observation, Particulars, Start, StartError, StartOutcome, TaskTimer, Verdict, interval,
};
use crate::locks::{Condition, Lock, Locked, Rank, Ranked};
use crate::output::PendingOutput;
use crate::shared::Segment;
use crate::sys::{self, ChildProcess, End, Surroundings, Watch};
use crate::task::{Limits, Output, Role};
use crate::trace::{self, CallLog};
use crate::transport::{ChannelError, ChannelEvent, Chunk, ParentChannel};
use crate::wire::{Records, Violation};

/// A process that has not said hello by then is killed. No option sets it, so it is longer than any start takes.
const STARTUP_TIME_MAX: Duration = Duration::from_secs(60);

/// What a process is started with, beside its call and its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessOptions {
    pub(super) start: Start,
    pub(super) limits: Limits,
}

/// A process that was started.
pub(super) struct StartedProcess {
    pub(super) name: String,
    pub(super) pid: u32,
    role: Role,
    /// Where it prints to.
    pub(super) output: Output,
    /// The listener to its call's logs.
    log: CallLog,
    /// Readable once the process has ended.
    descriptor: Arc<OwnedFd>,
    state: Lock<ProcessState>,
    changed: Condition,
}

impl Ranked for ProcessState {
    const RANK: Rank = Rank::Child;
}

struct ProcessState {
    process: ChildProcess,
    /// None once the process has ended.
    channel: Option<ParentChannel>,
    /// The call, until the process has decoded its arguments, and then the memory that it maps (rule 5).
    call: Option<Chunk>,
    mapped: Vec<Arc<Segment>>,
    has_decoded: bool,
    /// The other end of the descriptor, where the system gives none for a process: it is closed at the process's end.
    end_teller: Option<UnixStream>,
    /// Whether something may still come.
    is_open: bool,
    start_deadline: Instant,
    limits: Limits,
    /// It is over its limit, and is killed then if it has not ended.
    kill_at: Option<Instant>,
    /// How long the process is at its call, where that has a limit (rule 6).
    timer: Option<TaskTimer>,
    /// Its last output, where that is tagged: it is written without the lock.
    unwritten: Option<PendingOutput>,
    cause: Cause,
    /// Whether this process has sent it a signal, or tried to.
    is_signalled: bool,
    /// Whether somebody may ask for the output.
    is_wanted: bool,
    result: Option<Records>,
    end: Option<ProcessEnd>,
}

/// The events of one process that the reaper waits for. It holds the descriptors, so that their numbers stay in use meanwhile.
pub(super) struct WatchedProcess {
    stream: Option<Arc<UnixStream>>,
    process: Option<Arc<OwnedFd>>,
    wants_write: bool,
    pub(super) deadline: Option<Instant>,
}

impl WatchedProcess {
    pub(super) fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        let stream =
            self.stream.as_ref().map(|stream| Watch { write: self.wants_write, ..Watch::read(stream.as_fd()) });
        let process = self.process.as_ref().map(|process| Watch::read(process.as_fd()));
        stream.into_iter().chain(process)
    }

    /// Whether the end of the process can only be asked for, again and again.
    pub(super) fn is_blind(&self) -> bool {
        self.process.is_none()
    }
}

impl StartedProcess {
    /// Starts the process, and sends it its call. The thread that calls it must live as long as the process may.
    pub(super) fn start(
        entry: &EntryPoint,
        options: &ProcessOptions,
        surroundings: &Surroundings,
        name: String,
        chunk: Chunk,
    ) -> Result<Self, StartError> {
        let ProcessOptions { start, limits } = *options;
        // Made before the process: from its start on, nothing may fail.
        let (ours, theirs) = sys::pair()?;
        let (mut process, mut channel) = child::start(entry, &start, surroundings, None, &Particulars::default())?;
        channel.set_worker(0, process.pid());
        let (descriptor, end_teller) = match process.descriptor() {
            Some(pidfd) => (pidfd, None),
            None => (Arc::new(OwnedFd::from(ours)), Some(theirs)),
        };
        let mut cause = Cause::Closed;
        let is_open = match channel.assign(&chunk, 0) {
            Ok(()) | Err(ChannelError::Closed) => true,
            Err(fault) => {
                let _ = process.kill();
                cause = Cause::from(fault);
                false
            }
        };
        let (pid, log) = (process.pid(), chunk.log().clone());
        let state = ProcessState {
            process,
            channel: Some(channel),
            call: Some(chunk),
            mapped: Vec::new(),
            has_decoded: false,
            end_teller,
            is_open,
            start_deadline: Instant::now() + STARTUP_TIME_MAX,
            limits,
            kill_at: None,
            timer: None,
            unwritten: None,
            cause,
            is_signalled: false,
            is_wanted: true,
            result: None,
            end: None,
        };
        let Start { role, output, .. } = start;
        let (state, changed) = (Lock::new(state), Condition::new());
        Ok(Self { name, pid, role, output, log, descriptor, state, changed })
    }

    pub(super) fn is_daemon(&self) -> bool {
        self.role == Role::Daemon
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Whether the process has ended. It may not be reaped yet.
    pub(super) fn has_ended(&self) -> bool {
        let mut watches = [Watch::read(self.descriptor.as_fd())];
        // Where the system refuses to tell now, the reaper will.
        let polled = sys::poll(&mut watches, Some(Duration::ZERO));
        if polled.is_ok() { watches[0].ready } else { self.is_reaped() }
    }

    /// Whether the reaper is done with it, or has given it up.
    pub(super) fn is_reaped(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Whether there is nothing left to look after.
    pub(super) fn is_gone(&self) -> bool {
        self.lock().process.is_ended()
    }

    pub(super) fn kill(&self) {
        let mut state = self.lock();
        state.is_signalled = true;
        state.kill();
    }

    pub(super) fn terminate(&self) {
        let mut state = self.lock();
        state.is_signalled = true;
        // An error is one of a filter of system calls: it cannot be reported to anyone here, and a join has a time limit.
        let _ = state.process.terminate();
    }

    /// What the call has logged is with those that listen, once this returns; the caller's span is held no more.
    pub(super) fn end_log(&self) {
        trace::settle();
        self.log.end();
    }

    /// Nobody will ask for the output any more.
    pub(super) fn detach(&self) {
        let mut state = self.lock();
        state.is_wanted = false;
        state.result = None;
        if state.end.is_some() {
            state.end = Some(ProcessEnd::Taken);
        }
    }

    /// Waits until the process needs nothing more of this one, or has ended.
    pub(super) fn wait_until_sent(&self) {
        let mut state = self.lock();
        while state.wants_write() {
            state = self.changed.wait(state);
        }
    }

    /// Waits until the process has ended and everything is known of it; false if it runs at the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        while state.end.is_none() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => {
                    drop(state);
                    if !self.has_ended() {
                        return false;
                    }
                    // It has ended, so the reaper is about to learn the rest.
                    return self.wait(None);
                }
                Some(left) => self.changed.wait_timeout(state, left),
                None => self.changed.wait(state),
            };
        }
        true
    }

    /// Takes the outcome of the call, once it has ended.
    pub(super) fn take(&self) -> Option<ProcessEnd> {
        let mut state = self.lock();
        state.end.is_some().then(|| state.end.replace(ProcessEnd::Taken)).flatten()
    }

    /// Returns the exit status that the system has reported.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.lock().process.status()
    }

    /// Returns the events to wait for.
    pub(super) fn watched(&self) -> WatchedProcess {
        let state = self.lock();
        let channel = state.channel.as_ref().filter(|_| state.is_open);
        WatchedProcess {
            stream: channel.map(|channel| Arc::clone(channel.stream())),
            process: state.process.descriptor(),
            wants_write: state.wants_write(),
            deadline: state
                .is_starting()
                .then_some(state.start_deadline)
                .into_iter()
                .chain(state.reach_deadline())
                .chain(state.next_look())
                .chain(state.kill_at.filter(|_| state.end.is_none()))
                .min(),
        }
    }

    /// Moves what can be moved, and takes in the process's end; true once it has ended. The reaper alone calls it.
    pub(super) fn attend(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let ended = state.process.try_reap();
        state.exchange();
        if state.is_to_let_go(ended.is_some()) {
            let released = state.let_go(ended.is_some());
            drop(state);
            // Before anyone learns of the end: who has joined the process finds nothing of it held here.
            drop(released);
            state = self.lock();
        }
        if let Some(end) = ended {
            state.on_exit(end, &self.name);
        } else if state.is_starting() && state.start_deadline <= now {
            state.cause = Cause::Late;
            state.kill();
        } else if let Some(over) = state.limit_over(now) {
            state.cause = over;
            state.kill_at = Some(now + child::end_with_its_stack(&mut state.process));
        } else if state.kill_at.is_some_and(|kill_at| kill_at <= now) {
            state.kill_at = None;
            state.kill();
        } else if let Some(why) = state.process.out_of_reach() {
            // It is reaped when it ends.
            state.give_up(Cause::Unreachable(why));
        }
        let has_ended = state.end.is_some();
        drop(state);
        self.changed.notify_all();
        has_ended
    }

    /// Takes out what the process has printed last, to be written.
    pub(super) fn take_unwritten(&self) -> Option<PendingOutput> {
        self.lock().unwritten.take()
    }

    /// The reaper is gone: nobody will look after the process any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.kill();
        let released = state.let_go(true);
        state.give_up(Cause::Unattended);
        drop(state);
        drop(released);
        self.changed.notify_all();
    }

    fn lock(&self) -> Locked<'_, ProcessState> {
        self.state.lock()
    }
}

impl ProcessState {
    fn wants_write(&self) -> bool {
        self.is_open && self.channel.as_ref().is_some_and(ParentChannel::wants_write)
    }

    /// Whether something is held that the process needs no more.
    fn is_to_let_go(&self, has_ended: bool) -> bool {
        (has_ended || self.has_decoded) && self.call.is_some() || has_ended && !self.mapped.is_empty()
    }

    /// Takes out what the process needs no more, to be dropped without the lock.
    fn let_go(&mut self, has_ended: bool) -> (Option<Chunk>, Vec<Arc<Segment>>) {
        let call = self.call.take();
        if has_ended {
            return (call, std::mem::take(&mut self.mapped));
        }
        self.mapped = call.as_ref().map(Chunk::mapped_memory).unwrap_or_default();
        (call, Vec::new())
    }

    /// Whether its start has not succeeded yet, nor failed.
    fn is_starting(&self) -> bool {
        self.cause == Cause::Closed && self.channel.as_ref().is_some_and(|channel| !channel.said_hello())
    }

    /// Looks how long the process is at its call; returns the limit that is over, if one is (rule 6).
    fn limit_over(&mut self, now: Instant) -> Option<Cause> {
        let channel = self.channel.as_ref().filter(|channel| channel.said_hello() && !channel.wants_write())?;
        if self.limits.shortest().is_none() || self.cause != Cause::Closed {
            return None;
        }
        let has_begun = channel.has_begun();
        let progress_stamp = u64::from(has_begun) + 2 * u64::from(self.result.is_some());
        let observation = Observation { now, progress_stamp, has_begun, cpu: None };
        match &mut self.timer {
            Some(timer) => timer.check(&observation, &self.limits),
            None => {
                self.timer = Some(TaskTimer::new(&observation));
                None
            }
        }
    }

    /// When the process must be looked at, because its call has a limit.
    fn next_look(&self) -> Option<Instant> {
        let limit = self.limits.shortest().filter(|_| self.end.is_none() && self.cause == Cause::Closed)?;
        let timer = self.timer.as_ref()?;
        Some(timer.next_look(interval(limit)).min(timer.over_at(limit)?))
    }

    /// Kills the process, or asks it to end. The reaper gives up one that lives on.
    fn kill(&mut self) {
        match &mut self.channel {
            Some(channel) => child::kill(&mut self.process, channel),
            // Nothing is left to ask it by.
            None => drop(self.process.kill()),
        }
    }

    /// When the process is given up if it was to be killed, and lives.
    fn reach_deadline(&self) -> Option<Instant> {
        self.process.reach_deadline().filter(|_| self.end.is_none())
    }

    /// Ends the call of a process that is not looked after any more.
    fn give_up(&mut self, cause: Cause) {
        self.is_open = false;
        if let Some(channel) = self.channel.take() {
            let verdict = Verdict::new(cause, End::Unknown, &self.process, &channel, channel.begun(), true);
            self.end.get_or_insert(ProcessEnd::died(verdict));
        }
    }

    /// Sends and receives, as far as there is something.
    fn exchange(&mut self) {
        if !self.is_open {
            return;
        }
        if let Some(channel) = &mut self.channel
            && let Err(fault) = channel.flush()
            && fault != ChannelError::Closed
        {
            return self.close(fault);
        }
        if let Err(fault) = self.receive() {
            self.close(fault);
        }
    }

    /// Handles what has come.
    fn receive(&mut self) -> Result<(), ChannelError> {
        let Self { channel: Some(channel), is_wanted, result, has_decoded, .. } = self else {
            return Err(ChannelError::Closed);
        };
        channel.receive(|event| apply(event, *is_wanted, result, has_decoded))?;
        Ok(())
    }

    /// Notes that no more data comes. A process that broke the protocol is killed, unless its result is there.
    fn close(&mut self, fault: ChannelError) {
        self.is_open = false;
        if fault != ChannelError::Closed && self.result.is_none() {
            self.cause = Cause::from(fault);
            self.kill();
        }
    }

    /// Applies the verdict on the end of the process, now that it is reaped.
    fn on_exit(&mut self, end: End, name: &str) {
        self.end_teller = None;
        let Self { channel: Some(channel), is_wanted, result, has_decoded, .. } = self else {
            return;
        };
        if self.is_open {
            channel.drain(|event| apply(event, *is_wanted, result, has_decoded));
        }
        // One that somebody ends is no failed start, whoever that is.
        let has_started = channel.said_hello() || self.is_signalled;
        let mut verdict = Verdict::new(self.cause.clone(), end, &self.process, channel, channel.begun(), has_started);
        channel.end_log();
        self.channel = None;
        self.unwritten = verdict.unwritten.take().and_then(PendingOutput::write_now);
        self.end = Some(match self.result.take() {
            Some(result) => ProcessEnd::Result(result),
            None if verdict.start == StartOutcome::Failed => {
                ProcessEnd::NotStarted(verdict.start_failure(&format!("process `{name}`"), STARTUP_TIME_MAX, ""))
            }
            None => ProcessEnd::died(verdict),
        });
    }
}

/// Applies what a process has sent to what is known of it.
fn apply(
    event: ChannelEvent,
    is_wanted: bool,
    result: &mut Option<Records>,
    has_decoded: &mut bool,
) -> Result<(), ChannelError> {
    match event {
        ChannelEvent::Hello => {}
        ChannelEvent::Results(taken) => *result = Some(if is_wanted { taken.records } else { Records::default() }),
        ChannelEvent::Decoded => *has_decoded = true,
        ChannelEvent::Returned => return Err(Violation::new("it gave back what it was not asked for").into()),
        ChannelEvent::Preloaded(_) | ChannelEvent::Copied(_) => {
            return Err(Violation::new("it spoke as a fork server").into());
        }
    }
    Ok(())
}
