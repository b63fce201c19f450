//! One place in the pool, and the process that holds it.

use std::time::{Duration, Instant};

use super::counters::RetiredFor;
use super::scheduler::{Scheduler, Slot};
use super::times_intake::TimesIntake;
pub(super) use crate::child::Cause;
use crate::child::TaskTimer;
use crate::error::StartFailure;
use crate::sys::ChildProcess;
use crate::transport::{ChannelError, ChannelEvent, Chunk, ParentChannel, ResultBatch};
use crate::wire::Violation;

/// A place in the pool.
pub(super) struct WorkerSlot {
    pub(super) worker: Option<WorkerProcess>,
    /// The process that is to follow the worker.
    pub(super) standby: Standby,
    /// The process that held it before, if that could not be ended: it gets no other one meanwhile.
    pub(super) unkillable: Option<Unkillable>,
    /// A process for an empty slot is not started before this.
    pub(super) not_before: Instant,
    /// Its worker had nothing to do for long: the next one is started for the next call.
    pub(super) is_dormant: bool,
    /// The process that held it before.
    pub(super) pid_before: Option<u32>,
    /// How many processes in a row were killed from outside before they gave a result.
    pub(super) killed: u32,
}

/// The process that is to follow a worker, made ahead (`standby`).
#[derive(Default)]
pub(super) enum Standby {
    /// None was asked for.
    #[default]
    None,
    Made(Box<(ChildProcess, ParentChannel)>),
    /// It could not be made.
    Refused,
}

/// A process that was started and is not reaped yet.
pub(super) struct WorkerProcess {
    pub(super) process: ChildProcess,
    pub(super) channel: ParentChannel,
    pub(super) life: Life,
    pub(super) result_clock: ResultClock,
    pub(super) started: Instant,
    /// When it was last given something while it had nothing.
    pub(super) given: Instant,
    /// How long it is at the task that it runs, where that has a limit.
    pub(super) timer: Option<TaskTimer>,
    /// Why it is to end, should it end in order.
    pub(super) retired_for: RetiredFor,
}

/// A worker that could not be ended.
pub(super) struct Unkillable {
    pub(super) process: ChildProcess,
    pub(super) why: String,
    /// The chunks that it may still read, and whose parts it may still write.
    pub(super) lent: Vec<Chunk>,
}

impl Unkillable {
    pub(super) fn failure(&self, slot: Slot) -> StartFailure {
        let pid = self.process.pid();
        let message =
            format!("worker {slot} cannot be replaced: its process (pid {pid}) could not be ended: {}", self.why);
        StartFailure { message }
    }

    /// The process is left to itself: what it was lent is never given back.
    pub(super) fn leave(self) {
        std::mem::forget(self.lent);
    }
}

/// The results that a worker has given.
pub(super) struct ResultClock {
    /// Whether there were any.
    pub(super) any: bool,
    /// When the last came; before the first, when the process was started.
    pub(super) last: Instant,
    /// How long its tasks have waited and taken.
    pub(super) times: TimesIntake,
    /// The last was that of an initializer or a finalizer, whose times are to be left out.
    is_of_hook: bool,
}

/// How far a worker's life has come.
pub(super) enum Life {
    /// It has not said hello; it must by then.
    Starting {
        deadline: Instant,
    },
    Ready,
    /// It is out of service. It is killed at once, or at the deadline if it does not end by itself.
    Doomed {
        cause: Cause,
        kill_at: Instant,
    },
}

impl WorkerSlot {
    /// One whose process may be started from this moment on.
    pub(super) fn vacant(not_before: Instant) -> Self {
        Self {
            worker: None,
            standby: Standby::None,
            unkillable: None,
            not_before,
            is_dormant: false,
            pid_before: None,
            killed: 0,
        }
    }

    /// Whether no process holds it.
    pub(super) fn is_vacant(&self) -> bool {
        self.worker.is_none() && self.unkillable.is_none()
    }
}

