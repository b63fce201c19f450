//! Tasks that are in shared memory: claims some, runs them, looks at the clock, and sleeps when there are none.

use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use super::panic::{self, PanicReporter, PrintedPanics};
use super::run::{fold_tasks, note_task, run_tasks};
use super::sandbox::Entrance;
use super::seed;
use super::segments;
use crate::codec::{Encoder, Sink};
use crate::failpoints::{self, Point};
use crate::functions::{Flush, TaskCall, TaskClock};
use crate::output;
use crate::shared;
use crate::sys::{self, TaskLimits};
use crate::trace;
use crate::transport::{ChannelError, Claimed, ClaimedTasks, WorkerRing, WorkerSocket};
use crate::wire::{ToWorker, Violation};

/// The clock is looked at after about so much work: it takes 25 to 60 ns, more than a short task.
const LOOK_AFTER: Duration = Duration::from_micros(50);
/// Where more tasks than this are run between two looks, they take less than 6 µs, and what they printed is written out at the
/// look, not before the result of each.
const FLUSH_TASKS_MAX: u32 = 8;
/// At most so many tasks are run between two looks.
const LOOK_TASKS_MAX: u32 = 1 << 14;
/// A worker that ran dry looks so often for more, and lets others run in between, before it sleeps: about 20 µs.
const SPINS: u32 = 50;
/// Before it has run so many tasks it sleeps at once: it may wait for its first task for long, or be there for one alone.
const TASKS_BEFORE_SPINS: u32 = 2;

/// Serves until the end of the stream.
pub(super) fn serve(
    end: WorkerSocket,
    ring: WorkerRing,
    bytes_max: usize,
    limits: TaskLimits,
    memory: OutputMemory,
    entrance: Option<Entrance>,
) -> Result<(), ChannelError> {
    panic::install_hook(PanicReporter::Memory(ring.panic_slot()), PrintedPanics::OfOtherThreads);
    sys::install_crash_handlers(ring.crash_slot(), limits);
    seed::set_counter(ring.task_counter());
    let outputs = ring.output_sender(&end);
    if memory == OutputMemory::Sent {
        shared::write_outputs(Rc::new(move |memory| outputs.send(memory)));
    }
    let is_kept = output::is_kept();
    let (pace, clock) = (ClockPace::default(), TaskClock::default());
    let mut server =
        RingServer { end, ring, bytes_max, is_kept, entrance, pace, clock, busy_nanos: 0, looked_nanos: 0 };
    loop {
        server.run_all()?;
        if !server.wait()? {
            // The process ends: the kernel unmaps the memory with all the rest, which takes a third of the time.
            std::mem::forget(server);
            return Ok(());
        }
    }
}

/// What becomes of outputs that are in memory of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputMemory {
    /// The parent gets the memory.
    Sent,
    /// It gets what is in it.
    Copied,
}

struct RingServer {
    end: WorkerSocket,
    ring: WorkerRing,
    bytes_max: usize,
    /// The output that tasks print is kept, for each task.
    is_kept: bool,
    /// The sandbox that is entered behind the first call.
    entrance: Option<Entrance>,
    pace: ClockPace,
    /// It counts how long each task takes.
    clock: TaskClock,
    /// How long tasks have run, up to when the clock was looked at last.
    busy_nanos: u64,
    looked_nanos: u64,
}

/// How many tasks are run between two looks at the clock.
struct ClockPace {
    tasks: u32,
    /// Tasks since the last look.
    since: u32,
}

impl Default for ClockPace {
    fn default() -> Self {
        Self { tasks: 1, since: 0 }
    }
}

impl ClockPace {
    /// Records how long the tasks since the last look took.
    fn looked(&mut self, elapsed_nanos: u64) {
        let per_task = elapsed_nanos / u64::from(self.since.max(1));
        let fitting = LOOK_AFTER.as_nanos() as u64 / per_task.max(1);
        let fitting = u32::try_from(fitting).unwrap_or(LOOK_TASKS_MAX);
        // At most doubling: a few short tasks say little of the next.
        self.tasks = fitting.clamp(1, LOOK_TASKS_MAX).min(self.tasks * 2);
        self.since = 0;
    }

    /// Returns how the output of the tasks up to the next look is written out.
    fn flush(&self) -> Flush {
        if self.tasks > FLUSH_TASKS_MAX { Flush::Later } else { Flush::EachTask }
    }
}

impl RingServer {
    /// Runs tasks until there are none.
    fn run_all(&mut self) -> Result<(), ChannelError> {
        self.looked_nanos = sys::monotonic_nanos();
        self.clock.wake(self.looked_nanos);
        // It is used where it is made: a copy of it would wait for what was just written.
        while let Some(claimed) = &mut self.ring.next(self.pace.tasks) {
            if self.is_kept {
                claimed.count = 1;
                note_task(claimed.function, claimed.index);
            }
            self.run(claimed)?;
            if let Some(entrance) = self.entrance.take() {
                entrance.enter()?;
            }
            self.pace.since += self.ring.number().wrapping_sub(claimed.number);
            if self.pace.since >= self.pace.tasks {
                self.look()?;
            } else if self.ring.should_notify() {
                self.end.ring_bell()?;
            }
        }
        self.look()
    }

    /// Looks at the clock, and tells the parent of results if it is time to.
    fn look(&mut self) -> Result<(), ChannelError> {
        if self.pace.flush() == Flush::Later {
            let _ = io::stdout().flush();
        }
        let now_nanos = sys::monotonic_nanos();
        let elapsed_nanos = now_nanos.saturating_sub(self.looked_nanos);
        self.looked_nanos = now_nanos;
        self.busy_nanos = self.busy_nanos.saturating_add(elapsed_nanos);
        self.ring.set_busy_nanos(self.busy_nanos);
        self.clock.looked(now_nanos, elapsed_nanos, self.pace.since, self.ring.times());
        if self.pace.since > 0 {
            self.pace.looked(elapsed_nanos);
        }
        if self.ring.should_notify() || self.ring.is_to_tell_at(now_nanos) {
            self.end.ring_bell()?;
        }
        Ok(())
    }

    fn run(&mut self, claimed: &Claimed) -> Result<(), ChannelError> {
        while !self.ring.has_memory(claimed) {
            // It was sent before the chunk was.
            if !self.receive()? {
                return Err(ChannelError::Closed);
            }
        }
        if claimed.is_first {
            seed::set_tasks(claimed.seed, claimed.index, claimed.number);
        }
        trace::set_tasks(claimed.log);
        let flush = if self.is_kept { Flush::Kept } else { self.pace.flush() };
        let (bytes_max, clock) = (self.bytes_max, &mut self.clock);
        let oversized = self.ring.run(claimed, |ClaimedTasks { tasks, room, progress }| {
            let tasks_bytes = tasks.rest().len();
            clock.claimed((claimed.number, claimed.count), claimed.handed_nanos, progress.begun_nanos, progress.times);
            let mut spill = Vec::new();
            let results = Encoder::new(Sink::new(room, &mut spill), bytes_max);
            let mut call = TaskCall::new(tasks, claimed.count, results, progress, flush)
                .with_shared(claimed.shared)
                .clocked(clock);
            if claimed.table_bytes > 0 {
                call = call.with_grants();
            }
            match claimed.merge {
                None => run_tasks(claimed.function, claimed.attempt, &mut call)?,
                Some(merge) => fold_tasks(claimed.function, merge, claimed.attempt, &mut call)?,
            }
            call.into_run(tasks_bytes)
        })?;
        self.ring.end_grants_if_done();
        let Some(oversized) = oversized else {
            return Ok(());
        };
        let Self { end, ring, .. } = self;
        ring.send_oversized(&oversized, |ring, bytes| {
            // Room is made by the parent alone, which must be awake for it.
            ring.park();
            if ring.must_wake_parent() {
                end.ring_bell()?;
            }
            failpoints::reached(Point::NoRoom);
            let received = if ring.has_room(bytes) { Ok(true) } else { receive(end, ring) };
            ring.unpark();
            match received {
                Ok(true) => Ok(()),
                Ok(false) => Err(ChannelError::Closed),
                Err(fault) => Err(fault),
            }
        })
    }

    /// Waits for tasks; false at the end of the stream.
    fn wait(&mut self) -> Result<bool, ChannelError> {
        failpoints::reached(Point::Idle);
        // The rest of the last entry may have been taken back.
        self.ring.end_grants_if_done();
        // A parent that sleeps is notified at once: there is nothing more to do here.
        if self.ring.must_wake_parent() {
            self.end.ring_bell()?;
        }
        let spins = if self.ring.number() < TASKS_BEFORE_SPINS { 0 } else { SPINS };
        for _ in 0..spins {
            if self.ring.has_tasks() {
                return Ok(true);
            }
            std::thread::yield_now();
        }
        self.ring.park();
        failpoints::reached(Point::Parked);
        // Rule 1 of `transport::parking`.
        let goes_on = if self.ring.has_tasks() {
            Ok(true)
        } else {
            self.ring.end_leases_taken_back();
            self.receive()
        };
        failpoints::reached(Point::Woken);
        self.ring.unpark();
        goes_on
    }

    /// Waits for a message and takes it in; false at the end of the stream.
    fn receive(&mut self) -> Result<bool, ChannelError> {
        receive(&mut self.end, &mut self.ring)
    }
}

fn receive(end: &mut WorkerSocket, ring: &mut WorkerRing) -> Result<bool, ChannelError> {
    let segment = end.receive(|message| match message {
        ToWorker::Bell => Ok(None),
        ToWorker::Segment(head) => Ok(Some(head)),
        ToWorker::Forget(id) => {
            segments::forget(id);
            ring.segment_received();
            Ok(None)
        }
        _ => Err(Violation::new("a message of the other channel")),
    })?;
    let Some(segment) = segment.transpose()? else {
        return Ok(false);
    };
    if let Some(head) = segment {
        let message = ring.segment_received();
        segments::add(end, &head, message)?;
    }
    Ok(true)
}