impl WorkerProcess {
    /// One that was just started, and has so long to say hello.
    pub(super) fn new(process: ChildProcess, channel: ParentChannel, startup_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            process,
            channel,
            life: Life::Starting { deadline: now + startup_timeout },
            result_clock: ResultClock::new(now),
            started: now,
            given: now,
            timer: None,
            retired_for: RetiredFor::default(),
        }
    }

    /// Handles what the worker has sent.
    pub(super) fn receive(&mut self, slot: Slot, scheduler: &mut Scheduler) -> Result<(), ChannelError> {
        let Self { process, channel, life, result_clock, .. } = self;
        let received = channel.receive(|event| apply(event, slot, process.pid(), life, result_clock, scheduler));
        self.leave_out_hook();
        received.map(|_| ())
    }

    /// Handles what a worker that has ended had sent before.
    pub(super) fn drain(&mut self, slot: Slot, scheduler: &mut Scheduler) {
        let Self { process, channel, life, result_clock, .. } = self;
        channel.drain(|event| apply(event, slot, process.pid(), life, result_clock, scheduler));
        self.leave_out_hook();
    }

    /// Takes the results that are in shared memory.
    pub(super) fn take(&mut self, slot: Slot, scheduler: &mut Scheduler) -> Result<(), ChannelError> {
        let Self { channel, result_clock, .. } = self;
        let taken = channel.take(|taken| result_clock.on_results(slot, scheduler, taken));
        self.leave_out_hook();
        taken.map(|_| ())
    }

    /// Leaves out what the worker has counted of an initializer or a finalizer, if it has just ended one.
    fn leave_out_hook(&mut self) {
        if std::mem::take(&mut self.result_clock.is_of_hook) {
            self.result_clock.times.skip(&self.channel.times());
        }
    }

    /// Takes back the last tasks that the worker has not claimed, `most` at most: they wait for another.
    pub(super) fn take_back(&mut self, slot: Slot, scheduler: &mut Scheduler, most: u32) -> Result<(), ChannelError> {
        // No call has an initializer or a finalizer.
        if scheduler.is_hooked(slot) {
            return Ok(());
        }
        let count = self.channel.take_back(most)?;
        scheduler.reclaimed(slot, count as usize);
        Ok(())
    }

    /// Recalls what the worker has claimed and not begun, where all that it has is claimed: it goes to other workers. A task
    /// with a time limit is claimed alone, and is not recalled.
    pub(super) fn recall(&mut self, slot: Slot, scheduler: &mut Scheduler) -> Result<(), ChannelError> {
        if scheduler.may_recall(slot)
            && let Some(count) = self.channel.recall()?
        {
            scheduler.recalled(slot, count as usize);
        }
        Ok(())
    }
}

/// Applies what a worker has sent to its life and to the scheduler.
fn apply(
    event: ChannelEvent,
    slot: Slot,
    pid: u32,
    life: &mut Life,
    result_clock: &mut ResultClock,
    scheduler: &mut Scheduler,
) -> Result<(), ChannelError> {
    match event {
        ChannelEvent::Hello => {
            if matches!(life, Life::Starting { .. }) {
                *life = Life::Ready;
                scheduler.add_worker(slot, pid);
            }
            Ok(())
        }
        ChannelEvent::Results(taken) => result_clock.on_results(slot, scheduler, taken),
        ChannelEvent::Returned => Ok(scheduler.returned(slot)?),
        ChannelEvent::Decoded => Err(Violation::new("it told of arguments that nobody asked for").into()),
        ChannelEvent::Preloaded(_) | ChannelEvent::Copied(_) => Err(Violation::new("it spoke as a fork server").into()),
    }
}

impl ResultClock {
    fn new(last: Instant) -> Self {
        Self { any: false, last, times: TimesIntake::default(), is_of_hook: false }
    }

    /// How long it is, at `now`, since the worker gave its last result, or was `given` something when it had nothing. What came after
    /// `now` counts as no time: so a caller that acts on one look at all workers is not misled by how long the acting takes.
    pub(super) fn silence(&self, given: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(self.last.max(given))
    }

    fn on_results(&mut self, slot: Slot, scheduler: &mut Scheduler, taken: ResultBatch) -> Result<(), ChannelError> {
        let is_task = !scheduler.is_hooked(slot);
        let tasks = if is_task { u64::from(taken.count) } else { 0 };
        (self.any, self.last, self.is_of_hook) = (self.any || is_task, Instant::now(), !is_task);
        scheduler.on_results(slot, taken)?;
        self.times.ended(tasks);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_was_given_a_task_after_a_look_is_not_silent_in_it() {
        let last = Instant::now();
        let clock = ResultClock { any: true, ..ResultClock::new(last) };
        let at = |millis| last + Duration::from_millis(millis);
        assert_eq!(clock.silence(last, at(5)), Duration::from_millis(5));
        assert_eq!(clock.silence(at(2), at(5)), Duration::from_millis(3), "it had nothing before");
        // However late the acting ends: two dead workers would be given one task in turn for ever.
        assert_eq!(clock.silence(at(100), at(5)), Duration::ZERO);
        assert_eq!(ResultClock::new(at(100)).silence(last, at(5)), Duration::ZERO);
    }
}
